"""What is on disk: clips and detectors to choose from, and the folders of stimuli."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".mpg")
DETECTOR_SUFFIXES = (".safetensors", ".model", ".pt", ".pth")


def clip_names(assets: Path) -> list[str]:
    """The clips that studies can be made from, by file name; as ``pushpull.runs.cards``, but that takes torch."""
    if not assets.is_dir():
        return []
    found = (path for path in assets.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(path.name for path in found if path.is_file())


def model_names() -> list[str]:
    """The detectors that have a name and are on this machine, see pushpull.detectors.list_detectors.

    Raises:
        ValueError: PUSHPULL_DETECTORS names no folder.
    """
    from pushpull.detectors import list_detectors  # here: torch comes with it, and the server starts without

    return [card["name"] for card in list_detectors() if card["where"] != "published"]


def detector_path(name: str) -> str | None:
    """The absolute path of a detector's file; None if ``name`` is none, but perhaps a detector's name."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.suffix in DETECTOR_SUFFIXES and path.is_file() else None


def stimuli_folder(data: Path, study: str) -> Path:
    """Where the files of a study are; stored paths are relative to its parent."""
    return data / "stimuli" / study


def sweep(folder: Path, keep: set[str]) -> None:
    """Remove the files of a worker that was killed between writing and registering a pair."""
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink(missing_ok=True)


def remove_stimuli(data: Path, study: str) -> None:
    shutil.rmtree(stimuli_folder(data, study), ignore_errors=True)
