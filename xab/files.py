"""What is on disk: clips and checkpoints to choose from, and the folders of stimuli."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKPOINTS = ROOT / "checkpoints"
SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".mpg")


def clip_names(assets: Path) -> list[str]:
    """The clips that studies can be made from, by file name; as ``pushpull.runs.cards``, but that takes torch."""
    if not assets.is_dir():
        return []
    found = (path for path in assets.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(path.name for path in found if path.is_file())


def model_names(checkpoints: Path = CHECKPOINTS) -> list[str]:
    """The checkpoints that can be attacked, by name; read from the folder, as loading them takes torch."""
    return sorted(path.stem for path in checkpoints.glob("[!.]*.safetensors"))


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
