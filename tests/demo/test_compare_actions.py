"""The Compare tab's actions without a browser: what each event changes."""

from types import SimpleNamespace

import gradio as gr
import pytest
from browser_support import write_face, write_model

from pushpull.demo.compare_actions import ATTACK_TAB, NOT_YET, TRANSFER, WHITE_BOX, CompareActions, Progress
from pushpull.demo.context import DemoContext
from pushpull.demo.line import Turn
from pushpull.demo.loaded import DetectorCache
from pushpull.demo.storage import ResultStore

NAMES = ["talknet-lite", "talknet-other"]
VALUES = ("bim", "both", 20.0, "untargeted", 0.0, 1.0, False, 1, 1)  # the form from the attack on
PARTS = ("subject", "face", "chosen", "clock", "gallery", "status", "faces", "models", "how", "source")
PARTS += ("run", "brakes", "stop", "progress", "sentence", "player", "numbers", "files")
ASKER = SimpleNamespace(session_hash="anna")


@pytest.fixture(scope="module")
def act(tmp_path_factory, unhurried):
    folder = tmp_path_factory.mktemp("compare")
    (folder / "checkpoints").mkdir()
    for name in NAMES:
        write_model(folder / "checkpoints", name)
    (folder / "clips").mkdir()
    write_face(folder / "clips" / "hopper.mp4")
    detectors = DetectorCache(folder / "checkpoints", device="cpu")
    context = DemoContext(detectors=detectors, store=ResultStore(root=folder / "store"), clips=folder / "clips")
    return CompareActions(context, SimpleNamespace(**{name: name for name in PARTS}))


@pytest.fixture(scope="module")
def subject(act):
    return act.context.read_sample(act.context.samples()[0])


def test_the_tab_takes_the_attack_tabs_clip_unless_it_has_its_own(act, subject):
    taken = act.arrive(None, None, subject, 0)
    assert taken["subject"] is subject and f'data-card="{ATTACK_TAB}" aria-pressed="true"' in taken["gallery"]
    offered = act.arrive(subject, 0, subject, 0)
    assert "subject" not in offered and f'data-card="{ATTACK_TAB}" aria-pressed="false"' in offered["gallery"]
    assert "data-card" in act.arrive(None, None, None, 0)["gallery"]


def test_a_sample_is_read_and_its_face_chosen(act):
    begun, *_, last = act.pick_clip(ASKER, None, 0, SimpleNamespace(card=0))
    assert last["subject"].title == "hopper" and last["face"] == 0 and last["chosen"] == 0
    assert not begun["run"].interactive and last["run"].interactive, "nothing can be run until the clip was read"
    (gone,) = act.pick_clip(ASKER, None, 0, SimpleNamespace(card=7))
    assert "gone" in gone["status"] and gone["run"].interactive
    assert "gone" in act.pick_face(ASKER, last["subject"], SimpleNamespace(card=3))["status"]


@pytest.mark.parametrize("what", ["face", "clip"])
def test_another_face_or_clip_ends_a_comparison_and_leaves_nothing_of_it(act, subject, what):
    act.queue_up(ASKER, subject, NAMES)
    running = act.compare(ASKER, subject, 0, NAMES, WHITE_BOX, None, *VALUES)
    next(running)
    if what == "face":
        told = act.pick_face(ASKER, subject, SimpleNamespace(card=0))
    else:
        told = next(act.pick_clip(ASKER, None, 0, SimpleNamespace(card=0)))
        assert told["subject"] is None and not told["faces"].visible, "they are the clip's before"
    running.close()
    assert [told[name] for name in ("progress", "sentence", "numbers", "files")] == [""] * 4
    assert told["player"] == NOT_YET and not told["brakes"].visible and not told["clock"].active
    act.queue_up(ASKER, subject, NAMES)
    assert act.turned_away(ASKER) == gr.skip(), "it was about the one that was ended"


def test_what_could_not_be_compared_leaves_the_buttons_to_the_next_and_what_was_said(act, subject):
    # Without a yield gradio would empty all outputs.
    assert list(act.compare(ASKER, subject, 0, NAMES[:1], WHITE_BOX, None, *VALUES)) == [gr.skip()]


