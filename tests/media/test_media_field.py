"""Small files like those of public bug reports, and joined, late and silent ones, come out right."""

from pathlib import Path

import numpy as np
import pytest
from media_support import FPS, RATE, ffmpeg, flash

from pushpull import media, perturb
from pushpull.demo.intake import take_in
from pushpull.demo.storage import ResultStore
from pushpull.media import MediaError

FIELD = Path(__file__).parents[3] / "shared/data/field"
needs_field = pytest.mark.skipif(not FIELD.is_dir(), reason="../shared/data/field is not here")


def onsets(values, above):
    """Where ``values`` come to be larger than ``above``."""
    loud = values > above
    return np.flatnonzero(loud & ~np.concatenate([[False], loud[:-1]]))


def events(path, **part):
    """Seconds of the flashes, seconds of the beeps, number of pictures, seconds of sound."""
    pictures = np.array([frame.mean() for frame in media.read_frames(path, **part)])
    sound = np.abs(media.read_audio(path, **part))
    loudest = np.pad(sound, (0, -len(sound) % 160)).reshape(-1, 160).max(axis=1)
    return list(onsets(pictures, 150) / FPS), list(onsets(loudest, 0.05) / 100), len(pictures), len(sound) / RATE


@needs_field
@pytest.mark.parametrize(
    ("name", "at", "pictures", "seconds"),
    [
        ("f1_late_audio.ts", [1.0], 75, 3.0),
        ("f1_late_audio.vob", [1.0], 75, 3.0),
        ("f1_late_video.ts", [1.0], 75, 3.0),
        ("f2_sizechange.webm", [1.0, 3.0], 100, 4.0),
        ("f3_layout.mkv", [1.0, 3.0], 100, 4.0),
    ],
)
def test_flash_and_beep_are_where_they_belong(name, at, pictures, seconds):
    seen, heard, count, length = events(FIELD / name)
    assert seen == pytest.approx(at, abs=0.001) and heard == pytest.approx(at, abs=0.021)
    assert count == pictures and length == pytest.approx(seconds, abs=0.05)


