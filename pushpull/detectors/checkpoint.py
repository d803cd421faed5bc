"""Checkpoints: safetensors weights that carry their configuration, a JSON card beside them, official imports.

Usage:
    python -m pushpull.detectors.checkpoint --list
    python -m pushpull.detectors.checkpoint --show talknet-lite
    python -m pushpull.detectors.checkpoint --import pretrain_TalkSet.model checkpoints/talknet-talkset
"""

import json
import os
import pickle
import re
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from pushpull.config import Parser
from pushpull.detectors.base import Card
from pushpull.detectors.stored import STORED, pack, unpack
from pushpull.detectors.talknet.config import TalkNetConfig
from pushpull.detectors.talknet.network import TalkNet
from pushpull.files import read_text, sha256, shipped_folder

CHECKPOINTS = shipped_folder("checkpoints")
SUFFIX = ".safetensors"
VISIBLE = "[!.]*"  # not a Mac's ._NAME
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PREFIX = "talknet-"  # may be left out of a name: "lite" is "talknet-lite"
OFFICIAL_HEADS = {"lossAV.FC.": "headAV.", "lossA.FC.": "headA.", "lossV.FC.": "headV."}
OFFICIAL_BODY = "model."
REFERENCE = "reference_embeddings."  # before the names of tensors that are no weights


class CheckpointError(ValueError):
    """A checkpoint that cannot be found, read or fitted; the message says which and what to do."""


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """ "auto" is CUDA, else Apple's MPS, else the CPU; anything else must be a device that is there.

    Raises:
        ValueError: no such device, or not on this machine.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"unknown device {device!r}; known are auto, {', '.join(present)}") from None
    count = torch.cuda.device_count() if found.type == "cuda" else 1
    if not present.get(found.type, True) or (found.index or 0) >= count:
        raise ValueError(f"there is no {found} on this machine (or this torch was built without it); use auto or cpu")
    return found


def load_model(name_or_path: str | Path, device: str | torch.device = "auto") -> TalkNet:
    """Rebuild a saved model, in evaluation mode.

    Args:
        name_or_path: a name from :func:`list_models` ("talknet-lite", or "lite" for short), or the path of a
            ``.safetensors`` file.
        device: "auto", "cpu", "cuda", "mps".

    Returns:
        The model, float32, with ``.config``, ``.card`` and, where its file has them, ``.reference_embeddings``;
        ``card["sha256"]`` is the weights file's.

    Raises:
        CheckpointError: no such file (the message lists what there is), not a checkpoint of this package, cut
            short, or weights that do not fit the stored configuration.
    """
    path = find_checkpoint(name_or_path)
    config, card = read_header(path)
    card["sha256"] = sha256(path)
    card = with_sidecar(path, card)
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): copy or download it again") from error
    try:
        state = unpack(state)
    except ValueError as error:
        raise CheckpointError(f"{path} is not a checkpoint of this version: {error}") from error
    model = TalkNet(config)
    reference = {name: state.pop(name) for name in list(state) if name.startswith(REFERENCE)}
    load_state(model, state, source=str(path))
    model.card = card
    model.reference_embeddings = {
        name.removeprefix(REFERENCE): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in reference.items()
    }
    return model.eval().to(resolve_device(device))


def save_checkpoint(path: str | Path, model: TalkNet, card: dict | None = None, *, weights: str = "float32") -> Path:
    """Write ``path.safetensors`` and its card ``path.json``, each atomically.

    Args:
        path: with or without the suffix; the folder is made if needed.
        card: anything JSON can hold about the model; name, sizes, configuration and sha256 are added.
        weights: how matrices and kernels are stored, "float32", "float16" or "int8" (loaded as float32), see
            :func:`pushpull.detectors.stored.pack`.

    Returns:
        The path of the weights.

    Raises:
        OSError: they cannot be written, as where the disk is full.
    """
    path = weights_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = pack(_on_cpu(model.state_dict()), weights)
    embeddings = {REFERENCE + name: x for name, x in model.reference_embeddings.items()}
    state |= pack(_on_cpu(embeddings), "float32" if weights == "float32" else "float16")
    config = model.config.to_dict()
    card = {
        **(card or {}),
        "name": path.stem,
        "variant": model.config.variant,
        "size": model.config.size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "config": config,
    }
    for name in ("sha256", "point"):
        card.pop(name, None)
    metadata = {"format": "pt", "config": json.dumps(config), "card": json.dumps(card)}
    _write(path, lambda temporary: save_file(state, temporary, metadata))
    card["sha256"], card["bytes"] = sha256(path), path.stat().st_size
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    _write(path.with_suffix(".json"), lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))
    return path


def weights_file(path: str | Path) -> Path:
    """What a checkpoint's weights are called, given with or without the suffix."""
    path = Path(path)
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def list_models(folder: str | Path = CHECKPOINTS) -> list[dict]:
    """The cards of a folder's checkpoints, by name. Files that are not ours are left out, with a warning."""
    cards = []
    for path in sorted(Path(folder).glob(VISIBLE + SUFFIX)):
        try:
            _, card = read_header(path)
        except CheckpointError as error:
            warnings.warn(str(error), stacklevel=2)
            continue
        card["bytes"] = path.stat().st_size
        cards.append(card)
    return cards


