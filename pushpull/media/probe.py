"""What a file says about itself, before any of it is decoded."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from pushpull.media.ffmpeg import FFmpeg, Limits, MediaError, source, trim

PROBE_TIMEOUT = 30.0  # seconds; reading a header takes a fraction of one
# Types of an MP4's outermost boxes. Bytes behind the last one (an ID3 tag, a camera's own data) are no box.
MP4_BOXES = frozenset(
    "ftyp moov mdat free skip wide moof mfra mfro sidx styp ssix meta uuid pnot udta PICT emsg prft".split()  # noqa: SIM905
)
# These two break off without a word from ffmpeg when they are cut; the length in their header tells.
SILENT_WHEN_CUT = {"avi", "flv"}


@dataclass(frozen=True)
class Track:
    """A sound track of a file.

    Args:
        number: from 0, among the file's sound tracks.
        channels: how many; 2 where the file does not say.
        default: whether the file marks it as the one to play.
    """

    number: int
    channels: int
    default: bool


@dataclass(frozen=True)
class Probe:
    """What a file says about itself.

    Args:
        seconds: its length; None where it does not say (a browser's webcam recording).
        video, audio: whether there is a picture and a sound.
        rate: pictures a second, to two decimals, the mean where it varies; None where there is none or unknown.
        tracks: its sound tracks.
        container: ffmpeg's names of its format.
    """

    seconds: float | None
    video: bool
    audio: bool
    rate: float | None = None
    tracks: tuple[Track, ...] = field(default=(), compare=False)
    container: str = field(default="", compare=False)

    def require_video(self, name: str) -> None:
        """Raise MediaError unless there is a picture."""
        if not self.video:
            raise MediaError(f"{name} has no picture, only sound or data. Give a video that shows the speakers' faces.")

    def require_audio(self, name: str) -> None:
        """Raise MediaError unless there is sound."""
        if not self.audio:
            raise MediaError(f"{name} has no sound. Give a video with the voices in it: the model listens as it looks.")

    def require_whole(self, name: str, found: float) -> None:
        """Raise MediaError if ``found`` seconds are far fewer than the header of such a container promises."""
        if not SILENT_WHEN_CUT & set(self.container.split(",")) or self.seconds is None:
            return
        if found < 0.9 * self.seconds - 0.5:
            raise MediaError(
                f"{name} is truncated or damaged: its header says {self.seconds:.1f} s, only {found:.1f} s are there. "
                "Copy, record or export it again."
            )


def probe(path: str | os.PathLike, *, limits: Limits = Limits()) -> Probe:
    """Open ``path`` and read its header.

    Raises:
        MediaError: it is not a media file, is missing, empty, or says that it is over ``limits``.
    """
    name = Path(path).name
    timeout = min(limits.timeout, PROBE_TIMEOUT)
    with FFmpeg(source(path, limits), name=name, timeout=timeout, loglevel="info") as run:
        # Without an output ffmpeg ends in status 1 after it has described its input.
        _, said = run.wait()
    container = re.search(r"^Input #0, ([\w,]+), from", said, re.MULTILINE)
    if container is None:
        raise MediaError(
            f"{name} is not a video that can be read: the file is no video, or is damaged or cut off. Export it again, "
            f"as MP4, WebM, MKV, AVI or MPEG. ffmpeg says: {trim(said)}"
        )
    if "mp4" in container[1].split(",") and _mp4_is_cut(Path(path)):
        raise MediaError(
            f"{name} is truncated: it stops before its end. Copy, record or export it again, and let it finish."
        )
    streams = re.findall(r"^\s*Stream #0:\d+.*?: (Video|Audio): (.*)$", said, re.MULTILINE)
    seconds = _length(said, container[1])
    if seconds is not None and seconds > limits.max_seconds + 1:
        raise too_long(name, limits)
    pictures = [rest for kind, rest in streams if kind == "Video" and "attached pic" not in rest]
    for rest in pictures:
        size = re.search(r", (\d+)x(\d+)", rest)
        if size is not None and int(size[1]) * int(size[2]) > limits.max_pixels:
            raise MediaError(
                f"{name}: its pictures have {size[1]} x {size[2]} pixels, more than the limit of {limits.max_pixels} "
                "in all. Make them smaller."
            )
    rate = re.search(r", ([\d.]+) (?:fps|tbr)\b", pictures[0]) if pictures else None
    tracks = tuple(_track(number, rest) for number, rest in enumerate(r for kind, r in streams if kind == "Audio"))
    return Probe(
        seconds=seconds,
        video=bool(pictures),
        audio=bool(tracks),
        rate=float(rate[1]) if rate and float(rate[1]) > 0 else None,
        tracks=tracks,
        container=container[1],
    )


def measure_seconds(path: str | os.PathLike, *, limits: Limits = Limits()) -> float:
    """The length of a file that does not say it, in seconds: its packets are counted, not decoded.

    Raises:
        MediaError: it cannot be read.
    """
    name = Path(path).name
    arguments = [*source(path, limits), "-map", "0:V:0?", "-map", "0:a?", "-c", "copy", "-f", "null", "-"]
    with FFmpeg([*arguments, "-progress", "pipe:1"], name=name, timeout=limits.timeout) as run:
        told = run.read_all(1 << 24).decode(errors="replace")
        run.finish()
    ends = re.findall(r"^out_time_us=(-?\d+)", told, re.MULTILINE)
    if not ends:
        raise MediaError(f"{name}: its length cannot be told. Export it again, as MP4, WebM, MKV, AVI or MPEG.")
    return max(0.0, int(ends[-1]) / 1e6)


def too_long(name: str, limits: Limits) -> MediaError:
    return MediaError(f"{name} is longer than {limits.max_seconds:g} s, the limit. Cut out the part you want.")


def _length(said: str, container: str) -> float | None:
    """Seconds from the file's first instant to its last, or None."""
    found = re.search(r"Duration: (\d+):(\d+):([\d.]+)(?:, start: (-?[\d.]+))?", said)
    if found is None:
        return None
    seconds = int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
    # Matroska tells where its clock ends, and the clock of a recording's later parts does not begin at 0.
    begins = float(found[4] or 0) if "matroska" in container else 0.0
    return seconds - begins if 0 < begins < seconds else seconds


def _track(number: int, told: str) -> Track:
    layout = re.search(r" Hz, ([^,]+)", told)
    named = {"mono": 1, "stereo": 2}
    channels = 2 if layout is None else named.get(layout[1].strip(), 2)
    return Track(number, channels, "(default)" in told)


def _mp4_is_cut(path: Path) -> bool:
    """True if an MP4's last box is longer than what is left of the file.

    ffmpeg opens a file whose index is cut off as one with fewer streams, and the advice would be about missing sound.
    """
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            header = file.read(16)
            if header[4:8].decode("latin-1") not in MP4_BOXES:
                return False
            length = int.from_bytes(header[:4], "big")
            if length == 1:  # the length follows, in 64 bits
                length = int.from_bytes(header[8:16], "big")
            if length < 8:  # 0: to the end of the file; the rest is no box
                return False
            at += length
    return at > size
