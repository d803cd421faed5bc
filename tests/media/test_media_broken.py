"""Files that cannot be read say what is wrong with them, and limits hold."""

import os
from pathlib import Path

import numpy as np
import pytest
from media_support import ffmpeg, flash

from pushpull import media
from pushpull.media import Limits, MediaError
from pushpull.media.ffmpeg import FFmpeg


def cut(mp4, path):
    path.write_bytes(mp4.read_bytes()[: mp4.stat().st_size * 6 // 10])


def cut_before_its_index(mp4, path):
    ffmpeg("-i", mp4, "-c", "copy", path)  # without faststart the index comes last
    path.write_bytes(path.read_bytes()[:-2000])


def cut_webm(mp4, path):
    ffmpeg("-i", mp4, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


def written(content):
    """A maker of a file with ``content``; {mp4} in a text is a film beside it."""
    if isinstance(content, bytes):
        return lambda mp4, path: path.write_bytes(content)
    return lambda mp4, path: path.write_text(content.format(mp4=mp4))


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{mp4}\n#EXT-X-ENDLIST\n"
SESSION = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n"
DASH = "<?xml version='1.0'?><MPD><Period><BaseURL>{mp4}</BaseURL></Period></MPD>"
# What is wrong with the file, how it is made, its name's ending, and what the message says.
BROKEN = [
    ("missing", lambda mp4, path: None, ".mp4", "no such file"),
    ("folder", lambda mp4, path: path.mkdir(), ".mp4", "folder"),
    ("empty", written(b""), ".mp4", "empty"),
    ("text", written("I am not a video.\n" * 200), ".mp4", "not a video"),
    ("noise", written(np.random.default_rng(1).bytes(20_000)), ".mp4", "not a video"),
    ("picture", written(b"\x89PNG\r\n\x1a\n" + bytes(99)), ".mp4", "is a picture, not a video"),
    ("zeros", written(bytes(20_000)), ".mp4", "not a video"),
    ("cut in half", cut, ".mp4", "truncated"),
    ("cut off before its index", cut_before_its_index, ".mp4", "truncated"),
    ("webm cut", cut_webm, ".webm", "truncated"),
    ("fifo", lambda mp4, path: os.mkfifo(path), ".mp4", "not a regular file"),
    ("playlist", written(PLAYLIST), ".mp4", "not a video"),
    ("playlist by name", written(PLAYLIST), ".m3u8", "not a video"),
    ("concat list", written("ffconcat version 1.0\nfile '{mp4}'\n"), ".mp4", "not a video"),
    ("session description", written(SESSION), ".mp4", "not a video"),
    ("dash manifest", written(DASH), ".mp4", "not a video"),
]


@pytest.mark.parametrize("wrong, make, ending, says", BROKEN, ids=[row[0] for row in BROKEN])
def test_bad_files_say_what_is_wrong(films, mp4, wrong, make, ending, says):
    path = films / f"broken {wrong}{ending}"
    make(mp4, path)
    for read in (media.read_audio, lambda path: list(media.read_frames(path))):
        with pytest.raises(MediaError, match=says) as error:
            read(path)
        text = str(error.value)
        assert str(films) + "/" not in text, "a visitor must not see the server's folders"
        assert len(text) < 800
        plain = error.value.plain
        assert text.startswith(plain) and "ffmpeg" not in plain and "whitelist" not in plain


@pytest.mark.parametrize("name", ["-y.mp4", "concat:plain.mp4|plain.mp4", "a:b.mp4", "50%d.mp4", "день 'x'.mp4"])
def test_odd_names_are_only_names(films, mp4, name, monkeypatch):
    monkeypatch.chdir(films)
    Path(name).write_bytes(mp4.read_bytes())
    assert len(list(media.read_frames(name))) == 50
    assert media.read_audio(name).size > 0


def test_sound_without_picture_and_picture_without_sound(films, mp4):
    silent, voice, cover = films / "silent.mp4", films / "voice.wav", films / "cover.m4a"
    ffmpeg("-i", mp4, "-an", "-c:v", "copy", silent)
    ffmpeg("-i", mp4, "-vn", voice)
    picture = ["-map", "0:v", "-map", "0:a", "-frames:v", 1, "-c:v", "mjpeg", "-disposition:v", "attached_pic"]
    ffmpeg("-i", mp4, *picture, cover)
    with pytest.raises(MediaError, match="no sound"):
        media.read_audio(silent)
    for path in (voice, cover):  # a song's cover is no video
        with pytest.raises(MediaError, match="no picture"):
            next(media.read_frames(path))
        assert media.read_audio(path).size > 0
    assert len(list(media.read_frames(silent))) == 50


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(max_seconds=0.5), "longer than 0.5 s"),
        (Limits(max_pixels=100 * 100), "160 x 120 pixels"),
        (Limits(max_bytes=1000), "MB"),
    ],
)
def test_limits(mp4, limits, says):
    for read in (media.read_audio, lambda path, limits: list(media.read_frames(path, limits=limits))):
        with pytest.raises(MediaError, match=says):
            read(mp4, limits=limits)


def test_the_duration_limit_holds_where_the_file_does_not_say(films):
    path = films / "endless.webm"
    path.write_bytes(
        ffmpeg(*flash(seconds=4), "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", "-f", "webm", "-")
    )
    taken = 0
    with pytest.raises(MediaError, match="longer than 1 s"):
        for _ in media.read_frames(path, limits=Limits(max_seconds=1)):
            taken += 1
    assert taken == 25
    with pytest.raises(MediaError, match="longer than 1 s"):
        media.read_audio(path, limits=Limits(max_seconds=1))


def test_a_header_that_hides_a_huge_picture(films, mp4):
    # The probe's own check set aside: the decoder's must hold alone.
    command = ["-max_pixels", "10000", "-i", str(mp4), "-f", "null", "-"]
    with FFmpeg(command, name="x.mp4", timeout=30) as run, pytest.raises(MediaError, match="larger than the limit"):
        run.finish()