def find_checkpoint(name_or_path: str | Path, folder: str | Path = CHECKPOINTS) -> Path:
    """The weights file of a name or path. A name never leaves ``folder``.

    Raises:
        CheckpointError: there is none, or a string that is neither a name nor a ``.safetensors`` path.
    """
    folder = Path(folder)
    if isinstance(name_or_path, Path) or name_or_path.endswith(SUFFIX):
        path = Path(name_or_path)
        if path.is_file():
            return path
        raise CheckpointError(f"no checkpoint at {path}; {_available(folder)}")
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    if not NAME.fullmatch(name_or_path):
        raise CheckpointError(
            f"{name_or_path!r} is not a model name; {_available(folder)}, or the path of a {SUFFIX} file"
        )
    for name in (name_or_path, PREFIX + name_or_path):
        if (path := folder / (name + SUFFIX)).is_file():
            return path
    raise CheckpointError(f"no model named {name_or_path!r}; {_available(folder)}")


def read_header(path: Path) -> tuple[TalkNetConfig, dict]:
    """Configuration and card out of a weights file, without reading the weights."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(_why_unreadable(path, error)) from error
    if "config" not in metadata:
        raise CheckpointError(f"{path} is a safetensors file without a TalkNet configuration: not of this package")
    try:
        config = TalkNetConfig.from_dict(json.loads(metadata["config"]))
        card = json.loads(metadata.get("card", "{}"))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} holds a configuration this version does not know: {error}") from error
    return config, check_card(path, card) | {"name": path.stem}


def check_card(path: Path, card) -> dict:
    """The card in or beside ``path``, or CheckpointError if it is none, or states facts that cannot be."""
    if not isinstance(card, dict):
        raise CheckpointError(f"the card of {path} is no JSON object of facts")
    try:
        Card.from_dict(card)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"the card of {path} cannot be right: {error}") from error
    return card


def load_state(model: TalkNet, state: dict[str, Tensor], *, source: str) -> None:
    """Load every tensor, or raise CheckpointError naming what is missing, unexpected, misshapen or not finite."""
    own = model.state_dict()
    problems = [f"missing {name}" for name in own if name not in state]
    problems += [f"unexpected {name}" for name in state if name not in own]
    problems += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise CheckpointError(f"{source} does not fit {model.config.size} {model.config.variant}: {shown}")
    if broken := [name for name in own if not state[name].isfinite().all()]:
        raise CheckpointError(f"{source} holds values that are not finite, in {', '.join(broken[:8])}")
    model.load_state_dict(state)


def import_official(path: str | Path) -> TalkNet:
    """A full TalkNet from a ``.model`` file of the official code (pretrain_AVA.model, pretrain_TalkSet.model).

    Only tensors are unpickled: a file with anything else in it is refused, not run.

    Raises:
        CheckpointError: not such a file, or tensors that do not fit, named.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no file at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} holds more than tensors, or is no torch file; not loaded") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as a torch file: copy or download it again") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is not a state dict: expected tensors by name")
    model = TalkNet()
    load_state(model, from_official(state), source=str(path))
    model.card = {"name": path.stem, "source": f"imported from {path.name}"}
    return model.eval()


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Official names to ours; names that are not official keep theirs, to be reported as unexpected."""
    renamed = {}
    for name, tensor in state.items():
        name = name.removeprefix("module.")  # left by data-parallel training
        for official, own in OFFICIAL_HEADS.items():
            name = own + name.removeprefix(official) if name.startswith(official) else name
        renamed[name.removeprefix(OFFICIAL_BODY)] = tensor.float() if tensor.is_floating_point() else tensor
    return renamed


def to_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`from_official`, for use with the official code."""
    heads = {own: official for official, own in OFFICIAL_HEADS.items()}
    renamed = {}
    for name, tensor in state.items():
        head = next((own for own in heads if name.startswith(own)), None)
        renamed[heads[head] + name.removeprefix(head) if head else OFFICIAL_BODY + name] = tensor
    return renamed


