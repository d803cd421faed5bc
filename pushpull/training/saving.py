"""Tensors and plain values in files that are whole or not there."""

from pathlib import Path

import torch

from pushpull.files import replacing


def save_tensors(path: Path, values: dict) -> None:
    """Write ``values`` so that ``path`` holds what it held or all of them, never half.

    Raises:
        OSError: they cannot be written, as where the disk is full.
    """
    with replacing(path) as handle:
        try:
            torch.save(values, handle)
        except RuntimeError as error:
            # torch reports how far its archive came; why it came no further is what was raised before.
            if not isinstance(why := error.__context__, OSError):
                raise
            told = f"{why.strerror}: make room and give the same command again, what was saved before is whole"
            raise OSError(why.errno, told, str(path)) from error
