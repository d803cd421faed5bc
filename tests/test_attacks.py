"""Attacks: invariants over attack x model x batch, and optima known in closed form."""

from dataclasses import fields
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from pushpull import attacks, media
from pushpull.attacks import BIM, FGSM, MIM, PGD, Budget, Cancelled, Noise, as_stored, bounds, paper_budget
from pushpull.objectives import training_aware

FRAMES = 4
AUDIO = (24,)
VIDEO = (FRAMES, 3, 3)


class Outputs(NamedTuple):
    logits_av: torch.Tensor
    logits_a: torch.Tensor
    logits_v: torch.Tensor


class Linear(nn.Module):
    """Per-frame logit margin = <w_a, audio> + <w_v, video> + bias; the optimum of any budget is sign(w) eps."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.audio = nn.Parameter(torch.randn(AUDIO[0], FRAMES, generator=generator))
        self.video = nn.Parameter(torch.randn(FRAMES * 9, FRAMES, generator=generator) / 255)
        self.scale = scale

    def encode_video(self, video):
        return video.flatten(1) @ self.video

    def head(self, margin):
        return torch.stack([-margin / 2, margin / 2], -1)

    def fuse(self, a, v):
        return Outputs(*(self.scale * self.head(margin) for margin in (a + v, a, v)))

    def forward(self, inputs):
        return self.fuse(inputs["audio"] @ self.audio, self.encode_video(inputs["video"]))


class Curved(Linear):
    """The same with a batch-norm, a dropout and a saturating non-linearity: training mode would change its output."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(FRAMES)
        self.dropout = nn.Dropout(0.5)

    def fuse(self, a, v):
        return super().fuse(*(3 * torch.tanh(self.dropout(self.norm(x))) for x in (a, v)))


class Fixing(Linear):
    """Counts how often each encoder runs."""

    def __init__(self):
        super().__init__()
        self.calls = {"audio": 0, "video": 0}

    def encode(self, inputs):
        for name in inputs:
            self.calls[name] += 1
        both = {"audio": lambda x: x @ self.audio, "video": self.encode_video}
        return {name: both[name](x) for name, x in inputs.items()}

    def forward(self, inputs):
        encoded = self.encode(inputs)
        return self.fuse(encoded["audio"], encoded["video"])

    def fix(self, inputs):
        fixed = self.encode(inputs)

        def call(rest):
            encoded = {**fixed, **self.encode(rest)}
            return self.fuse(*torch.broadcast_tensors(encoded["audio"], encoded["video"]))

        return call


MODELS = {"linear": Linear, "curved": Curved, "fixing": Fixing}
FAMILY = {
    "fgsm": FGSM(),
    "bim": BIM(steps=5),
    "mim": MIM(steps=5),
    "pgd": PGD(steps=4, restarts=3),
    "noise-sign": Noise(steps=4),
    "noise-uniform": Noise(steps=4, kind="uniform"),
    "bim-last": BIM(steps=5, keep="last"),
    "pgd-stop": PGD(steps=4, restarts=3, early_stop=True),
    "bim-grid": BIM(steps=5, grid=True),
    "pgd-grid": PGD(steps=4, restarts=2, grid=True),
}
BUDGETS = {
    "both": paper_budget(20),
    "audio": paper_budget(20, "audio"),
    "video": paper_budget(20, "video"),
    "none": paper_budget(0),
}


def batch(size, seed=0, dtype=torch.float32):
    """Storable inputs that touch both ends of their range, and labels."""
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randint(-32768, 32768, (size, *AUDIO), generator=generator) / 32768
    video = torch.randint(0, 256, (size, *VIDEO), generator=generator).to(dtype)
    audio[:, :2] = torch.tensor([-1.0, 32767 / 32768])
    video[:, 0, 0, :2] = torch.tensor([0.0, 255.0], dtype=dtype)
    labels = torch.randint(0, 2, (size, FRAMES), generator=generator)
    return {"audio": audio.to(dtype), "video": video}, labels


def row(inputs, labels, i):
    return {name: x[i : i + 1] for name, x in inputs.items()}, labels[i : i + 1]


