"""From a clip to stored pairs: what is in the files is what is stated, and a killed worker's work is taken up."""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from xab_support import small_design

from pushpull.attacks import paper_budget
from pushpull.attacks.budget import EPS_AUDIO, EPS_VIDEO
from pushpull.clip import FPS, Clip
from pushpull.detectors import TalkNet, TalkNetConfig
from pushpull.media import read_stimulus
from pushpull.runs.cards import read_card
from xab import plan, stimuli
from xab.cli import main as cli
from xab.files import stimuli_folder
from xab.plan import DesignError, pair_specs, paper_preset
from xab.settings import Settings
from xab.stimuli import Span, assign, find_spans, make_pair, make_study, speaking_scores
from xab.store import Store

ASSETS = Path(__file__).parents[2] / "assets"
FOOTAGE = Path(__file__).parents[2] / ".." / "shared" / "data" / "real"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TalkNet(TalkNetConfig(size="lite")).eval()


def face(frames: int = 5, *, speech: bool = True, seed: int = 0) -> Clip:
    rng = np.random.default_rng(seed)
    return Clip(
        audio=(rng.integers(-2000, 2000, frames * 640) / 32768).astype(np.float32),
        video=np.repeat(rng.integers(0, 256, (1, 28, 28)), frames, axis=0).repeat(4, 1).repeat(4, 2).astype(np.uint8),
        labels=np.full(frames, int(speech), dtype=np.int64),
        name=f"face {seed}",
    )


def spans() -> list[Span]:
    return [Span(clip=face(speech=speech, seed=speech), speech=speech, labelled=True) for speech in (True, False)]


def test_the_plans_units_are_the_attacks():
    assert (plan.EPS_AUDIO, plan.EPS_VIDEO) == (EPS_AUDIO, EPS_VIDEO)
    budgets, units = paper_budget(5.0), plan.budget_units(5.0)
    assert units["audio_full_scale"] == budgets["audio"].eps and units["video_levels"] == budgets["video"].eps


@pytest.mark.parametrize("attack,modality,eps_av", [("bim", "both", 5), ("pgd", "audio", 50), ("noise", "video", 20)])
def test_files_hold_what_the_measures_say(model, tmp_path, attack, modality, eps_av):
    design = small_design(attacks=(attack,), modalities=(modality,), eps_av=eps_av, steps=2)
    spec = next(spec for spec in pair_specs(design) if spec.phase == "main")
    pair = make_pair(spec, spans()[0], model, design, tmp_path)
    arrays = {}
    for file in pair.stimuli:
        data = (tmp_path / Path(file.path).name).read_bytes()
        video, audio = read_stimulus(tmp_path / Path(file.path).name)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.file_sha256)
        assert hashlib.sha256(video.tobytes()).hexdigest() == file.video_sha256
        assert hashlib.sha256(audio.astype("<i2").tobytes()).hexdigest() == file.audio_sha256
        before = arrays.setdefault(file.twin, (video, audio))
        assert all(np.array_equal(one, other) for one, other in zip(before, (video, audio), strict=True))
    moved = [np.abs(arrays["adversarial"][k].astype(int) - arrays["genuine"][k].astype(int)) for k in (0, 1)]
    measures = pair.measures
    assert (measures["stored_video_max_levels"], measures["stored_audio_max_steps"]) == (moved[0].max(), moved[1].max())
    # On the grid what is stored keeps the budget, and another modality does not move at all.
    assert moved[0].max() <= measures["nominal_eps_video_levels"]
    assert moved[1].max() <= measures["nominal_eps_audio_steps"]
    assert measures["identical"] is (not moved[0].any() and not moved[1].any())
    scores = speaking_scores(model, *arrays["adversarial"])
    assert measures["score_adversarial"] == pytest.approx(float(scores.mean()), abs=1e-6)


def test_at_the_papers_budget_no_grey_level_moves(model, tmp_path):
    design = small_design(modalities=("video",), steps=2)
    spec = next(spec for spec in pair_specs(design) if spec.phase == "main")
    assert make_pair(spec, spans()[0], model, design, tmp_path).measures["identical"] is True


@pytest.mark.parametrize("eps_av", [4, 5, 15])
@pytest.mark.parametrize("on_grid", [True, False])
def test_what_is_stored_is_what_the_form_says(model, tmp_path, eps_av, on_grid):
    design = small_design(attacks=("pgd",), eps_av=eps_av, steps=3, on_grid=on_grid)
    spec = next(spec for spec in pair_specs(design) if spec.phase == "main")
    measures = make_pair(spec, spans()[0], model, design, tmp_path).measures
    limits = plan.stored_limits(eps_av, on_grid=on_grid)
    assert measures["stored_video_max_levels"] == limits["video_levels"]
    assert measures["stored_audio_max_steps"] == limits["audio_steps"]


def test_spans_hold_one_class():
    clip = face(20)
    clip = Clip(audio=clip.audio, video=clip.video, labels=np.array([1] * 8 + [0] * 12), name="x")
    found = find_spans(clip, 5)
    assert [(span.speech, span.clip.frames) for span in found][:1] == [(True, 5)]
    assert all(len(set(span.clip.labels.tolist())) == 1 for span in found) and not found[-1].speech


def test_a_class_without_footage_is_named():
    with pytest.raises(DesignError, match="a face is silent throughout"):
        assign(pair_specs(small_design()), spans()[:1], seed=1)


