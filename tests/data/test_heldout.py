"""Held-out figures: per kind, by hand, and the same for every model asked."""

import numpy as np
import pytest
import torch
from training_support import SPEECH, talker

from pushpull.clip import Clip
from pushpull.data.heldout import evaluate_types, report_table
from pushpull.data.mix import ExampleMix
from pushpull.detectors import TalkNet, TalkNetConfig

POOL = [talker(number, 50) for number in range(3)]
FRAMES, SPOKEN = 3 * 50, 3 * (SPEECH[1] - SPEECH[0])


class Outputs:
    def __init__(self, margin):
        self.margin = margin


class Listener:
    """Says speaking wherever the sound is loud, whatever the face does: the trap that the types are there to show."""

    def encode_video(self, video):
        return video.mean(dim=(2, 3))

    def encode_audio(self, audio, frames):
        return audio.reshape(len(audio), frames, 640).square().mean(dim=2).sqrt()

    def fuse(self, e_a, e_v):
        assert e_a.shape == e_v.shape
        return Outputs(e_a - 0.01)


class Watcher(Listener):
    """Knows the frames in which talkers talk from the frame number in their pixels, and hears nothing."""

    def encode_video(self, video):
        return video[:, :, 0, 1]

    def fuse(self, e_a, e_v):
        return Outputs(((e_v >= SPEECH[0]) & (e_v < SPEECH[1])).float() - 0.5)


def test_a_model_that_only_listens_is_found_out():
    report = evaluate_types(Listener(), POOL)
    assert set(report) == {*ExampleMix().names, "all"}
    assert report["in_sync"]["ap"] == 100 and report["in_sync"]["accuracy"] == 100
    assert report["in_sync"]["prevalence"] == pytest.approx(100 * SPOKEN / FRAMES)
    assert report["silence"]["accuracy"] == 100
    for kind in ("swapped", "shifted", "still", "frozen"):
        assert report[kind]["accuracy_voiced"] < 5 and report[kind]["ap"] < 75, kind
    assert report["still"]["prevalence"] == pytest.approx(100 * SPOKEN / (2 * FRAMES))
    assert report["all"]["frames"] == 7 * FRAMES == sum(report[kind]["frames"] for kind in ExampleMix().names)


def test_a_model_that_only_watches_is_found_out():
    report = evaluate_types(Watcher(), POOL)
    assert report["in_sync"]["accuracy"] == report["still"]["accuracy"] == 100
    wrong = 100 * SPOKEN / FRAMES
    for kind in ("swapped", "shifted", "silence", "noise"):
        assert report[kind]["accuracy"] == pytest.approx(100 - wrong)
    # Half of the frames called speaking are of in_sync: precision is a half at every recall.
    assert report["swapped"]["ap"] == pytest.approx(50)
    assert report["all"]["accuracy"] < 100 and report["all"]["accuracy_voiced"] is None


def test_examples_depend_on_the_seed_and_not_on_the_kinds_asked_for():
    full = evaluate_types(Listener(), POOL, seed=3)
    assert evaluate_types(Listener(), POOL, seed=3) == full
    assert evaluate_types(Listener(), POOL, seed=4) != full
    some = evaluate_types(Listener(), POOL, types=["noise"], seed=3)
    assert set(some) == {"in_sync", "noise", "all"} and some["noise"] == full["noise"]


def test_shared_pictures_encode_to_what_each_example_gives_alone():
    torch.manual_seed(0)
    model = TalkNet(TalkNetConfig.named("talknet", "lite")).eval()
    pool = [clip.span(30, 50) for clip in POOL[:2]]
    margins = []

    class Spy:
        encode_video, encode_audio = staticmethod(model.encode_video), staticmethod(model.encode_audio)

        @staticmethod
        def fuse(e_a, e_v):
            out = model.fuse(e_a, e_v)
            margins.append(out.margin)
            return out

    evaluate_types(Spy, pool, types=["swapped", "still"])
    with torch.no_grad():
        alone = model(pool[0].inputs()).margin[0]
    assert torch.allclose(margins[0][0], alone, atol=1e-4)
    assert not torch.allclose(margins[0][1], alone, atol=1e-4) and not torch.allclose(margins[0][2], alone, atol=1e-4)


def relabelled(clip, labels):
    return Clip(audio=clip.audio, video=clip.video, labels=labels.astype(np.int64))


def test_footage_without_pauses_has_no_still_lips_and_keeps_its_other_figures():
    pool = [relabelled(clip, np.ones(50)) for clip in POOL]
    report = evaluate_types(Listener(), pool)
    assert set(report) == {*ExampleMix().names, "all"} - {"still"}


def test_where_nobody_speaks_there_is_no_precision_and_the_table_says_nothing():
    report = evaluate_types(Listener(), [relabelled(clip, np.zeros(50)) for clip in POOL])
    assert report["in_sync"]["ap"] is None and report["all"]["ap"] is None
    row = report_table(report).splitlines()[1].split()
    assert row[0] == "in_sync" and row[1] == "0.0" and row[-1] == str(FRAMES)


def test_one_clip_is_too_few():
    with pytest.raises(ValueError, match="at least two clips"):
        evaluate_types(Listener(), POOL[:1])
