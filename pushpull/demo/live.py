"""Scores while a camera films: a few frames with their sound come in, the scores of those a moment before go out.

The page sends a fifth of a second at a time, more of it while the server is busy, and never more than one window: what
is older it leaves out. A face is looked for in the last picture of each part and its box drawn evenly from one to the
next; the detector scores a window of the last seconds. Of what it says only frames with some sound and sight after them
are told, since the last ones of a window are the least sure.
"""

import io
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from pushpull.clip import SAMPLES_PER_FRAME, Clip
from pushpull.demo.presentation import score
from pushpull.detectors import Detector, describe
from pushpull.faces import Track, crop_track
from pushpull.faces.detect import FaceDetector
from pushpull.faces.tracking import Tracker, overlaps

WINDOW = 50  # frames that are scored at once: 2 s
LOOK = 10  # frames after which a face is looked for again within a part
AHEAD = 10  # frames that must follow a frame before its score is told: 0.4 s
LOST = 15  # frames without a face after which it counts as another one
STEADY = 0.6  # share of a new box in the box that is used
MOST_FRAMES, MOST_BYTES, MOST_SIDE = WINDOW, 4_000_000, 720  # of one part, and pixels of a picture's side
MOST_SESSIONS = 2  # who may film at once: each takes about a third of two cores
IDLE = 10.0  # seconds without a part after which somebody has gone


class Refused(Exception):
    """A part cannot be taken; the message is for the visitor."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some frames and their sound.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        audio: (640 T,) float32, full scale.
    """

    frames: np.ndarray
    audio: np.ndarray


