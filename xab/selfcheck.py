"""The self-check clip: every grey level and sample is known, so a browser can show whether it passes them on.

The browser grabs frames through a canvas and decodes the sound; it returns CRC-32 sums, and the server decides.
"""

import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

FRAMES = 10
SIDE = 112
SAMPLES_PER_FRAME = 640
# Read in the middle of a frame: at its edge a player may show either neighbour.
GRABBED = (1, 4, 8)


def frames() -> np.ndarray:
    """(10, 112, 112) uint8 with all 256 levels; static/selfcheck.js has the same formula."""
    k, y, x = np.indices((FRAMES, SIDE, SIDE), dtype=np.int64)
    return ((7 * x + 13 * y + 29 * k + ((x * y) >> 3)) & 255).astype(np.uint8)


def samples() -> np.ndarray:
    """(6400,) int16 noise over the whole range: the high halves of a 32-bit linear congruential generator."""
    state, values = 1, []
    for _ in range(FRAMES * SAMPLES_PER_FRAME):
        state = (1664525 * state + 1013904223) & 0xFFFFFFFF
        values.append((state >> 16) - 32768)
    return np.array(values, dtype=np.int16)


def expected() -> dict:
    """{"video", "audio"}: what a browser that changes nothing reports."""
    video, audio = _sums()
    return {"video": list(video), "audio": audio}


@lru_cache(maxsize=1)
def _sums() -> tuple[tuple[int, ...], int]:
    """CRC-32 of each grabbed frame (row by row) and of all samples (little-endian 16 bit)."""
    video = frames()
    return tuple(zlib.crc32(video[k].tobytes()) for k in GRABBED), zlib.crc32(samples().astype("<i2").tobytes())


def passed(report: dict) -> bool:
    """Whether a browser's sums are those of the stored bits."""
    wanted = expected()
    return report.get("video") == wanted["video"] and report.get("audio") == wanted["audio"]


def clip_path(folder: Path) -> Path:
    """The clip as a file in ``folder``, made when it is not there."""
    path = folder / f"selfcheck-{zlib.crc32(frames().tobytes()):08x}.mp4"
    if not path.exists():
        from pushpull.media import write_stimulus  # here: torch comes with it, and the server starts without

        folder.mkdir(parents=True, exist_ok=True)
        write_stimulus(path, frames(), samples())
    return path
