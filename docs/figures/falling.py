"""The moving picture of README.md: what a detector says of a sample clip while an attack goes on, and then as it plays.

python docs/figures/falling.py --out docs/falling.webp
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import pushpull as pp
from pushpull.clip import FPS
from pushpull.faces.scene import Scene
from pushpull.plots.scores import probability
from pushpull.plots.style import AFTER, BEFORE, DIVERGING, INK, MUTED, new_figure, picture_axes

ROOT = Path(__file__).parents[2]
STEPS = 10  # of BIM, each a quarter of the budget, as the paper's
STEP_MS, LAST_MS, PLAY_EVERY = 260, 1200, 2  # how long a step shows, how long the last; every second frame plays
WIDTH, HEIGHT = 7.8, 4.5  # inches of 100 pixels


def attack_steps(detector, clip, eps_av: float) -> list:
    """Runs of 0 to ``STEPS`` steps of the same attack: each goes on where the one before ended."""
    return [
        pp.attack(
            detector,
            clip,
            pp.BIM(steps=steps, step_size=0.25, keep="last"),
            eps_av=eps_av,
            objective="margin",
            target="hide",
        )
        for steps in range(1, STEPS + 1)
    ]


def label_box(colour: str) -> dict:
    return {"facecolor": colour, "linewidth": 0, "boxstyle": "round,pad=0.35"}


class Stage:
    """The figure, drawn anew for each picture of the film."""

    def __init__(self, clean: np.ndarray, runs: list, eps_av: float):
        self.clean, self.runs, self.eps_av = clean, runs, eps_av
        self.instants = (np.arange(len(clean)) + 0.5) / FPS
        with new_figure(WIDTH, HEIGHT) as figure:
            self.canvas = FigureCanvasAgg(figure)
            top, bottom = figure.subfigures(2, 1, height_ratios=[1.75, 1.0])
            self._draw_pictures(top.subplots(1, 3))
            self._draw_curves(bottom.subplots())
        self.says.set_text("x")
        for _ in range(2):  # the layout settles at the second drawing, and shall not move in the film
            self.canvas.draw()
        figure.set_layout_engine("none")

    def _draw_pictures(self, panels):
        limit, sound = self.runs[-1].eps["video"], self.runs[-1].eps["audio"]
        titles = ("original", "attacked", f"what was added, x {255 / limit / 2:.0f}")
        self.pictures, self.verdicts = [], []
        for axes, title in zip(panels, titles, strict=True):
            picture_axes(axes)
            axes.set_title(title)
            place = {"transform": axes.transAxes, "ha": "center", "va": "bottom", "fontsize": 10, "color": "white"}
            self.verdicts.append(axes.text(0.5, 0.03, "", fontweight="bold", **place))
        noise = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
        self.pictures = [axes.imshow(self.clean[0]) for axes in panels[:2]]
        self.pictures.append(panels[2].imshow(np.zeros((112, 112)), **noise))
        self.verdicts[2].set_text(f"picture ±{limit:g} of 255\nsound ±{sound:.2%} of full scale")
        self.verdicts[2].set(fontsize=8, bbox=label_box(MUTED))

    def _draw_curves(self, axes):
        before = probability(self.runs[0].margins["clean"])
        axes.axhline(0.5, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.plot(self.instants, before, color=BEFORE, label="original")
        (self.after,) = axes.plot(self.instants, before, color=AFTER, label="attacked")
        self.head = axes.axvline(0, color=INK, linewidth=1.4)
        axes.set(xlim=(0, len(before) / FPS), ylim=(-0.04, 1.04), xlabel="time in s")
        axes.set_ylabel("probability of\nspeaking", fontsize=9)
        axes.legend(loc="lower right", ncols=2, bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
        self.says = axes.set_title("")

    def draw(self, steps: int, frame: int, attacked: np.ndarray) -> Image.Image:
        """With the attack after ``steps`` steps, at one frame of the clip."""
        clean = self.runs[0].margins["clean"]
        margin = clean if steps == 0 else self.runs[steps - 1].margins["adversarial"]
        delta = np.zeros((112, 112)) if steps == 0 else self.runs[steps - 1].result.delta["video"][0, frame].numpy()
        self.pictures[0].set_data(self.clean[frame])
        self.pictures[1].set_data(attacked)
        self.pictures[2].set_data(delta)
        self.after.set_data(self.instants, probability(margin))
        self.head.set_xdata([self.instants[frame]] * 2)
        for text, score in zip(self.verdicts, (clean[frame], margin[frame]), strict=False):
            text.set_text(f"{'speaking' if score > 0 else 'not speaking'}, score {probability(score):.2f}")
            text.set_bbox(label_box(BEFORE if score > 0 else AFTER))
        speaking = (margin > 0).mean()
        self.says.set_text(f"BIM, eps_av {self.eps_av:g}, step {steps} of {STEPS}: {speaking:.0%} of frames “speaking”")
        self.canvas.draw()
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3].copy())


def film(model: str, video: Path, frames: slice, eps_av: float) -> tuple[list[Image.Image], list[int]]:
    """Pictures and for how many milliseconds each is shown."""
    detector = pp.load_detector(model, "cpu")
    clip = pp.read_clips(video)[0].span(frames.start, frames.stop)
    runs = attack_steps(detector, clip, eps_av)
    scene = Scene(clip.origin)
    clean = np.stack([frame for frame, _ in scene.frames(256)])
    found = [np.stack([f for f, _ in scene.attacked(clip, run.adversarial_clip, 256)]) for run in (runs[0], runs[-1])]
    stage = Stage(clean, runs, eps_av)
    still = int(np.argmax(runs[0].margins["clean"]))
    # An attacked picture differs from the original by less than a grey level: the first or the last run's looks alike.
    shown = [(steps, still, clean[still] if steps == 0 else found[steps > 5][still]) for steps in range(STEPS + 1)]
    shown += [(STEPS, frame, found[1][frame]) for frame in range(0, len(clean), PLAY_EVERY)]
    last_step = STEPS + 1
    times = [LAST_MS, *[STEP_MS] * (last_step - 2), LAST_MS, *[1000 * PLAY_EVERY // FPS] * (len(shown) - last_step)]
    return [stage.draw(*what) for what in shown], times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="talknet-lite", help="detector (%(default)s)")
    parser.add_argument("--video", type=Path, default=ROOT / "assets" / "2-speaking-shelves.mp4", help="(%(default)s)")
    parser.add_argument("--frames", type=int, nargs=2, default=[10, 85], help="of the clip (%(default)s)")
    parser.add_argument("--eps-av", type=float, default=5.0, help="budget (%(default)s)")
    parser.add_argument("--quality", type=int, default=45, help="of the WebP (%(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "falling.webp", help="(%(default)s)")
    given = parser.parse_args()
    pictures, times = film(given.model, given.video, slice(*given.frames), given.eps_av)
    options = {"duration": times, "loop": 0, "quality": given.quality, "method": 4}
    pictures[0].save(given.out, save_all=True, append_images=pictures[1:], **options)
    print(f"{given.out}: {len(pictures)} pictures, {sum(times) / 1000:.1f} s, {given.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
