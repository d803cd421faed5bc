"""Checkpoints: what is saved comes back; what is foreign, broken or does not fit is refused by name."""

import json
import os
import pickle
import shutil
import warnings

import pytest
import torch
from detector_support import batch, largest
from official_talknet import OfficialTalkNet, randomise
from safetensors.torch import load_file, save_file

from pushpull.detectors import CheckpointError, TalkNet, TalkNetConfig, checkpoint, load_model, resolve_device
from pushpull.detectors.checkpoint import find_checkpoint, import_official, list_models, main, save_checkpoint
from pushpull.detectors.stored import STORED
from pushpull.files import sha256


@pytest.fixture(scope="module")
def model():
    return randomise(TalkNet(TalkNetConfig(size="lite")))


@pytest.fixture
def saved(model, tmp_path):
    return save_checkpoint(tmp_path / "talknet-small", model, {"trained on": "nothing", "licence": "MIT"})


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """An official .model file, as torch.save of the state dict makes it."""
    path = tmp_path_factory.mktemp("official") / "pretrain.model"
    torch.save(randomise(OfficialTalkNet()).state_dict(), path)
    return path


@pytest.mark.parametrize("variant", ["talknet", "nctalknet", "spectalknet"])
def test_a_model_comes_back(variant, tmp_path):
    model = randomise(TalkNet(TalkNetConfig.named(variant, "lite")))
    again = load_model(save_checkpoint(tmp_path / "m", model), "cpu")
    assert again.config == model.config and not again.training
    assert all(torch.equal(a, again.state_dict()[name]) for name, a in model.state_dict().items())


def test_its_card_comes_back_and_says_what_it_is(saved, model):
    card = load_model(saved, "cpu").card
    assert card["trained on"] == "nothing" and card["licence"] == "MIT"
    assert card["name"] == "talknet-small" and (card["size"], card["variant"]) == ("lite", "talknet")
    assert card["parameters"] == sum(p.numel() for p in model.parameters())
    assert card["sha256"] == sha256(saved)
    assert json.loads(saved.with_suffix(".json").read_text()) == card
    assert sorted(path.name for path in saved.parent.iterdir()) == ["talknet-small.json", "talknet-small.safetensors"]


@pytest.mark.parametrize("weights", STORED)
def test_reference_embeddings_travel_with_the_weights(model, tmp_path, weights):
    model.reference_embeddings = {"z_a": torch.randn(6, 128), "labels": torch.arange(6) % 2}
    again = load_model(save_checkpoint(tmp_path / "m", model, weights=weights), "cpu")
    assert (
        set(again.reference_embeddings) == {"z_a", "labels"}
        and again.reference_embeddings["z_a"].dtype == torch.float32
    )
    assert torch.equal(again.reference_embeddings["labels"], model.reference_embeddings["labels"])
    assert torch.allclose(
        again.reference_embeddings["z_a"], model.reference_embeddings["z_a"], atol=0 if weights == "float32" else 2e-3
    )
    # Saved once more, as the zoo does with the figures of its attacks, they are kept; they are no weights.
    last = load_model(save_checkpoint(tmp_path / "n", again), "cpu")
    assert last.reference_embeddings.keys() == again.reference_embeddings.keys()
    assert not any("reference" in name for name in last.state_dict())


def test_card_without_its_neighbour_and_with_another_models(saved):
    saved.with_suffix(".json").unlink()
    assert load_model(saved, "cpu").card["trained on"] == "nothing"
    saved.with_suffix(".json").write_text(json.dumps({"sha256": "0" * 64, "trained on": "something else"}))
    with pytest.warns(UserWarning, match="is not the card of talknet-small.safetensors"):
        assert load_model(saved, "cpu").card["trained on"] == "nothing"
    saved.with_suffix(".json").write_text("{")
    with pytest.warns(UserWarning, match="is not the card of"):
        load_model(saved, "cpu")


def test_people_may_add_to_the_card(saved):
    card = json.loads(saved.with_suffix(".json").read_text()) | {"held-out AP": 97.2}
    saved.with_suffix(".json").write_text(json.dumps(card))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_model(saved, "cpu").card["held-out AP"] == 97.2


