"""Every example of README.md and docs/ runs: Python blocks, page by page, and the arguments of every command."""

import argparse
import re
import runpy
import shutil
import sys

import pytest
from docs_support import PAGES, ROOT, SHELL, Block, all_blocks, blocks_of, commands_of, write_world

import pushpull as pp
from pushpull.__main__ import COMMANDS
from pushpull.data.talkheads.device import RenderError
from pushpull.data.talkheads.render import Renderer
from pushpull.detectors import open_detector
from pushpull.detectors.load import FOLDER_VARIABLE, find_detector

WEIGHTS = ROOT.parent / "shared" / "data" / "weights"
# Not ours to parse; whatever else a page has the reader type is.
OUTSIDE = {"apt", "apt-get", "cat", "cd", "cp", "createdb", "curl", "docker", "git", "mkdir", "pip"}
OUTSIDE |= {"get_ava_active_speaker_performance.py"}
BLOCKS = all_blocks()
PYTHON = {page: [block for block in BLOCKS if block.page == page and block.language == "python"] for page in
          (path.relative_to(ROOT).as_posix() for path in PAGES)}  # fmt: skip
COMMAND_LINES = [(block, words) for block in BLOCKS if block.language in SHELL for words in commands_of(block)]


class Parsed(Exception):
    """The arguments are those of the command."""


@pytest.fixture(scope="module")
def files(tmp_path_factory, made):
    """The files that the pages name; ``made`` is a small AVA tree."""
    folder = tmp_path_factory.mktemp("docs")
    write_world(folder)
    (folder / "AVA").symlink_to(made)
    return folder


