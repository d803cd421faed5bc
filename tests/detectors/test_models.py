"""TalkNet: the official network to the last tensor, clips that do not leak, gradients down to samples and pixels."""

import numpy as np
import pytest
import torch
from detector_support import FRAMES, batch, largest
from official_talknet import OfficialTalkNet, official_features, randomise

from pushpull.clip import Clip
from pushpull.detectors import TalkNet, TalkNetConfig
from pushpull.detectors.checkpoint import from_official, load_state, save_checkpoint, to_official
from pushpull.detectors.talknet import visual

PARAMETERS = {  # read from the official network
    "visualFrontend": 11_185_088,
    "visualTCN": 1_328_645,
    "visualConv1D": 689_024,
    "audioEncoder": 1_354_390,
    "crossA2V": 198_272,
    "crossV2A": 198_272,
    "selfAV": 789_760,
}
HEADS = 1_030


def lite(variant="talknet", seed=0):
    return randomise(TalkNet(TalkNetConfig.named(variant, "lite")), seed)


@pytest.fixture(scope="module")
def official():
    return randomise(OfficialTalkNet())


@pytest.fixture(scope="module")
def imported(official):
    model = TalkNet().eval()
    load_state(model, from_official(official.state_dict()), source="the reference")
    return model


@pytest.fixture(scope="module")
def small():
    return lite()


@pytest.fixture(scope="module")
def exact():
    """In float64: what is the same computation in another order agrees to 1e-10."""
    return lite().double()


def test_the_official_state_dict_has_our_tensors(official):
    theirs, ours = official.state_dict(), to_official(TalkNet().state_dict())
    assert len(theirs) == 487
    assert {name: tensor.shape for name, tensor in theirs.items()} == {n: t.shape for n, t in ours.items()}
    again = to_official(from_official(theirs))
    assert all(torch.equal(again[name], tensor) for name, tensor in theirs.items())


def test_official_weights_give_the_official_logits(official, imported):
    inputs = batch()
    features = torch.from_numpy(official_features(inputs["audio"][0].numpy(), FRAMES)).float()[None]
    with torch.no_grad():
        theirs = official(features, inputs["video"])
        ours = imported(inputs)
    assert min(logits.std(dim=0).min() for logits in theirs) > 0.01  # the frames do differ
    assert largest(theirs, [logits[0] for logits in ours[:3]]) <= 1e-4


@pytest.mark.parametrize("name", PARAMETERS)
def test_module_has_the_official_number_of_parameters(name):
    assert sum(p.numel() for p in getattr(TalkNet(), name).parameters()) == PARAMETERS[name]


def test_full_size_is_the_official_one():
    total = sum(p.numel() for p in TalkNet().parameters())
    assert total == sum(PARAMETERS.values()) + HEADS == 15_743_451 + HEADS


@pytest.mark.parametrize("variant", ["talknet", "nctalknet", "spectalknet"])
def test_lite_keeps_its_limits(variant, tmp_path):
    model = TalkNet(TalkNetConfig.named(variant, "lite"))
    assert sum(p.numel() for p in model.parameters()) <= 1_500_000
    assert save_checkpoint(tmp_path / "lite", model, weights="float16").stat().st_size <= 3_000_000


# A network with random normalisations amplifies rounding, a freshly initialised one does not: float64 says for the
# first, float32 for the second, that the two sides are the same computation.
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("size", ["lite", "full"])
def test_a_batch_is_its_clips_one_by_one(size, dtype, tolerance):
    torch.manual_seed(0)
    model = TalkNet(TalkNetConfig(size=size)).eval()
    model = (randomise(model) if dtype == torch.float64 else model).to(dtype)
    inputs = {name: values.to(dtype) for name, values in batch(3, frames=4).items()}
    with torch.no_grad():
        together = model(inputs)
        alone = [model({name: values[i : i + 1] for name, values in inputs.items()}) for i in range(3)]
    for i in range(3):
        assert largest([value[i] for value in together], [value[0] for value in alone[i]]) <= tolerance


