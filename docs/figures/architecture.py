"""The picture of docs/architecture.md: the one way from a file to a page, and who walks it.

python docs/figures/architecture.py --out docs/architecture.svg
"""

import argparse
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 980, 600
INK, MUTED, PAPER, LINE = "#22262B", "#5B636C", "#FFFFFF", "#6B737C"
READ, SCORE, TELL, USE = "#DCEBF7", "#FBE3D3", "#DDF1E7", "#EEEAF4"  # reading, attacking, telling, those who use it
SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace"


@dataclass(frozen=True)
class Box:
    """A step: what it is, what it does, and where its code is."""

    x: int
    y: int
    title: str
    lines: tuple[str, ...]
    path: str
    fill: str
    width: int = 200
    height: int = 104
    size: float = 16

    def svg(self) -> str:
        middle = self.x + self.width / 2
        parts = [
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="8" fill="{self.fill}" '
            f'stroke="{LINE}"/>',
            text(middle, self.y + 24, self.title, self.size, weight="bold"),
        ]
        parts += [text(middle, self.y + 45 + 17 * i, line, 12.5, MUTED) for i, line in enumerate(self.lines)]
        if self.path:
            parts.append(text(middle, self.y + self.height - 9, self.path, 11.5, INK, family=MONO))
        return "\n".join(parts)


def text(x, y, words, size, colour=INK, *, weight="normal", family=SANS, anchor="middle") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-family="{escape(family)}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
    )


def arrow(*points: tuple[int, int], dashed: bool = False) -> str:
    way = " ".join(f"{x},{y}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{way}" fill="none" stroke="{INK}" stroke-width="1.6"{dashes} marker-end="url(#tip)"/>'


STEPS = (
    Box(30, 50, "file", ("any container and codec,", "any rate and size"), "clip.mp4", READ),
    Box(270, 50, "media", ("25 pictures a second and", "16 kHz sound, on one clock"), "pushpull/media/", READ),
    Box(510, 50, "faces", ("detect, track, crop as the", "detector was trained"), "pushpull/faces/", READ),
    Box(750, 50, "Clip", ("sound (640 T), labels (T),", "pictures (T, 112, 112)"), "pushpull/clip.py", READ),
    Box(750, 205, "detector", ("TalkNet, Light-ASD, LR-ASD,", "or yours: logits (T, 2)"), "pushpull/detectors/", SCORE),
    Box(510, 205, "objective", ("what the attacker wants,", "one number a clip"), "attacks/objectives.py", SCORE),
    Box(270, 205, "attack", ("one loop, a budget", "for each modality"), "pushpull/attacks/", SCORE),
    Box(30, 205, "Run", ("what was asked for, and all", "that came of it"), "pushpull/runs/", SCORE),
    Box(30, 360, "metrics", ("each once: name, unit,", "direction, words, function"), "pushpull/metrics/", TELL),
    Box(270, 360, "plots", ("scores, perturbation,", "embeddings, steps"), "pushpull/plots/", TELL),
    Box(510, 360, "files", ("report that reruns, CSV, video,", "bit-exact adversarial clip"), "pushpull/runs/", TELL),
    Box(750, 360, "page and shell", ("Attack tab, XAB test,", "pushpull perturb"), "pushpull/demo/  xab/", TELL),
)  # fmt: skip
USERS = (
    Box(30, 516, "evaluation: many clips, many detectors, tables, audit", (), "pushpull/evaluation/", USE, 440, 58, 14),
    Box(510, 516, "training: data in, checkpoints with cards out", (), "pushpull/training/", USE, 440, 58, 14),
)  # fmt: skip
ARROWS = (
    arrow((230, 102), (266, 102)),
    arrow((470, 102), (506, 102)),
    arrow((710, 102), (746, 102)),
    arrow((850, 154), (850, 201)),
    arrow((750, 257), (714, 257)),
    arrow((510, 257), (474, 257)),
    arrow((270, 257), (234, 257)),
    arrow((130, 309), (130, 356)),
    arrow((230, 412), (266, 412)),
    arrow((470, 412), (506, 412)),
    arrow((710, 412), (746, 412)),
    arrow((370, 309), (370, 330), (850, 330), (850, 313), dashed=True),
)


def draw() -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img">',
        "<title>From a file to a page: media, faces, Clip, detector, objective, attack, Run, metrics, plots</title>",
        f'<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0 L10,5 L0,10 z" fill="{INK}"/></marker></defs>',
        # A background of its own: legible on dark pages too.
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="{PAPER}"/>',
        text(30, 34, "Reading", 13, MUTED, weight="bold", anchor="start"),
        text(30, 192, "Attacking", 13, MUTED, weight="bold", anchor="start"),
        text(30, 347, "Telling", 13, MUTED, weight="bold", anchor="start"),
        text(30, 504, "What walks this way many times", 13, MUTED, weight="bold", anchor="start"),
        text(610, 346, "the next step: a perturbation within the budgets", 12, MUTED),
        *(box.svg() for box in STEPS + USERS),
        *ARROWS,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "architecture.svg", help="(%(default)s)")
    parser.parse_args().out.write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
