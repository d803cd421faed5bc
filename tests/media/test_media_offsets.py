"""Lips and sound of every container: read as far apart as one ffmpeg run over both streams finds them."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from media_support import FPS, RATE, ffmpeg, flash

from pushpull import media

AT = 1.0  # seconds, of the flash and of the tone in what is encoded
# How each container is written: the file's suffix, options of the encoders and of the muxer.
H264, MPEG4 = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", 2], ["-c:v", "mpeg4"]
CONTAINERS = {
    "mp4": ["mp4", *H264, "-c:a", "aac"],
    "mp4 fragmented": ["mp4", *H264, "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"],
    "mp4 no edit list": ["mp4", *H264, "-c:a", "aac", "-use_editlist", 0],
    "mov": ["mov", *MPEG4, "-c:a", "pcm_s16le"],
    "3gp": ["3gp", *H264, "-c:a", "aac"],
    "mkv": ["mkv", *H264, "-c:a", "aac"],
    "mkv opus": ["mkv", *H264, "-c:a", "libopus"],
    "webm": ["webm", "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"],
    "avi": ["avi", *MPEG4, "-c:a", "mp3"],
    "transport stream": ["ts", *H264, "-c:a", "aac"],
    "transport stream mp2": ["ts", "-c:v", "mpeg2video", "-c:a", "mp2"],
    "m2ts": ["m2ts", *H264, "-c:a", "ac3"],
    "program stream": ["mpg", "-c:v", "mpeg1video", "-c:a", "mp2"],
    "vob": ["vob", "-c:v", "mpeg2video", "-c:a", "ac3"],
    "ogg": ["ogv", "-c:v", "libtheora", "-c:a", "libvorbis"],
    "flv": ["flv", *H264, "-c:a", "aac"],
    "wmv": ["wmv", "-c:v", "wmv2", "-c:a", "wmav2"],
    "mxf": ["mxf", "-c:v", "mpeg2video", "-c:a", "pcm_s16le"],
    "nut": ["nut", *MPEG4, "-c:a", "mp2"],
}
# Seconds by which picture and sound are put off.
LATE = {"together": (0, 0), "sound late": (0, 0.4), "picture late": (0.3, 0), "off the grid": (0.113, 0.047)}


def shifted(path, words, picture, sound):
    """The flash film in a container, its streams put off; encoded first and copied, so that the shift is exact."""
    encoded = path.with_name("encoded.mkv")
    codecs, muxer = words, []
    for option in ("-movflags", "-use_editlist"):
        if option in words:
            at = words.index(option)
            codecs, muxer = words[:at], words[at:]
    ffmpeg(*flash(25, seconds=3), "-ar", 48000, *codecs, encoded)
    inputs = ["-itsoffset", picture, "-i", encoded, "-itsoffset", sound, "-i", encoded]
    ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", *muxer, path)


def one_run(path, folder):
    """Seconds from flash to tone as one ffmpeg run over both streams has them."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", "-loglevel", "error", "-i", str(path)]
    command += ["-map", "0:V:0", "-vf", "scale=16:16", "-fps_mode", "passthrough", "-enc_time_base", "1:90000"]
    command += ["-stats_enc_pre", "v.txt", "-stats_enc_pre_fmt", "{pts}", "-pix_fmt", "gray", "-f", "rawvideo", "v.raw"]
    command += ["-map", "0:a:0", "-ac", "1", "-ar", str(RATE), "-stats_enc_pre", "a.txt"]
    command += ["-stats_enc_pre_fmt", "{pts} {samp}", "-f", "s16le", "a.raw"]
    subprocess.run(command, check=True, cwd=folder, timeout=60)
    pictures = np.fromfile(folder / "v.raw", np.uint8).reshape(-1, 256).mean(axis=1)
    seen = np.loadtxt(folder / "v.txt", ndmin=1)[np.argmax(pictures > 150)] / 90_000
    sound = np.fromfile(folder / "a.raw", "<i2")
    pieces = np.loadtxt(folder / "a.txt", dtype=int, ndmin=2)
    loud = int(np.argmax(np.abs(sound) > 3000))
    piece = np.searchsorted(np.cumsum(pieces[:, 1]), loud, side="right")
    heard = (pieces[piece, 0] + loud - pieces[:piece, 1].sum()) / RATE
    return heard - seen


def as_read(path, **part):
    """Seconds to the flash and to the tone as the readers have them."""
    levels = np.array([frame.mean() for frame in media.read_frames(path, **part)])
    sound = np.abs(media.read_audio(path, **part))
    return np.argmax(levels > 150) / FPS, np.argmax(sound > 3000 / 32768) / RATE


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("container", CONTAINERS)
def test_lips_and_sound_are_as_far_apart_as_in_the_file(tmp_path, container, late):
    suffix, *words = CONTAINERS[container]
    path = tmp_path / f"film.{suffix}"
    shifted(path, words, *LATE[late])
    flash_at, tone_at = as_read(path)
    assert abs(tone_at - flash_at - one_run(path, tmp_path)) < 0.02
    # A part keeps them as far apart, and begins at its own moment.
    flash_part, tone_part = as_read(path, start=0.6, seconds=2)
    assert abs(flash_at - flash_part - 0.6) < 0.021 and abs(tone_at - tone_part - 0.6) < 0.021