def with_sidecar(path: Path, card: dict) -> dict:
    """The card beside the weights, where people may have added to it; the one inside if it is of other weights.

    Args:
        path: of the weights.
        card: the one inside, with their ``sha256``.

    Raises:
        CheckpointError: it states facts that cannot be.
    """
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        return card
    try:
        beside = json.loads(read_text(sidecar))
        belongs = beside["sha256"] == card["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        belongs = False
    if not belongs:
        warnings.warn(f"{sidecar} is not the card of {path.name}; using the one inside it", stacklevel=3)
        return card
    return check_card(sidecar, beside) | {"name": path.stem}


def _available(folder: Path) -> str:
    names = ", ".join(path.stem for path in sorted(folder.glob(VISIBLE + SUFFIX)))
    return f"there is: {names}" if names else f"{folder} holds no checkpoints yet"


def _why_unreadable(path: Path, error: Exception) -> str:
    with open(path, "rb") as file:
        start = file.read(2)
    if start == b"PK" or start[:1] == b"\x80":
        return (
            f"{path} is a pickle, which may run code when opened; if it is an official TalkNet file, import it with "
            f"python -m pushpull.detectors.checkpoint --import {path} checkpoints/NAME"
        )
    return f"{path} is damaged or no safetensors file ({error}): copy or download it again"


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _write(path: Path, write) -> None:
    """Write beside ``path`` and rename over it, so that a reader sees the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem + ".", suffix=".tmp")
    os.close(handle)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written ({error})") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m pushpull.detectors.checkpoint", description="Look after checkpoints.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--list", action="store_true", help="the models this package can load by name")
    action.add_argument("--show", metavar="NAME", help="a model's card, as JSON")
    action.add_argument(
        "--import", dest="official", nargs=2, metavar=("FILE", "OUT"), help="turn an official .model file into OUT"
    )
    parser.add_argument("--weights", choices=STORED, default=STORED[0], help="with --import: how to store them")
    parser.add_argument("--overwrite", action="store_true", help="with --import: replace OUT if it exists")
    options = parser.parse_args(arguments)
    try:
        if options.list:
            for card in list_models():
                print(f"{card['name']:24} {card['size']:5} {card['variant']:12} {card['bytes'] / 1e6:6.1f} MB")
        elif options.show:
            print(json.dumps(load_model(options.show, "cpu").card, indent=2, ensure_ascii=False))
        else:
            _import(*options.official, weights=options.weights, overwrite=options.overwrite)
    except (CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _import(source: str, out: str, *, weights: str, overwrite: bool) -> None:
    target = Path(out.removesuffix(SUFFIX) + SUFFIX)
    if target.exists() and not overwrite:
        raise CheckpointError(f"{target} exists; pass --overwrite to replace it")
    model = import_official(source)
    path = save_checkpoint(target, model, model.card | {"source_sha256": sha256(source)}, weights=weights)
    print(f"{len(model.state_dict())} tensors from {source} to {path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    sys.exit(main())
