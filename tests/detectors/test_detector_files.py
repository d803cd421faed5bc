"""Files of detectors: ours there and back, and one clear error for each file that is none."""

import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from asd_support import CLASSES, batch, largest, randomised
from safetensors.torch import save_file

from pushpull.detectors import (
    CheckpointError,
    TalkNet,
    TalkNetConfig,
    load_detector,
    load_published,
    recognise,
    save_checkpoint,
    save_detector,
    undecided,
)
from pushpull.detectors.checkpoint import to_official
from pushpull.detectors.load import list_detectors

both = pytest.mark.parametrize("architecture", CLASSES)


class RunsWhenOpened:
    def __reduce__(self):
        return open, ("opened.txt", "w")


@pytest.fixture(autouse=True)
def no_other_detectors(tmp_path, monkeypatch):
    """The user's cache and folder stay out of these tests."""
    monkeypatch.setenv("PUSHPULL_DETECTORS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@both
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_the_authors_code(architecture, prefix, legacy, tmp_path):
    detector, path = randomised(architecture), tmp_path / "mine.model"
    state = {prefix + name: value for name, value in detector.state_dict().items()}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    loaded = load_detector("mine", "cpu")
    assert loaded.card["architecture"] == architecture and not loaded.training
    assert loaded.card["name"] == "mine" and len(loaded.card["sha256"]) == 64
    with torch.no_grad():
        assert largest(loaded(batch()), detector(batch())) == 0


@both
def test_there_and_back(architecture, tmp_path):
    detector = randomised(architecture)
    detector.card = {"licence": "MIT", "crop": "talknet_demo", "notes": ["anything"]}
    path = save_detector(tmp_path / "sub" / "mine", detector)
    loaded = load_detector(path, "cpu")
    assert loaded.card.items() >= {"licence": "MIT", "crop": "talknet_demo", "notes": ["anything"]}.items()
    assert json.loads(path.with_suffix(".json").read_text()) == loaded.card
    with torch.no_grad():
        assert largest(loaded(batch()), detector(batch())) == 0


def test_talknet_files_load_too(tmp_path):
    model = TalkNet(TalkNetConfig(size="lite"))
    assert isinstance(load_detector(save_checkpoint(tmp_path / "lite-one", model), "cpu"), TalkNet)
    torch.save(to_official(TalkNet().state_dict()), tmp_path / "official.model")
    assert load_detector("official", "cpu").card["architecture"] == "talknet"
    assert isinstance(undecided(load_detector("talknet-lite", "cpu")), TalkNet)


def test_what_load_detector_gave_can_be_saved_and_decides_alike(tmp_path):
    talknet = load_detector("talknet-lite", "cpu")  # at its card's point
    other = randomised("lr-asd")
    other.card = {"threshold": 0.5, "window_seconds": 0.4}
    loaded = load_detector(save_detector(tmp_path / "lr", other), "cpu")  # in windows, at its threshold
    for number, detector in enumerate((talknet, loaded)):
        again = load_detector(save_detector(tmp_path / f"again{number}", detector), "cpu", "own")
        assert type(undecided(again)) is type(undecided(detector))
        with torch.no_grad():
            assert largest(undecided(again)(batch()), undecided(detector)(batch())) == 0


def test_copies_for_attacks_and_strangers_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match="folded"):
        save_detector(tmp_path / "a", randomised("lr-asd").fast())
    with pytest.raises(ValueError, match="Linear cannot be saved"):
        save_detector(tmp_path / "a", torch.nn.Linear(1, 1))


def lr_asd():
    return dict(randomised("lr-asd").state_dict())


def _code(path):
    path.write_bytes(pickle.dumps({"weight": RunsWhenOpened()}))


def _code_in_archive(path):
    torch.save({"weight": RunsWhenOpened()}, path)


def _cut(path):
    torch.save(lr_asd(), path)
    path.write_bytes(path.read_bytes()[:100_000])


def _cut_legacy(path):
    torch.save(lr_asd(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:100_000])


def _zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not weights")


def _script(path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), path)


def _saved(state):
    return lambda path: torch.save(state() if callable(state) else state, path)


