"""Attacks: invariants over attack x model x batch, and optima known in closed form."""

import pytest
import torch
from attack_support import BUDGETS, FAMILY, FRAMES, MODELS, UNCAPPED, Curved, Fixing, Linear, assert_within, batch, row

from pushpull.attacks import BIM, FGSM, MIM, PGD, Budget, Cancelled, Noise, bounds, paper_budget
from pushpull.attacks.objectives import training_aware


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


@pytest.mark.parametrize("objective", ["training_aware", "inference_aware", UNCAPPED])
@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("name", ["fgsm", "bim", "mim", "pgd", "apgd"])
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
            assert a.loss == pytest.approx(b.loss, abs=1e-6) and a.won_share == b.won_share


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
    joint = BIM(steps=5).run(model, inputs, labels, budgets=paper_budget(5), objective=UNCAPPED)
    for name in inputs:
        alone = BIM(steps=5).run(model, inputs, labels, budgets=paper_budget(5, name), objective=UNCAPPED)
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


def test_trace_tells_every_restart_and_step():
    inputs, labels = batch(3)
    seen = []
    result = PGD(steps=4, restarts=3).run(Linear(), inputs, labels, budgets=paper_budget(5), on_step=seen.append)
    assert list(result.trace) == seen
    assert {(s.restart, s.step) for s in seen} == {(r, k) for r in range(3) for k in range(5)}
    assert [s.progress for s in seen] == sorted(s.progress for s in seen) and seen[-1].progress == 1
    for step in seen:
        assert (set(step.grad_norm) == {"audio", "video"}) == (step.step < 4)
        assert step.best_loss >= step.loss - 1e-6 and 0 <= step.won_share <= 1
    assert result.loss.mean().item() >= max(step.best_loss for step in seen) - 1e-6


@pytest.mark.parametrize("attack", [BIM(steps=3, keep="last"), PGD(steps=3, restarts=1, keep="last"), FGSM()])
def test_flipped_is_decided_otherwise_than_the_clip_and_won_is_against_the_labels(attack):
    """Frames that are wrong already are won from the start, and flip when they come right."""
    inputs, labels = batch(4)
    model, mask = Curved().eval(), torch.arange(FRAMES).expand(4, FRAMES) % 3 > 0
    clean = model(inputs).logits_av.argmax(-1)
    big = {"audio": Budget(0.5, -1, 1), "video": Budget(100.0, 0, 255)}
    result = attack.run(model, inputs, labels, budgets=big, mask=mask)
    after = model(result.adversarial).logits_av.argmax(-1)
    last = result.trace[-1]
    assert last.won_share == pytest.approx((after != labels)[mask].float().mean().item())
    assert last.flipped_share == pytest.approx((after != clean).float().mean().item()) and last.flipped_share > 0
    assert last.flipped_share != pytest.approx(last.won_share)
    if not attack.random_start:
        assert result.trace[0].flipped_share == 0 < result.trace[0].won_share


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


@pytest.mark.parametrize("attack", [BIM(early_stop=True), PGD(restarts=3, early_stop=True)])
def test_early_stop_returns_what_it_stopped_at(attack):
    """Cross entropy may be higher where one frame is far beyond the decision and another is not there yet."""
    lower = 0
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        weights, bias = torch.randn(8, 4, generator=generator), 1.2 * torch.rand(4, generator=generator)

        def model(inputs, weights=weights, bias=bias):
            odds = bias + 1.5 * torch.tanh(2 * inputs["x"] @ weights) + 0.3 * inputs["x"].square() @ weights.abs()
            return torch.stack([-odds / 2, odds / 2], -1)

        labels, budgets = torch.ones(1, 4, dtype=torch.int64), {"x": Budget(0.5, -5, 5)}
        result = attack.run(model, {"x": torch.zeros(1, 8)}, labels, budgets=budgets, objective="inference_aware")
        if max(step.won_share for step in result.trace) == 1:
            assert (model(result.adversarial).argmax(-1) != labels).all()
            lower += result.loss.item() < max(step.loss for step in result.trace)
    assert lower


def test_kept_loss_is_the_loss_of_what_is_returned():
    inputs, labels = batch(5)
    model = Curved().eval()
    for attack in FAMILY.values():
        result = attack.run(model, inputs, labels, budgets=paper_budget(30))
        torch.testing.assert_close(training_aware(model(result.adversarial), labels), result.loss)
        torch.testing.assert_close(training_aware(model(inputs), labels), result.clean_loss)


def test_gradient_masking_shows_in_the_trace_and_the_margin_sees_through_it():
    """Logits x 100: cross entropy leaves accuracy at 100 % with every gradient exactly 0; the margin brings it to 0.

    The network is the one that falls to both when its logits are not scaled. The clips lie so deep in the plateau that
    no random start leaves it.
    """

    def network(scale):
        model = Linear(scale)
        with torch.no_grad():  # the same weights for every frame, so that no frame resists for another's sake
            model.audio.copy_(model.audio[:, :1].expand_as(model.audio))
            model.video.copy_(model.video[:, :1].expand_as(model.video))
        return model

    inputs, _ = batch(256)
    saturated = network(100.0)(inputs).logits_av.diff(dim=-1).abs().amin(dim=(1, 2)) > 550  # exp(-110) is 0
    inputs = {name: x[saturated] for name, x in inputs.items()}
    assert saturated.sum() >= 8
    big = {"audio": Budget(0.3, -1, 1), "video": Budget(60.0, 0, 255)}

    def accuracy(scale, objective):
        model = network(scale)
        labels = model(inputs).logits_av.argmax(-1)
        result = BIM(steps=20).run(model, inputs, labels, budgets=big, objective=objective)
        shares = [step.zero_grad_share for step in result.trace if step.zero_grad_share]
        starts = [step.random_start for step in result.trace if step.random_start]
        return (model(result.adversarial).logits_av.argmax(-1) == labels).float().mean().item(), shares, starts

    for objective in ("inference_aware", "margin"):
        assert accuracy(1.0, objective)[0] == 0.0
    with pytest.warns(UserWarning, match="exactly zero throughout: they come back unchanged"):
        masked, shares, starts = accuracy(100.0, "inference_aware")
    assert masked == 1.0 and all(share == {"audio": 1.0, "video": 1.0} for share in shares)
    assert len(shares) == 21 and starts == [{"audio": 0.0, "video": 0.0}]  # tried once, in vain
    seen_through, shares, starts = accuracy(100.0, "margin")
    assert seen_through == 0.0 and shares[0] == {"audio": 0.0, "video": 0.0} and not starts
