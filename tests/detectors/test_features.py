"""Front-ends: python_speech_features to rounding, and gradients that are right."""

import math

import numpy as np
import pytest
import torch
from official_talknet import official_features

from pushpull.detectors.front_ends import SILENCE, log_spectrogram, mfcc

FRAMES = 8


def waves():
    """(name, (640 T,) full scale on the 16-bit grid): what speech, music, noise and near-silence do."""
    time = np.arange(640 * FRAMES) / 16_000
    random = np.random.default_rng(3)
    found = {
        "noise": random.normal(0, 0.1, len(time)),
        "loud": np.sign(np.sin(2 * np.pi * 300 * time)) * (32767 / 32768),
        "tones": 0.3 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 3111 * time),
        "last bits": random.integers(-1, 2, len(time)) / 32768,
        "half silent": np.where(time < time[-1] / 2, 0, random.normal(0, 0.05, len(time))),
    }
    return {name: np.clip(np.rint(32768 * wave), -32768, 32767) / 32768 for name, wave in found.items()}


@pytest.mark.parametrize("name, wave", waves().items(), ids=waves())
def test_mfcc_equals_python_speech_features(name, wave):
    pytest.importorskip("python_speech_features")
    theirs = official_features(wave, FRAMES)
    double = mfcc(torch.from_numpy(wave)[None], 4 * FRAMES)[0]
    assert double.shape == (4 * FRAMES, 13)
    assert np.abs(double.numpy() - theirs).max() <= 1e-9
    single = mfcc(torch.from_numpy(wave).float()[None], 4 * FRAMES)[0]
    # Where 257 powers cancel to a tone's side lobes, float32 keeps fewer digits of the logarithm.
    assert np.abs(single.numpy() - theirs).max() <= 3e-4


def test_mfcc_equals_the_library_on_its_own_frames():
    """All but the last frame, without any padding of ours: the library called as the official loader calls it."""
    library = pytest.importorskip("python_speech_features")
    wave = waves()["noise"]
    theirs = library.mfcc(32768 * wave, 16_000, numcep=13, winlen=0.025, winstep=0.010)
    assert len(theirs) == 4 * FRAMES - 1
    ours = mfcc(torch.from_numpy(wave)[None], 4 * FRAMES)[0].numpy()
    assert np.abs(ours[:-2] - theirs[:-1]).max() <= 1e-9


def test_c0_is_the_log_energy_of_16_bit_samples():
    wave = torch.full((1, 640), 0.25, dtype=torch.float64)
    c0 = mfcc(wave, 4)[0, 1, 0].item()  # frame 1 holds only x - 0.97 x
    sample = 0.25 * 32768 * 0.03
    spectrum = np.abs(np.fft.rfft(np.full(400, sample), 512)) ** 2 / 512
    assert c0 == pytest.approx(math.log(spectrum.sum()), abs=1e-9)
    # Full scale instead of 16-bit samples shifts c0 alone, by ln 32768^2 = 20.794.
    louder, quieter = (mfcc(torch.from_numpy(waves()["noise"] * scale)[None], 32)[0] for scale in (1, 1 / 32768))
    shift = louder - quieter
    assert shift[:, 0].numpy() == pytest.approx(20.794, abs=1e-3)
    assert shift[:, 1:].abs().max() <= 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_digital_silence_has_no_gradient(dtype):
    audio = torch.zeros(1, 640 * 4, dtype=dtype, requires_grad=True)
    features = mfcc(audio, 16)
    assert features[0, :, 0].detach().numpy() == pytest.approx(math.log(SILENCE))
    (slope,) = torch.autograd.grad(features.square().sum(), audio)
    assert (slope == 0).all()


def test_silence_beside_sound_has_no_gradient():
    audio = torch.zeros(1, 640 * 8, dtype=torch.float32)
    audio[:, 3200:] = torch.from_numpy(waves()["noise"])[3200:].float()
    audio.requires_grad_()
    (slope,) = torch.autograd.grad(mfcc(audio, 32).square().sum(), audio)
    assert slope.isfinite().all()
    assert (slope[:, : 3200 - 400] == 0).all() and (slope[:, 3200:] != 0).float().mean() > 0.99


@pytest.mark.parametrize("front_end", [mfcc, log_spectrogram])
def test_gradient_is_the_slope(front_end):
    audio = torch.from_numpy(waves()["noise"])[None, :1280].requires_grad_()
    direction = torch.randn(8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(x):
        return (front_end(x, 8).mean(-1) @ direction).sum()

    (slope,) = torch.autograd.grad(loss(audio), audio)
    moves = torch.randn(audio.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h = 1e-7
    with torch.no_grad():
        numeric = (loss(audio + h * moves) - loss(audio - h * moves)) / (2 * h)
    assert (slope * moves).sum().item() == pytest.approx(numeric.item(), rel=1e-5)


def test_spectrogram_shows_a_tone_where_it_is():
    time = torch.arange(640 * 4, dtype=torch.float64) / 16_000
    spectrum = log_spectrogram(torch.sin(2 * torch.pi * 2000 * time)[None] * 0.5, 16)[0]
    assert spectrum.shape == (16, 201)
    assert (spectrum[:13].argmax(-1) == 2000 / 40).all()
    assert log_spectrogram(torch.zeros(1, 640), 4).abs().max() == 0


@pytest.mark.parametrize("name, wave", waves().items(), ids=waves())
def test_spectrogram_is_the_power_under_a_hann_window(name, wave):
    """Against numpy, window by window, in 16-bit sample values; the last windows run into zeros."""
    padded = np.pad(32768 * wave, (0, 240))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = [
        np.abs(np.fft.rfft(padded[at : at + 400] * hann)) ** 2 / (hann**2).sum() for at in range(0, len(wave), 160)
    ]
    found = log_spectrogram(torch.from_numpy(wave)[None], 4 * FRAMES)[0].numpy()
    assert np.abs(found - np.log1p(power)).max() <= 1e-9


@pytest.mark.parametrize("front_end", [mfcc, log_spectrogram])
def test_bad_audio_is_named(front_end):
    for bad in (torch.zeros(640), torch.zeros(1, 0), torch.zeros(1, 640, dtype=torch.int16)):
        with pytest.raises(ValueError, match=r"audio must be \(B, N\)"):
            front_end(bad, 4)
    with pytest.raises(ValueError, match="frames must be at least 1"):
        front_end(torch.zeros(1, 640), 0)


@pytest.mark.parametrize("front_end", [mfcc, log_spectrogram])
def test_mixed_precision_leaves_the_front_end_alone(front_end):
    audio = torch.from_numpy(waves()["noise"]).float()[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = front_end(audio, 32)
    assert torch.equal(inside, front_end(audio, 32))