BROKEN = {
    "missing": (lambda path: None, "no checkpoint at"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "empty": (lambda path: path.touch(), "is empty"),
    "text": (lambda path: path.write_text("<html>404</html>"), "no file of torch"),
    "noise": (lambda path: path.write_bytes(bytes(range(256)) * 40), "no file of torch"),
    "cut": (_cut, "cut short"),
    "cut legacy": (_cut_legacy, "cut short"),
    "code": (_code, "more than tensors"),
    "code in archive": (_code_in_archive, "more than tensors .it asks for .*run code"),
    "zip": (_zip, "zip archive, but no checkpoint"),
    "script": (_script, "TorchScript"),
    "module": (_saved(lambda: randomised("lr-asd")), "more than tensors .it asks for .*LRASD"),
    "list": (_saved([torch.zeros(1)]), "not a state dict"),
    "one tensor": (_saved(torch.zeros(1)), "not a state dict"),
    "nothing": (_saved({}), "holds no tensors"),
    "nested": (_saved(lambda: {"state_dict": lr_asd()}), "state_dict hold no dense tensors"),
    "sparse": (_saved({"weight": torch.eye(3).to_sparse()}), "weight hold no dense tensors"),
    "stranger": (_saved({"encoder.weight": torch.zeros(3)}), "not known here.*encoder.weight.*light-asd, lr-asd"),
    "nan": (_saved(lambda: lr_asd() | {"lossAV.FC.bias": torch.tensor([0.0, float("nan")])}), "not finite.*lossAV"),
    "shape": (_saved(lambda: lr_asd() | {"lossAV.FC.bias": torch.zeros(3)}), r"LRASD: lossAV.FC.bias is \(3,\)"),
    "more": (_saved(lambda: lr_asd() | {"extra": torch.zeros(3)}), "does not fit LRASD: unexpected extra"),
    "less": (
        _saved(lambda: {name: value for name, value in lr_asd().items() if "lossV" not in name}),
        "does not fit LRASD: missing lossV.FC.weight; missing lossV.FC.bias",
    ),
    "both": (
        _saved(lambda: dict(randomised("light-asd").state_dict()) | {"model.fusion.attention.weight": torch.zeros(1)}),
        "does not fit LightASD: unexpected model.fusion",
    ),
}


@pytest.mark.parametrize("beside", [True, False], ids=["with the card beside it", "without"])
def test_a_card_that_tells_no_crop_means_the_faces_box(beside, tmp_path):
    path = save_detector(tmp_path / "mine", randomised("lr-asd"), {"trained_on": "films"})
    if not beside:
        path.with_suffix(".json").unlink()
    card = load_detector(path, "cpu").card
    assert (card["crop"], card["trained_on"]) == ("face_box", "films")


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_checkpoint_is_told(case, tmp_path):
    make, message = BROKEN[case]
    path = tmp_path / "file.model"
    make(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_detector(path, "cpu")
    assert "file.model" in str(caught.value) and len(str(caught.value)) < 700
    assert "weights_only" not in str(caught.value), "no advice to run what is in the file"
    assert not (tmp_path / "opened.txt").exists(), "code in the file ran"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: path.write_bytes(b"PK\3\4 not safetensors"), "no safetensors"),
        (lambda path: path.touch(), "empty|no safetensors"),
        (lambda path: path.mkdir(), "file.safetensors is a folder|no detector"),
        (lambda path: save_file({"a": torch.zeros(1)}, path), "not known here"),
        (lambda path: save_file(lr_asd(), path, {"card": "{"}), "card"),
        (lambda path: save_file(lr_asd(), path, {"card": "[1]"}), "card"),
        (lambda path: save_file(lr_asd(), path, {"card": '{"crop": "chin"}'}), "crop is one of"),
    ],
)
def test_broken_safetensors_are_told(make, message, tmp_path):
    make(tmp_path / "file.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_detector("file", "cpu")


@pytest.mark.parametrize(
    "name, message",
    [
        ("lr-asd-ava", r"fetch lr-asd-ava .*raw.githubusercontent.com.*put it at .*lr-asd-ava.model"),
        ("no-such", "no detector is called 'no-such'; there are: .*lr-asd-ava.*talknet-lite"),
        ("../evil", "no detector is called"),
        ("nowhere.model", "no checkpoint at nowhere.model"),
        (str(Path(__file__).parent), "detectors is a folder: name a .safetensors file in it"),
        (__file__, "is a program; as --model does, pushpull.detectors.open_detector runs it"),
    ],
)
def test_names_that_lead_nowhere(name, message):
    with pytest.raises(CheckpointError, match=message):
        load_detector(name, "cpu")


def test_the_folder_must_be_one(monkeypatch):
    monkeypatch.setenv("PUSHPULL_DETECTORS", "/nowhere/at/all")
    with pytest.raises(CheckpointError, match="PUSHPULL_DETECTORS is /nowhere/at/all"):
        load_detector("lr-asd-ava", "cpu")


def test_the_list_tells_where_each_one_is(tmp_path):
    torch.save(lr_asd(), tmp_path / "own.model")
    save_detector(tmp_path / "lr-asd-ava", load_published(tmp_path / "own.model"))
    cards = {card["name"]: card for card in list_detectors()}
    assert cards["talknet-lite"]["where"] == "shipped" and cards["light-asd-ava"]["where"] == "published"
    assert cards["own"]["where"] == str(tmp_path / "own.model")
    assert cards["lr-asd-ava"]["where"] == str(tmp_path / "lr-asd-ava.safetensors")
    assert "licence" not in cards["own"], "its content is none that was published"
    assert list(cards) == sorted(cards)


def test_the_list_passes_over_what_is_damaged(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    (tmp_path / "folder.model").mkdir()
    save_file(lr_asd(), tmp_path / "odd.safetensors", {"card": "[1]"})
    cards = {card["name"]: card for card in list_detectors()}
    assert "folder" not in cards and cards["broken"]["bytes"] == 2 and "crop" not in cards["odd"]


def test_an_architecture_is_recognised_by_its_tensors():
    found = {name: recognise(randomised(name).state_dict()) for name in CLASSES}
    assert found == {name: name for name in CLASSES} and recognise({"a": torch.zeros(1)}) is None