@pytest.mark.parametrize(
    ("names", "with_clip", "message"),
    [(NAMES, False, "Choose a clip first"), (NAMES[:1], True, "two to 6 models"), (list("abcdefg"), True, "7 chosen")],
)
def test_what_cannot_be_compared_is_said_before_the_queue(act, subject, names, with_clip, message):
    asked = act.queue_up(ASKER, subject if with_clip else None, names)
    assert message in asked["progress"] and "run" not in asked


def test_another_clip_ends_the_reading_of_the_one_before(act):
    updates = act.pick_clip(ASKER, None, 0, SimpleNamespace(card=0))
    assert "Reading" in next(updates)["status"]
    act.context.requests.choose(act.visitor(ASKER))
    assert list(updates) == []


@pytest.mark.parametrize("how, words", [(WHITE_BOX, "made for each model anew"), (TRANSFER, "Noise made on")])
def test_a_comparison_is_shown_and_written(act, subject, how, words):
    shown = list(act.compare(ASKER, subject, 0, NAMES, how, NAMES[1], *VALUES))
    done = next(update for update in shown if update.get("sentence"))
    assert words in done["sentence"] and "comparison" not in done["player"] and "compare.json" in done["player"]
    assert done["progress"].count('class="done"') == 2
    assert "The results are there, writing files" in done["progress"] and "100 %" not in done["progress"]
    assert "Done" in shown[-1]["progress"] and "100 %" in shown[-1]["progress"]
    assert "comparison.zip" in shown[-1]["files"] and ("--transfer-from" in shown[-1]["files"]) == (how == TRANSFER)
    assert len(act.context.requests) == 0


def test_stopping_leaves_out_the_models_that_wait(act, subject):
    updates = act.compare(ASKER, subject, 0, NAMES, WHITE_BOX, None, *VALUES[:7], 100, 1)
    stopped = None
    for update in updates:
        if "step" in str(update.get("progress", "")):
            act.stop(ASKER)
        stopped = update if update.get("sentence") else stopped
    assert "Stopped early" in stopped["progress"] and stopped["progress"].count('class="done"') == 1


def test_an_error_is_said_and_frees_the_buttons(act, subject):
    shown = list(act.compare(ASKER, subject, 0, [NAMES[0], "gone"], WHITE_BOX, None, *VALUES))
    assert "did not run" in shown[-1]["progress"] and "no detector is called" in shown[-1]["progress"]
    assert {"run", "brakes"} <= set(shown[-1]) and len(act.context.requests) == 0


def test_progress_counts_whole_models_and_the_one_that_runs():
    state = Progress(["a", "b"], Turn())
    assert state.attacked == 0 and "Starting" in state.html()
    state.step("a", SimpleNamespace(step=1, steps=4, progress=0.5, flipped_share=0.25))
    assert state.attacked == 0.25 and "step 1 of 4, 25 % flipped" in state.html() and "Attacking a" in state.html()
    run = SimpleNamespace(metrics={"adversarial": {"flipped": 3, "frames": 9}})
    state.done("a", run)
    assert state.attacked == 0.5 and "3 of 9 frames flipped" in state.html("Done")
    assert "100 %" not in state.html() and "100 %" in state.html("Done", done=True)
    assert "waits" in state.html() and "left out" in state.html("Stopped early", done=True)


def test_a_cancelled_comparison_is_not_taken_for_a_refused_one(act, subject):
    """The browser reports both as failed; of the cancelled one perhaps when the next already runs."""
    asker = SimpleNamespace(session_hash="berta")  # who has cancelled nothing within the last seconds
    act.queue_up(asker, subject, NAMES)
    assert "Too many people" in act.turned_away(asker)["progress"]
    act.queue_up(asker, subject, NAMES)
    act.cancelled(asker)
    assert act.turned_away(asker) == gr.skip()
    act.queue_up(asker, subject, NAMES)
    assert next(act.compare(asker, subject, 0, NAMES, WHITE_BOX, None, *VALUES))
    assert act.turned_away(asker) == gr.skip()
