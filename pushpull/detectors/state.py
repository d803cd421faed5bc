"""State dicts out of strangers' files, without running anything in them, and into a detector, or what does not fit."""

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pushpull.detectors.base import Detector
from pushpull.detectors.checkpoint import CheckpointError

SAFETENSORS = ".safetensors"
SHOWN = 8  # misfits that a message names
SHOWN_NAME = 80  # characters of a name out of a foreign file


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of a ``.model``, ``.pt`` or ``.pth`` file that torch.save wrote.

    Only tensors are unpickled: a file with anything else in it is refused, not run.

    Returns:
        Dense tensors by name, on the CPU, floating-point ones as float32. A "module." before every name, which
        data-parallel training leaves, is taken off.

    Raises:
        CheckpointError: no such file, empty, cut short, a pickle that holds more than tensors, a zip that is no
            checkpoint, not a state dict, or one with values that are not finite.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder, not a checkpoint")
        if not path.is_file():
            raise CheckpointError(f"no checkpoint at {path}")
        empty = path.stat().st_size == 0
        archive = zipfile.is_zipfile(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if empty:
        raise CheckpointError(f"{path} is empty: copy or download it again")
    if path.suffix == SAFETENSORS:
        state = _safetensors(path)
    else:
        if archive:
            _check_archive(path)
        state = _unpickled(path)
    return _tensors(state, path)


def load_state(module: nn.Module, state: Mapping[str, Tensor], *, source: str, wanted: str) -> None:
    """Load every tensor into ``module``.

    Args:
        source: where the tensors are from, for messages.
        wanted: what ``module`` is, for messages.

    Raises:
        CheckpointError: tensors are missing, unexpected or of another shape; the message names them.
    """
    own = module.state_dict()
    problems = [f"missing {name}" for name in own if name not in state]
    problems += [f"unexpected {name}" for name in state if name not in own]
    problems += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise CheckpointError(f"{source} does not fit {wanted}: {'; '.join(problems[:SHOWN])}{more}")
    module.load_state_dict(state)


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or no safetensors file ({error}): copy or download it again"
        ) from error


def _check_archive(path: Path) -> None:
    """torch.save writes a zip whose one folder holds data.pkl; TorchScript adds code to it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is a damaged archive ({error}): copy or download it again") from error
    if "data.pkl" not in names:
        raise CheckpointError(f"{path} is a zip archive, but no checkpoint that torch.save wrote")
    if "constants.pkl" in names:
        raise CheckpointError(f"{path} is a TorchScript program, which holds code; save its state_dict() instead")


def _unpickled(path: Path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats; what is read is checked below
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:  # of a file that is cut short, too
        raise CheckpointError(f"{path} cannot be read ({error}): copy or download it again") from error
    except Exception as error:  # what a damaged or hostile pickle raises is its own choice
        if asked := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"{path} holds more than tensors (it asks for {asked[1][:SHOWN_NAME]}); it may run code when opened, "
                "so it was not loaded"
            ) from error
        if "weights_only" in str(error):
            raise CheckpointError(
                f"{path} is no file of torch, or holds more than tensors; it was not loaded"
            ) from error
        raise CheckpointError(f"{path} is cut short, or no file of torch: copy or download it again") from error


def _tensors(state, path: Path) -> dict[str, Tensor]:
    if isinstance(state, Mapping) and not state:
        raise CheckpointError(f"{path} holds no tensors")
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path} is not a state dict: expected tensors by name, found {type(state).__name__}")
    if odd := [str(name) for name, value in state.items() if not isinstance(name, str) or not _dense(value)]:
        raise CheckpointError(f"{path} is not a state dict: {', '.join(odd[:SHOWN])} hold no dense tensors")
    prefix = "module." if all(name.startswith("module.") for name in state) else ""
    tensors = {
        name.removeprefix(prefix): value.detach().float() if value.is_floating_point() else value.detach()
        for name, value in state.items()
    }
    if broken := [name for name, value in tensors.items() if not value.isfinite().all()]:
        raise CheckpointError(f"{path} holds values that are not finite, in {', '.join(broken[:SHOWN])}")
    return tensors


def _dense(value) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def content_of(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of the tensors of a state dict, wherever they are, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy() if tensor.numel() else b"")
    return digest.hexdigest()


def remember_content(detector: Detector) -> Detector:
    """The detector, which from now on tells whether its weights are still those that it was loaded with."""
    if isinstance(detector, nn.Module):
        detector.content_as_loaded = content_of(detector.state_dict())
    return detector


def is_as_loaded(detector: Detector) -> bool:
    """Whether the weights are those of the file; of what came from none, and of what does not know, they are."""
    known = getattr(detector, "content_as_loaded", None)
    return known is None or content_of(detector.state_dict()) == known