@needs_field
@pytest.mark.parametrize("start", [0, 0.52, 1, 1.96, 2.52, 7])
def test_a_part_of_a_transport_stream_begins_with_its_own_picture(start):
    """Its key frames are 2 s apart; luma 16 + 25 t is 29 t in RGB."""
    path = FIELD / "f4_gop50.ts"
    whole = [frame.mean() for frame in media.read_frames(path)]
    part = [frame.mean() for frame in media.read_frames(path, start=start, seconds=0.4)]
    assert part == whole[round(start * FPS) :][:10] and part[0] == pytest.approx(29 * start, abs=2.5)
    sound, all_of_it = media.read_audio(path, start=start, seconds=0.4), media.read_audio(path)
    # A lossy coder that begins in the middle takes a moment to come to the same samples.
    apart = np.abs(sound - all_of_it[round(start * RATE) :][: len(sound)])
    assert len(sound) == 0.4 * RATE and apart[RATE // 10 :].max() < 0.1


@needs_field
@pytest.mark.parametrize(
    ("name", "seconds"), [("f5_seg1.mkv", 2.1), ("f5_id3tail.mp4", 1.6), ("f7_silentfirst.mp4", 1.6)]
)
def test_whole_files_are_taken_for_whole(name, seconds, tmp_path):
    subject = take_in(FIELD / name, ResultStore(root=tmp_path))
    assert subject.footage.seconds == pytest.approx(seconds, abs=0.05)
    assert not subject.footage.silent and not subject.cut


@needs_field
def test_a_silent_first_track_is_passed_over_and_that_is_said():
    sound = media.read_sound(FIELD / "f7_silentfirst.mp4")
    assert np.abs(sound.samples).max() > 0.1
    assert sound.remarks == ("The sound is track 2 of 2, the file's default.",)


@needs_field
def test_a_long_recording_without_a_duration_offers_another_part(tmp_path):
    from pushpull.demo.actions import about, trim_slider

    subject = take_in(FIELD / "f8_noduration.webm", ResultStore(root=tmp_path))
    assert subject.cut and subject.footage.seconds == 20 and subject.seconds == pytest.approx(22, abs=0.1)
    assert "Seconds 0.0 to 20.0 of 22" in about(subject) and trim_slider(subject).maximum == pytest.approx(2, abs=0.1)
    later = take_in(FIELD / "f8_noduration.webm", ResultStore(root=tmp_path), start=1.5)
    assert later.start == 1.5 and later.footage.seconds == 20


@pytest.mark.parametrize("silent", ["first", "default", "both"])
def test_the_default_track_is_taken_unless_it_is_silent(tmp_path, silent):
    path, quiet, loud = tmp_path / "two.mkv", "anullsrc=r=48000:d=2", "sine=1000:r=48000:d=2,volume=2"
    tracks = {"first": (quiet, loud), "default": (loud, quiet), "both": (quiet, quiet)}[silent]
    sources = ["-f", "lavfi", "-i", "color=gray:s=64x64:r=25:d=2"]
    for track in tracks:
        sources += ["-f", "lavfi", "-i", track]
    flags = ["-disposition:a:0", "0", "-disposition:a:1", "default"] if silent == "default" else []
    flags = flags or ["-disposition:a:0", "default", "-disposition:a:1", "0"]
    ffmpeg(*sources, "-map", 0, "-map", 1, "-map", 2, "-c:v", "mpeg4", "-c:a", "flac", *flags, "-t", 2, path)
    sound = media.read_sound(path)
    assert (np.abs(sound.samples).max() > 0.1) == (silent != "both")
    says = {
        "first": "track 2 of 2, the first that is not silent (1 is)",
        "default": "track 1 of 2, the first that is not silent (2 is)",
        "both": "All 2 sound tracks are silent",
    }[silent]
    assert len(sound.remarks) == 1 and says in sound.remarks[0]


@pytest.mark.parametrize(
    ("right", "loudest", "turned"), [("-1*c0", 0.25, True), ("c0", 0.25, False), ("0*c0", 0.125, False)]
)
def test_channels_are_mixed_without_cancelling_each_other(tmp_path, right, loudest, turned):
    path = tmp_path / "two.mkv"
    tone = f"sine=1000:r=48000:d=2,volume=2,pan=stereo|c0=c0|c1={right}"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=64x64:r=25:d=2", "-f", "lavfi", "-i", tone, "-c:v", "mpeg4", path)
    sound = media.read_sound(path)
    assert np.abs(sound.samples[8000:24000]).max() == pytest.approx(loudest, rel=0.15)
    assert bool(sound.remarks) == turned and all("upside down" in remark for remark in sound.remarks)


def joined(folder, suffix, *codecs):
    one, path = folder / f"one.{suffix}", folder / f"joined.{suffix}"
    ffmpeg(*flash(25), *codecs, one)
    path.write_bytes(2 * one.read_bytes())
    return path


@pytest.mark.parametrize(
    ("suffix", "codecs"),
    [("ts", ["-c:v", "libx264", "-c:a", "aac"]), ("mpg", ["-c:v", "mpeg1video", "-c:a", "mp2"])],
)
def test_files_put_one_behind_another_stay_in_step_and_that_is_said(tmp_path, suffix, codecs):
    path = joined(tmp_path, suffix, *codecs)
    seen, heard, count, _ = events(path)
    assert seen == pytest.approx([1, 3], abs=0.041) and heard == pytest.approx(seen, abs=0.041) and count == 100
    assert "clock jumps" in media.read_sound(path).remarks[0]


def test_a_clock_that_runs_back_is_refused(tmp_path):
    path = joined(tmp_path, "webm", "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus")
    for read in (media.read_audio, lambda path: list(media.read_frames(path))):
        with pytest.raises(MediaError, match="clock jumps back"):
            read(path)


def test_colour_tags_that_change_in_mid_file(tmp_path):
    parts = []
    for number, space in enumerate(("bt709", "smpte170m", "bt2020nc")):
        parts.append(tmp_path / f"{number}.ts")
        tags = ["-vf", f"setparams=colorspace={space}:range={'full' if number == 1 else 'limited'}"]
        ffmpeg(*flash(25), *tags, "-c:v", "libx264", "-c:a", "aac", "-output_ts_offset", 2.2 * number, parts[-1])
    path = tmp_path / "tags.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    seen, heard, count, _ = events(path)
    assert seen == pytest.approx([1, 3.1, 5.3], abs=0.11) and heard == pytest.approx(seen, abs=0.041)
    assert count == pytest.approx(25 * (seen[2] + 1), abs=1)


def test_sound_whose_rate_changes_in_mid_file(tmp_path):
    parts = []
    for number, rate in enumerate((48000, 32000)):
        parts.append(tmp_path / f"{number}.ts")
        sound = ["-ar", rate, "-c:a", "aac", "-output_ts_offset", 2.2 * number]
        ffmpeg(*flash(25), "-c:v", "libx264", *sound, parts[-1])
    path = tmp_path / "rates.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    seen, heard, _, seconds = events(path)
    assert seen == pytest.approx([1, 3.1], abs=0.11) and heard == pytest.approx(seen, abs=0.041)
    assert seconds == pytest.approx(seen[1] + 1, abs=0.1)


def test_a_matroska_with_a_long_subtitle_is_whole(tmp_path):
    words, path = tmp_path / "words.srt", tmp_path / "titled.mkv"
    words.write_text("1\n00:00:00,000 --> 00:01:30,000\nHello\n")
    ffmpeg(*flash(25), "-i", words, "-map", 0, "-map", 1, "-map", 2, "-c:v", "libx264", "-c:a", "aac", path)
    about = media.probe(path)
    assert about.seconds == pytest.approx(2, abs=0.1) and about.promised == about.seconds
    # A writer without tags leaves only the longest stream's length, which promises nothing.
    ffmpeg(
        "-i", path, "-map", 0, "-c", "copy", "-fflags", "+bitexact", "-flags", "+bitexact", tmp_path / "untagged.mkv"
    )
    data = (tmp_path / "untagged.mkv").read_bytes().replace(b"DURATION", b"DURATIOM")
    (tmp_path / "untagged.mkv").write_bytes(data)
    assert media.probe(tmp_path / "untagged.mkv").promised is None


@needs_field
def test_the_shell_says_what_it_took_of_the_sound(tmp_path, capsys):
    assert perturb.main([str(FIELD / "f7_silentfirst.mp4"), "--list-faces"]) == 0
    said = capsys.readouterr().out
    assert "The sound is track 2 of 2, the file's default." in said and "silent, so" not in said
    mute = tmp_path / "mute.mp4"
    ffmpeg("-i", FIELD / "f7_silentfirst.mp4", "-map", "0:v", "-map", "0:1", "-c", "copy", mute)
    assert perturb.main([str(mute), "--list-faces", "--start", "0.2"]) == 0
    assert "The sound is silent, so the model hears nobody" in capsys.readouterr().out