def assert_within(delta_of, x, budget):
    """Checked in exact arithmetic and in the arithmetic of the tensors."""
    eps = Fraction(budget.eps)
    for u, v in zip(delta_of.flatten().tolist(), x.flatten().tolist(), strict=True):
        assert abs(Fraction(u) - Fraction(v)) <= eps
    assert ((delta_of - x).abs().double() <= budget.eps).all()
    assert delta_of.min() >= budget.lo and delta_of.max() <= budget.hi


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", FAMILY)
def test_invariants(name, model, size, budget):
    victim, attack, budgets = MODELS[model]().train(), FAMILY[name], BUDGETS[budget]
    inputs, labels = batch(size)
    given = {key: x.clone() for key, x in inputs.items()}
    before = {key: value.clone() for key, value in victim.state_dict().items()}
    victim.audio.requires_grad_(False)

    result = attack.run(victim, inputs, labels, budgets=budgets, seed=7)

    for key, x in inputs.items():
        assert_within(result.adversarial[key], x, budgets[key])
        assert torch.equal(x, given[key]), "the caller's tensors were written to"
        assert torch.equal(result.delta[key], result.adversarial[key] - x)
        assert result.adversarial[key].dtype == x.dtype
        if budgets[key].eps == 0:
            assert torch.equal(result.adversarial[key], x)
    if attack.keep == "best":
        assert (result.loss >= result.clean_loss).all()
        if budget != "none" and "grid" not in name:
            assert (result.loss > result.clean_loss).any()

    assert victim.training and all(module.training for module in victim.modules())
    assert not victim.audio.requires_grad and victim.video.requires_grad
    assert all(parameter.grad is None for parameter in victim.parameters())
    assert all(torch.equal(value, before[key]) for key, value in victim.state_dict().items())

    again = attack.run(victim, inputs, labels, budgets=budgets, seed=7)
    for key in inputs:
        assert torch.equal(result.adversarial[key], again.adversarial[key])
    for i in range(size):
        alone = attack.run(victim, *row(inputs, labels, i), budgets=budgets, seed=7 + i)
        for key in inputs:
            torch.testing.assert_close(alone.adversarial[key][0], result.adversarial[key][i], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.loss[0], result.loss[i])
        assert torch.equal(alone.flipped_ever[0], result.flipped_ever[i])


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


@pytest.mark.parametrize("objective", ["training_aware", "inference_aware", "margin"])
@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("name", ["fgsm", "bim", "mim", "pgd"])
def test_closed_form_optimum_of_a_linear_model(name, size, objective):
    """With one label for all frames every gradient has the sign of w summed with positive weights."""
    model = Linear()
    with torch.no_grad():  # one sign per input element, so that the optimum does not depend on the frame weights
        model.audio.copy_(model.audio[:, :1].expand_as(model.audio))
        model.video.copy_(model.video[:, :1].expand_as(model.video) / 10)
        model.audio.div_(10)
    inputs, _ = batch(size)
    speaking = torch.arange(size) % 2
    labels = speaking[:, None].repeat(1, FRAMES)
    budgets = paper_budget(20)
    result = FAMILY[name].run(model, inputs, labels, budgets=budgets, objective=objective)
    for key, weight in (("audio", model.audio[:, 0]), ("video", model.video[:, 0])):
        lower, upper = bounds(inputs[key], budgets[key])
        rising = (weight > 0).reshape(inputs[key].shape[1:])[None] == (speaking == 0).reshape(
            -1, *[1] * (inputs[key].ndim - 1)
        )
        optimum = torch.where(rising, upper, lower)
        assert torch.equal(result.adversarial[key], optimum)
        clipped = (optimum == budgets[key].lo) | (optimum == budgets[key].hi)
        inner = (optimum - inputs[key]).abs()[~clipped]
        torch.testing.assert_close(inner, torch.full_like(inner, budgets[key].eps), rtol=1e-3, atol=0)


def test_stronger_attacks_are_stronger():
    model = Curved().eval()
    inputs, labels = batch(8)
    losses = {
        name: attack.run(model, inputs, labels, budgets=paper_budget(40)).loss.mean()
        for name, attack in {
            "noise": Noise(steps=10),
            "fgsm": FGSM(),
            "bim": BIM(steps=20),
            "pgd": PGD(steps=20, restarts=5),
        }.items()
    }
    assert losses["noise"] < losses["fgsm"] <= losses["bim"] + 1e-6 and losses["bim"] <= losses["pgd"] + 1e-3