def test_clips_do_not_leak_into_each_other(small):
    inputs = batch(2)
    changed = {name: values.clone() for name, values in inputs.items()}
    changed["video"][1] = 255 - changed["video"][1]
    changed["audio"][1] *= 0.1
    with torch.no_grad():
        before, after = small(inputs), small(changed)
    assert largest([value[0] for value in before], [value[0] for value in after]) <= 1e-6
    assert (before.margin[1] - after.margin[1]).abs().max() > 0.01


def test_gradients_reach_every_sample_and_pixel(small):
    inputs = {name: values.requires_grad_() for name, values in batch(2).items()}
    slopes = torch.autograd.grad(small(inputs).margin.sum(), list(inputs.values()))
    for slope, name in zip(slopes, inputs, strict=True):
        assert slope.isfinite().all()
        assert (slope != 0).float().mean() > 0.99, name


def frame_values(model):
    frontend = model.visualFrontend
    return frontend.stem_values(frontend.windows(torch.zeros(1, 1, 112, 112)))


@pytest.mark.parametrize("size, span", [(1, 1), (1, 5), (2, 3)])
def test_spans_of_frames_change_nothing(exact, monkeypatch, size, span):
    """Outputs and gradients of a clip that is encoded in one piece, and in pieces that do not divide it."""

    def run():
        inputs = {name: values.double().requires_grad_() for name, values in batch(size, frames=8).items()}
        outputs = exact(inputs)
        slopes = torch.autograd.grad(outputs.margin.square().sum(), list(inputs.values()))
        with torch.no_grad():
            return [value.detach() for value in outputs], slopes, list(exact(inputs))

    whole, whole_slopes, _ = run()
    monkeypatch.setattr(visual, "SPAN_VALUES", span * size * frame_values(exact))
    monkeypatch.setattr(visual, "CACHED_VALUES", 2 * 56 * 56 * 16 * size)
    parts, parts_slopes, without_gradient = run()
    assert largest(whole, parts) <= 1e-10
    assert largest(whole, without_gradient) <= 1e-10
    for a, b in zip(whole_slopes, parts_slopes, strict=True):
        assert (a - b).abs().max() <= 1e-10 * a.abs().max()


def test_a_long_clip_needs_no_more_at_once(small, monkeypatch):
    """What the visual ResNet sees at once stays within the span, however long the clip."""
    monkeypatch.setattr(visual, "SPAN_VALUES", 8 * frame_values(small))
    seen = []
    hook = small.visualFrontend.resnet.layer3.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    try:
        with torch.no_grad():
            small(batch(frames=30))
    finally:
        hook.remove()
    assert sum(seen) == 30 and max(seen) <= 8


def test_without_cross_attention_z_is_e():
    model = lite("nctalknet")
    with torch.no_grad():
        outputs = model(batch())
    assert torch.equal(outputs.z_a, outputs.e_a) and torch.equal(outputs.z_v, outputs.e_v)
    assert not any(name.startswith("cross") for name in model.state_dict())


def test_spectalknet_hears_the_spectrogram():
    """The same weights fit, and give something else: only the front-end differs."""
    plain, spectral = lite("talknet"), lite("spectalknet")
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), spectral.parameters(), strict=True))
    with torch.no_grad():
        one, other = plain(batch()), spectral(batch())
    assert torch.equal(one.e_v, other.e_v)
    assert (one.e_a - other.e_a).abs().max() > 0.1


def test_outputs_have_their_shapes_and_meanings(small):
    with torch.no_grad():
        outputs = small(batch(2))
    for name in ("logits_av", "logits_a", "logits_v"):
        assert getattr(outputs, name).shape == (2, FRAMES, 2)
    for name in ("e_a", "e_v", "z_a", "z_v"):
        assert getattr(outputs, name).shape == (2, FRAMES, 128)
    assert torch.allclose(outputs.probability, torch.sigmoid(outputs.margin), atol=1e-6)


def test_a_clip_goes_straight_in(small):
    clip = Clip(audio=np.zeros(640 * 3, np.float32), video=np.full((3, 112, 112), 90, np.uint8))
    assert small(clip.inputs()).margin.shape == (1, 3)


@pytest.mark.parametrize("fixed", [(), ("audio",), ("video",), ("audio", "video")])
def test_fixed_modalities_give_the_same_outputs(small, fixed):
    inputs = batch(2)
    rest = {name: values for name, values in inputs.items() if name not in fixed}
    with torch.no_grad():
        call = small.fix({name: inputs[name] for name in fixed})
        assert largest(call(rest), small(inputs)) <= 1e-6


