"""Contact sheets: many people, or one person's mouth shapes. ``python -m pushpull.data.talkheads.sheet --help``."""

import sys
from pathlib import Path

import cv2
import numpy as np

from pushpull.config import Parser
from pushpull.data.talkheads.bake import BakeError, load_basis
from pushpull.data.talkheads.camera import Light, Pose, View
from pushpull.data.talkheads.head import Head
from pushpull.data.talkheads.identity import sample_identity
from pushpull.data.talkheads.render import Renderer, RenderError
from pushpull.data.talkheads.studio import BACKDROPS, LIGHTS, Staging, backdrop, lighting

MOUTHS = {
    "rest": {},
    "ah": {"jawOpen": 0.5, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2},
    "yawn": {"jawOpen": 0.95},
    "ee": {
        **dict.fromkeys(("mouthStretchLeft", "mouthStretchRight"), 0.5),
        **dict.fromkeys(("mouthLowerDownLeft", "mouthLowerDownRight", "mouthSmileLeft", "mouthSmileRight"), 0.35),
        **dict.fromkeys(("mouthUpperUpLeft", "mouthUpperUpRight"), 0.25),
        "jawOpen": 0.12,
    },
    "oo": {"jawOpen": 0.12, "mouthPucker": 0.8},
    "oh": {"jawOpen": 0.35, "mouthFunnel": 0.6},
    "m": {"jawOpen": 0.15, "mouthClose": 0.15, "mouthPressLeft": 0.3, "mouthPressRight": 0.3},
    "blink": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
}


def tile(frames: list[np.ndarray], columns: int) -> np.ndarray:
    """Frames (H, W, 3) in rows of ``columns``, the last row filled with black."""
    blank = np.zeros_like(frames[0])
    frames = frames + [blank] * (-len(frames) % columns)
    return np.concatenate([np.concatenate(frames[k : k + columns], 1) for k in range(0, len(frames), columns)])


def people(seeds, *, size: int = 128, oversample: int = 4) -> list[np.ndarray]:
    """One portrait (size, size, 3) uint8 for each identity, each in its own set, light and pose."""
    basis, frames = load_basis(), []
    with Renderer(size, size, oversample=oversample) as renderer:
        for seed in seeds:
            rng = np.random.default_rng([seed, 73])
            staging = Staging(
                backdrop=BACKDROPS[rng.integers(len(BACKDROPS))],
                light=LIGHTS[rng.integers(len(LIGHTS))],
                seed=seed,
                height=float(rng.uniform(3.2, 3.8)),
            )
            actor = renderer.actor(Head(basis, sample_identity(seed, basis.shapes)))
            renderer.backdrop(backdrop(staging))
            pose = Pose(
                units=np.zeros(len(actor.head.units), np.float32),
                yaw=float(np.clip(rng.normal(0, 0.2), -0.45, 0.45)),
                pitch=float(np.clip(rng.normal(0, 0.07), -0.15, 0.15)),
                roll=float(np.clip(rng.normal(0, 0.05), -0.1, 0.1)),
            )
            frames.append(renderer.draw([(actor, pose)], staging.view(), lighting(staging)))
            actor.release()
    return frames


def mouths(seeds, *, size: int = 192) -> list[np.ndarray]:
    """The shapes of MOUTHS for each identity, close up, (size, size, 3) uint8 each."""
    basis, frames = load_basis(), []
    with Renderer(size, size) as renderer:
        renderer.backdrop(np.full((8, 8, 3), 110, np.uint8))
        for seed in seeds:
            actor = renderer.actor(Head(basis, sample_identity(seed, basis.shapes)))
            for values in MOUTHS.values():
                pose = Pose(units=actor.head.weights(values))
                frames.append(renderer.draw([(actor, pose)], View(height=1.9, centre=(0, -0.1)), Light()))
            actor.release()
    return frames


def main(arguments=None) -> int:
    parser = Parser(prog="python -m pushpull.data.talkheads.sheet", description=__doc__.split(":")[0])
    parser.add_argument("--out", type=Path, required=True, help="the picture to write (.png or .jpg)")
    parser.add_argument("--kind", choices=("people", "mouths"), default="people")
    parser.add_argument("--first", type=int, default=0, help="number of the first identity")
    parser.add_argument("--count", type=int, default=200, help="how many identities")
    parser.add_argument("--size", type=int, default=128, help="pixels of each picture's side")
    parser.add_argument("--columns", type=int, default=20)
    given = parser.parse_args(arguments)
    if min(given.count, given.size, given.columns) < 1 or given.first < 0:
        parser.error("--count, --size and --columns are at least 1, --first at least 0")
    seeds = range(given.first, given.first + given.count)
    try:
        if given.kind == "people":
            sheet = tile(people(seeds, size=given.size), given.columns)
        else:
            sheet = tile(mouths(seeds, size=given.size), len(MOUTHS))
    except (RenderError, BakeError) as error:
        print(error, file=sys.stderr)
        return 1
    given.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(given.out), sheet[..., ::-1]):
        print(f"cannot write {given.out}: is it a .png or .jpg in a folder that you may write to?", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
