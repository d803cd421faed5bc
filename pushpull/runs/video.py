"""The annotated video: the scene, the attacked face in a box, and the model's scores before and after as it plays."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from moviepy import AudioArrayClip, ColorClip, CompositeVideoClip, ImageClip, VideoClip
from PIL import Image, ImageColor, ImageDraw, ImageFont

from pushpull.clip import FPS, SAMPLE_RATE
from pushpull.faces.scene import Scene
from pushpull.plots.scores import probability
from pushpull.plots.style import AFTER, BEFORE, FAINT, INK, MUTED, PAPER, SILENT, SPEAKING, STORED, new_figure, runs
from pushpull.runs.run import Run

WIDTH, HEIGHT = 1280, 720  # pixels, most that the picture gets
NARROWEST = 640  # pixels; below it the words of the panel are not legible
LARGEST_ZOOM = 2.0  # small footage is enlarged up to this, so that the panel does not dwarf it
METERS = 250  # pixels of the panel's left part
CAPTION = 30  # pixels, height of the line under the picture that says what was done
PANEL = 226  # pixels, height of what is under that
DPI = 100
# RGB goes in; players that are told nothing take small pictures for BT.601 and large ones for BT.709.
BT709 = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709"]
BT709 += ["-color_primaries", "bt709", "-color_trc", "bt709"]
VERDICTS = ("not speaking", "speaking")


def write_annotated(path: str | os.PathLike, scene: Scene, run: Run) -> Path:
    """Write the attacked scene with box, verdicts, score bars and score curves burnt in; its sound is the attacked one.

    H.264 and AAC in MP4: for looking at. The picture shows the perturbation as far as the encoder keeps it; the
    numbers are those of the unrounded attack and, beside them, of the stored one.

    Args:
        path: where to; replaced if it exists. It appears whole or not at all.
        scene: where the face is.
        run: of the attack on it.
    """
    path = Path(path)
    layout = Layout.of(scene.size)
    scores = {name: probability(margin) for name, margin in run.margins.items()}
    panel, left, right = draw_panel(run, layout.width)
    pictures = Sequence(draw_scene(frame, box, index, run, layout) for index, (frame, box) in _frames(scene, run))
    seconds = run.clip.seconds
    layers = [
        VideoClip(pictures.at, duration=seconds),
        ImageClip(draw_caption(run, layout.width), duration=seconds).with_position((0, layout.height)),
        ImageClip(panel, duration=seconds).with_position((0, layout.height + CAPTION)),
        VideoClip(lambda t: draw_meters(scores, _index(t, run)), duration=seconds).with_position(
            (0, layout.height + CAPTION)
        ),
        ColorClip((2, PANEL - 48), ImageColor.getrgb(INK), duration=seconds).with_position(
            lambda t: (round(left + (right - left) * min(1.0, t / seconds)), layout.height + CAPTION + 6)
        ),
    ]
    sound = run.stored_clip.audio
    # With a background nothing shines through, and moviepy composes no transparency, which takes as long again.
    size = (layout.width, layout.height + CAPTION + PANEL)
    video = CompositeVideoClip(layers, size=size, bg_color=(255, 255, 255))
    video = video.with_audio(AudioArrayClip(np.stack([sound, sound], axis=1), fps=SAMPLE_RATE)).with_duration(seconds)
    # Absolute: a relative name such as "-x" or "12:30" would be an option or an address to ffmpeg.
    partial = path.absolute().with_name(f".{path.stem}.{os.getpid()}.part.mp4")
    try:
        with tempfile.TemporaryDirectory() as folder:
            video.write_videofile(
                str(partial),
                fps=FPS,
                codec="libx264",
                preset="veryfast",
                audio_fps=SAMPLE_RATE,
                audio_codec="aac",
                temp_audiofile_path=folder,
                pixel_format="yuv420p",
                ffmpeg_params=["-crf", "18", "-movflags", "+faststart", *BT709],
                logger=None,
            )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
        video.close()
        pictures.close()
    return path


@dataclass(frozen=True)
class Layout:
    """Sizes in pixels: of the picture as it is shown, and of the area it is centred in."""

    shown: tuple[int, int]
    width: int
    height: int

    @classmethod
    def of(cls, size: tuple[int, int]) -> "Layout":
        """For pictures of (H, W) ``size``; all sides even, as H.264 wants them."""
        zoom = min(WIDTH / size[1], HEIGHT / size[0], LARGEST_ZOOM)
        height, width = (max(2, 2 * round(side * zoom / 2)) for side in size)
        return cls((height, width), max(NARROWEST, width), height)


class Sequence:
    """Pictures that come one after the other, asked for by time: moviepy asks for some of them twice."""

    def __init__(self, pictures: Iterator[np.ndarray]):
        self._pictures, self._index, self._picture = pictures, -1, None

    def at(self, t: float) -> np.ndarray:
        """The picture shown at ``t`` seconds; never an earlier one than the last."""
        while self._index < round(t * FPS):
            self._picture = next(self._pictures)
            self._index += 1
        return self._picture

    def close(self) -> None:
        """End what the pictures come from."""
        self._pictures.close()


def _frames(scene: Scene, run: Run):
    return enumerate(scene.attacked(run.clip, run.stored_clip, max_side=WIDTH))


def _index(t: float, run: Run) -> int:
    return min(round(t * FPS), run.clip.frames - 1)


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    # The font that matplotlib brings: it is there wherever this package is.
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def draw_scene(frame: np.ndarray, box: np.ndarray, index: int, run: Run, layout: Layout) -> np.ndarray:
    """(height, width, 3): the picture with the face's box and what the model says of it before and after."""
    height, width = layout.shown
    method = cv2.INTER_AREA if frame.shape[0] > height else cv2.INTER_CUBIC
    zoom = width / frame.shape[1]
    canvas = Image.new("RGB", (layout.width, layout.height), INK)
    left = (layout.width - width) // 2
    canvas.paste(Image.fromarray(cv2.resize(frame, (width, height), interpolation=method)), (left, 0))
    draw = ImageDraw.Draw(canvas)
    before, after = (bool(run.margins[name][index] > 0) for name in ("clean", "adversarial"))
    colour = SPEAKING if after else SILENT
    x1, y1, x2, y2 = (float(side) for side in box * zoom + np.array([left, 0, left, 0], np.float32))
    draw.rectangle((x1, y1, x2, y2), outline=colour, width=3)
    text = VERDICTS[after] if before == after else f"{VERDICTS[before]} → {VERDICTS[after]}"
    font = _font(15, bold=True)
    wide = draw.textlength(text, font=font) + 14
    x = min(max(0.0, x1 - 1), layout.width - wide)
    y = y1 - 26 if y1 >= 26 else min(y2, layout.height - 26)
    draw.rectangle((x, y, x + wide, y + 25), fill=colour)
    draw.text((x + 7, y + 12), text, font=font, fill="white" if after else INK, anchor="lm")
    return np.asarray(canvas)


