"""Normalising by the clip's own statistics: the mixture is right, clips stay apart, attacks see all of it."""

import copy

import pytest
import torch
from asd_support import randomised
from detector_support import batch, largest
from perturb_support import write_detector

from pushpull.detectors import TalkNet, TalkNetConfig, attack_copy, card_of, load_detector, open_detector, wrap
from pushpull.detectors.checkpoint import CheckpointError
from pushpull.detectors.clip_norm import ClipNorm, ClipNormed, split_share
from pushpull.detectors.windowed import Windowed
from pushpull.evaluation import subjects
from pushpull.evaluation.subjects import Subject, without_rows
from pushpull.training.networks import load_network

NORMS = {1: torch.nn.BatchNorm1d, 2: torch.nn.BatchNorm2d, 3: torch.nn.BatchNorm3d}


@pytest.fixture(scope="module", params=["talknet", "light-asd", "lr-asd"])
def network(request):
    if request.param != "talknet":
        return randomised(request.param)
    torch.manual_seed(0)
    made = TalkNet(TalkNetConfig(size="lite")).eval()
    for name, tensor in made.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    return made


def with_statistics(axes, affine=True):
    norm = NORMS[axes](5, affine=affine)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


@pytest.mark.parametrize("axes", NORMS)
@pytest.mark.parametrize("affine", [True, False])
def test_all_of_the_clip_is_a_batch_of_training_and_none_of_it_is_evaluation(axes, affine):
    x, norm = 3 * torch.randn(4, 5, *[6] * axes) + 1, with_statistics(axes, affine)
    torch.testing.assert_close(ClipNorm(norm, 1.0)(x), copy.deepcopy(norm).train()(x))
    torch.testing.assert_close(ClipNorm(norm, 0.0)(x), norm.eval()(x))
    mixed, bounds = ClipNorm(norm, 0.5)(x), torch.stack([ClipNorm(norm, share)(x) for share in (0.0, 1.0)])
    assert not torch.allclose(mixed, bounds[0], atol=1e-2) and not torch.allclose(mixed, bounds[1], atol=1e-2)


def test_gradients_flow_through_the_clips_statistics():
    norm, x = ClipNorm(with_statistics(2).double(), 0.3), torch.randn(2, 5, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(norm, x.requires_grad_())


def test_half_precision_is_given_back_as_it_came():
    norm, x = ClipNorm(with_statistics(2), 0.3), torch.randn(2, 5, 3, 3)
    found = norm(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), norm(x), atol=0.05, rtol=0.05)


@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other(network):
    detector, inputs = ClipNormed(network, 0.3), batch(3)
    together = detector(inputs)
    for number in range(3):
        alone = detector({name: value[number : number + 1] for name, value in inputs.items()})
        assert largest(alone, together.map(lambda x, number=number: x[number : number + 1])) < 1e-5
    assert largest(network(inputs), together) > 1e-2
    assert not any(isinstance(module, ClipNorm) for module in network.modules()), "the detector stays as it was"


@torch.no_grad()
@pytest.mark.parametrize("fixed", [("video",), ("audio",), ("audio", "video"), ()])
def test_fixed_inputs_the_copy_for_attacks_and_windows_say_the_same(network, fixed):
    detector, inputs = ClipNormed(network, 0.3), batch(2)
    wanted = detector(inputs)
    others = {name: value for name, value in inputs.items() if name not in fixed}
    for each in (detector, attack_copy(detector), Windowed(detector, 1.0)):
        call = each.fix({name: inputs[name] for name in fixed})
        assert largest(call(others), wanted) < 1e-5
        if len(fixed) == 1:  # one picture with several sounds
            first = each.fix({name: inputs[name][:1] for name in fixed})(others)
            assert (
                largest(first, detector({name: inputs[name][:1].expand_as(inputs[name]) for name in fixed} | others))
                < 1e-5
            )
    with pytest.raises(ValueError, match="2 clips were fixed, 3 are given"):
        detector.fix({"video": inputs["video"]})({"audio": batch(3)["audio"]})


@torch.no_grad()
def test_a_clip_is_taken_whole_however_long(network, monkeypatch):
    monkeypatch.setattr("pushpull.detectors.talknet.visual.SPAN_VALUES", 1)
    monkeypatch.setattr("pushpull.detectors.talknet.visual.CACHED_VALUES", 1)
    monkeypatch.setattr("pushpull.detectors.streams.SPAN_PICTURES", 1)
    monkeypatch.setattr("pushpull.detectors.streams.REACH", 1)
    inputs, detector = batch(1, frames=12), ClipNormed(network, 0.5)
    spans = detector(inputs)
    monkeypatch.undo()
    assert largest(spans, detector(inputs)) < 1e-5


