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
    "pushpull.bfloat16",
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
    "pushpull.runs",
    "pushpull.evaluation",
    "pushpull.training",
]
# Lines of a function from its ``def`` to its end, docstring not counted. A comment "# long: REASON" in its signature
# lets it be longer.
LONGEST = 60
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


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From ``def`` to the last line, without the docstring."""
    first = function.body[0]
    docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return function.end_lineno - function.lineno + 1 - (first.end_lineno - first.lineno + 1 if docstring else 0)


def long_functions(text: str) -> dict[str, int]:
    """Functions of more than ``LONGEST`` lines that give no reason in their signature."""
    lines = text.splitlines()
    return {
        node.name: count
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (count := lines_of(node)) > LONGEST
        and not any("# long: " in line for line in lines[node.lineno - 1 : node.body[0].lineno - 1])
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_can_be_read_at_one_look(path):
    long = long_functions(path.read_text(encoding="utf-8"))
    assert not long, f"{path.relative_to(ROOT)}: split these, or say why not by '# long: REASON' at the def: {long}"


@pytest.mark.parametrize(
    "head, lines, long",
    [
        ("def f():", 59, {}),
        ("def f():", 60, {"f": 61}),
        ("async def f():", 60, {"f": 61}),
        ("def f():  # long: one table", 60, {}),
        ('def f():\n    """One.\n\n    Two.\n    """', 59, {}),
        ('def f():\n    """One."""', 60, {"f": 61}),
    ],
)
def test_long_functions_are_found(head, lines, long):
    assert long_functions("\n".join([head, *["    x = 1"] * lines])) == long
