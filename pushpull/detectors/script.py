"""A detector out of a Python file of one's own, for commands and the page, which take paths."""

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pushpull.detectors.base import Detector
from pushpull.detectors.checkpoint import CheckpointError, resolve_device
from pushpull.detectors.clip_norm import ClipNormed, split_share
from pushpull.detectors.load import load_detector
from pushpull.detectors.points import at_point
from pushpull.detectors.wrap import wrap

SCRIPT = ".py"
VARIABLE = "detector"


def open_detector(name_or_path: str | Path, device: str | torch.device = "auto", point: str | None = None) -> Detector:
    """What a person named on a command line: as :func:`load_detector`, or a ``.py`` file, which is run.

    ``+clip-norm=0.3`` may follow either.

    Args:
        point: as :func:`load_detector`; what a ``.py`` file makes has its own threshold, unless its card says more.

    Raises:
        CheckpointError, ValueError: as :func:`load_detector` and :func:`run_script`.
    """
    name, share = split_share(str(name_or_path))
    if name.endswith(SCRIPT):
        detector = run_script(name, device)
        return at_point(detector if share is None else ClipNormed(detector, share), point)
    return load_detector(name_or_path, device, point)


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Inside, a file's folder is where imports look first."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def run_script(path: str | Path, device: str | torch.device = "auto") -> Detector:
    """The ``detector`` that a Python file makes. The file is run: it is the user's own code.

    Args:
        path: a file that sets ``detector``, to what :func:`pushpull.wrap` returns or to a module that it can wrap.
            What the file registers with ``register_detector`` is known from then on. It imports what lies beside it,
            as it does where Python runs it.
        device: where its parameters are moved to, if it has any.

    Raises:
        CheckpointError: no such file, it fails, or it sets no ``detector``.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no file at {path}")
    try:
        with _beside(path):
            made = runpy.run_path(str(path))
    except Exception as error:
        raise CheckpointError(f"{path} fails when it is run: {type(error).__name__}: {error}") from error
    detector = made.get(VARIABLE)
    if not callable(detector) or isinstance(detector, type):
        raise CheckpointError(f"{path} sets no {VARIABLE}: end it with a line such as  {VARIABLE} = pushpull.wrap(net)")
    if getattr(detector, "card", None) is None:
        detector = wrap(detector, name=path.stem)
    return detector.to(resolve_device(device)) if isinstance(detector, torch.nn.Module) else detector