def test_a_card_that_people_spoilt_is_named(saved):
    beside = saved.with_suffix(".json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"threshold": "high"}))
    with pytest.raises(CheckpointError, match=f"the card of {beside} cannot be right: threshold is a finite"):
        load_model(saved, "cpu")


def test_half_precision_is_half_the_size_and_nearly_the_same(model, saved, tmp_path):
    half = save_checkpoint(tmp_path / "half", model, weights="float16")
    assert half.stat().st_size < 0.53 * saved.stat().st_size
    again = load_model(half, "cpu")
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    for name, tensor in model.state_dict().items():
        stored = again.state_dict()[name]
        exact = tensor if tensor.ndim < 2 else tensor.half().to(tensor.dtype)
        assert torch.equal(stored, exact), name
    with torch.no_grad():
        assert largest(again(batch(frames=4))[:3], model(batch(frames=4))[:3]) <= 0.05


def test_half_precision_keeps_what_it_cannot_hold(tmp_path):
    model = randomise(TalkNet(TalkNetConfig(size="lite")))
    with torch.no_grad():
        model.headAV.weight[0, 0] = 1e6
    assert load_model(save_checkpoint(tmp_path / "m", model, weights="float16"), "cpu").headAV.weight[0, 0] == 1e6


def test_names_find_files_in_their_folder_only(model, tmp_path):
    save_checkpoint(tmp_path / "zoo" / "talknet-lite", model)
    save_checkpoint(tmp_path / "secret", model)
    for name in ("talknet-lite", "lite"):
        assert find_checkpoint(name, tmp_path / "zoo").name == "talknet-lite.safetensors"
    for name in ("../secret", "zoo/../../x", "", ".hidden"):
        with pytest.raises(CheckpointError, match="not a model name"):
            find_checkpoint(name, tmp_path / "zoo")
    with pytest.raises(CheckpointError, match="no model named 'full'; there is: talknet-lite"):
        find_checkpoint("full", tmp_path / "zoo")
    with pytest.raises(CheckpointError, match="holds no checkpoints yet"):
        find_checkpoint("lite", tmp_path / "empty")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        find_checkpoint(str(tmp_path / "gone.safetensors"))


def test_list_leaves_out_what_is_not_ours(model, tmp_path):
    save_checkpoint(tmp_path / "b", model)
    save_checkpoint(tmp_path / "a", model, weights="float16")
    save_file({"x": torch.zeros(3)}, tmp_path / "c.safetensors")
    with pytest.warns(UserWarning, match="not of this package"):
        cards = list_models(tmp_path)
    assert [card["name"] for card in cards] == ["a", "b"]
    assert cards[0]["bytes"] < cards[1]["bytes"]


def with_metadata(saved, **changes):
    """The same tensors under another header."""
    config = TalkNetConfig(size="lite").to_dict() | changes
    save_file(load_file(saved), saved, {"format": "pt", "config": json.dumps(config)})


def with_card(saved, card):
    """The same weights with another card inside."""
    config, _ = checkpoint.read_header(saved)
    save_file(load_file(saved), saved, {"config": json.dumps(config.to_dict()), "card": card})


def with_nan(saved):
    config, _ = checkpoint.read_header(saved)
    state = load_file(saved)
    state["headAV.bias"] = torch.tensor([0.0, float("nan")])
    save_file(state, saved, {"config": json.dumps(config.to_dict())})


def truncate(saved, share):
    os.truncate(saved, int(share * saved.stat().st_size))


def without_a_tensor(saved):
    config, _ = checkpoint.read_header(saved)
    state = load_file(saved)
    state["headB.weight"] = state.pop("headAV.weight")
    state["headAV.bias"] = torch.zeros(3)
    save_file(state, saved, {"config": json.dumps(config.to_dict())})


DAMAGE = {
    "unknown key": (lambda path: with_metadata(path, depth=3), "unknown TalkNetConfig keys: depth"),
    "another network": (lambda path: with_metadata(path, visual_hidden=97), "visualConv1D.net.0.weight is .* not"),
    "cut in the header": (lambda path: truncate(path, 0.0005), "damaged.*download it again"),
    "cut in the weights": (lambda path: truncate(path, 0.6), "again"),
    "empty": (lambda path: truncate(path, 0), "damaged"),
    "text": (lambda path: path.write_text("<html>404 not found</html>"), "damaged or no safetensors"),
    "a pickle": (lambda path: torch.save({"x": torch.zeros(1)}, path), "is a pickle.*--import"),
    "not a number": (with_nan, "not finite, in headAV.bias"),
    "a list as card": (lambda path: with_card(path, "[1]"), "the card of .* is no JSON object"),
    "no such crop": (
        lambda path: with_card(path, '{"crop": "chin"}'),
        "the card of .* cannot be right: crop is one of",
    ),
    "tensors": (without_a_tensor, r"missing headAV.weight; unexpected headB.weight; headAV.bias is \(3,\), not \(2,\)"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_does_not_fit_is_refused_by_name(kind, saved):
    damage, message = DAMAGE[kind]
    damage(saved)
    saved.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(saved, "cpu")
    assert str(saved) in str(caught.value)


def test_an_interrupted_save_leaves_the_old_file(saved, model, monkeypatch):
    before = saved.read_bytes()

    def full_disk(state, path, metadata):
        with open(path, "wb") as file:
            file.write(b"half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(saved, model)
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 2


def test_official_file_comes_in_whole(official):
    model = import_official(official)
    theirs = torch.load(official, weights_only=True)
    assert len(theirs) == 487
    ours = checkpoint.to_official(model.state_dict())
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert not model.training and model.config == TalkNetConfig()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.pop("model.selfAV.norm1.bias"), "missing selfAV.norm1.bias"),
        (lambda s: s.pop("lossAV.FC.weight"), "missing headAV.weight"),
        (lambda s: s.update({"model.extra.weight": torch.zeros(2)}), "unexpected extra.weight"),
        (
            lambda s: s.update({"lossA.FC.weight": torch.zeros(3, 128)}),
            r"headA.weight is \(3, 128\), not \(2, 128\)",
        ),
        (lambda s: [s.pop(name) for name in list(s)[:20]], "and 12 more"),
    ],
    ids=["missing", "missing head", "extra", "misshapen", "many"],
)
def test_official_file_that_does_not_fit_is_named(official, tmp_path, change, message):
    state = torch.load(official, weights_only=True)
    change(state)
    torch.save(state, tmp_path / "bad.model")
    with pytest.raises(CheckpointError, match=message):
        import_official(tmp_path / "bad.model")


def test_official_file_of_parallel_training_and_half_precision(official, tmp_path):
    state = {f"module.{name}": t.half() if t.is_floating_point() else t for name, t in torch.load(official).items()}
    torch.save(state, tmp_path / "parallel.model")
    model = import_official(tmp_path / "parallel.model")
    assert model.headAV.weight.dtype == torch.float32
    assert torch.equal(model.headAV.weight, state["module.lossAV.FC.weight"].float())


class Payload:
    """Runs when unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_foreign_code_is_refused_and_not_run(write, tmp_path):
    mark = tmp_path / "mark"
    write({"model.x": Payload(mark)}, tmp_path / "evil.model")
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        import_official(tmp_path / "evil.model")
    with pytest.raises(CheckpointError, match="may run code"):
        load_model(tmp_path / "evil.model", "cpu")
    assert not mark.exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (lambda path: path.write_bytes(b""), "cannot be read|no torch file"),
        (lambda path: path.write_text("<html>quota exceeded</html>"), "no torch file|cannot be read"),
        (lambda path: torch.save([torch.zeros(2)], path), "not a state dict"),
        (lambda path: torch.save({"epoch": 3, "state": {}}, path), "not a state dict"),
    ],
    ids=["empty", "a download page", "a list", "a training state"],
)
def test_other_files_are_not_official(content, message, tmp_path):
    content(tmp_path / "x.model")
    with pytest.raises(CheckpointError, match=message):
        import_official(tmp_path / "x.model")


def test_a_cut_official_file_says_so(official, tmp_path):
    shutil.copy(official, tmp_path / "cut.model")
    os.truncate(tmp_path / "cut.model", official.stat().st_size // 2)
    with pytest.raises(CheckpointError, match="cut.model cannot be read.*again"):
        import_official(tmp_path / "cut.model")


def test_command_imports_shows_and_refuses_to_overwrite(official, tmp_path, capsys):
    out = tmp_path / "talknet-official"
    assert main(["--import", str(official), str(out), "--weights", "float16"]) == 0
    said = capsys.readouterr().out
    assert "487 tensors" in said
    model = load_model(out.with_suffix(".safetensors"), "cpu")
    assert model.card["source_sha256"] == sha256(official)
    assert main(["--import", str(official), str(out)]) == 1
    assert "pass --overwrite" in capsys.readouterr().err
    assert main(["--import", str(official), str(out), "--overwrite", "--weights", "float16"]) == 0
    capsys.readouterr()
    assert main(["--show", str(out.with_suffix(".safetensors"))]) == 0
    assert json.loads(capsys.readouterr().out)["variant"] == "talknet"


def test_command_lists(saved, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint.list_models, "__defaults__", (saved.parent,))
    assert main(["--list"]) == 0
    line = capsys.readouterr().out
    assert line.split()[:3] == ["talknet-small", "lite", "talknet"]


def test_command_tells_errors_in_a_line(tmp_path, capsys):
    assert main(["--import", str(tmp_path / "none.model"), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"error: no file at {tmp_path / 'none.model'}\n"
    assert main(["--show", "no-such-model"]) == 1
    assert "no model named" in capsys.readouterr().err


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        resolve_device("gpu")
    absent = next(d for d in ("mps", "cuda:63") if d != "mps" or not torch.backends.mps.is_available())
    with pytest.raises(ValueError, match=f"no {absent} on this machine"):
        resolve_device(absent)


def test_an_import_that_cannot_be_written_is_told_in_a_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    official = tmp_path / "official.model"
    official.write_bytes(b"1")
    model = TalkNet(TalkNetConfig.named("talknet", "lite"))
    model.card = {}
    monkeypatch.setattr(checkpoint, "import_official", lambda _: model)
    assert main(["--import", str(official), str(tmp_path / "file/out")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