def read_part(body: bytes) -> Part:
    """What the page sends: the number of frames (uint32, little-endian), their sound (int16, 16 kHz), and a JPEG of all
    pictures, one below the other.

    Raises:
        Refused: it is none of this, or too much of it.
    """
    if len(body) > MOST_BYTES:
        raise Refused("the part is too large")
    count = struct.unpack_from("<I", body)[0] if len(body) >= 4 else 0
    start = 4 + 2 * SAMPLES_PER_FRAME * count
    if not 1 <= count <= MOST_FRAMES or len(body) <= start:
        raise Refused("the part holds no frames with sound")
    try:
        picture = Image.open(io.BytesIO(body[start:]), formats=("JPEG",))
        width, height = picture.size
        if width > MOST_SIDE or height > MOST_SIDE * count or height % count:
            raise Refused("the pictures have another size than they should")
        rows = np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise Refused("the pictures cannot be read") from error
    audio = np.frombuffer(body[4:start], "<i2").astype(np.float32) / 32768
    return Part(rows.reshape(count, height // count, width, 3), audio)


class Session:
    """One camera.

    Args:
        network: what scores.
        find: a picture (H, W, 3) to faces (K, 5), as a ``FaceDetector``.
    """

    def __init__(self, network: Detector, find: Callable[[np.ndarray], np.ndarray]):
        self._network, self._find, self._crop = network, find, describe(network)["crop"]
        self._lock = threading.Lock()
        self._faces = np.zeros((0, 112, 112), np.uint8)
        self._audio = np.zeros(0, np.float32)
        self._seen = 0  # frames so far
        self._told = 0  # the first frame whose score was not told yet
        self._box: np.ndarray | None = None
        self._without = 0  # frames since a face was found
        self.last = time.monotonic()

    def add(self, part: Part, skipped: int = 0) -> dict:
        """Take a part; what is known now.

        Args:
            part: what was filmed.
            skipped: frames between the part before and this one that were left out.

        Returns:
            dict: ``first``, the frame that the first of ``scores`` (log-odds of speaking) belongs to, counted from the
                first one filmed; ``seen``, frames so far; ``box``, the face's x1, y1, x2, y2 in shares of the picture,
                or None.
        """
        with self._lock:
            self.last = time.monotonic()
            if skipped:
                self._box = None
                self._forget(skipped)
            for start in range(0, len(part.frames), LOOK):
                stop = start + LOOK
                sound = part.audio[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
                self._take(Part(part.frames[start:stop], sound))
            if self._box is None:
                return {"first": self._seen, "scores": [], "seen": self._seen, "box": None}
            height, width = part.frames.shape[1:3]
            first, scores = self._scores()
            shares = self._box / np.array([width, height, width, height], np.float32)
            return {"first": first, "scores": scores, "seen": self._seen, "box": [round(float(v), 4) for v in shares]}

    def _take(self, part: Part) -> None:
        """Add the face of some frames, and their sound, to the window."""
        count = len(part.frames)
        before, box = self._follow(part.frames[-1], count)
        if box is None:
            self._forget(count)
            return
        self._seen += count
        share = np.linspace(1 / count, 1, count)[:, None]
        track = Track(0, ((1 - share) * before + share * box).astype(np.float32), np.ones(count, np.float32))
        self._faces = np.concatenate([self._faces, crop_track(part.frames, track, self._crop)])[-WINDOW:]
        self._audio = np.concatenate([self._audio, part.audio])[-WINDOW * SAMPLES_PER_FRAME :]

    def _forget(self, count: int) -> None:
        """Some frames bring nothing, and what comes after them begins anew."""
        self._seen += count
        self._faces, self._audio, self._told = self._faces[:0], self._audio[:0], self._seen

    def _follow(self, picture: np.ndarray, count: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The face's box before this part and at its end; None and None without a face."""
        faces = self._find(picture)
        faces = faces[faces[:, 4] >= Tracker.likely]
        if len(faces) == 0:
            self._without += count
            if self._box is None or self._without > LOST:
                self._box = None
            return self._box, self._box
        before = self._box
        sizes = (faces[:, 2] - faces[:, 0]) * (faces[:, 3] - faces[:, 1])
        found = faces[int(sizes.argmax())][:4]
        if before is not None:
            shared = overlaps(before[None], faces[:, :4])[0]
            if shared.max() > 0.2:  # the same face, though another may have come nearer
                found = faces[int(shared.argmax())][:4]
                found = STEADY * found + (1 - STEADY) * before
            else:
                before, self._faces, self._audio = None, self._faces[:0], self._audio[:0]
        self._box, self._without = found, 0
        return (found if before is None else before), found

    def _scores(self) -> tuple[int, list[float]]:
        held = len(self._faces)
        begin = self._seen - held  # the frame that the window begins with
        first, stop = max(self._told, begin), self._seen - AHEAD
        if stop <= first:
            return first, []
        margins, _ = score(self._network, Clip(self._audio, self._faces, crop=self._crop))
        self._told = stop
        return first, [round(float(value), 3) for value in margins[first - begin : stop - begin]]


class Sessions:
    """All cameras of one app, a few at a time.

    Args:
        load: the detector of a name, what scores; called when a camera comes.
    """

    def __init__(self, load: Callable[[str], Detector]):
        self._load = load
        self._lock = threading.Lock()
        self._find: FaceDetector | None = None
        self._sessions: dict[str, Session] = {}

    def add(self, token: str, part: Part, *, detector: str, skipped: int = 0) -> dict:
        """Take a part of the camera ``token``; its first one says which ``detector`` scores. See :meth:`Session.add`.

        Raises:
            Refused: too many film already.
        """
        return self._session(token, detector).add(part, skipped)

    def end(self, token: str) -> None:
        """A camera has stopped."""
        with self._lock:
            self._sessions.pop(token, None)

    def tidy(self) -> None:
        """Forget the cameras from which nothing has come for a while."""
        with self._lock:
            self._drop_idle()

    def close(self) -> None:
        """End what was started."""
        with self._lock:
            self._sessions.clear()
            if self._find is not None:
                self._find.close()
                self._find = None

    def _session(self, token: str, detector: str) -> Session:
        with self._lock:
            self._drop_idle()
            if token not in self._sessions:
                if len(self._sessions) >= MOST_SESSIONS:
                    raise Refused("Others are filming now. Try again in a minute, or record a clip in the Attack tab.")
                network = self._load(detector)
                self._find = self._find or FaceDetector(processes=1)
                self._sessions[token] = Session(network, self._find)
            return self._sessions[token]

    def _drop_idle(self) -> None:
        now = time.monotonic()
        self._sessions = {name: one for name, one in self._sessions.items() if now - one.last < IDLE}
