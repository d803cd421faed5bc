"""What attacks return can be stored: budgets to the last bit, whole grey levels, 16-bit samples."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from attack_support import (
    UNCAPPED,
    Linear,
    assert_within,
    batch,
)

from pushpull import attacks, media
from pushpull.attacks import BIM, PGD, Budget, as_stored, bounds, paper_budget


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eps", [0.5, 5e-4, 0.1, 1 / 3, 1e-8, 1e-30, 40.0])
def test_bounds_are_exact_and_leave_no_room(eps, dtype):
    generator = torch.Generator().manual_seed(3)
    exponents = torch.randint(-40, 8, (400,), generator=generator).to(dtype)
    x = torch.rand(400, generator=generator, dtype=dtype).sub(0.5) * 2**exponents
    x = torch.cat([x, torch.tensor([0.0, eps, -eps, 2 * eps, -2 * eps, 1e-38, -1e-38, 1.0, -1.0], dtype=dtype)])
    lower, upper = bounds(x, Budget(eps, -200, 200))
    assert_within(lower, x, Budget(eps, -200, 200))
    assert_within(upper, x, Budget(eps, -200, 200))
    floor = torch.tensor(eps, dtype=dtype)
    floor = Fraction(floor.item() if floor.item() <= eps else torch.nextafter(floor, torch.zeros_like(floor)).item())
    for edge, away in ((lower, -1), (upper, 1)):
        beyond = torch.nextafter(edge, torch.full_like(edge, away * torch.inf))
        for u, v in zip(beyond.tolist(), x.tolist(), strict=True):
            assert abs(Fraction(u) - Fraction(v)) > floor


@pytest.mark.parametrize("grid_eps, moved", [(0.4, 0.0), (0.999, 0.0), (1.0, 1.0), (2.7, 2.0)])
def test_grid_moves_whole_grey_levels_or_not_at_all(grid_eps, moved):
    inputs, labels = batch(3)
    budgets = {"audio": Budget(5e-4, -1, 1), "video": Budget(grid_eps, 0, 255)}
    result = BIM(steps=5, grid=True).run(Linear(), inputs, labels, budgets=budgets, objective=UNCAPPED)
    assert result.delta["video"].abs().max() == moved
    assert (result.movable["video"] > 0).all() == (moved > 0)
    assert torch.equal(result.delta["video"], result.delta["video"].round())
    counts = result.adversarial["audio"].double() * 32768
    assert torch.equal(counts, counts.round()) and counts.max() <= 32767
    assert result.delta["audio"].abs().max() == 16 / 32768  # 5e-4 of full scale is 16.4 sixteen-bit steps
    for name in inputs:
        assert torch.equal(result.stored[name], result.adversarial[name])


def test_grid_leaves_alone_what_cannot_be_stored_within_the_budget():
    inputs, labels = batch(2)
    inputs["video"] = inputs["video"].clamp(1, 254) + 0.3
    result = BIM(grid=True).run(Linear(), inputs, labels, budgets={"video": Budget(0.2, 0, 255)})
    assert torch.equal(result.adversarial["video"], inputs["video"])
    near = BIM(grid=True).run(Linear(), inputs, labels, budgets={"video": Budget(0.4, 0, 255)})
    assert torch.equal(near.adversarial["video"], inputs["video"].round())


def test_stored_is_what_media_writes():
    inputs, labels = batch(2)
    result = PGD(steps=2, restarts=1).run(Linear(), inputs, labels, budgets=paper_budget(5))
    audio, video = (result.adversarial[name].numpy() for name in ("audio", "video"))
    assert np.array_equal(result.stored["audio"].numpy(), media.dequantise_audio(media.quantise_audio(audio)))
    assert np.array_equal(result.stored["video"].numpy(), media.quantise_video(video).astype(np.float32))
    assert not torch.equal(result.stored["video"], result.adversarial["video"])
    assert as_stored("radar", inputs["audio"]) is inputs["audio"]


@pytest.mark.parametrize("name, values", [("audio", np.arange(-32768, 32768) / 32768), ("video", np.arange(256.0))])
def test_storage_steps_are_those_of_media(name, values):
    grid = torch.from_numpy(values.astype(np.float32))
    assert torch.equal(as_stored(name, grid), grid)
    step = attacks.budget.STORAGE_STEP[name]
    assert torch.equal(grid.diff(), torch.full_like(grid[1:], step))
    assert torch.equal(as_stored(name, grid[:-1] + 0.49 * step), grid[:-1])


def test_paper_budget_is_section_4_1():
    budgets = paper_budget(5)
    assert budgets["audio"].eps == pytest.approx(5e-4) and budgets["audio"].unit == "full scale"
    assert budgets["video"].eps == pytest.approx(0.5) and budgets["video"].unit == "grey levels"
