"""Bit-exact stimuli out: what an attack made is what a browser shows and plays, to the last bit.

MP4 with lossless VP9 and FLAC. The luma plane is the grey picture itself and is piped in with constant chroma, so
that no colour conversion ever touches it; the full-range tag makes Chromium show each level as it is (without it
92-97 % of the pixels are wrong).
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pushpull.clip import FPS, SAMPLE_RATE
from pushpull.media.ffmpeg import FFmpeg, Limits, MediaError, source

AUDIO_STEPS = 32768  # 16 bits: full scale is -1 .. 32767/32768
NEUTRAL = 128  # chroma of grey

EXACT_CODECS = {
    "vp9": ["-c:v", "libvpx-vp9", "-lossless", "1", "-deadline", "good", "-cpu-used", "4", "-row-mt", "1", "-g", "25"],
    "av1": ["-c:v", "libsvtav1", "-svtav1-params", "lossless=1", "-preset", "8", "-g", "25"],
}
# A second encoding of the same bits whose streams have no bytes in common with the first: other searches, other blocks.
OTHER_VARIANT = {
    "vp9": ["-cpu-used", "2", "-g", "19", "-auto-alt-ref", "0", "-lag-in-frames", "0"],
    "av1": ["-preset", "7", "-g", "19"],
}
FULL_RANGE = "setparams=range=full:colorspace=bt709:color_primaries=bt709:color_trc=iec61966-2-1"


def quantise_audio(audio: np.ndarray) -> np.ndarray:
    """float full scale [-1, 1] -> int16, rounded half to even and clipped: what a file can store."""
    _require_finite(audio, "audio")
    return np.clip(np.rint(np.asarray(audio, dtype=np.float64) * AUDIO_STEPS), -32768, 32767).astype(np.int16)


def dequantise_audio(audio: np.ndarray) -> np.ndarray:
    """int16 -> float32 full scale, k / 32768, exactly."""
    return audio.astype(np.float32) / np.float32(AUDIO_STEPS)


def quantise_video(video: np.ndarray) -> np.ndarray:
    """float grey levels 0..255 -> uint8, rounded half to even and clipped: what a file can store."""
    _require_finite(video, "video")
    return np.clip(np.rint(video), 0, 255).astype(np.uint8)


def write_stimulus(
    path: str | os.PathLike,
    frames: np.ndarray,
    audio: np.ndarray,
    *,
    codec: str = "vp9",
    variant: int = 0,
    timeout: float = 600.0,
) -> Path:
    """Write grey frames and sound to an MP4 from which browsers and :func:`read_stimulus` get the same bits back.

    The file is read back and compared before it takes its name.

    Args:
        path: where to; replaced if it exists.
        frames: (T, H, W) uint8 grey levels at 25 fps.
        audio: (N,) int16 at 16 kHz.
        codec: "vp9", or "av1" where a page would re-encode VP9 in MP4.
        variant: 0, or 1 for a different encoding of the same bits.
        timeout: seconds that ffmpeg may take.

    Raises:
        ValueError: shapes or types are not those above.
        MediaError: ffmpeg failed, or the file does not hold the same bits.
    """
    path = Path(path)
    if frames.ndim != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(f"frames must be (T, H, W) uint8 with T >= 1, got {frames.shape} {frames.dtype}")
    if audio.ndim != 1 or audio.dtype != np.int16 or len(audio) == 0:
        raise ValueError(f"audio must be (N,) int16 with N >= 1, got {audio.shape} {audio.dtype}; see quantise_audio")
    if codec not in EXACT_CODECS:
        raise ValueError(f"codec must be one of {', '.join(EXACT_CODECS)}, got {codec!r}")
    if variant not in (0, 1):
        raise ValueError(f"variant must be 0 or 1, got {variant!r}")
    _, height, width = frames.shape
    chroma = bytes([NEUTRAL]) * (2 * ((height + 1) // 2) * ((width + 1) // 2))
    planes = (frame.tobytes() + chroma for frame in frames)
    video = ["-vf", FULL_RANGE, *EXACT_CODECS[codec], *(OTHER_VARIANT[codec] if variant else [])]
    video += [
        "-c:a",
        "flac",
        "-sample_fmt",
        "s16",
        *(["-compression_level", "8", "-frame_size", "1600"] if variant else []),
    ]
    encode(path, planes, "yuv420p", (height, width), audio, video, timeout, check=(frames, audio))
    return path


def read_stimulus(path: str | os.PathLike, *, limits: Limits = Limits()) -> tuple[np.ndarray, np.ndarray]:
    """The arrays that :func:`write_stimulus` wrote: frames (T, H, W) uint8, audio (N,) int16.

    Raises:
        MediaError: the file cannot be read or is not such a stimulus (another codec, sample rate or colour range).
    """
    name = Path(path).name
    with FFmpeg(source(path, limits), name=name, timeout=limits.timeout, loglevel="info") as run:
        _, said = run.wait()
    lines = [line for line in said.splitlines() if " Video: " in line or " Audio: " in line]
    exact = len(lines) == 2 and any("yuv420p(pc" in line and ("vp9" in line or "av1" in line) for line in lines)
    if not exact or not any(" Audio: flac" in line and f"{SAMPLE_RATE} Hz, mono" in line for line in lines):
        raise MediaError(f"{name} is not a bit-exact stimulus. Read it with read_frames and read_audio.")
    most = int(limits.max_seconds * FPS)
    # extractplanes, because format=gray would convert the levels.
    arguments = ["-max_pixels", str(limits.max_pixels), *source(path, limits), "-map", "0:v", "-vf", "extractplanes=y"]
    with FFmpeg(
        [*arguments, "-fps_mode", "passthrough", "-c:v", "pgm", "-f", "image2pipe", "pipe:1"],
        name=name,
        timeout=limits.timeout,
    ) as run:
        frames = []
        while (header := run.read(3)) and len(frames) <= most:
            while header.count(b"\n") < 3:
                header += run.read(1)
            width, height = (int(word) for word in header.split()[1:3])
            frames.append(np.frombuffer(run.read(width * height), dtype=np.uint8).reshape(height, width))
        if len(frames) > most:
            raise MediaError(f"{name} is longer than {limits.max_seconds:g} s, the limit.")
        run.finish()
    with FFmpeg(
        [*source(path, limits), "-map", "0:a", "-f", "s16le", "pipe:1"], name=name, timeout=limits.timeout
    ) as run:
        audio = np.frombuffer(run.read_all(limits.max_bytes), dtype="<i2").astype(np.int16)
        run.finish()
    return np.stack(frames), audio


def encode(
    path: Path,
    chunks: Iterable[bytes],
    pixels: str,
    size: tuple[int, int],
    audio: np.ndarray,
    codec: Sequence[str],
    timeout: float,
    *,
    container: str = "mp4",
    check: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Feed pictures and sound to ffmpeg; the file appears under ``path`` whole or not at all.

    Args:
        path: where to; replaced if it exists.
        chunks: the pictures one after the other, as bytes, at 25 per second.
        pixels: ffmpeg's name of how they are laid out.
        size: (H, W) of each.
        audio: (N,) int16 at 16 kHz.
        codec: ffmpeg's options for both streams.
        timeout: seconds that ffmpeg may take.
        container: "mp4" or "webm".
        check: frames and audio that the file must give back bit for bit.

    Raises:
        MediaError: ffmpeg failed, or the file does not hold the bits of ``check``.
    """
    height, width = size
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.s16"
        sound.write_bytes(audio.astype("<i2").tobytes())
        partial = path.absolute().with_name(f".{path.name}.{os.getpid()}.part")
        arguments = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{width}x{height}", "-r", str(FPS), "-i", "pipe:0"]
        arguments += [
            "-f",
            "s16le",
            "-ar",
            str(SAMPLE_RATE),
            "-ac",
            "1",
            "-i",
            str(sound),
            "-map",
            "0:v",
            "-map",
            "1:a",
        ]
        arguments += [*codec, *(["-movflags", "+faststart"] if container == "mp4" else [])]
        arguments += ["-f", container, f"file:{partial}"]
        try:
            with FFmpeg(arguments, name=path.name, timeout=timeout, feed=chunks) as run:
                run.finish()
            if check is not None:
                limits = Limits(max_seconds=float("1e9"), max_pixels=1 << 30, max_bytes=1 << 40, timeout=timeout)
                stored = read_stimulus(partial, limits=limits)
                if not all(np.array_equal(a, b) for a, b in zip(stored, check, strict=True)):
                    raise MediaError(f"{path.name}: the file does not hold the bits it was given. Report this.")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def _require_finite(array, what):
    if not np.isfinite(array).all():
        raise ValueError(f"{what} holds NaN or infinity; it cannot be stored")
