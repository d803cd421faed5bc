"""Digital silence and constant pictures: a random start where a modality's gradient is exactly zero."""

import pytest
import torch
from attack_support import FRAMES, UNCAPPED, Linear, assert_within, batch, row
from torch import nn

from pushpull.attacks import BIM, FGSM, MIM, PGD, Budget, Noise, paper_budget
from pushpull.detectors import load_model

DEAD = {"audio": 0.0, "video": 128.0}  # values of which a whole modality has no gradient
CLIMBERS = {
    "fgsm": FGSM(),
    "bim": BIM(steps=3),
    "mim": MIM(steps=3),
    "last": BIM(steps=3, keep="last"),
    "stop": BIM(steps=3, early_stop=True),
    "grid": BIM(steps=3, grid=True),
}


class Floored(nn.Module):
    """Log energy of the sound and contrast of the picture: flat where sound is silent or the picture constant."""

    def forward(self, x):
        sound = x["audio"].unflatten(1, (FRAMES, -1)).square().mean(-1)
        picture = x["video"].flatten(2).var(-1) / 255
        logit = torch.log(sound.clamp(min=1e-12)) - torch.log1p(picture) + 20
        return torch.stack([-logit / 2, logit / 2], -1)


def clips(dead, size=3):
    """A batch whose middle row has nothing but one value in the modalities ``dead``, far from being won."""
    inputs, _ = batch(size)
    for name in dead:
        inputs[name][size // 2] = DEAD[name]
    with torch.no_grad():
        return inputs, Floored()(inputs).argmax(-1)


def starts(result):
    return [step.random_start for step in result.trace if step.random_start]


def attack(which, inputs, labels, budgets=None, model=None, **options):
    budgets = budgets or paper_budget(20)
    return which.run(model or Floored(), inputs, labels, budgets=budgets, objective=UNCAPPED, **options)


@pytest.mark.parametrize("dead", [("audio",), ("video",), ("audio", "video")], ids="-".join)
@pytest.mark.parametrize("name", CLIMBERS)
def test_what_has_no_gradient_moves_from_a_random_start(name, dead):
    inputs, labels = clips(dead)
    result = attack(CLIMBERS[name], inputs, labels, seed=4)
    budgets = paper_budget(20)
    for key, x in inputs.items():
        assert_within(result.adversarial[key], x, budgets[key])
    for key in dead:
        assert result.delta[key][1].abs().max() > 0.5 * budgets[key].eps
    assert starts(result) == [dict.fromkeys(dead, pytest.approx(1 / 3))]
    first, second = result.trace[:2]
    assert (first.step, second.step) == (0, 0) and second.random_start
    for key in inputs:
        assert first.zero_grad_share[key] == pytest.approx(1 / 3 if key in dead else 0)
        assert second.zero_grad_share[key] < 0.1
    if CLIMBERS[name].keep == "best":
        assert result.loss[1] > result.clean_loss[1]

    again = attack(CLIMBERS[name], inputs, labels, seed=4)
    other = attack(CLIMBERS[name], inputs, labels, seed=5)
    for key in inputs:
        assert torch.equal(again.adversarial[key], result.adversarial[key])
    if name == "fgsm":
        assert any(not torch.equal(other.adversarial[key][1], result.adversarial[key][1]) for key in dead)
    for i in range(3):
        alone = attack(CLIMBERS[name], *row(inputs, labels, i), seed=4 + i)
        for key in inputs:
            torch.testing.assert_close(alone.adversarial[key][0], result.adversarial[key][i], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CLIMBERS)
def test_a_silent_clip_changes_nothing_for_its_neighbours(name):
    silent, labels = clips(("audio",))
    heard = {key: x.clone() for key, x in silent.items()}
    heard["audio"][1] = heard["audio"][0]
    unwon = [torch.stack([labels[0], Floored()(inputs).argmax(-1)[1], labels[2]]) for inputs in (silent, heard)]
    results = [attack(CLIMBERS[name], *pair) for pair in zip((silent, heard), unwon, strict=True)]
    assert starts(results[0]) and not starts(results[1])
    for key in silent:
        for i in (0, 2):
            assert torch.equal(results[0].adversarial[key][i], results[1].adversarial[key][i])


def test_clips_with_gradients_are_asked_as_often_as_ever():
    asked = []

    def counted(x):
        asked.append(len(x["audio"]))
        return Floored()(x)

    inputs, labels = clips(())
    attack(BIM(steps=3), inputs, labels, model=counted)
    assert asked == [3] * 4
    asked.clear()
    inputs, labels = clips(("audio",))
    attack(BIM(steps=3), inputs, labels, model=counted)
    assert asked == [3, 1, 3, 3, 3]  # the start costs one evaluation, of the rows that take it


@pytest.mark.parametrize(
    "which, budgets",
    [
        (BIM(), paper_budget(20, "video")),
        (BIM(), {"video": Budget(1, 0, 255)}),
        (BIM(grid=True), {"audio": Budget(2e-5, -1, 1), "video": Budget(2, 0, 255)}),  # below one 16-bit step
        (BIM(), paper_budget(0)),
    ],
    ids=["eps 0", "no budget", "grid", "nothing"],
)
def test_what_may_not_move_takes_no_start(which, budgets):
    inputs, labels = clips(("audio",))
    result = attack(which, inputs, labels, budgets)
    assert not starts(result) and torch.equal(result.adversarial["audio"], inputs["audio"])


@pytest.mark.parametrize("which", [PGD(steps=2, restarts=2), Noise(steps=2)], ids=["pgd", "noise"])
def test_attacks_that_start_anywhere_need_no_other_start(which):
    inputs, labels = clips(("audio", "video"))
    result = attack(which, inputs, labels)
    assert not starts(result) and all(result.delta[key][1].abs().max() > 0 for key in inputs)


def test_a_modality_that_the_model_ignores_comes_back_clean():
    inputs, labels = clips(("audio",))
    deaf = lambda x: Linear().head(x["video"].flatten(2).mean(-1) / 255)  # noqa: E731
    result = attack(BIM(steps=3), inputs, labels, model=deaf)
    assert torch.equal(result.adversarial["audio"], inputs["audio"]) and starts(result) == [{"audio": 0.0}]
    without = attack(BIM(steps=3), {"video": inputs["video"]}, labels, {"video": paper_budget(20)["video"]}, model=deaf)
    assert torch.equal(result.adversarial["video"], without.adversarial["video"])


def test_one_start_and_no_more_where_the_gradient_dies_later():
    """A margin that is won is flat: the clip stays won, also where the last iterate is what counts."""
    inputs, labels = batch(2)
    labels[:] = Linear()(inputs).logits_av.argmax(-1)
    big = {"audio": Budget(1.0, -1, 1), "video": Budget(255.0, 0, 255)}
    result = BIM(steps=30, keep="last").run(Linear(100.0), inputs, labels, budgets=big, objective="margin")
    assert result.trace[-2].zero_grad_share == {"audio": 1.0, "video": 1.0} and not starts(result)
    assert result.trace[-1].won_share == 1


@pytest.mark.parametrize("why", ["no frame counts", "won, and early stop"])
def test_clips_with_nothing_to_win_take_no_start(why, recwarn):
    inputs, labels = clips(("audio", "video"))
    mask = torch.ones_like(labels, dtype=torch.bool)
    if why == "no frame counts":
        mask[1] = False
        result = attack(BIM(steps=2), inputs, labels, mask=mask)
    else:
        labels[1] = 1 - labels[1]
        result = attack(BIM(steps=2, early_stop=True), inputs, labels)
    assert not starts(result) and all(torch.equal(result.adversarial[key][1], inputs[key][1]) for key in inputs)
    assert why != "no frame counts" or not recwarn.list


def test_cancelling_at_the_start_keeps_the_better_of_clip_and_start():
    inputs, labels = clips(("audio", "video"))
    stopped = attack(BIM(), inputs, labels, on_step=lambda step: not step.random_start)
    assert stopped.cancelled and len(stopped.trace) == 2 and (stopped.loss >= stopped.clean_loss).all()


def test_a_start_whose_loss_is_not_a_number_is_not_taken():
    def broken(x):
        logits = Floored()(x)
        return torch.where((x["audio"] == 0).all(1)[:, None, None], logits, logits * torch.nan)

    inputs, labels = clips(("audio",), size=1)
    with pytest.warns(UserWarning, match="exactly zero"):
        result = attack(BIM(), inputs, labels, {"audio": Budget(1e-3, -1, 1)}, model=broken)
    assert torch.equal(result.adversarial["audio"], inputs["audio"]) and torch.isfinite(result.loss).all()


@pytest.mark.parametrize("name", ["fgsm", "bim", "mim"])
def test_talknet_is_attacked_through_silence(name):
    model = load_model("lite", "cpu")
    frames = 10
    inputs = {"audio": torch.zeros(1, 640 * frames), "video": torch.full((1, frames, 112, 112), 90.0)}
    labels = torch.zeros(1, frames, dtype=torch.int64)
    result = CLIMBERS[name].run(model, inputs, labels, budgets=paper_budget(5))
    assert result.trace[0].zero_grad_share["audio"] == 1 and starts(result)[0]["audio"] == 1
    assert result.trace[1].zero_grad_share["audio"] < 0.5
    assert 0 < result.delta["audio"].abs().max() <= 5e-4 and result.loss > result.clean_loss
