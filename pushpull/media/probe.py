"""What a file says about itself, before any of it is decoded."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pushpull.media.ffmpeg import FFmpeg, Limits, MediaError, source

PROBE_TIMEOUT = 30.0  # seconds; reading a header takes a fraction of one
# Containers that break off without ffmpeg's noticing, and whose header tells how long they should be.
PROMISING = {"avi", "flv", "asf", "wav", "w64", "matroska"}
# How PNG, JPEG, BMP and TIFF begin.
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")
# Boxes that lie at the top of an MP4. Anything else there is not the MP4's: tags and logs are put behind it.
MP4_BOXES = {"ftyp", "styp", "moov", "moof", "mdat", "free", "skip", "wide", "uuid"}
MP4_BOXES |= {"udta", "meta", "sidx", "ssix", "emsg", "mfra", "pnot", "prft", "pdin"}


@dataclass(frozen=True)
class AudioTrack:
    """A sound track: ``index`` among all streams of the file, whether it is flagged as default, its channels."""

    index: int
    default: bool = False
    mono: bool = True


@dataclass(frozen=True)
class Probe:
    """What a file says about itself: ``seconds`` is None where it does not say (a browser's webcam recording).

    ``rate`` is the pictures a second, to two decimals, the mean where it varies; None where there is none or unknown.
    ``promised`` is ``seconds`` where less than that means that the file was cut off, else None. ``container`` is
    ffmpeg's name of the format, ``size`` the stored pictures' (width, height), ``picture`` the index of their stream.
    """

    seconds: float | None
    video: bool
    audio: bool
    rate: float | None = None
    promised: float | None = None
    container: str = ""
    size: tuple[int, int] | None = None
    picture: int | None = None
    tracks: tuple[AudioTrack, ...] = ()

    def require_video(self, name: str) -> None:
        """Raise MediaError unless there is a picture."""
        if not self.video:
            raise MediaError(f"{name} has no picture, only sound or data. Give a video that shows the speakers' faces.")

    def require_audio(self, name: str) -> None:
        """Raise MediaError unless there is sound."""
        if not self.audio:
            raise MediaError(f"{name} has no sound. Give a video with the voices in it: the model listens as it looks.")


@dataclass(frozen=True)
class _Stream:
    index: int
    kind: str
    words: str
    seconds: float | None  # its own length, where its tags tell

    @property
    def usable(self) -> bool:
        """Whether its size or rate is known: a broadcast may announce a stream that never comes."""
        pattern = r", [1-9]\d*x[1-9]\d*" if self.kind == "Video" else r", [1-9]\d* Hz"
        return self.kind in ("Video", "Audio") and re.search(pattern, self.words) is not None


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
    opened = re.search(r"^Input #0, (.*), from '", said, re.MULTILINE)
    if not opened:
        if _is_picture(Path(path)):
            raise MediaError(f"{name} is a picture, not a video. Give a video that shows the speakers' faces.", said)
        raise MediaError(
            f"{name} is not a video that can be read: the file is no video, or is damaged or cut off. Export it again, "
            "as MP4, WebM, MKV, AVI or MPEG.",
            said,
        )
    container = opened[1].split(",")[0]
    if container == "mov" and _mp4_is_cut(Path(path)):
        raise MediaError(
            f"{name} is truncated: it stops before its end. Copy, record or export it again, and let it finish."
        )
    found = _described(said[opened.start() :], container)
    if found.seconds is not None and found.seconds > limits.max_seconds + 1:
        raise too_long(name, limits)
    if found.size is not None and found.size[0] * found.size[1] > limits.max_pixels:
        width, height = found.size
        raise MediaError(
            f"{name}: its pictures have {width} x {height} pixels, more than the limit of {_pixels(limits)}. "
            "Make them smaller."
        )
    return found


def _is_picture(path: Path) -> bool:
    """Whether the file begins as pictures do, whatever its name says."""
    with path.open("rb") as file:
        begins = file.read(12)
    return begins.startswith(PICTURES) or (begins[:4] == b"RIFF" and begins[8:] == b"WEBP")


def _pixels(limits):
    largest = Limits().max_pixels
    return "8192 x 4320" if limits.max_pixels == largest else f"{limits.max_pixels} in all"


def too_long(name: str, limits: Limits) -> MediaError:
    """The refusal of a file that is longer than ``limits`` allow."""
    return MediaError(f"{name} is longer than {limits.max_seconds:g} s, the limit. Cut out the part you want.")


def measured_seconds(path: str | os.PathLike, found: Probe, *, limits: Limits = Limits()) -> float | None:
    """Length of a file that does not say it, from the times of its packets; None if it has none.

    Nothing is decoded: 200 MB take about a second.
    """
    named = other_streams(found)
    arguments = [*source(path, limits), *named[:-1], "-progress", "pipe:1", "-nostats", named[-1]]
    with FFmpeg(arguments, name=Path(path).name, timeout=limits.timeout) as run:
        said = run.read_all(1 << 24).decode(errors="replace")
    times = re.findall(r"out_time_us=(\d+)", said)
    return int(times[-1]) / 1e6 if times else None


def other_streams(found: Probe) -> list[str]:
    """ffmpeg's arguments that let every stream pass by undecoded, beside the output that is wanted.

    Some containers (MPEG-TS and -PS, Ogg) count time from the first packet of the streams in use, so a run that uses
    the sound alone and one that uses the picture alone disagree about when zero is.
    """
    indices = ([] if found.picture is None else [found.picture]) + [track.index for track in found.tracks]
    mapped = [word for index in indices for word in ("-map", f"0:{index}")]
    return [*mapped, "-c", "copy", "-f", "null", "-"] if mapped else []


def _described(said, container):
    """ffmpeg's description of its input as a Probe."""
    streams = _streams(said)
    video = [stream for stream in streams if stream.kind == "Video" and "(attached pic)" not in stream.words]
    pictures = [stream for stream in video if stream.usable] or video
    sounds = [stream for stream in streams if stream.kind == "Audio" and stream.usable]
    rate = re.search(r", ([\d.]+) (?:fps|tbr)\b", pictures[0].words) if pictures else None
    size = re.search(r", (\d+)x(\d+)", pictures[0].words) if pictures else None
    seconds, certain = _length(said, container, [*pictures, *sounds], any(s.kind == "Subtitle" for s in streams))
    return Probe(
        seconds=seconds,
        video=bool(pictures),
        audio=bool(sounds),
        rate=float(rate[1]) if rate and float(rate[1]) > 0 else None,
        promised=seconds if certain else None,
        container=container,
        size=(int(size[1]), int(size[2])) if size else None,
        picture=pictures[0].index if pictures else None,
        tracks=tuple(
            AudioTrack(stream.index, "(default)" in stream.words, re.search(r"Hz, mono\b", stream.words) is not None)
            for stream in sounds
        ),
    )


def _streams(said):
    """The streams of ffmpeg's description, each with what its own tags say."""
    starts = list(re.finditer(r"^\s*Stream #0:(\d+).*?: (Video|Audio|Subtitle|Data|Attachment): (.*)$", said, re.M))
    ends = [start.start() for start in starts[1:]] + [len(said)]
    return [
        _Stream(int(start[1]), start[2], start[3], _seconds(r"DURATION(?:-\w+)?\s*:", said[start.end() : end]))
        for start, end in zip(starts, ends, strict=True)
    ]


def _length(said, container, streams, subtitled):
    """Seconds of picture and sound, None where unknown; whether less than that means that something is missing."""
    seconds = _seconds("Duration:", said)
    if container != "matroska":
        return seconds, seconds is not None and container in PROMISING
    # Matroska's length is a time on its own clock, which a later part of a recording begins late; and it is that of
    # its longest stream, which may be a subtitle.
    begins = re.search(r"Duration: .*?, start: ([\d.]+)", said)
    begin = float(begins[1]) if begins else 0.0
    tagged = [stream.seconds for stream in streams if stream.seconds is not None]
    certain = seconds is not None and (not subtitled or len(tagged) == len(streams))
    if tagged and len(tagged) == len(streams):
        seconds = max(tagged)
    return None if seconds is None else max(0.0, seconds - begin), certain


def _seconds(label, said):
    """The time that follows ``label``, a pattern."""
    found = re.search(label + r" *(\d+):(\d+):([\d.]+)", said)
    return None if found is None else int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])


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
