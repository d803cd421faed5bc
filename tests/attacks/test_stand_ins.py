"""Stand-ins: what they do, that gradients pass as they should, and that rows share what was drawn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pushpull.attacks.budget import as_stored
from pushpull.attacks.stand_ins import (
    Actual,
    BandLimited,
    Blurred,
    Compressed,
    Delayed,
    Pasted,
    Reframed,
    Resized,
    Rounded,
    through,
)
from pushpull.clip import SAMPLE_RATE, SAMPLES_PER_FRAME

FRAMES, SIDE = 3, 24
PICTURES = ("video",)
STAND_INS = {
    "rounded": (Rounded(), ("audio", "video")),
    "blurred": (Blurred(), PICTURES),
    "resized": (Resized(18, 40), PICTURES),
    "reframed": (Reframed(), PICTURES),
    "compressed": (Compressed(), PICTURES),
    "delayed": (Delayed(), ("audio",)),
    "band limited": (BandLimited(), ("audio",)),
    "pasted": (Pasted(torch.full((1, FRAMES, SIDE, SIDE), 100.0), 16, (Blurred(),)), PICTURES),
}
DIFFERENTIABLE = ("blurred", "resized", "reframed", "delayed", "band limited", "pasted")


def inputs(rows=2, seed=0, dtype=torch.float32):
    """Smooth pictures and noise, away from the ends of their range."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 60 + 120 * torch.rand(rows * FRAMES, 1, 6, 6, generator=generator, dtype=dtype)
    video = F.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic").reshape(rows, FRAMES, SIDE, SIDE).clamp(20, 230)
    audio = 0.1 * torch.randn(rows, FRAMES * SAMPLES_PER_FRAME, generator=generator, dtype=dtype)
    return {"audio": audio, "video": video}


def draws(seed=4):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", STAND_INS)
def test_shapes_stay_and_rows_share_their_draws(name):
    stand_in, about = STAND_INS[name]
    given = inputs()
    back = stand_in(given, draws())
    alone = stand_in({key: values[1:] for key, values in given.items()}, draws())
    again = stand_in(given, draws())
    for key, values in given.items():
        assert back[key].shape == values.shape and torch.isfinite(back[key]).all()
        assert torch.equal(back[key], again[key])
        torch.testing.assert_close(back[key][1:], alone[key])
        changed = any(not torch.equal(stand_in(given, draws(seed))[key], values) for seed in range(5))
        assert changed == (key in about)
    # One modality may be frozen, and then it is not there.
    for key, values in given.items():
        only = stand_in({key: values}, draws())
        assert set(only) == {key}
        torch.testing.assert_close(only[key], back[key])


