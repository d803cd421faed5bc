"""A small video of two people and a small model, for everything that attacks a file from end to end."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.cbook
import numpy as np
import torch
from PIL import Image

from pushpull.clip import SAMPLES_PER_FRAME, Clip
from pushpull.detectors import TalkNet, TalkNetConfig, load_model, save_checkpoint
from pushpull.faces import Footage, read_clips
from pushpull.faces.scene import Scene
from pushpull.media import write_preview

FRAMES = 14


@dataclass(frozen=True)
class World:
    """A video, a checkpoint beside it, the loaded model and the faces."""

    video: Path
    checkpoint: Path
    model: TalkNet
    footage: Footage

    def scene(self, face: int = 1) -> Scene:
        return Scene(self.footage.clips[face - 1].origin)

    def run(self, *options: str, out: Path) -> list[str]:
        """Arguments of a quick run on the first face."""
        return [str(self.video), "--model", str(self.checkpoint), "--device", "cpu", "--out", str(out), *options]


def write_people(path: Path, frames: int = FRAMES) -> Path:
    """Two copies of a public-domain photograph that matplotlib brings, nodding, with a sweep for sound."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        portrait = Image.open(file).convert("RGB").crop((40, 0, 490, 600)).resize((110, 147))
    pictures = []
    for index in range(frames):
        picture = np.full((160, 230, 3), 90, np.uint8)
        for x in (0, 116):
            y = 2 + (index * (1 + (x > 0))) % 8
            picture[y : y + 147, x : x + 110] = portrait
        pictures.append(picture)
    time = np.arange(frames * SAMPLES_PER_FRAME) / 16_000
    return write_preview(path, np.stack(pictures), (0.2 * np.sin(2000 * time**2)).astype(np.float32), crf=12)


def write_detector(path: Path, clip: Clip | None = None, seed: int = 0) -> Path:
    """A lite TalkNet that learnt nothing, whose decisions on ``clip`` nevertheless fall on both sides."""
    torch.manual_seed(seed)
    model = TalkNet(TalkNetConfig(size="lite")).eval()
    with torch.no_grad():
        model.headAV.weight *= 20
        margins = model((clip or random_clip()).inputs()).margin
        # Half of the frames speak; the threshold lies between two of them, where no rounding tips one over.
        middle = margins.flatten().sort().values[margins.numel() // 2 - 1 :][:2].mean()
        model.headAV.bias[1] -= middle
    return save_checkpoint(path, model, {"made": "for a test"})


def random_clip(frames: int = FRAMES, seed: int = 0, labels=None) -> Clip:
    rng = np.random.default_rng(seed)
    audio = (0.1 * rng.standard_normal(frames * SAMPLES_PER_FRAME)).clip(-1, 1).astype(np.float32)
    return Clip(audio=audio, video=rng.integers(0, 256, (frames, 112, 112), dtype=np.uint8), labels=labels)


def make_world(folder: Path) -> World:
    """Everything of a ``World`` in ``folder``."""
    video = write_people(folder / "talk.mp4")
    footage = read_clips(video)
    checkpoint = write_detector(folder / "tiny", footage.clips[0])
    return World(video, checkpoint, load_model(checkpoint, "cpu"), footage)
