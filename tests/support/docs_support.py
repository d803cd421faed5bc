"""Examples in README.md and docs/: code blocks with their language and how they are tested, and the files they name.

A comment on the line above a block says what a test needs to know, and nothing on the page:

    <!-- test: skip, REASON -->       it cannot run in a test
    <!-- test: slow -->               only `make test-all` runs it; nothing after it on its page may need it
    <!-- test: needs pp.audit -->     it runs where pushpull has that name
    <!-- test: needs OpenGL -->       it runs where talking heads can be drawn
    <!-- test: needs lr-asd-ava -->   it runs where that detector's weights are
    <!-- test: served -->             http://127.0.0.1:7860 is an app that runs
"""

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("sh", "bash", "console")
FENCE = re.compile(r"^ *```(\w*)\s*$")
MARKER = re.compile(r"^ *<!-- test: (.*) -->\s*$")
CLIP_SECONDS = 1.4  # docs/attacks.md aims at 0.4 to 1.2 s of clip.mp4


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        page: from the repository's root.
        line: the first of its text, counted from 1.
        language: what follows the fence; "" where nothing does.
        text: without the fences.
        marker: what the comment above it says to tests; "" where there is none.
    """

    page: str
    line: int
    language: str
    text: str
    marker: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def slow(self) -> bool:
        return "slow" in re.split(r"[, ]+", self.marker.partition("skip")[0])


def blocks_of(page: str, text: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    found, lines, start, language = [], text.splitlines(), None, ""
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if not fence:
            continue
        if start is None:
            start, language = number + 1, fence[1]
            continue
        marker = MARKER.match(lines[start - 2]) if start >= 2 else None
        found.append(Block(page, start + 1, language, "\n".join(lines[start:number]), marker[1] if marker else ""))
        start = None
    assert start is None, f"{page}:{start}: a block is not closed"
    return found


def all_blocks() -> list[Block]:
    return [
        block
        for page in PAGES
        for block in blocks_of(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8"))
    ]


def commands_of(block: Block) -> list[list[str]]:
    """The words of each command of a shell block, variables filled in, redirections and comments left out."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    variables, commands = {}, []
    for line in lines:
        line = re.sub(r"\$(\w+)", lambda name: variables.get(name[1], name[0]), line)
        words = shlex.split(line, comments=True)
        while words and (given := re.fullmatch(r"(\w+)=(.*)", words[0])):
            variables[given[1]] = given[2]
            words = words[1:]
        words = words[: words.index(">")] if ">" in words else words
        words = [word for word in words if word != "..."]
        if words:
            commands.append(words)
    return commands


def write_world(folder: Path) -> None:
    """The files that the pages name, small: clip.mp4, friday.mp4, footage/, heads/, assets/, checkpoints/."""
    _cut(ROOT / "assets" / "1-speaking-indoors.mp4", folder / "clip.mp4")
    shutil.copy(folder / "clip.mp4", folder / "friday.mp4")
    for name in ("assets", "checkpoints", "docs"):
        (folder / name).symlink_to(ROOT / name)
    for speaker, sample in {"anna": "2-speaking-shelves", "bert": "3-speaking-garden", "carla": "8-noisy"}.items():
        (folder / "footage" / speaker).mkdir(parents=True)
        _cut(ROOT / "assets" / f"{sample}.mp4", folder / "footage" / speaker / "monday.mp4")
    _write_heads(folder / "heads")


def _cut(video: Path, out: Path) -> None:
    line = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", "-t", str(CLIP_SECONDS)]
    subprocess.run([*line, "-i", str(video), str(out)], check=True, timeout=60)


def _write_heads(folder: Path, frames: int = 25) -> None:
    """A made folder of one clip of grey noise, as ``python -m pushpull.data.talkheads make`` lays it out."""
    (folder / "clips").mkdir(parents=True)
    video = np.random.default_rng(0).integers(0, 256, (frames, 112, 112), dtype=np.uint8)
    np.savez(folder / "clips" / "000000.npz", video=video, audio=np.zeros(640 * frames, np.int16))
    face = {"file": "000000.npz", "identity": 0, "voice": "slt", "labels": "1" * frames}
    record = {"split": "train", "kind": "in_sync", "faces": [face]}
    (folder / "manifest.json").write_text(json.dumps({"clips": [record]}), encoding="utf-8")
