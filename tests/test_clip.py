"""Clip: what does not fit is named; what fits goes through unchanged."""

import numpy as np
import pytest
import torch

from pushpull import Clip
from pushpull.clip import fit_audio

T = 3


def parts(**changes):
    generator = np.random.default_rng(0)
    return {
        "audio": generator.uniform(-1, 1, 640 * T).astype(np.float32),
        "video": generator.integers(0, 256, (T, 112, 112)).astype(np.uint8),
        "labels": np.array([0, 1, 1]),
    } | changes


def nan(values):
    values = values.copy()
    values.flat[5] = np.nan
    return values


BAD = {
    "another size": ({"video": np.zeros((T, 96, 96), np.uint8)}, r"video must be \(T, 112, 112\)"),
    "colour": ({"video": np.zeros((T, 112, 112, 3), np.uint8)}, r"video must be \(T, 112, 112\)"),
    "no frames": ({"video": np.zeros((0, 112, 112), np.uint8), "audio": np.zeros(0, np.float32)}, "T >= 1"),
    "double video": ({"video": np.zeros((T, 112, 112))}, "uint8 or float32"),
    "double audio": ({"audio": np.zeros(640 * T)}, "audio must be float32"),
    "integer audio": ({"audio": np.zeros(640 * T, np.int16)}, "audio must be float32"),
    "a sample too few": ({"audio": np.zeros(640 * T - 1, np.float32)}, r"\(1920,\), got \(1919,\); see pushpull.clip"),
    "stereo": ({"audio": np.zeros((640 * T, 2), np.float32)}, "see pushpull.clip.fit_audio"),
    "too loud": ({"audio": np.full(640 * T, 1.001, np.float32)}, "within full scale"),
    "not a number in audio": ({"audio": nan(np.zeros(640 * T, np.float32))}, "finite"),
    "not a number in video": ({"video": nan(np.zeros((T, 112, 112), np.float32))}, "finite"),
    "too bright": ({"video": np.full((T, 112, 112), 255.5, np.float32)}, "grey levels 0..255"),
    "labels": ({"labels": np.zeros(T + 1, np.int64)}, r"labels must be \(3,\)"),
    "labels of another type": ({"labels": np.ones(T, bool)}, r"labels must be int64, got bool; see labels.astype"),
    "a third label": ({"labels": np.array([0, 1, 2])}, "labels must be 1 speaking or 0 not, got 2"),
    "a tensor as audio": ({"audio": torch.zeros(640 * T)}, "audio must be a numpy array, got a Tensor; see numpy"),
    "a tensor as video": ({"video": torch.zeros(T, 112, 112)}, "video must be a numpy array, got a Tensor"),
    "a list as labels": ({"labels": [0, 1, 1]}, "labels must be a numpy array, got a list"),
    "one number as video": ({"video": np.zeros(())}, r"video must be \(T, 112, 112\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_named(case):
    changes, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        Clip(**parts(**changes))


def test_inputs_go_in_and_come_back():
    clip = Clip(**parts(), name="me")
    inputs = clip.inputs()
    assert inputs["audio"].shape == (1, 640 * T) and inputs["video"].shape == (1, T, 112, 112)
    assert {tensor.dtype for tensor in inputs.values()} == {torch.float32}
    back = clip.with_inputs({name: tensor.clone() for name, tensor in inputs.items()}, " attacked")
    assert back.name == "me attacked" and back.video.dtype == np.float32
    assert np.array_equal(back.video, clip.video) and np.array_equal(back.audio, clip.audio)
    assert np.array_equal(back.labels, clip.labels)


def test_arrays_that_are_read_backwards_go_in_as_well():
    clip = Clip(**parts())
    mirrored = Clip(clip.audio[::-1], clip.video[:, :, ::-1], clip.labels[::-1])
    assert np.array_equal(mirrored.inputs()["video"][0].numpy(), clip.video[:, :, ::-1])
    assert np.array_equal(mirrored.inputs()["audio"][0].numpy(), clip.audio[::-1])
    assert mirrored.targets().tolist() == [[1, 1, 0]]


def test_targets_are_a_batch_of_one_or_none():
    assert Clip(**parts()).targets().tolist() == [[0, 1, 1]]
    assert Clip(**parts(labels=None)).targets() is None


def test_span_keeps_sound_and_frames_together():
    clip = Clip(**parts())
    part = clip.span(1, 3)
    assert part.frames == 2 and part.seconds == 0.08 and part.labels.tolist() == [1, 1]
    assert np.array_equal(part.audio, clip.audio[640:1920]) and np.array_equal(part.video, clip.video[1:3])
    assert clip.span(0, T).frames == T
    with pytest.raises(ValueError, match="T >= 1"):
        clip.span(2, 2)


@pytest.mark.parametrize("samples", [0, 1, 639, 640 * T, 640 * T + 7])
def test_fit_audio_cuts_or_pads_with_silence(samples):
    audio = np.ones(samples, np.float32)
    fitted = fit_audio(audio, T)
    assert fitted.shape == (640 * T,) and fitted.dtype == np.float32
    kept = min(samples, 640 * T)
    assert (fitted[:kept] == 1).all() and (fitted[kept:] == 0).all()
