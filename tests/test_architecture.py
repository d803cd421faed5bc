"""The walls of docs/architecture.md, checked by reading every import statement."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each room may import the rooms before it in the list; commands and pages come last.
ROOMS = [
    "pushpull.threads",
    "pushpull.torchaudio_shim",
    "pushpull.files",
    "pushpull.config",
    "pushpull.clip",
    "pushpull.media.ffmpeg",
    "pushpull.media.stimulus",
    "pushpull.media",
    "pushpull.faces.tracking",
    "pushpull.faces",
    "pushpull.faces.scene",
    "pushpull.attacks.objectives",
    "pushpull.detectors",
    "pushpull.attacks",
    "pushpull.metrics",
    "pushpull.plots",
    "pushpull.data",
    "pushpull.training",
    "pushpull.runs",
]
SOURCES = sorted(
    path for folder in ("pushpull", "xab") for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts
) + [ROOT / "app.py"]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Absolute names of every module that ``path`` imports, wherever in the file."""
    package = module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module) if part)
            found.add(origin)
            found.update(f"{origin}.{alias.name}" for alias in node.names)
    return found


def room(name: str) -> int | None:
    for index, prefix in enumerate(ROOMS):
        if name == prefix or name.startswith(prefix + "."):
            return index
    return None


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    name, imported = module_name(path), imports(path)
    mine = room(name)
    if mine is not None:
        above = sorted(other for other in imported if room(other) is not None and room(other) > mine)
        assert not above, f"{name} imports rooms below it: {above}"
    if within(name, "pushpull"):
        assert not any(within(other, "xab", "app") for other in imported), f"{name} imports a page"
    if mine is not None:
        assert not any(within(other, "pushpull.train", "pushpull.perturb", "pushpull.demo") for other in imported), (
            f"{name} imports a command or a page"
        )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_gradio_and_sql_stay_in_their_rooms(path):
    name, imported = module_name(path), imports(path)
    if not within(name, "app", "pushpull.demo", "xab.pages"):
        assert not any(within(other, "gradio") for other in imported), f"{name} imports gradio"
    if not within(name, "xab.store", "xab.migrations"):
        assert not any(within(other, "sqlalchemy", "alembic") for other in imported), f"{name} speaks SQL"


def test_attacks_know_no_talknet():
    for path in SOURCES:
        if within(module_name(path), "pushpull.attacks", "pushpull.attacks.objectives"):
            assert not any(within(other, "pushpull.detectors") for other in imports(path)), path


def test_no_file_holds_two_ideas():
    long = {
        str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long, f"split these: {long}"
