"""Cut the tracks of one film: the faces at the annotated moments, and their sound."""

import errno
import hashlib
import json
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.io import wavfile

from pushpull.clip import SAMPLE_RATE
from pushpull.data.ava.layout import Layout
from pushpull.files import PARTIAL
from pushpull.media import Limits, MediaError, probe, quantise_audio, read_audio, read_frames

VERSION = 1  # of what is cut; what another version cut is cut again
DONE = "prepared.json"  # in a film's two folders, once they are whole
JPEG_QUALITY = 95  # OpenCV's own, and so that of TalkNet's script
# A film is its owner's: limits are there to notice a machine that hangs, not to keep visitors in bounds.
LIMITS = Limits(max_seconds=12 * 3600.0, max_pixels=7680 * 4320, max_bytes=1 << 40, timeout=4 * 3600.0)
EARLY = 0.25  # of a frame's length by which reading starts before the first: then no rounding loses it or doubles one


@dataclass(frozen=True)
class FilmCut:
    """What a film gave.

    Args:
        rates: pictures a second of each track.
        left_out: why there is no such track.
    """

    rates: dict[str, float]
    left_out: dict[str, str]


def finished_cut(layout: Layout, split: str, film: str, rows: pd.DataFrame, path: Path | None) -> FilmCut | None:
    """What an earlier run has cut of these rows; None if it has not, or from another file than ``path``.

    A film may be deleted once it is cut: without ``path`` the file is not compared.
    """
    try:
        done = [json.loads((folder / DONE).read_text("utf-8")) for folder in _folders(layout, split, film)]
    except (OSError, ValueError):
        return None
    if done[0] != done[1] or done[0]["rows"] != _digest(rows) or (path and path.stat().st_size != done[0]["bytes"]):
        return None
    return FilmCut(done[0]["rates"], done[0]["left_out"])


def cut_film(layout: Layout, split: str, film: str, rows: pd.DataFrame, path: Path) -> FilmCut | str:
    """Cut one film's tracks; its folders appear only once they are whole.

    Args:
        rows: the film's annotation, as :func:`pushpull.data.ava.official.read_annotation` gives it.
        path: the film. Only the annotated part of it is decoded, picture by picture.

    Returns:
        What it gave, or why it cannot be used.

    Raises:
        FileExistsError: there is such a folder, which another program has made.
        OSError: the disk is full.
    """
    finals = _folders(layout, split, film)
    for folder in finals:
        if folder.exists() and not (folder / DONE).exists():
            raise FileExistsError(f"{folder} was made by another program: choose another --out, or delete it")
    drafts = [folder.with_name(folder.name + PARTIAL) for folder in finals]
    try:
        for draft in drafts:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
        cut = _cut(rows, path, *drafts)
        done = {"rows": _digest(rows), "bytes": path.stat().st_size, "rates": cut.rates, "left_out": cut.left_out}
        for draft, folder in zip(drafts, finals, strict=True):
            (draft / DONE).write_text(json.dumps(done), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)
        return cut
    except MediaError as error:
        return str(error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno, f"the disk is full: free some space for {layout.root}, and give the same command again"
        ) from error
    finally:
        for draft in drafts:
            shutil.rmtree(draft, ignore_errors=True)


def _cut(rows, path, sounds, pictures):
    """Write all tracks of a film into two folders."""
    found = probe(path, limits=LIMITS)
    found.require_video(path.name)
    found.require_audio(path.name)
    if found.rate is None:
        raise MediaError(f"{path.name} does not say how many pictures a second it has. Export it again, as MP4 or MKV.")
    rate = _exact(found.rate)
    # The film's frame k is shown k / rate seconds into it; the annotation knows that to hundredths of a second.
    rows = rows.assign(frame=np.rint(rows["frame_timestamp"] * float(rate)).astype(np.int64))
    first, count = rows["frame"].min(), rows["frame"].max() - rows["frame"].min() + 1
    written = _write_pictures(rows, pictures, path, rate, first, count)
    sound = read_audio(path, limits=LIMITS, start=first / float(rate), seconds=(count + 1) / float(rate))
    sound = quantise_audio(sound)
    cut = FilmCut({}, {})
    for entity, of_track in rows.groupby("entity_id", sort=False):
        begin, end = of_track["frame_timestamp"].iloc[[0, -1]]
        if written.get(entity, 0) < len(of_track):
            shutil.rmtree(pictures / entity, ignore_errors=True)
            cut.left_out[entity] = f"{path.name} ends before the track does, at {end:g} s: a longer copy is needed"
            continue
        cut.rates[entity] = _track_rate(len(of_track), end - begin, float(rate))
        begin, end = (of_track["frame"].iloc[[0, -1]] - first) / float(rate)
        start, stop = round(begin * SAMPLE_RATE), round((end + 1 / cut.rates[entity]) * SAMPLE_RATE)
        wavfile.write(sounds / f"{entity}.wav", SAMPLE_RATE, sound[start:stop])
    return cut


def _write_pictures(rows, folder, path, rate, first, count):
    """Write every row's face as its frame comes by, from ``first`` on; {track: how many were written}."""
    waiting = {}
    for row in rows.itertuples(index=False):
        waiting.setdefault(row.frame, []).append(row)
    written = {}
    start = max(0.0, (first - EARLY) / float(rate))
    frames = read_frames(path, limits=LIMITS, rate=rate, start=start, seconds=count / float(rate))
    for number, rgb in enumerate(frames, first):
        for row in waiting.pop(number, ()):
            to = folder / row.entity_id
            if row.entity_id not in written:
                to.mkdir()
            box = (row.entity_box_x1, row.entity_box_y1, row.entity_box_x2, row.entity_box_y2)
            done, jpeg = cv2.imencode(".jpg", _face(rgb, box)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            if not done:
                raise MediaError(f"{path.name}: the face of {row.entity_id} cannot be written as JPEG.")
            (to / f"{row.frame_timestamp:.2f}.jpg").write_bytes(jpeg)
            written[row.entity_id] = written.get(row.entity_id, 0) + 1
        if not waiting:
            break
    return written


def _face(rgb, box):
    """The part of a picture (H, W, 3) in a box given in shares of it, at least a pixel large."""
    height, width = rgb.shape[:2]
    x1, y1 = min(max(int(box[0] * width), 0), width - 1), min(max(int(box[1] * height), 0), height - 1)
    x2, y2 = max(int(box[2] * width), x1 + 1), max(int(box[3] * height), y1 + 1)
    return np.ascontiguousarray(rgb[y1:y2, x1:x2])


def _exact(rate):
    """The rate that ffmpeg prints with two decimals: 23.98 is 24000/1001."""
    standard = (Fraction(whole * 1000, 1001) for whole in (24, 30, 48, 60))
    return next((exact for exact in standard if abs(exact - rate) < 0.006), Fraction(rate).limit_denominator(100))


def _track_rate(pictures, seconds, rate):
    """A track's pictures a second: the film's, unless they were annotated at another, or with gaps."""
    if abs((pictures - 1) / rate - seconds) > 0.5 / rate + 0.02 and seconds > 0:
        rate = (pictures - 1) / seconds
    return round(rate, 3)


def _folders(layout, split, film):
    return [layout.sounds(split, film), layout.pictures(split, film)]


def _digest(rows):
    return hashlib.sha256(f"{VERSION}\n{rows.to_csv(index=False)}".encode()).hexdigest()