@pytest.fixture
def world(files, tmp_path, monkeypatch):
    """The working folder of one page, and the detectors that lie beside the checkout."""
    folder = shutil.copytree(files, tmp_path / "world", symlinks=True)
    monkeypatch.chdir(folder)
    if WEIGHTS.is_dir():
        monkeypatch.setenv(FOLDER_VARIABLE, str(WEIGHTS))
    return folder


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a running app."""
    from browser_support import Served

    served = Served(tmp_path_factory.mktemp("app"))
    yield served.base
    served.stop()


def missing(block: Block) -> str:
    """Why a block cannot run here; "" if it can."""
    if reason := re.search(r"skip, (.*)", block.marker):
        return reason[1]
    lacking = [lack(need) for need in re.findall(r"needs ([\w.-]+)", block.marker)]
    return "; ".join(filter(None, lacking))


def lack(need: str) -> str:
    if need.startswith("pp."):
        try:
            return "" if hasattr(pp, need[3:]) else f"pushpull has no {need[3:]}"
        except ImportError as error:
            return str(error)
    if need == "OpenGL":
        try:
            Renderer(16, 16).release()
        except RenderError as error:
            return str(error)
        return ""
    return "" if find_detector(need) else f"the weights of {need} are not on this machine"


def run_page(blocks, request):
    """Run the blocks of a page one after the other, in one namespace; reasons of those that cannot run here."""
    names, left_out = {"__name__": "__main__"}, []
    for block in blocks:
        if reason := missing(block):
            left_out.append(f"{block}: {reason}")
            continue
        text = block.text
        if "served" in block.marker:
            text = text.replace("http://127.0.0.1:7860", request.getfixturevalue("address"))
        # Empty lines in front make a traceback's line numbers those of the page.
        exec(compile("\n" * (block.line - 1) + text, block.page, "exec"), names)
    return left_out


def pages(slow: bool):
    """Pages with Python blocks; the fast ones, or those that hold a slow one."""
    return [page for page, blocks in PYTHON.items() if blocks and (not slow or any(block.slow for block in blocks))]


def check_page(page, request, *, slow):
    left_out = run_page([block for block in PYTHON[page] if slow or not block.slow], request)
    if left_out:
        pytest.skip("ran, without " + "; ".join(left_out))


@pytest.mark.parametrize("page", pages(slow=False))
def test_python_examples_run(page, world, request):
    check_page(page, request, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages(slow=True))
def test_slow_python_examples_run(page, world, request):
    check_page(page, request, slow=True)


def test_the_first_block_of_your_own_detector_is_a_detector_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PYTHON["docs/your-own-detector.md"][0].text, encoding="utf-8")
    assert open_detector(path, "cpu").card["name"] == "mine"


def target_of(words: list[str]):
    """What a command line runs: ("module" | "script", name, its arguments), or None for a program that is not ours."""
    name, *rest = words
    if name == "torchrun":
        name, rest = "python", [word for word in rest if not word.startswith("--nproc")]
    if name == "pushpull":
        assert rest and (rest[0] in COMMANDS or rest[0].startswith("-")), f"pushpull has no command {rest[:1]}"
        return ("module", COMMANDS[rest[0]][0], rest[1:]) if rest[0] in COMMANDS else None
    if name == "make":
        return make_target(rest)
    if name == "python" and rest[0] == "-m":
        return "module", rest[1], rest[2:]
    if name == "python" and rest[0] == "-c":
        compile(rest[1], "docs", "exec")
        return None
    if name == "python" and rest[0] not in OUTSIDE:
        return "script", rest[0], rest[1:]
    assert name in OUTSIDE or name == "python", f"what is {name}?"
    return None


def make_target(arguments):
    targets = [word for word in arguments if "=" not in word]
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets:
        assert re.search(rf"^{target}:", rules, re.M), f"the Makefile has no target {target}"
    given = [word.partition("=")[2] for word in arguments if word.startswith("ARGS=")]
    return ("script", "app.py", given[0].split()) if given and targets == ["demo"] else None


def parse(kind: str, name: str, arguments: list[str], monkeypatch) -> None:
    """Have the command parse its arguments and do nothing else."""

    def parse_args(self, given=None, namespace=None):
        real(self, given, namespace)
        raise Parsed

    real = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(Parsed):
        if kind == "module":
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(ROOT / name), run_name="__main__")


@pytest.mark.parametrize("block, words", COMMAND_LINES, ids=[f"{block} {words[:3]}" for block, words in COMMAND_LINES])
def test_commands_have_the_arguments_that_docs_give_them(block, words, monkeypatch, capfd):
    target = target_of(words)
    if target is None:
        return
    kind, name, arguments = target
    monkeypatch.chdir(ROOT)
    try:
        parse(kind, name, arguments, monkeypatch)
    except SystemExit:
        pytest.fail(f"{block}: {' '.join(words)}\n{capfd.readouterr().err[-400:]}")


@pytest.mark.parametrize(
    "words",
    [["perturb", "clip.mp4", "--epsilon", "5"], ["perturb", "clip.mp4", "--attack", "pdg"], ["train", "--rate", "1"]],
)
def test_arguments_that_do_not_exist_are_found(words, monkeypatch, capfd):
    with pytest.raises(SystemExit):
        parse("module", COMMANDS[words[0]][0], words[1:], monkeypatch)
    capfd.readouterr()


def test_commands_are_tagged_so_that_they_are_tested():
    """A block of commands without a language would be passed over."""
    loose = [
        str(block)
        for block in BLOCKS
        if block.language == "" and re.search(r"^(\$ )?(python|pushpull|make|torchrun) ", block.text, re.M)
    ]
    assert not loose, f"say ```sh, or ```console where lines begin with $: {loose}"


def test_blocks_are_found_with_their_lines_and_markers():
    page = (
        "a\n\n<!-- test: slow -->\n```python\nx = 1\n```\n```sh\nA=b python -m m --in $A \\\n  --out y > z  # no\n```\n"
    )
    python, shell = blocks_of("p.md", page)
    assert (python.line, python.language, python.text, python.slow) == (5, "python", "x = 1", True)
    assert shell.line == 8 and not shell.slow and shell.marker == ""
    assert commands_of(shell) == [["python", "-m", "m", "--in", "$A", "--out", "y"]]
    assert commands_of(Block("p.md", 1, "console", "$ pushpull train\nstep 1", "")) == [["pushpull", "train"]]
    assert commands_of(Block("p.md", 1, "sh", 'Z="python -m z --n 2"\n$Z --k', "")) == [
        ["python", "-m", "z", "--n", "2", "--k"]
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for target in targets:
        if re.match(r"https?:|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{target} in {path.name} is not there"
        if anchor and there.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{there.name} has no heading #{anchor}"
