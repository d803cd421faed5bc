"""Light-ASD and LR-ASD with random weights: shapes, gradients, batches, modes, fixed modalities, attack copies."""

import copy

import pytest
import torch
import torch.nn.functional as F
from asd_support import CLASSES, batch, largest, randomised
from torch import nn

from benchmarks.conv3d import Conv3dEncoder
from pushpull.detectors import Detector, streams
from pushpull.detectors.front_ends import mfcc
from pushpull.detectors.streams import training_temperature

both = pytest.mark.parametrize("architecture", CLASSES)
PARAMETERS = {"light-asd": 1_021_636, "lr-asd": 837_156}


def slopes(detector, inputs):
    leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    outputs = detector(leaves)
    return outputs.detach(), torch.autograd.grad(outputs.margin.square().sum(), list(leaves.values()))


@both
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: cuDNN's recurrent layers are at stake")
def test_on_a_gpu_it_is_the_same_function(architecture):
    detector, inputs = randomised(architecture), batch(2, 6)
    outputs, (expected, _) = slopes(detector, inputs)
    for network in (detector.cuda(), detector.fast()):
        found, (slope, _) = slopes(network, {name: value.cuda() for name, value in inputs.items()})
        assert largest(found.cpu(), outputs) <= 1e-2  # a GPU's convolutions may multiply with 10 bits
        one, other = (s.cpu().double().flatten() / s.cpu().double().norm() for s in (slope, expected))
        assert one @ other >= 0.99


@both
def test_recurrent_layers_stay_differentiable_on_cudnn(architecture):
    """In evaluation mode all else is in it; cuDNN goes back through a recurrent layer in training mode alone."""
    for network in (randomised(architecture).train().eval(), randomised(architecture).fast()):
        modes = {isinstance(module, nn.GRU): module.training for module in network.modules()}
        assert modes == {True: True, False: False}


@both
def test_outputs_and_size(architecture):
    detector = randomised(architecture)
    assert isinstance(detector, Detector)
    assert sum(parameter.numel() for parameter in detector.parameters()) == PARAMETERS[architecture]
    outputs = detector(batch(2, 5))
    shapes = {name: None if value is None else tuple(value.shape) for name, value in outputs._asdict().items()}
    assert shapes == {
        "logits_av": (2, 5, 2),
        "logits_a": None,
        "logits_v": (2, 5, 2),
        "e_a": (2, 5, 128),
        "e_v": (2, 5, 128),
        "z_a": None,
        "z_v": None,
    }


@both
def test_a_batch_is_its_clips(architecture):
    detector, inputs = randomised(architecture), batch(3, 6)
    with torch.no_grad():
        together = detector(inputs)
        for k in range(3):
            alone = detector({name: value[k : k + 1] for name, value in inputs.items()})
            assert largest(together.map(lambda value, k=k: value[k : k + 1]), alone) <= 1e-5


@both
def test_a_single_frame_is_scored(architecture):
    assert randomised(architecture)(batch(1, 1)).margin.isfinite().all()