def test_one_fixed_clip_serves_a_whole_batch(exact):
    inputs = {name: values.double() for name, values in batch(3, frames=4).items()}
    first = inputs["video"][:1]
    with torch.no_grad():
        fixed = exact.fix({"video": first})({"audio": inputs["audio"]})
        plain = exact({"audio": inputs["audio"], "video": first.expand(3, -1, -1, -1)})
    assert largest(fixed, plain) <= 1e-10


def test_no_gradient_flows_into_what_is_fixed(small):
    inputs = {name: values.requires_grad_() for name, values in batch().items()}
    outputs = small.fix({"video": inputs["video"]})({"audio": inputs["audio"]})
    audio, video = torch.autograd.grad(outputs.margin.sum(), list(inputs.values()), allow_unused=True)
    assert audio.abs().sum() > 0 and video is None


BAD_INPUTS = {
    "a modality is missing": (lambda x: {"audio": x["audio"]}, "missing input: video"),
    "a modality too many": (lambda x: x | {"text": x["audio"]}, "unexpected input: text"),
    "integers": (lambda x: x | {"video": x["video"].to(torch.uint8)}, r"video must be torch.float32.*Clip.inputs"),
    "another precision": (lambda x: x | {"audio": x["audio"].double()}, "audio must be torch.float32"),
    "other faces": (lambda x: x | {"video": x["video"][..., :100]}, r"video must be \(B, T, 112, 112\)"),
    "no batch": (lambda x: x | {"audio": x["audio"][0]}, r"audio must be \(B, 640 T\)"),
    "half a frame of sound": (lambda x: x | {"audio": x["audio"][:, :-320]}, "fit_audio"),
    "a frame of sound too few": (lambda x: x | {"audio": x["audio"][:, :-640]}, "5 video frames long.*video 6"),
    "other batches": (lambda x: x | {"audio": x["audio"].repeat(2, 1)}, "batch of 2, video of 1"),
    "nothing": (lambda x: {name: values[:0] for name, values in x.items()}, "audio is empty"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs_are_named(small, case):
    change, message = BAD_INPUTS[case]
    with pytest.raises(ValueError, match=message):
        small(change(batch()))


def test_fix_names_bad_inputs(small):
    inputs = batch()
    with pytest.raises(ValueError, match="unknown inputs: text"):
        small.fix({"text": inputs["audio"]})
    with pytest.raises(ValueError, match="112"):
        small.fix({"video": inputs["video"][..., :50]})
    call = small.fix({"video": inputs["video"]})
    with pytest.raises(ValueError, match="unexpected input: video; wanted here: audio"):
        call(inputs)
    with pytest.raises(ValueError, match="missing input: audio"):
        call({})
    with pytest.raises(ValueError, match="5 video frames long"):
        call({"audio": inputs["audio"][:, :-640]})


BAD_CONFIGS = {
    "size": ({"size": "huge"}, "size must be one of full, lite"),
    "front-end": ({"audio_features": "wavelet"}, "audio_features must be"),
    "visual widths": ({"visual_widths": (64, 64)}, "must name the stem"),
    "wider without a stride": ({"visual_widths": (32, 64, 128, 256, 512)}, "stride 1 keeps its width"),
    "embedding": ({"audio_widths": (16, 32, 64, 64)}, "last of width 128"),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_bad_configurations_are_named(case):
    options, message = BAD_CONFIGS[case]
    with pytest.raises(ValueError, match=message):
        TalkNetConfig(**options)


def test_configuration_goes_through_json_and_refuses_unknown_keys():
    config = TalkNetConfig(size="lite", cross_attention=False, audio_blocks=(2, 1, 1, 1))
    assert TalkNetConfig.from_dict(config.to_dict()) == config
    assert config.variant == "nctalknet"
    assert TalkNetConfig(audio_features="spectrogram", cross_attention=False).variant == "custom"
    with pytest.raises(ValueError, match="unknown TalkNetConfig keys: depth"):
        TalkNetConfig.from_dict({"depth": 3})
    with pytest.raises(ValueError, match="variant must be one of talknet"):
        TalkNetConfig.named("loconet")