def test_targeted_reaches_the_target_and_leaves_the_rest():
    model = Linear()
    inputs, _ = batch(3)
    clean = model(inputs).logits_av.argmax(-1)
    targets, mask = clean.clone(), torch.zeros_like(clean, dtype=torch.bool)
    targets[:, :2] = 1 - targets[:, :2]
    mask[:, :2] = True
    big = {"audio": Budget(0.5, -1, 1), "video": Budget(100.0, 0, 255)}
    result = BIM(steps=20).run(
        model, inputs, targets, budgets=big, objective="margin", targeted=True, mask=mask, on_step=None
    )
    assert torch.equal(model(result.adversarial).logits_av.argmax(-1)[mask], targets[mask])
    assert result.flipped_ever[mask].all() and not result.flipped_ever[~mask].any()


@pytest.mark.parametrize("seed, same", [(7, True), (8, False)])
def test_seed_decides_the_bytes(seed, same):
    inputs, labels = batch(3)
    runs = [
        Noise(steps=1, kind="uniform", keep="last").run(Linear(), inputs, labels, budgets=paper_budget(5), seed=s)
        for s in (7, seed)
    ]
    for key in inputs:
        first, second = (run.adversarial[key].numpy().tobytes() for run in runs)
        assert (first == second) is same


@pytest.mark.parametrize("modality", ["both", "audio"])
def test_restarts_do_not_depend_on_how_many_run_together(modality):
    inputs, labels = batch(2)
    runs = [
        PGD(steps=3, restarts=5).run(
            Curved().eval(), inputs, labels, budgets=paper_budget(30, modality), objective="margin", max_rows=rows
        )
        for rows in (1, 4, 100)
    ]
    for other in runs[1:]:
        for key in inputs:
            assert torch.equal(runs[0].adversarial[key], other.adversarial[key])
        assert torch.equal(runs[0].flipped_ever, other.flipped_ever)
        key = lambda step: (step.restart, step.step)  # noqa: E731
        for a, b in zip(sorted(runs[0].trace, key=key), sorted(other.trace, key=key), strict=True):
            assert a.loss == pytest.approx(b.loss, abs=1e-6) and a.flipped_share == b.flipped_share


def test_out_of_memory_halves_the_restarts_that_run_together():
    class Small(Linear):
        def forward(self, inputs):
            if len(inputs["audio"]) > 3:
                raise torch.OutOfMemoryError("no memory")
            return super().forward(inputs)

    inputs, labels = batch(1)
    options = {"budgets": paper_budget(30), "seed": 1}
    enough = PGD(steps=2, restarts=8).run(Linear(), inputs, labels, **options)
    short = PGD(steps=2, restarts=8).run(Small(), inputs, labels, **options, max_rows=8)
    assert torch.equal(enough.adversarial["audio"], short.adversarial["audio"])
    assert len(short.trace) == 8 * 3
    with pytest.raises(torch.OutOfMemoryError):
        inputs, labels = batch(4)
        BIM().run(Small(), inputs, labels, **options)


def test_per_clip_best_restart_is_kept():
    """One clip may prefer the first restart and its neighbour the second."""
    inputs, labels = batch(8)
    model, budgets = Curved().eval(), paper_budget(40)
    together = PGD(steps=1, step_size=0.1, restarts=6, keep="last").run(model, inputs, labels, budgets=budgets)
    single = [step for step in together.trace if step.step == 1]
    best_of_batch = max(step.loss for step in single)
    assert together.loss.mean() > best_of_batch + 1e-6


def test_audio_gradient_does_not_depend_on_the_joint_loop():
    """Attacking both modalities at once is one joint optimisation, but on a linear model each part stands alone."""
    inputs, labels = batch(3)
    labels[:] = 1
    model = Linear()
    joint = BIM(steps=5).run(model, inputs, labels, budgets=paper_budget(5), objective="margin")
    for name in inputs:
        alone = BIM(steps=5).run(model, inputs, labels, budgets=paper_budget(5, name), objective="margin")
        assert torch.equal(joint.adversarial[name], alone.adversarial[name])