@both
def test_gradients_reach_both_inputs_and_are_those_of_differences(architecture):
    """Along a random direction of each input, in float64. Maxima and ReLUs have kinks: the step is small."""
    detector = randomised(architecture, dtype=torch.float64)
    inputs = batch(1, 3, dtype=torch.float64)
    leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    found = dict(zip(leaves, torch.autograd.grad(detector(leaves).margin.sum(), list(leaves.values())), strict=True))
    for name, step in (("audio", 1e-8), ("video", 1e-6)):
        way = torch.randn(inputs[name].shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        ends = [detector({**inputs, name: inputs[name] + sign * step * way}).margin.sum() for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        assert (found[name] * way).sum().item() == pytest.approx(expected.item(), rel=1e-4), name


@both
def test_time_runs_both_ways(architecture):
    """The first and the last frame's decisions hear of the middle one, which is beyond what the convolutions see."""
    detector, inputs = randomised(architecture, dtype=torch.float64), batch(1, 25, dtype=torch.float64)
    changed = {name: value.clone() for name, value in inputs.items()}
    changed["video"][:, 12] = 0
    with torch.no_grad():
        moved = (detector(inputs).margin - detector(changed).margin).abs()[0]
    assert moved[0] > 0 and moved[-1] > 0


def test_light_asd_by_hand():
    """The same function written out with torch's functions, from the state dict alone."""
    detector, inputs = randomised("light-asd", dtype=torch.float64), batch(2, 4, dtype=torch.float64)
    state = detector.state_dict()

    def step(x, at, name, **where):
        conv = F.conv3d if x.ndim == 5 else F.conv2d
        x = conv(x, state[f"{at}.{name}.weight"], **where)
        norm = [state[f"{at}.bn_{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(x, *norm, eps=1e-3))

    def block(x, at, letter, stride):
        total = 0
        for size in (3, 5):
            half = size // 2
            space = (0, half, half) if x.ndim == 5 else (half, 0)
            time = (half, 0, 0) if x.ndim == 5 else (0, half)
            total = total + step(
                step(x, at, f"{letter}_{size}", padding=space, stride=stride), at, f"t_{size}", padding=time
            )
        return step(total, at, "last")

    x = ((inputs["video"] / 255 - 0.4161) / 0.1688)[:, None]
    for number in (1, 2, 3):
        x = block(x, f"model.visualEncoder.block{number}", "s", (1, 2, 2) if number == 1 else 1)
        x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1)) if number < 3 else x.flatten(3).max(dim=3).values
    e_v, x = x.mT, mfcc(inputs["audio"], 16).mT[:, None]
    for number in (1, 2, 3):
        x = block(x, f"model.audioEncoder.block{number}", "m", 1)
        x = F.max_pool2d(x, (1, 3), (1, 2), (0, 1)) if number < 3 else x.mean(dim=2)
    e_a = x.mT

    def gru(x, name):
        layer = nn.GRU(128, 128, batch_first=True, dtype=torch.float64)
        at = f"model.GRU.{name}."
        layer.load_state_dict({key.removeprefix(at): value for key, value in state.items() if key.startswith(at)})
        return F.gelu(layer(x)[0])

    with torch.no_grad():
        ahead = gru(e_a + e_v, "gru_forward")
        joint = gru(ahead.flip(1), "gru_backward").flip(1)
        logits = joint @ state["lossAV.FC.weight"].T + state["lossAV.FC.bias"]
        outputs = detector(inputs)
    for ours, expected in ((outputs.e_v, e_v), (outputs.e_a, e_a), (outputs.logits_av, logits)):
        assert (ours - expected).abs().max() <= 1e-9


@both
@pytest.mark.parametrize("training", [False, True])
def test_it_is_the_network_of_three_dimensional_convolutions(architecture, training):
    """Outputs, gradients of pictures and parameters, and what batches leave in the normalisations."""
    flat, inputs = randomised(architecture, dtype=torch.float64), batch(2, 5, dtype=torch.float64)
    pictures = inputs["video"] / 255
    for module in flat.modules():
        module.training = training and not isinstance(module, nn.Dropout)
    solid = Conv3dEncoder(copy.deepcopy(flat.model.visualEncoder))
    results = []
    for encoder in (flat.model.visualEncoder, solid):
        leaves = [pictures.clone().requires_grad_(), *encoder.parameters()]
        e_v = encoder(leaves[0])
        slopes_of = torch.autograd.grad(e_v.square().sum(), leaves)
        results.append([e_v, *slopes_of, *(value.double() for value in encoder.buffers())])
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-9 * theirs.abs().max().item())


@both
def test_temperature_acts_in_training_alone(architecture):
    detector, inputs = randomised(architecture), batch(1, 4)
    with torch.no_grad():
        at_one = detector(inputs).logits_av
        detector.temperature = 1.3
        assert torch.equal(detector(inputs).logits_av, at_one), "evaluation mode"
        for module in detector.modules():  # training mode of the whole, without its dropout and batch statistics
            module.training = module is detector
        assert torch.allclose(detector(inputs).logits_av, at_one / 1.3, atol=1e-6)
        assert torch.equal(detector(inputs).logits_v, detector.eval()(inputs).logits_v)
    assert [training_temperature(share) for share in (0, 0.5, 1)] == pytest.approx([1.3, 1.15, 1.0])


@both
def test_training_moves_statistics_and_every_parameter(architecture):
    detector = randomised(architecture).train()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    outputs = detector(batch(2, 4))
    labels = torch.tensor([0, 1, 1, 0] * 2)
    loss = F.cross_entropy(outputs.logits_av.flatten(0, 1), labels)
    (loss + 0.5 * F.cross_entropy(outputs.logits_v.flatten(0, 1), labels)).backward()
    assert not [name for name, parameter in detector.named_parameters() if not parameter.grad.abs().any()]
    still = [n for n, v in detector.state_dict().items() if n.endswith("running_mean") and torch.equal(v, before[n])]
    assert not still


def test_dropout_is_lr_asds_and_of_training():
    """Two passes in training mode with normalisations held still differ by dropout alone."""
    for architecture, random in (("lr-asd", True), ("light-asd", False)):
        detector, inputs = randomised(architecture).train(), batch(1, 6)
        for module in detector.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        with torch.no_grad():
            one, two = detector(inputs).logits_av, detector(inputs).logits_av
            assert torch.equal(one, two) is not random
            detector.eval()
            assert torch.equal(detector(inputs).logits_av, detector(inputs).logits_av)


@both
@pytest.mark.parametrize("frozen", [("audio",), ("video",), ("audio", "video"), ()])
@pytest.mark.parametrize("fast", [False, True])
def test_fixed_modalities(architecture, frozen, fast):
    detector, inputs = randomised(architecture), batch(2, 4)
    detector = detector.fast() if fast else detector
    with torch.no_grad():
        expected = detector(inputs)
        call = detector.fix({name: inputs[name] for name in frozen})
        assert largest(call({name: value for name, value in inputs.items() if name not in frozen}), expected) <= 1e-5


@both
def test_a_fixed_modality_is_encoded_once_and_serves_every_clip(architecture, monkeypatch):
    detector, inputs = randomised(architecture), batch(3, 4)
    calls = []
    whole = type(detector).encode_video
    monkeypatch.setattr(type(detector), "encode_video", lambda self, video: calls.append(1) or whole(self, video))
    call = detector.fix({"video": inputs["video"][:1]})
    audio = inputs["audio"].clone().requires_grad_()
    for _ in range(2):
        outputs = call({"audio": audio})
    assert len(calls) == 1
    outputs.margin.sum().backward()
    assert audio.grad.abs().amax(dim=1).min() > 0
    with torch.no_grad():
        repeated = {"audio": inputs["audio"], "video": inputs["video"][:1].expand(3, -1, -1, -1)}
        assert largest(outputs.detach(), detector(repeated)) <= 1e-5


@both
@pytest.mark.parametrize(
    "change, message",
    [
        ({"audio": torch.zeros(1, 640 * 5)}, "5 video frames long"),
        ({"audio": torch.zeros(2, 640 * 4)}, "batch of 2"),
        ({"video": torch.zeros(1, 4, 96, 96)}, "112"),
        ({"video": torch.zeros(1, 4, 112, 112, dtype=torch.uint8)}, "float32"),
        ({"text": torch.zeros(1)}, "text"),
        ({"video": torch.zeros(1, 0, 112, 112)}, "empty"),
    ],
)
def test_bad_inputs_are_named(architecture, change, message):
    with pytest.raises(ValueError, match=message):
        randomised(architecture)({**batch(1, 4), **change})


@both
@pytest.mark.parametrize("clips, frames", [(1, 1), (2, 7), (1, 30)])
def test_the_attack_copy_is_the_same_function(architecture, clips, frames):
    """To float32 rounding; gradients point the same way, which is what attacks go by."""
    detector, inputs = randomised(architecture), batch(clips, frames)
    outputs, plain = slopes(detector, inputs)
    fast_outputs, fast = slopes(detector.fast(), inputs)
    assert largest(outputs, fast_outputs) <= 1e-4
    for one, other in zip(plain, fast, strict=True):
        one, other = (slope.double().flatten() / slope.double().norm() for slope in (one, other))
        assert one @ other >= 0.9999


@both
def test_the_attack_copy_in_float64(architecture):
    """Where oneDNN's operators do not apply, folding changes the order of sums and nothing else."""
    detector, inputs = randomised(architecture, dtype=torch.float64), batch(2, 3, dtype=torch.float64)
    outputs, plain = slopes(detector, inputs)
    fast_outputs, fast = slopes(detector.fast(), inputs)
    assert largest(outputs, fast_outputs) <= 1e-9
    for one, other in zip(plain, fast, strict=True):
        assert (one - other).abs().max() <= 1e-9 * one.abs().max()


@both
@pytest.mark.parametrize("fast", [False, True])
def test_long_clips_are_encoded_in_spans_that_change_nothing(architecture, fast, monkeypatch):
    """Spans of 36 frames, the shortest that there are, of a clip that they do not divide."""
    detector = randomised(architecture)
    detector = detector.fast() if fast else detector
    inputs = batch(1, 80)
    outputs, whole = slopes(detector, inputs)
    calls = []
    pictures = type(detector)._encode_pictures
    monkeypatch.setattr(
        type(detector), "_encode_pictures", lambda self, x: calls.append(x.shape[1]) or pictures(self, x)
    )
    monkeypatch.setattr(streams, "SPAN_PICTURES", 1)
    in_spans, parts = slopes(detector, inputs)
    assert calls[:3] == [36 + 9, 9 + 36 + 8, 9 + 8] and largest(in_spans, outputs) <= 1e-4
    for one, other in zip(parts, whole, strict=True):
        one, other = (slope.double().flatten() / slope.double().norm() for slope in (one, other))
        assert one @ other >= 0.9999
    with torch.no_grad():
        assert largest(detector(inputs), outputs) <= 1e-4


@both
def test_the_attack_copy_is_private_frozen_and_can_be_copied(architecture):
    detector, inputs = randomised(architecture).train(), batch(1, 4)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    fast = detector.fast()
    _, (_, grad) = slopes(fast, inputs)
    assert detector.training and not fast.training and grad.abs().max() > 0
    assert all(p.requires_grad and p.grad is None for p in detector.parameters())
    assert not any(p.requires_grad for p in fast.parameters())
    assert all(torch.equal(before[name], value) for name, value in detector.state_dict().items())
    assert not [m for m in fast.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        expected = fast(inputs)
        for other in (copy.deepcopy(fast), fast.fast()):
            assert largest(other(inputs), expected) == 0
        for parameter in detector.parameters():
            parameter.zero_()
        assert largest(fast(inputs), expected) == 0