@pytest.mark.parametrize("name", STAND_INS)
def test_every_stand_in_passes_a_gradient(name):
    stand_in, about = STAND_INS[name]
    leaves = {key: values.requires_grad_() for key, values in inputs().items()}
    back = stand_in(leaves, draws())
    gradients = torch.autograd.grad(sum(values.sum() for values in back.values()), list(leaves.values()))
    for key, gradient in zip(leaves, gradients, strict=True):
        assert torch.isfinite(gradient).all()
        assert (gradient != 0).float().mean() > 0.6, f"{key} of {name}"


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_those_of_the_function(name):
    """In float64, against differences along a random direction."""
    stand_in, _ = STAND_INS[name]
    given = inputs(dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    ways = {key: torch.randn(values.shape, generator=generator, dtype=torch.float64) for key, values in given.items()}
    weights = {
        key: torch.randn(values.shape, generator=generator, dtype=torch.float64) for key, values in given.items()
    }

    def total(at):
        return sum((weights[key] * values).sum() for key, values in stand_in(at, draws()).items())

    leaves = {key: values.clone().requires_grad_() for key, values in given.items()}
    gradients = torch.autograd.grad(total(leaves), list(leaves.values()))
    slope = sum((way * gradient).sum() for way, gradient in zip(ways.values(), gradients, strict=True)).item()
    step = 1e-4
    ahead, behind = ({key: given[key] + side * step * ways[key] for key in given} for side in (1, -1))
    assert slope == pytest.approx((total(ahead) - total(behind)).item() / (2 * step), rel=1e-4)


def test_rounding_is_that_of_files_and_straight_through():
    leaves = {key: values.requires_grad_() for key, values in inputs().items()}
    back = Rounded()(leaves, draws())
    gradients = torch.autograd.grad(sum(values.sum() for values in back.values()), list(leaves.values()))
    for key, gradient in zip(leaves, gradients, strict=True):
        assert torch.equal(back[key], as_stored(key, leaves[key]))
        assert torch.equal(gradient, torch.ones_like(gradient))


def test_blur_and_resizing_keep_the_mean_and_take_what_is_fine():
    level = inputs()["video"] * 0 + 90
    checks = level.clone()
    checks[..., ::2, ::2] += 8
    checks[..., 1::2, 1::2] += 8
    for stand_in in (Blurred(1, 1), Resized(12, 12), Pasted(level[:1], 12)):
        torch.testing.assert_close(stand_in({"video": level}, draws())["video"], level)
        back = stand_in({"video": checks}, draws())["video"]
        assert back.mean().item() == pytest.approx(94, abs=0.2)
        assert back[..., 4:-4, 4:-4].std() < 0.2 * checks.std()


def test_compression_keeps_what_is_coarse_and_takes_what_is_faint():
    given = inputs()["video"]
    near = Compressed(1, 1)({"video": given}, draws())["video"]
    assert (near - given).abs().mean() < 0.5
    # On a face's smooth skin: among large frequencies faint ones ride along, as under dither.
    given = torch.linspace(90, 110, SIDE).expand(given.shape)
    faint = given + torch.where(torch.rand(given.shape, generator=torch.Generator().manual_seed(2)) < 0.5, -1.0, 1.0)
    before, after = (Compressed(12, 12)({"video": x}, draws())["video"] for x in (given, faint))
    noise = faint - given
    assert ((after - before) * noise).sum() < 0.25 * (noise * noise).sum()
    brighter = Compressed(12, 12)({"video": given + 6}, draws())["video"]
    assert (brighter - before).mean().item() == pytest.approx(6, abs=1.2)


def test_delays_go_both_ways_and_fill_with_silence():
    audio = inputs()["audio"]
    seen = set()
    for seed in range(12):
        back = Delayed()({"audio": audio}, draws(seed))["audio"]
        if torch.equal(back, audio):
            seen.add(0)
        elif torch.equal(back[:, SAMPLES_PER_FRAME:], audio[:, :-SAMPLES_PER_FRAME]):
            assert not back[:, :SAMPLES_PER_FRAME].any()
            seen.add(1)
        else:
            assert torch.equal(back[:, :-SAMPLES_PER_FRAME], audio[:, SAMPLES_PER_FRAME:])
            assert not back[:, -SAMPLES_PER_FRAME:].any()
            seen.add(-1)
    assert seen == {-1, 0, 1}


def test_the_band_limit_keeps_low_tones_in_step_and_takes_high_ones():
    time = torch.arange(FRAMES * SAMPLES_PER_FRAME) / SAMPLE_RATE
    for hertz, kept in ((500, 1.0), (7000, 0.0)):
        tone = torch.sin(2 * torch.pi * hertz * time)[None]
        back = BandLimited(5000, 5000)({"audio": tone}, draws())["audio"]
        inside = slice(100, -100)
        assert ((back - kept * tone)[:, inside]).abs().max() < 0.02


def test_the_actual_thing_has_its_own_values_and_the_gradient_of_stand_ins():
    sent = []

    def send(given):
        sent.append(all(not values.requires_grad for values in given.values()))
        return {key: values.round() + 3 for key, values in given.items()}

    given = inputs()
    leaves = {key: values.clone().requires_grad_() for key, values in given.items()}
    back = Actual(send, (Blurred(1, 1),))(leaves, draws())
    assert sent == [True]
    for key, values in given.items():
        assert torch.equal(back[key], values.round() + 3)
    weight = torch.randn(given["video"].shape, generator=torch.Generator().manual_seed(3))
    taken = torch.autograd.grad((weight * back["video"]).sum(), leaves["video"])[0]
    near = through((Blurred(1, 1),), leaves, draws())["video"]
    torch.testing.assert_close(taken, torch.autograd.grad((weight * near).sum(), leaves["video"])[0])