@pytest.mark.parametrize("frozen, other", [("video", "audio"), ("audio", "video")])
@pytest.mark.parametrize("attack", [BIM(steps=6), MIM(steps=6), Noise(steps=6)])
def test_frozen_modality_is_encoded_once(attack, frozen, other):
    model = Fixing()
    inputs, labels = batch(3)
    attack.run(model, inputs, labels, budgets=paper_budget(5, other))
    assert model.calls == {frozen: 1, other: 7}


def test_restarts_of_one_clip_share_the_frozen_encoding():
    model = Fixing()
    inputs, labels = batch(1)
    PGD(steps=3, restarts=6).run(model, inputs, labels, budgets=paper_budget(5, "audio"), max_rows=4)
    assert model.calls == {"video": 1, "audio": 1 + 2 * 4}


def test_input_without_a_budget_is_frozen():
    inputs, labels = batch(2)
    result = BIM().run(Fixing(), inputs, labels, budgets={"audio": Budget(0.1, -1, 1)})
    assert torch.equal(result.adversarial["video"], inputs["video"])
    assert result.movable["video"].tolist() == [0, 0] and (result.movable["audio"] > 0.9).all()


def test_trace_tells_every_restart_and_step():
    inputs, labels = batch(3)
    seen = []
    result = PGD(steps=4, restarts=3).run(Linear(), inputs, labels, budgets=paper_budget(5), on_step=seen.append)
    assert list(result.trace) == seen
    assert {(s.restart, s.step) for s in seen} == {(r, k) for r in range(3) for k in range(5)}
    assert [s.progress for s in seen] == sorted(s.progress for s in seen) and seen[-1].progress == 1
    for step in seen:
        assert (set(step.grad_norm) == {"audio", "video"}) == (step.step < 4)
        assert step.best_loss >= step.loss - 1e-6 and 0 <= step.flipped_share <= 1
    assert result.loss.mean().item() >= max(step.best_loss for step in seen) - 1e-6


@pytest.mark.parametrize("how", ["false", "raise"])
@pytest.mark.parametrize("after", [1, 3])
def test_cancel_keeps_the_best_so_far(how, after):
    inputs, labels = batch(3)
    model, budgets = Linear(), paper_budget(20)
    seen = []

    def on_step(step):
        seen.append(step)
        if len(seen) == after:
            if how == "raise":
                raise Cancelled
            return False

    stopped = BIM(steps=10).run(model, inputs, labels, budgets=budgets, on_step=on_step)
    assert stopped.cancelled and len(seen) == after == len(stopped.trace)
    if after > 1:
        shorter = BIM(steps=after - 1, step_size=0.25).run(model, inputs, labels, budgets=budgets)
        assert torch.equal(stopped.adversarial["audio"], shorter.adversarial["audio"])
    else:
        assert torch.equal(stopped.adversarial["audio"], inputs["audio"])
    assert not model.audio.grad_fn and model.audio.requires_grad


def test_other_exceptions_of_the_callback_pass_and_the_model_is_restored():
    def on_step(step):
        raise KeyError("mine")

    model = Linear().train()
    inputs, labels = batch(1)
    with pytest.raises(KeyError, match="mine"):
        BIM().run(model, inputs, labels, budgets=paper_budget(5), on_step=on_step)
    assert model.training and model.video.requires_grad


def test_early_stop_takes_won_clips_out_of_the_batch():
    sizes = []

    class Watched(Linear):
        def forward(self, inputs):
            sizes.append(len(inputs["audio"]))
            return super().forward(inputs)

    inputs, labels = batch(6)
    model = Watched()
    labels[:3] = 1 - model(inputs).logits_av.argmax(-1)[:3]  # already wrong: nothing to do for these
    labels[3:] = model(inputs).logits_av.argmax(-1)[3:]
    sizes.clear()
    result = BIM(steps=8, early_stop=True).run(model, inputs, labels, budgets=paper_budget(0.001))
    assert sizes == [6] + [3] * 8
    assert torch.equal(result.adversarial["video"][:3], inputs["video"][:3])
    assert result.flipped_ever[:3].all()
    all_won = BIM(steps=8, early_stop=True).run(model, inputs, 1 - labels, budgets=paper_budget(5))
    assert len(all_won.trace) <= 9


