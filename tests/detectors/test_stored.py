"""How tensors are stored: exact where they must be, close where they may be, refused where they do not fit together."""

import pytest
import torch
from detector_support import batch, largest
from official_talknet import OfficialTalkNet, randomise
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pushpull.detectors import CheckpointError, TalkNet, TalkNetConfig, load_model
from pushpull.detectors.checkpoint import main, save_checkpoint
from pushpull.detectors.stored import pack, unpack

KERNEL = torch.randn(40, 300, generator=torch.Generator().manual_seed(0)) * torch.logspace(-9, 3, 40)[:, None]
STATE = {
    "kernel": KERNEL,
    "small": KERNEL[:4, :4],
    "vector": KERNEL[0],
    "count": torch.tensor(7),
    "zeros": torch.zeros(4, 3000),
    "tiny": torch.full((2, 5000), 1e-38),
}


@pytest.fixture(scope="module")
def model():
    return randomise(TalkNet(TalkNetConfig(size="lite")))


def test_eight_bits_are_within_half_a_step_of_every_channels_own_scale():
    packed = pack(STATE, "int8")
    assert packed["kernel"].dtype == torch.int8 and packed["small"].dtype == torch.float16
    assert torch.equal(packed["vector"], STATE["vector"]) and torch.equal(packed["count"], STATE["count"])
    again = unpack(packed)
    assert again.keys() == STATE.keys() and again["kernel"].dtype == torch.float32
    step = KERNEL.abs().amax(dim=1, keepdim=True) / 127
    assert ((again["kernel"] - KERNEL).abs() <= 0.501 * step).all()
    assert torch.equal(again["zeros"], STATE["zeros"]) and again["tiny"].isfinite().all()


@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_what_was_stored_is_stored_again_as_it_was(weights):
    once = pack(STATE, weights)
    twice = pack(unpack(once), weights)
    assert once.keys() == twice.keys()
    for name, tensor in once.items():
        assert twice[name].dtype == tensor.dtype and torch.equal(twice[name], tensor), name


def test_what_is_no_number_stays_as_it_is():
    broken = {"w": torch.full((4, 4000), float("nan"))}
    assert pack(broken, "int8")["w"].isnan().all() and "scales.w" not in pack(broken, "int8")


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="float32, float16, int8, got 'int4'"):
        pack(STATE, "int4")


def test_a_model_in_eight_bits_says_nearly_the_same_in_a_third_of_the_size(model, tmp_path):
    whole, small = (save_checkpoint(tmp_path / name, model, weights=name) for name in ("float32", "int8"))
    assert small.stat().st_size < 0.32 * whole.stat().st_size
    again = load_model(small, "cpu")
    assert {value.dtype for value in again.parameters()} == {torch.float32}
    with torch.no_grad():
        after, before = again(batch(frames=4))[:3], model(batch(frames=4))[:3]
    assert 0 < largest(after, before) <= 0.3


def spoil_scale(stored):
    name = next(name for name in stored if name.startswith("scales."))
    return {name: stored[name][1:]}


def spoil_name(stored):
    return {"scales.nothing": torch.ones(3)}


@pytest.mark.parametrize("spoil", [spoil_scale, spoil_name])
def test_a_scale_that_fits_nothing_is_refused(model, tmp_path, spoil):
    path = save_checkpoint(tmp_path / "m", model, weights="int8")
    stored = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(stored | spoil(stored), path, metadata)
    with pytest.warns(UserWarning, match="is not the card of"), pytest.raises(CheckpointError, match="belongs to no"):
        load_model(path, "cpu")


def test_an_official_file_can_be_imported_in_eight_bits(tmp_path):
    official = tmp_path / "official.model"
    torch.save(OfficialTalkNet().state_dict(), official)
    assert main(["--import", str(official), str(tmp_path / "ours"), "--weights", "int8"]) == 0
    assert (tmp_path / "ours.safetensors").stat().st_size < 17e6