def test_attacks_have_gradients_and_weights_have_none(network):
    fast, inputs = attack_copy(ClipNormed(network, 0.3)), batch(2)
    inputs = {name: value.requires_grad_() for name, value in inputs.items()}
    fast(inputs).margin.sum().backward()
    assert all(value.grad.abs().sum() > 0 for value in inputs.values())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in fast.parameters())


@pytest.mark.parametrize(
    "name, found",
    [
        ("talknet-lite", ("talknet-lite", None)),
        ("talknet-lite+clip-norm=0.3", ("talknet-lite", 0.3)),
        ("runs/a+b.safetensors+clip-norm=1", ("runs/a+b.safetensors", 1.0)),
    ],
)
def test_a_name_may_ask_for_it(name, found):
    assert split_share(name) == found


@pytest.mark.parametrize("share", ["", "much", "0", "-1", "1.1", "nan"])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        load_detector(f"talknet-lite+clip-norm={share}", "cpu")


def test_a_loaded_one_says_so_and_decides_at_its_own_threshold(tmp_path):
    path = write_detector(tmp_path / "mine")
    detector = load_detector(f"{path}+clip-norm=0.25", "cpu")
    card, plain = card_of(detector), load_detector(path, "cpu")
    assert (card.name, card.clip_norm, card.point) == ("mine+clip-norm=0.25", 0.25, None)
    assert card.sha256 == card_of(plain).sha256 and largest(plain(batch()), detector(batch())) > 1e-3
    shipped = load_detector("talknet-lite-a+clip-norm=0.3", "cpu")
    assert card_of(shipped).point is None and "row" not in shipped.card
    with pytest.raises(ValueError, match="has no operating point 'speaking'"):
        load_detector("talknet-lite+clip-norm=0.3", "cpu", "speaking")


def test_it_is_another_detector_than_the_one_it_was_made_of(tmp_path):
    path = write_detector(tmp_path / "mine")
    plain, adapted, more = (
        Subject.of(f"{path}{asked}", device="cpu") for asked in ("", "+clip-norm=0.2", "+clip-norm=0.3")
    )
    assert plain.is_same_as(Subject.of(str(path), device="cpu")) and plain.sha256 == adapted.sha256
    assert not plain.is_same_as(adapted) and not adapted.is_same_as(more)


def test_rows_of_table_1_are_found_by_their_letters():
    assert without_rows(["A+clip-norm=0.3", "D3"]) == ["talknet-lite-a+clip-norm=0.3", "talknet-lite-d3"]


def test_a_row_that_an_installed_package_lacks_says_where_it_is(monkeypatch):
    monkeypatch.setattr(subjects, "list_detectors", lambda: [{"name": "talknet-lite"}])
    with pytest.raises(CheckpointError, match="row D3 of Table 1 is not .* put talknet-lite-d3.safetensors"):
        without_rows(["talknet-lite", "D3+clip-norm=0.3"])


def test_what_has_no_batch_normalisation_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no batch normalisation"):
        ClipNormed(wrap(lambda audio, video: video.mean((2, 3))), 0.3)
    script = tmp_path / "mine.py"
    script.write_text("detector = lambda audio, video: video.mean((2, 3))\n")
    with pytest.raises(ValueError, match="mine has no batch normalisation"):
        open_detector(f"{script}+clip-norm=0.3", "cpu")


def test_a_detector_of_ones_own_has_it_too(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "import torch\n\n\nclass Mine(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.norm = torch.nn.BatchNorm1d(1)\n\n    def forward(self, audio, video):\n"
        "        return self.norm(video.mean((2, 3))[:, None])[:, 0]\n\n\ndetector = Mine().eval()\n"
    )
    plain, adapted = open_detector(script, "cpu"), open_detector(f"{script}+clip-norm=1", "cpu")
    assert plain(batch()).margin.mean() > 100 and adapted(batch()).margin.mean().abs() < 1e-3


def test_it_is_not_trained_on():
    with pytest.raises(CheckpointError, match="is a ClipNormed; what can be trained is"):
        load_network("talknet-lite-a+clip-norm=0.3", "cpu")