def test_kept_loss_is_the_loss_of_what_is_returned():
    inputs, labels = batch(5)
    model = Curved().eval()
    for attack in FAMILY.values():
        result = attack.run(model, inputs, labels, budgets=paper_budget(30))
        torch.testing.assert_close(training_aware(model(result.adversarial), labels), result.loss)
        torch.testing.assert_close(training_aware(model(inputs), labels), result.clean_loss)


def test_gradient_masking_shows_in_the_trace_and_the_margin_sees_through_it():
    """Logits x 100: cross entropy leaves accuracy at 100 % with every gradient exactly 0; the margin brings it to 0.

    The network is the one that falls to both when its logits are not scaled.
    """

    def network(scale):
        model = Linear(scale)
        with torch.no_grad():  # the same weights for every frame, so that no frame resists for another's sake
            model.audio.copy_(model.audio[:, :1].expand_as(model.audio))
            model.video.copy_(model.video[:, :1].expand_as(model.video))
        return model

    inputs, _ = batch(64)
    saturated = network(100.0)(inputs).logits_av.diff(dim=-1).abs().amin(dim=(1, 2)) > 110  # exp(-110) is 0
    inputs = {name: x[saturated] for name, x in inputs.items()}
    assert saturated.sum() >= 8
    big = {"audio": Budget(0.6, -1, 1), "video": Budget(120.0, 0, 255)}

    def accuracy(scale, objective):
        model = network(scale)
        labels = model(inputs).logits_av.argmax(-1)
        result = BIM(steps=20).run(model, inputs, labels, budgets=big, objective=objective)
        shares = [step.zero_grad_share for step in result.trace if step.zero_grad_share]
        return (model(result.adversarial).logits_av.argmax(-1) == labels).float().mean().item(), shares

    for objective in ("inference_aware", "margin"):
        assert accuracy(1.0, objective)[0] == 0.0
    masked, shares = accuracy(100.0, "inference_aware")
    assert masked == 1.0 and all(share == {"audio": 1.0, "video": 1.0} for share in shares) and len(shares) == 20
    seen_through, shares = accuracy(100.0, "margin")
    assert seen_through == 0.0 and shares[0] == {"audio": 0.0, "video": 0.0}


@pytest.mark.parametrize("grid_eps, moved", [(0.4, 0.0), (0.999, 0.0), (1.0, 1.0), (2.7, 2.0)])
def test_grid_moves_whole_grey_levels_or_not_at_all(grid_eps, moved):
    inputs, labels = batch(3)
    budgets = {"audio": Budget(5e-4, -1, 1), "video": Budget(grid_eps, 0, 255)}
    result = BIM(steps=5, grid=True).run(Linear(), inputs, labels, budgets=budgets, objective="margin")
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


def test_nothing_to_move_still_answers():
    inputs, labels = batch(2)
    seen = []
    result = PGD().run(Linear(), inputs, labels, budgets=paper_budget(0), on_step=seen.append)
    assert len(seen) == 1 and seen[0].progress == 1 and not result.cancelled
    assert torch.equal(result.loss, result.clean_loss)


def test_model_that_ignores_a_modality_or_everything():
    inputs, labels = batch(2)
    deaf = BIM().run(
        lambda x: Linear().head(x["video"].flatten(2).mean(-1) / 255),
        inputs,
        labels,
        budgets=paper_budget(5),
        objective="margin",
    )
    assert torch.equal(deaf.adversarial["audio"], inputs["audio"])
    assert deaf.trace[0].zero_grad_share["audio"] == 1 and deaf.trace[0].zero_grad_share["video"] == 0
    constant = BIM().run(
        lambda x: torch.zeros(2, FRAMES, 2), inputs, labels, budgets=paper_budget(5), objective="margin"
    )
    assert torch.equal(constant.adversarial["video"], inputs["video"])


def test_gradients_that_are_not_finite_do_not_spread():
    inputs, labels = batch(2)
    inputs["audio"][:, 5] = 0.0

    def root(x):  # d sqrt(|x|) is infinite at 0
        return Linear().head(x["audio"].abs().sqrt().sum(1, keepdim=True) + x["video"].flatten(2).mean(-1) - 130)

    result = BIM().run(root, inputs, labels, budgets=paper_budget(5), objective="margin")
    assert all(torch.isfinite(x).all() for x in result.adversarial.values())
    assert result.delta["audio"][:, 6].abs().min() > 0