def draw_caption(run: Run, width: int) -> np.ndarray:
    """(CAPTION, width, 3): the attack and its budget."""
    canvas = Image.new("RGB", (width, CAPTION), PAPER)
    draw = ImageDraw.Draw(canvas)
    text = describe(run)
    size = next(size for size in range(15, 0, -1) if size == 1 or draw.textlength(text, font=_font(size)) < width - 28)
    draw.text((14, CAPTION // 2 + 2), text, font=_font(size), fill=INK, anchor="lm")
    return np.asarray(canvas)


def draw_meters(scores: dict[str, np.ndarray], index: int) -> np.ndarray:
    """(PANEL, METERS, 3): the probabilities of speaking in one frame as bars."""
    canvas = Image.new("RGB", (METERS, PANEL), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((14, 18), "probability of speaking", font=_font(13, bold=True), fill=INK, anchor="lm")
    rows = (("before", "clean", BEFORE), ("after", "adversarial", AFTER), ("after, stored", "stored", STORED))
    for row, (title, name, colour) in enumerate(rows):
        value, y = float(scores[name][index]), 42 + 52 * row
        draw.text((14, y + 8), title, font=_font(13), fill=MUTED, anchor="lm")
        draw.text((METERS - 16, y + 8), f"{value:.2f}", font=_font(15, bold=True), fill=INK, anchor="rm")
        draw.rectangle((14, y + 20, METERS - 16, y + 32), fill=FAINT)
        draw.rectangle((14, y + 20, 14 + round((METERS - 30) * value), y + 32), fill=colour)
        middle = 14 + (METERS - 30) // 2
        draw.line((middle, y + 18, middle, y + 34), fill=INK, width=1)
    draw.text((14, PANEL - 18), f"{index / FPS:.2f} s, frame {index}", font=_font(12), fill=MUTED, anchor="lm")
    return np.asarray(canvas)


def draw_panel(run: Run, width: int) -> tuple[np.ndarray, float, float]:
    """The score curves and what counts as right, over time.

    Returns:
        (PANEL, width, 3) uint8, and the x of the first and of the last instant in it, in pixels.
    """
    scores = {name: probability(margin) for name, margin in run.margins.items()}
    frames, seconds = run.clip.frames, run.clip.seconds
    instants = (np.arange(frames) + 0.5) / FPS
    with new_figure(width / DPI, PANEL / DPI) as figure:
        figure.set_dpi(DPI)
        figure.get_layout_engine().set(rect=(METERS / width, 0, 1 - METERS / width - 0.01, 1))
        axes = figure.add_subplot()
        axes.axhline(0.5, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.plot(instants, scores["clean"], color=BEFORE, label="before")
        axes.plot(instants, scores["adversarial"], color=AFTER, label="after")
        axes.plot(instants, scores["stored"], color=STORED, linestyle=(0, (1, 1.2)), label="stored")
        wanted = run.labels if run.targets is None else run.targets
        for start, stop, speaking in runs(wanted[0].numpy()):
            axes.broken_barh(
                [(start / FPS, (stop - start) / FPS)], (-0.27, 0.15), color=SPEAKING if speaking else FAINT
            )
        title = "labels" if run.targets is None and not run.own_labels else "model, clean"
        axes.set(xlim=(0, seconds), ylim=(-0.3, 1.04), yticks=[-0.195, 0, 0.5, 1], xlabel="time in s")
        axes.set_yticklabels([title if run.targets is None else "aim", "0", "0.5", "1"])
        axes.grid(False)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        left, right = (axes.transData.transform((instant, 0))[0] for instant in (0, seconds))
    return np.asarray(canvas.buffer_rgba())[..., :3].copy(), float(left), float(right)


def describe(run: Run) -> str:
    """The attack and its budget with units, in a line."""
    parts = []
    if run.eps["audio"]:
        parts.append(f"sound ±{run.eps['audio']:.3g} of full scale")
    if run.eps["video"]:
        parts.append(f"picture ±{run.eps['video']:.3g} of 255 grey levels")
    column = run.metrics["adversarial"]
    flipped = f"{column['flipped']} of {column['frames']} frames flipped"
    return f"{run.spec.attack_name.upper()}: {', '.join(parts) or 'nothing may change'}; {flipped}"
