"""Where a clip is filmed: backdrops out of focus, lights, and how the camera frames the heads."""

from dataclasses import dataclass

import cv2
import numpy as np

from pushpull.data.talkheads.camera import Light, View

BACKDROPS = ("wall", "room", "shelves", "window", "street", "garden", "curtain", "paper")
LIGHTS = ("soft", "window", "lamp", "day", "dim", "stage")
BACKDROP_SIDE = 288  # pixels; out of focus, more would show nothing more
APART = 2.9  # dm between two heads in one picture

# Wall and accent colours, sRGB.
WALLS = (
    (196, 190, 180),
    (150, 160, 168),
    (214, 206, 190),
    (120, 128, 120),
    (92, 100, 116),
    (170, 140, 118),
    (64, 68, 78),
)
ACCENTS = ((178, 96, 66), (66, 98, 128), (96, 116, 76), (206, 176, 104), (124, 72, 84), (70, 64, 60), (222, 216, 204))


@dataclass(frozen=True, kw_only=True)
class Staging:
    """How a clip is filmed.

    Args:
        backdrop: one of BACKDROPS. light: one of LIGHTS. seed: of the details of both.
        height: dm that the picture shows at the heads' depth; a head is some 2.3 dm high.
        x, y: dm, where the picture's middle lies from the heads'. distance: dm, the camera's.
        lift, side: dm, how far the camera stands above and beside the heads.
        facing: radians, how far the first head's face is turned away from the camera.
    """

    backdrop: str = "room"
    light: str = "soft"
    seed: int = 0
    height: float = 4.0
    x: float = 0.0
    y: float = -0.15
    distance: float = 14.0
    lift: float = 0.0
    side: float = 0.0
    facing: float = 0.0

    def __post_init__(self):
        if self.backdrop not in BACKDROPS:
            raise ValueError(f"backdrop is one of {', '.join(BACKDROPS)}, got {self.backdrop!r}")
        if self.light not in LIGHTS:
            raise ValueError(f"light is one of {', '.join(LIGHTS)}, got {self.light!r}")

    def view(self) -> View:
        return View(centre=(self.x, self.y), height=self.height, distance=self.distance, lift=self.lift, side=self.side)


def draw_staging(rng: np.random.Generator, people: int = 1) -> Staging:
    """A set, a light and a framing; several people are framed wide."""
    close = people == 1
    return Staging(
        backdrop=BACKDROPS[int(rng.integers(len(BACKDROPS)))],
        light=LIGHTS[int(rng.integers(len(LIGHTS)))],
        seed=int(rng.integers(2**31)),
        height=float(rng.uniform(2.2, 3.4) if close else rng.uniform(3.4, 4.2)),
        x=float(rng.uniform(-0.2, 0.2)),
        y=float(rng.uniform(-0.35, 0.15)),
        distance=float(rng.uniform(8, 18)) * (1 if close else 1.5),
        lift=float(rng.normal(0, 0.8)),
        side=float(rng.normal(0, 1.2)),
        facing=float(np.clip(rng.normal(0, 0.14), -0.4, 0.4)),
    )


def places(people: int) -> list[tuple[float, float, float]]:
    """Where heads stand side by side, dm."""
    return [((index - (people - 1) / 2) * APART, 0.0, 0.0) for index in range(people)]


def lighting(staging: Staging) -> Light:
    """The lights of ``staging``: a key that casts shadows, a fill, a rim, and what comes from all around."""
    rng = np.random.default_rng([staging.seed, 3])
    side = rng.choice([-1.0, 1.0])
    warm = np.array([1.0, 0.93, 0.82]) ** rng.uniform(-0.4, 1.2)
    cool = np.array([0.88, 0.95, 1.05])
    key, fill, rim, ambient, height, exposure = {
        "soft": (1.15, 0.40, 0.6, 1.0, 0.5, 0.95),
        "window": (1.45, 0.25, 0.4, 0.85, 0.25, 0.9),
        "lamp": (1.30, 0.18, 0.7, 0.6, 0.75, 1.0),
        "day": (1.20, 0.55, 0.9, 1.35, 0.9, 0.82),
        "dim": (0.70, 0.20, 0.3, 0.7, 0.4, 0.95),
        "stage": (1.60, 0.12, 1.4, 0.45, 0.8, 0.92),
    }[staging.light]
    spread = rng.uniform(0.25, 0.8)
    return Light(
        ways=(
            (side * spread, height * rng.uniform(0.8, 1.2), 0.75),
            (-side * 0.8, 0.15, 0.6),
            (-side * 0.55, 0.45, -0.75),
        ),
        colours=tuple(tuple(float(v) for v in row) for row in (key * warm, fill * cool, rim * cool)),
        sky=tuple(float(v) for v in ambient * np.array([0.25, 0.26, 0.29])),
        ground=tuple(float(v) for v in ambient * np.array([0.14, 0.115, 0.10])),
        exposure=float(exposure * rng.uniform(0.9, 1.1)),
    )