@pytest.mark.parametrize(
    "pattern, found",
    [
        ("0" * 3 + "1" * 20 + "0" * 3, [(3, True)]),  # the purest stretch, not the first that is pure enough
        ("1" * 9 + "00" + "1" * 9, [(0, True)]),  # a short pause is part of speaking
        ("10" * 20, []),
        ("0" * 40, [(0, False), (20, False)]),
        ("1" * 19, []),
    ],
)
def test_spans_are_the_purest_stretches(pattern, found):
    clip = face(len(pattern))
    clip = Clip(audio=clip.audio, video=clip.video, labels=np.array([int(one) for one in pattern]), name="x")
    spans = find_spans(clip, 20)
    assert [(span.clip.name, span.speech) for span in spans] == [
        (f"x at {start / 25:.2f} s", speech) for start, speech in found
    ]


def test_the_shipped_clips_have_speech_and_silence_for_the_papers_study():
    """By their own cards, without a model's opinion, and enough of both that a clip need not be shown thrice."""
    design, spans = paper_preset(), []
    frames = int(design.seconds * FPS + 1e-9)
    for path in ASSETS.glob("*.mp4"):
        for one in read_card(path).faces:
            labels = np.array([int(label) for label in one["labels"]])
            empty = np.zeros((len(labels), 112, 112), np.uint8)
            audio = np.zeros(len(labels) * 640, np.float32)
            spans += find_spans(Clip(audio=audio, video=empty, labels=labels, name=path.name), frames)
    speech = sum(span.speech for span in spans)
    assert speech >= 6 and len(spans) - speech >= 5
    chosen = assign(pair_specs(design), spans, design.seed)
    assert all(chosen[spec.position].speech == spec.speech for spec in pair_specs(design))


def test_a_killed_workers_study_is_taken_up(model, tmp_path, monkeypatch):
    store = Store(f"sqlite:///{tmp_path / 'x.sqlite'}")
    study = store.studies.create(small_design(steps=1, eps_av=50, speech=1, non_speech=1, training=0, catch=0))
    monkeypatch.setattr(stimuli, "collect_spans", lambda *_: spans())
    made = []

    def stop_after_one(spec, *rest, **options):
        if made:
            raise KeyboardInterrupt
        made.append(spec.position)
        return make_pair(spec, *rest, **options)

    monkeypatch.setattr(stimuli, "make_pair", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        make_study(store, study, data=tmp_path, assets=tmp_path, load=lambda *_: model)
    assert store.studies.get(study).made == 1
    before = {file.path for pair in store.studies.pairs(study) for file in pair.stimuli}
    folder = stimuli_folder(tmp_path, study)
    (folder / "unfinished.mp4").write_bytes(b"half a pair")
    store.studies.cancel(study)
    monkeypatch.setattr(stimuli, "make_pair", make_pair)
    make_study(store, study, data=tmp_path, assets=tmp_path, load=lambda *_: model)
    pairs = store.studies.pairs(study)
    assert store.studies.get(study).state == "ready" and len(pairs) == 2
    files = {file.path for pair in pairs for file in pair.stimuli}
    assert before < files and {path.name for path in folder.iterdir()} == {Path(name).name for name in files}
    assert list(tmp_path.glob(f"selfcheck-{zlib.crc32(stimuli_sum()):08x}.mp4"))
    store.close()


def stimuli_sum() -> bytes:
    from xab.selfcheck import frames

    return frames().tobytes()


def test_what_stops_the_worker_is_told(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'x.sqlite'}")
    study = store.studies.create(small_design(models=("no-such-model",)))
    make_study(store, study, data=tmp_path, assets=tmp_path)
    assert store.studies.get(study).state == "failed" and "no-such-model" in store.studies.get(study).note
    store.close()


@pytest.mark.slow
@pytest.mark.skipif(not (FOOTAGE / "friday.mp4").exists(), reason="no footage in ../shared/data/real")
def test_a_study_from_real_footage(model, tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'x.sqlite'}")
    design = small_design(clips=("friday.mp4",), steps=2, non_speech=0, catch=0, training=0, seconds=1.0)
    study = store.studies.create(design)
    make_study(store, study, data=tmp_path, assets=FOOTAGE, load=lambda *_: model)
    found = store.studies.get(study)
    # An untrained model may see nobody speak; then the worker says so.
    assert found.state == "ready" or "a face speaks throughout" in found.note
    store.close()


def test_the_command_line_makes_reads_and_deletes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PUSHPULL_XAB_DATA", str(tmp_path / "data"))
    for name in ("PUSHPULL_DATABASE_URL", "PUSHPULL_XAB_PASSWORD", "PUSHPULL_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    assert cli(["create", "--draft", "--set", "eps_av=20", "--set", "attacks=bim, pgd", "--set", "on_grid=no"]) == 0
    study = capsys.readouterr().out.strip()
    store = Store(Settings.from_env().url)
    design = store.studies.get(study).design
    assert (design.eps_av, design.attacks, design.on_grid) == (20.0, ("bim", "pgd"), False)
    for arguments, words in (
        (["create", "--set", "epsilon=1"], "write NAME=VALUE"),
        (["create", "--set", "eps_av=-1"], "must lie in"),
        (["links", study, "1"], "ready"),
        (["results", "nothing"], "no such study"),
        (["delete", study], "--yes"),
    ):
        assert cli(arguments) == 1
        assert words in capsys.readouterr().err
    assert cli(["results", study]) == 0 and "No answers yet." in capsys.readouterr().out
    target = tmp_path / "out.zip"
    assert cli(["export", study, str(target)]) == 0 and target.exists()
    assert cli(["export", study, str(target)]) == 1
    assert cli(["password"]) == 0 and len(capsys.readouterr().out.split()[-1]) == 12
    assert cli(["delete", study, "--yes"]) == 0
    assert store.studies.all() == []
    store.close()