def test_loss_that_is_not_finite_is_an_error():
    inputs, labels = batch(2)
    with pytest.raises(ValueError, match=r"unattacked clips \[0, 1\] of the batch is not finite"):
        BIM().run(lambda x: torch.full((2, FRAMES, 2), torch.nan), inputs, labels, budgets=paper_budget(5),
                  objective="margin")  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        ({"budgets": {"vidoe": Budget(1, 0, 255)}}, r"budget for \['vidoe'\] but the inputs are"),
        ({"labels": torch.zeros(2, FRAMES)}, "labels must be"),
        ({"labels": torch.zeros(3, FRAMES, dtype=torch.int64)}, "audio holds 2 clips, labels 3"),
        ({"mask": torch.ones(2, 1, dtype=torch.bool)}, "mask must be"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"objective": "hinge"}, "unknown objective"),
        ({"inputs": {"video": torch.full((2, *VIDEO), 256.0)}}, "outside its range 0..255"),
        ({"inputs": {"video": torch.full((2, *VIDEO), torch.nan)}}, "not finite"),
        ({"inputs": {"video": torch.zeros(2, *VIDEO, dtype=torch.uint8)}}, "float32 or float64"),
    ],
)
def test_bad_input_is_refused(change, message):
    inputs, labels = batch(2)
    options = {"budgets": paper_budget(5), "objective": "margin", "seed": 0, "mask": None, "labels": labels}
    inputs |= change.pop("inputs", {})
    options |= change
    with pytest.raises(ValueError, match=message):
        BIM().run(Linear(), inputs, options.pop("labels"), **options)


@pytest.mark.parametrize(
    "build, error",
    [
        (lambda: FGSM(steps=3), TypeError),
        (lambda: PGD(gamma=3), TypeError),
        (lambda: BIM(10), TypeError),
        (lambda: BIM(steps=0), ValueError),
        (lambda: PGD(restarts=0), ValueError),
        (lambda: BIM(step_size=0.0), ValueError),
        (lambda: BIM(keep="worst"), ValueError),
        (lambda: Noise(kind="pink"), ValueError),
        (lambda: Budget(-1, 0, 1), ValueError),
        (lambda: Budget(float("nan"), 0, 1), ValueError),
        (lambda: Budget(1, 1, 0), ValueError),
        (lambda: paper_budget(5, "smell"), ValueError),
        (lambda: BIM(grid=True).run(Linear(), {"x": torch.zeros(1, 2)}, torch.zeros(1, 2, dtype=torch.int64),
                                    budgets={"x": Budget(1, -1, 1)}), ValueError),
    ],
)  # fmt: skip
def test_bad_options_are_refused(build, error):
    with pytest.raises(error):
        build()


def test_paper_budget_is_section_4_1():
    budgets = paper_budget(5)
    assert budgets["audio"].eps == pytest.approx(5e-4) and budgets["audio"].unit == "full scale"
    assert budgets["video"].eps == pytest.approx(0.5) and budgets["video"].unit == "grey levels"


def test_every_family_is_listed_with_defaults():
    for name, family in attacks.ATTACKS.items():
        assert family() == family() and name == family.__name__.lower()
        assert {"keep", "grid", "early_stop"} <= {f.name for f in fields(family)}


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_works_where_the_caller_switched_gradients_off(guard):
    model = Linear()
    with guard():
        inputs, labels = batch(2)
        result = BIM().run(model, inputs, labels, budgets=paper_budget(5))
    assert (result.loss > result.clean_loss).all()


def test_float64_and_mixed_precision():
    model = Linear()
    inputs, labels = batch(2, dtype=torch.float64)
    assert (
        BIM().run(model.double(), inputs, labels, budgets=paper_budget(5)).adversarial["audio"].dtype == torch.float64
    )
    inputs, labels = batch(2)
    mixed = BIM().run(model.float(), inputs, labels, budgets=paper_budget(5), autocast=torch.bfloat16)
    assert (mixed.loss > mixed.clean_loss).all() and mixed.adversarial["video"].dtype == torch.float32