def backdrop(staging: Staging, aspect: float = 1.0) -> np.ndarray:
    """(h, w, 3) uint8 RGB, w / h = ``aspect``: a set that is out of focus and darker than the face before it."""
    rng = np.random.default_rng([staging.seed, 4])
    height, width = BACKDROP_SIDE, max(8, round(BACKDROP_SIDE * aspect))
    canvas = np.empty((height, width, 3), np.float32)
    wall = np.array(WALLS[int(rng.integers(len(WALLS)))], np.float32)
    canvas[:] = wall
    blur = PAINTERS[staging.backdrop](canvas, rng, wall)
    canvas = cv2.GaussianBlur(canvas, (0, 0), blur * height)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    pool = np.exp(-(((x - rng.uniform(0.1, 0.9) * aspect) / 0.7) ** 2 + ((y - rng.uniform(0, 0.6)) / 0.8) ** 2))
    dark = {"dim": 0.5, "stage": 0.4, "lamp": 0.65}.get(staging.light, 0.85)
    canvas *= (dark * (0.55 + 0.55 * pool))[..., None]
    canvas += rng.standard_normal(canvas.shape).astype(np.float32) * 0.8  # else an even gradient shows its steps
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _box(canvas, rng, x, y, w, h, colour):
    height, width = canvas.shape[:2]
    corner, opposite = (int(x * height), int(y * height)), (int((x + w) * height), int((y + h) * height))
    cv2.rectangle(canvas, corner, opposite, tuple(float(c) for c in colour), -1)


def _accent(rng):
    return np.array(ACCENTS[int(rng.integers(len(ACCENTS)))], float) * rng.uniform(0.7, 1.15)


def _wall(canvas, rng, wall):
    return 0.02


def _room(canvas, rng, wall):
    """A picture or two on the wall, a lamp, the edge of furniture."""
    aspect = canvas.shape[1] / canvas.shape[0]
    for _ in range(rng.integers(1, 4)):
        x, y, w, h = rng.uniform(0, aspect), rng.uniform(0.05, 0.5), rng.uniform(0.15, 0.35), rng.uniform(0.15, 0.4)
        _box(canvas, rng, x, y, w, h, wall * 0.55)
        _box(canvas, rng, x + 0.02, y + 0.02, w - 0.04, h - 0.04, _accent(rng))
    _box(canvas, rng, 0, rng.uniform(0.72, 0.9), aspect, 1, _accent(rng) * 0.6)
    centre = (int(rng.uniform(0, aspect) * canvas.shape[0]), int(rng.uniform(0.1, 0.5) * canvas.shape[0]))
    cv2.circle(canvas, centre, int(rng.uniform(0.04, 0.09) * canvas.shape[0]), (255.0, 232.0, 190.0), -1)
    return rng.uniform(0.02, 0.035)


def _shelves(canvas, rng, wall):
    aspect = canvas.shape[1] / canvas.shape[0]
    canvas *= 0.6
    rows = int(rng.integers(3, 6))
    for row in range(rows):
        x, top = rng.uniform(-0.1, 0), (row + 0.12) / rows
        while x < aspect:
            w, h = rng.uniform(0.015, 0.06), rng.uniform(0.5, 0.85) / rows
            if rng.random() < 0.85:
                _box(canvas, rng, x, top + 0.85 / rows - h, w, h, _accent(rng))
            x += w + 0.004
        _box(canvas, rng, 0, (row + 0.97) / rows, aspect, 0.02, wall * 0.9)
    return rng.uniform(0.012, 0.025)


def _window(canvas, rng, wall):
    aspect = canvas.shape[1] / canvas.shape[0]
    x, w = rng.uniform(0, 0.6) * aspect, rng.uniform(0.35, 0.7)
    _box(canvas, rng, x, 0.02, w, 0.75, (232, 238, 244))
    for bar in np.linspace(x, x + w, 3):
        _box(canvas, rng, bar - 0.015, 0, 0.03, 0.8, (206, 202, 196))
    _box(canvas, rng, x, 0.38, w, 0.03, (206, 202, 196))
    return rng.uniform(0.02, 0.04)


def _street(canvas, rng, wall):
    """Night lights far away: discs, as a wide aperture makes them."""
    canvas[:] = np.array([30, 34, 48]) + 20 * rng.random(3)
    height, width = canvas.shape[:2]
    for _ in range(rng.integers(25, 60)):
        layer = canvas.copy()
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        tint = _accent(rng) * 0.5 + np.array([130, 110, 70])
        cv2.circle(layer, centre, int(rng.uniform(0.015, 0.06) * height), tuple(float(c) for c in tint), -1)
        cv2.addWeighted(layer, 0.55, canvas, 0.45, 0, canvas)
    return 0.008


def _garden(canvas, rng, wall):
    """Foliage: green noise of several sizes, sky showing through."""
    height, width = canvas.shape[:2]
    cloud = np.zeros((height, width), np.float32)
    for octave in (4, 9, 20, 40):
        small = rng.standard_normal((octave, max(2, round(octave * width / height)))).astype(np.float32)
        cloud += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) / octave**0.4
    cloud = np.clip((cloud - cloud.min()) / np.ptp(cloud), 0, 1)[..., None]
    dark, light = np.array([28, 48, 26], np.float32), np.array([128, 158, 84], np.float32)
    canvas[:] = dark + (light - dark) * cloud
    sky = np.clip(1.4 - np.arange(height) / (0.35 * height), 0, 1)[:, None, None] * (cloud > 0.6)
    canvas += (np.array([214, 226, 238], np.float32) - canvas) * sky * 0.8
    return rng.uniform(0.012, 0.03)


def _curtain(canvas, rng, wall):
    x = np.arange(canvas.shape[1]) / canvas.shape[0]
    folds = sum(np.sin(2 * np.pi * (f * x + rng.random())) / k for k, f in enumerate(rng.uniform(3, 14, 4), start=1))
    canvas[:] = _accent(rng) * 0.8
    canvas *= (0.8 + 0.14 * folds)[None, :, None].astype(np.float32)
    return 0.01


def _paper(canvas, rng, wall):
    """A photographer's roll: one colour."""
    canvas[:] = _accent(rng)
    return 0.02


PAINTERS = {
    "wall": _wall, "room": _room, "shelves": _shelves, "window": _window, "street": _street, "garden": _garden,
    "curtain": _curtain, "paper": _paper,
}  # fmt: skip
