"""Augmentation: differentiable, within range, and nothing when switched off."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_support import OFF

from pushpull.data.augment import Augmentation, augment_audio, augment_video

VIDEO = torch.randint(0, 256, (3, 4, 112, 112), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
NOISE = 0.2 * torch.randn(4, 6400, generator=torch.Generator().manual_seed(0))
OTHER = 0.05 * torch.randn(4, 6400, generator=torch.Generator().manual_seed(1))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def decibels(a, b):
    return 20 * torch.log10(a.square().mean(1).sqrt() / b.square().mean(1).sqrt())


def test_switched_off_it_changes_nothing():
    video = augment_video(VIDEO, OFF, generator())
    assert video.dtype == torch.float32 and torch.allclose(video, VIDEO.float(), atol=0.01)
    assert torch.equal(augment_audio(NOISE, OTHER, OFF, generator()), NOISE)


def test_flip_alone_is_a_mirror():
    flipped = augment_video(VIDEO, replace(OFF, flip=1), generator())
    assert torch.allclose(flipped, VIDEO.float().flip(-1), atol=0.01)


def test_a_crop_is_a_magnified_part():
    ramp = torch.arange(112.0).expand(8, 2, 112, 112)
    cropped = augment_video(ramp, replace(OFF, crop=1), generator())
    steps = (cropped[..., 1:] - cropped[..., :-1])[..., 5:-5]
    assert (steps.amin(dim=(1, 2, 3)) > 0.69).all() and (steps.amax(dim=(1, 2, 3)) < 1.001).all()
    assert torch.allclose(cropped[:, 0], cropped[:, 1]), "all frames of a clip alike"
    assert cropped[:, 0, 50, 50].std() > 1, "each clip its own"


def test_a_rotation_turns_by_at_most_its_degrees():
    column = torch.arange(112.0).expand(16, 1, 112, 112) + 50
    turned = augment_video(column, replace(OFF, rotate=1), generator())[:, 0, 30:-30, 30:-30]
    across = (turned[:, :, 1:] - turned[:, :, :-1]).mean(dim=(1, 2))
    down = (turned[:, 1:] - turned[:, :-1]).mean(dim=(1, 2))
    angles = torch.rad2deg(torch.atan2(down, across))
    assert angles.abs().max() < 15.1 and angles.abs().max() > 8 and (angles > 0).any() and (angles < 0).any()
    assert torch.allclose(across.hypot(down), torch.ones(16), atol=0.01)


def test_one_shape_at_a_time_as_talknet_has_it():
    column = torch.arange(112.0).expand(64, 1, 112, 112) + 50
    out = augment_video(column, replace(OFF, shapes="one"), generator())[:, 0, 30:-30, 30:-30]
    across, down = (out[:, :, 1:] - out[:, :, :-1]).mean(dim=(1, 2)), (out[:, 1:] - out[:, :-1]).mean(dim=(1, 2))
    flipped, turned = across < -0.99, down.abs() > 0.01
    cropped = (across < 0.9995) & (across > 0) & ~turned
    alone = (across > 0.9995) & ~turned
    assert (flipped.int() + turned.int() + cropped.int() + alone.int() == 1).all()
    assert all(6 < kind.sum() < 26 for kind in (flipped, turned, cropped, alone))
    with pytest.raises(ValueError, match="augment.shapes"):
        Augmentation(shapes="two")


def test_a_bent_face_is_bent_smoothly_and_by_about_what_is_asked():
    # Grey levels that are coordinates: what comes out says where it came from.
    place = torch.arange(112.0).expand(32, 3, 112, 112) + 50
    moved = (
        augment_video(place, replace(OFF, warp=1, bend=0.02), generator())[..., 10:-10, 10:-10]
        - place[..., 10:-10, 10:-10]
    )
    assert torch.equal(moved[:, 0], moved[:, 2]), "all frames of a clip alike"
    assert 0.5 * 0.02 * 112 < moved.std() < 1.1 * 0.02 * 112
    assert moved.diff(dim=-1).abs().max() < 0.6, "no fold: neighbours stay neighbours"
    some = augment_video(place, replace(OFF, warp=0.5), generator())
    still = (some - place).abs().amax(dim=(1, 2, 3)) < 0.01
    assert 6 < still.sum() < 26


def test_light_changes_brightness_and_stays_grey():
    relit = augment_video(VIDEO, replace(OFF, light=1), generator())
    assert relit.min() >= 0 and relit.max() <= 255
    means = relit.mean(dim=(1, 2, 3)) - VIDEO.float().mean(dim=(1, 2, 3))
    assert means.abs().max() < 31 and means.abs().max() > 1


@pytest.mark.parametrize("seed", range(3))
def test_video_gradients_are_those_of_a_finite_difference(seed):
    options = Augmentation(light=1, rotate=1, crop=1, warp=1)
    video = (VIDEO.double() * 0.4 + 76).float().requires_grad_()  # away from 0 and 255, where levels are clamped
    out = augment_video(video, options, generator(seed))
    weights = torch.randn(out.shape, generator=generator(9))
    (out * weights).sum().backward()
    direction = torch.randn(video.shape, generator=generator(10))
    with torch.no_grad():
        ahead, behind = (augment_video(video + d, options, generator(seed)) for d in (direction, -direction))
        change = ((ahead - behind).double() / 2 * weights).sum()
    assert np.isclose(change, (video.grad.double() * direction).sum(), rtol=1e-2)


def test_overlap_is_mixed_at_its_ratio():
    voice = NOISE.repeat(16, 1) / 8  # far from full scale, where the sum would be made quieter
    ratio = decibels(voice, augment_audio(voice, OTHER.repeat(16, 1), replace(OFF, overlap=1), generator()) - voice)
    assert ratio.abs().max() < 5.01 and ratio.min() < -3 and ratio.max() > 3


def test_gain_is_within_its_decibels():
    louder = augment_audio(NOISE.repeat(16, 1) / 8, OTHER.repeat(16, 1), replace(OFF, gain_db=6), generator())
    gain = decibels(louder, NOISE.repeat(16, 1) / 8)
    assert gain.abs().max() < 6.01 and gain.min() < -4 and gain.max() > 4


@pytest.mark.parametrize("seed", range(5))
def test_mixture_and_gain_never_leave_full_scale(seed):
    loud = torch.sign(NOISE) * 0.99
    mixed = augment_audio(loud, -loud.roll(1, 0), Augmentation(overlap=1, gain_db=12), generator(seed))
    assert mixed.abs().max() <= 1
    peaks = (mixed.abs() == mixed.abs().amax(dim=1, keepdim=True)).float().mean(dim=1)
    assert (peaks < 0.9).all(), "scaled, not clipped"


def test_what_is_mixed_into_silence_stays_as_loud_as_it_was():
    mixed = augment_audio(torch.zeros_like(OTHER), OTHER, replace(OFF, overlap=1), generator())
    assert torch.allclose(mixed, OTHER, atol=1e-6)


@pytest.mark.parametrize(
    "audio, other", [(NOISE, OTHER), (0 * NOISE, OTHER), (NOISE, 0 * OTHER), (0 * NOISE, 0 * OTHER)]
)
def test_audio_gradients_are_finite_and_there(audio, other):
    audio = audio.clone().requires_grad_()
    augment_audio(audio, other, Augmentation(overlap=1), generator()).square().sum().backward()
    assert torch.isfinite(audio.grad).all()
    augment_audio(audio, other, Augmentation(overlap=1), generator()).sum().backward()
    assert torch.isfinite(audio.grad).all() and (audio.grad.abs().sum(dim=1) > 0).all()


def test_a_blurred_face_has_fewer_details_and_the_same_shades():
    blurred = augment_video(VIDEO, replace(OFF, blur=1), generator())
    assert (blurred.std(dim=(2, 3)) < 0.6 * VIDEO.float().std(dim=(2, 3))).all()
    assert torch.allclose(blurred.mean(dim=(2, 3)), VIDEO.float().mean(dim=(2, 3)), atol=2)


def test_light_from_one_side_is_brighter_there():
    grey = torch.full((24, 2, 112, 112), 100.0)
    lit = augment_video(grey, replace(OFF, shade=1), generator())
    assert torch.equal(lit[:, 0], lit[:, 1]), "all frames of a clip alike"
    assert torch.allclose(lit[:, 0, 55:57, 55:57], grey[:, 0, 55:57, 55:57], atol=1.5), "the middle stays as it was"
    extremes = torch.stack([lit.amin(dim=(1, 2, 3)), lit.amax(dim=(1, 2, 3))])
    assert extremes.min() > 49 and extremes.max() < 151 and (extremes[1] - extremes[0]).max() > 60
    brightest = lit[:, 0].flatten(1).argmax(dim=1) % 112
    assert (brightest < 40).any() and (brightest > 72).any(), "from any side"


def test_what_hides_a_part_of_the_face_stays_where_it_is():
    hidden = augment_video(VIDEO.repeat(8, 1, 1, 1), replace(OFF, erase=1), generator())
    changed = (hidden - VIDEO.repeat(8, 1, 1, 1)).abs() > 0.01
    for clip, mask in zip(hidden, changed.any(dim=1), strict=True):
        rows, columns = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
        (top, bottom), (left, right) = ((int(x.min()), int(x.max()) + 1) for x in (rows, columns))
        assert 10 <= bottom - top <= 38 and 10 <= right - left <= 38
        patch = clip[:, top:bottom, left:right]
        assert (patch == patch[0, 0, 0]).all(), "one grey in every frame"


def test_pictures_that_come_seldom_stay_until_the_next_one():
    clock = torch.arange(100.0).view(1, 100, 1, 1).expand(24, 100, 112, 112)
    shown = augment_video(clock, replace(OFF, hold=1), generator())[:, :, 50, 50].round()
    late = torch.arange(100.0) - shown
    assert late.min() == 0 and late.max() == 3, "never from the future, and at 8 a second at most 3 frames old"
    rates = 25 * (shown[:, 1:] != shown[:, :-1]).float().mean(dim=1)
    assert 7.5 < rates.min() < 11 and 17 < rates.max() < 20.5


def test_grain_is_new_in_every_frame_and_as_strong_as_said():
    noise = augment_video(torch.full((24, 3, 112, 112), 128.0), replace(OFF, grain=1), generator()) - 128
    sigma = noise.std(dim=(1, 2, 3))
    assert sigma.max() < 10.2 and sigma.max() > 7 and sigma.min() < 3
    assert np.corrcoef(noise[0, 0].flatten(), noise[0, 1].flatten())[0, 1] < 0.05
    again = augment_video(torch.full((24, 3, 112, 112), 128.0), replace(OFF, grain=1), generator()) - 128
    assert torch.equal(noise, again), "the same seed, the same noise"


def test_a_band_cuts_off_high_frequencies_alone():
    noise = 0.1 * torch.randn(32, 16000, generator=generator(2))
    cut = augment_audio(noise, noise, replace(OFF, band=1), generator())
    share = torch.fft.rfft(cut).abs() / torch.fft.rfft(noise).abs()  # bins of 1 Hz
    low, high = share[:, 100:1000].median(dim=1).values, share[:, 7500:].median(dim=1).values
    # As loud as before, so that what is left is amplified: by 8 dB where 1.5 of 8 kHz are.
    assert (low > 0.9).all() and (low < 2.6).all() and (high < 0.2 * low).all() and (high < 1e-3 * low).any()


@pytest.mark.parametrize("change", ["colour", "room", "band"])
def test_another_place_keeps_level_and_timing(change):
    clicks = torch.zeros(8, 16000)
    clicks[:, 8000] = 0.5
    moved = augment_audio(clicks, clicks, replace(OFF, **{change: 1}), generator())
    assert torch.allclose(decibels(moved, clicks), torch.zeros(8), atol=1e-3)
    assert (moved.abs().argmax(dim=1) == 8000).all()
    before, after = (x.square().sum(dim=1) for x in (moved[:, :7000], moved[:, 8001:]))
    assert (after > 1e-6).all()
    if change == "room":
        assert (before < 1e-9).all(), "an echo comes after its sound"


def test_hiss_is_5_to_30_decibels_below():
    ratio = decibels(
        NOISE.repeat(8, 1),
        augment_audio(NOISE, OTHER, replace(OFF, hiss=1), generator()).repeat(8, 1) - NOISE.repeat(8, 1),
    )
    assert ratio.min() > 4.5 and ratio.max() < 30.5


def test_the_generator_alone_decides():
    options = Augmentation()
    assert torch.equal(augment_video(VIDEO, options, generator(3)), augment_video(VIDEO, options, generator(3)))
    assert not torch.equal(augment_video(VIDEO, options, generator(3)), augment_video(VIDEO, options, generator(4)))
