"""Faces: found, followed, cut out as TalkNet does, put back; from arrays, small videos and real footage."""

import tracemalloc
from concurrent.futures import Future
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pytest
from PIL import Image

from pushpull.clip import SAMPLES_PER_FRAME, fit_audio
from pushpull.faces import (
    TALKNET_DEMO,
    crop_box,
    crop_track,
    crop_tracks,
    detect_faces,
    find,
    find_tracks,
    paste_back,
    read_clips,
)
from pushpull.faces.crop import PADDING
from pushpull.faces.tracking import Track
from pushpull.media import MediaError, read_audio, read_frames, write_preview

REAL = Path(__file__).parents[3] / "shared" / "data" / "real"

HEIGHT, WIDTH = 160, 220


@pytest.fixture(scope="module")
def portrait():
    """A public-domain photograph that matplotlib brings: one face, from the front. (600, 512, 3) uint8."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        return np.asarray(Image.open(file).convert("RGB"))


def scene(portrait, *people, grey=90, side=110):
    """A small picture with the portrait at each x of ``people``."""
    picture = np.full((HEIGHT, WIDTH, 3), grey, np.uint8)
    small = np.asarray(Image.fromarray(portrait[:, 40:490]).resize((side, round(side * 600 / 450))))
    for x in people:
        picture[5 : 5 + len(small), x : x + side] = small
    return picture


def save(path, frames):
    """A video with a quiet sweep for sound."""
    time = np.arange(len(frames) * SAMPLES_PER_FRAME) / 16_000
    return write_preview(path, np.stack(frames), (0.2 * np.sin(2000 * time**2)).astype(np.float32), crf=12)


def test_a_face_is_found_where_it_is_at_any_size(portrait):
    (found,) = detect_faces(portrait)
    x1, y1, x2, y2, score = found
    assert score > 0.8 and 150 < x1 < 220 and 100 < y1 < 150 and 320 < x2 < 380 and 300 < y2 < 350
    for side in (1536, 170):  # shrunk before the detector sees it; looked at as it is
        scale = side / 512
        resized = np.asarray(Image.fromarray(portrait).resize((side, round(600 * scale))))
        (other,) = detect_faces(resized)
        assert np.abs(other[:4] / scale - found[:4]).max() < 12


def test_any_memory_layout_gives_the_same_faces(portrait):
    mirrored = portrait[:, ::-1]
    assert np.array_equal(detect_faces(mirrored), detect_faces(mirrored.copy()))
    assert len(detect_faces(mirrored)) == 1


def test_no_face_is_an_empty_array():
    assert detect_faces(np.zeros((90, 120, 3), np.uint8)).shape == (0, 5)


@pytest.mark.parametrize("bad", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8)])
def test_other_pictures_are_named(bad):
    with pytest.raises(ValueError, match=r"rgb must be \(H, W, 3\) uint8"):
        detect_faces(bad)


def talknet_crop(frame, box):
    """What TalkNet's demo does to one box, in its own order: pad, cut in whole pixels, 224, centre 112, grey."""
    half, scale = max(box[2] - box[0], box[3] - box[1]) / 2, 0.40
    border = int(half * (1 + 2 * scale))
    padded = np.pad(frame, ((border, border), (border, border), (0, 0)), constant_values=110)
    y, x = (box[1] + box[3]) / 2 + border, (box[0] + box[2]) / 2 + border
    rows = slice(int(y - half), int(y + half * (1 + 2 * scale)))
    columns = slice(int(x - half * (1 + scale)), int(x + half * (1 + scale)))
    large = Image.fromarray(padded[rows, columns]).resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(large.convert("L"))[56:168, 56:168].astype(float)


# Half the longer side is 100, so that every edge of the demo's cut falls on a whole pixel and rounding does nothing.
CROPS = {"inside": (180, 120, 340, 320), "at the border": (0, 20, 80, 220), "beyond it": (420, 440, 580, 640)}


@pytest.mark.parametrize("place", CROPS)
def test_crop_is_talknets(portrait, place):
    box = np.array(CROPS[place], np.float32)
    theirs = talknet_crop(portrait, box)
    ours = crop_track([portrait], Track(0, box[None], np.ones(1, np.float32)))[0]
    assert ours.shape == (112, 112) and ours.dtype == np.uint8
    assert np.abs(ours - theirs).mean() < 1.0  # grey before resizing instead of after
    assert np.abs(ours - theirs).max() <= 3


def test_crop_box_is_nose_to_chin():
    assert crop_box(np.array([100, 100, 200, 200])) == pytest.approx((115, 135, 185, 205))
    assert crop_box(np.array([100, 100, 140, 200])) == pytest.approx((85, 135, 155, 205))  # the longer side counts


def test_beyond_the_frame_lies_grey(portrait):
    crop = crop_track([portrait], Track(0, np.array([[-300, -300, -100, -100]], np.float32), np.ones(1, np.float32)))
    assert (crop == PADDING).all()


def test_crops_of_several_tracks_in_one_pass(portrait):
    frames = [np.full((80, 80, 3), 10 * i, np.uint8) for i in range(8)]
    box = np.array([[20, 20, 50, 50]], np.float32)
    tracks = [Track(1, box.repeat(3, 0), np.ones(3)), Track(2, box.repeat(5, 0), np.ones(5))]
    first, second = crop_tracks(iter(frames), tracks)[TALKNET_DEMO]
    assert [int(crop.mean()) for crop in first] == [10, 20, 30]
    assert [int(crop.mean()) for crop in second] == [20, 30, 40, 50, 60]
    with pytest.raises(ValueError, match="a track ends at frame 7 but the video has only 4 frames"):
        crop_tracks(frames[:4], tracks)
    assert crop_tracks(frames, []) == {TALKNET_DEMO: []}


@pytest.mark.parametrize("place", CROPS)
def test_a_pasted_change_is_seen_in_the_crop(portrait, place):
    box = np.array(CROPS[place], np.float32)
    column = np.linspace(0, 2 * np.pi, 112)
    delta = (12 * np.sin(column)[:, None] * np.cos(column)[None]).astype(np.float32)  # smooth: it survives resampling
    pasted = paste_back(portrait, delta, box)
    track = Track(0, box[None], np.ones(1, np.float32))
    before, after = (crop_track([frame], track)[0].astype(float) for frame in (portrait, pasted))
    inside = before != PADDING  # nothing can be pasted beyond the frame
    change = after - before
    clipped = (before < 15) | (before > 240)
    assert np.abs(change - delta)[inside & ~clipped].mean() < 1.0
    x1, y1, x2, y2 = (int(v) for v in crop_box(box))
    outside = np.ones(portrait.shape[:2], bool)
    outside[max(0, y1 - 1) : y2 + 2, max(0, x1 - 1) : x2 + 2] = False
    assert np.array_equal(pasted[outside], portrait[outside])
    assert pasted is not portrait and not np.array_equal(pasted, portrait)


def test_pasting_outside_or_nothing_changes_nothing(portrait):
    delta = np.full((112, 112), 50.0)
    assert np.array_equal(paste_back(portrait, delta, np.array([-400, -400, -200, -200])), portrait)
    assert np.array_equal(paste_back(portrait, 0 * delta, np.array(CROPS["inside"])), portrait)


def test_pasting_clips_instead_of_wrapping():
    white = np.full((60, 60, 3), 250, np.uint8)
    assert paste_back(white, np.full((112, 112), 40.0), np.array([10, 10, 40, 40])).min() >= 250


def test_one_person(portrait, tmp_path):
    frames = [scene(portrait, 20 + i) for i in range(25)]
    path = save(tmp_path / "walk.mp4", frames)
    calls = []
    footage = read_clips(path, progress=lambda share, text: calls.append((share, text)))
    (clip,), (track,) = footage.clips, footage.tracks
    assert footage.frames == clip.frames == 25 and footage.size == (HEIGHT, WIDTH) and footage.seconds == 1.0
    assert clip.name == "walk" and clip.video.dtype == np.uint8
    assert np.array_equal(clip.audio, fit_audio(read_audio(path), 25))
    assert footage.thumbnails[0].shape == (160, 160, 3) and footage.thumbnails[0].std() > 20
    assert track.boxes[18, 0] - track.boxes[6, 0] == pytest.approx(12, abs=3)  # it walks with the face
    still = np.abs(clip.video[6].astype(float) - clip.video[18]).mean()
    assert still < 6  # in the crop the face stands
    shares = [share for share, _ in calls]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0) and shares[0] < 0.1
    assert "looking for faces" in calls[0][1] and "cutting out faces" in calls[-1][1]


def test_two_people_a_gap_and_a_scene_cut(portrait, tmp_path):
    together = [scene(portrait, 0, 110)] * 12
    hidden = [scene(portrait, 0)] * 5  # the right one is covered for a fifth of a second
    alone = [scene(portrait, 55, grey=200)] * 12  # another scene, one of them in the middle
    path = save(tmp_path / "talk.mp4", together + hidden + together + alone)
    footage = read_clips(path)
    assert sorted((track.start, track.stop) for track in footage.tracks) == [(0, 29), (0, 29), (29, 41)]
    assert sorted(int((track.scores == 0).sum()) for track in footage.tracks) == [0, 0, 5]
    assert [clip.name for clip in footage.clips] == ["talk face 1", "talk face 2", "talk face 3"]
    sound = fit_audio(read_audio(path), 41)
    for clip, track in zip(footage.clips, footage.tracks, strict=True):
        assert clip.frames == track.stop - track.start
        assert np.array_equal(clip.audio, sound[track.start * 640 : track.stop * 640])
    assert footage.remarks == ()
    for number, said in ((1, "the longest and biggest one was"), (2, "the 2 longest and biggest were")):
        some = read_clips(path, max_tracks=number, crops="face_box")
        assert len(some) == number and some.remarks == (f"It shows 3 faces: {said} taken.",)


def test_no_face_says_what_to_do(tmp_path):
    path = save(tmp_path / "wall.mp4", [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * 12)
    with pytest.raises(MediaError, match="no face was found in wall.mp4 for 10 frames .* Give a video"):
        read_clips(path)
    with pytest.raises(MediaError, match="no such file"):
        read_clips(tmp_path / "none.mp4")


@pytest.mark.parametrize(
    "given, message",
    [
        ({"start": -1}, "start is at least 0 s"),
        ({"start": float("nan")}, "start is at least 0 s"),
        ({"seconds": 0}, "seconds above 0 or None, got 0.0 and 0"),
        ({"seconds": -1}, "seconds above 0"),
        ({"seconds": float("inf")}, "seconds above 0"),
        ({"crops": ["box"]}, "crops are talknet_demo or face_box or both, got 'box'"),
        ({"crops": "box"}, "got 'box'"),
        ({"crops": []}, "got none"),
    ],
)
def test_parts_and_crops_that_there_are_not(given, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_clips(tmp_path / "any.mp4", **given)


def test_a_glimpse_of_a_face_is_not_enough(portrait, tmp_path):
    path = save(tmp_path / "glimpse.mp4", [scene(portrait, 50)] * 6 + [scene(portrait)] * 10)
    with pytest.raises(MediaError, match="no face was found"):
        read_clips(path)


def test_what_the_callback_raises_ends_the_work(portrait, tmp_path):
    path = save(tmp_path / "stop.mp4", [scene(portrait, 50)] * 12)

    class Stop(Exception):
        pass

    def stop(share, text):
        raise Stop

    with pytest.raises(Stop):
        read_clips(path, progress=stop)


def crowd(count, size=(36, 64)):
    """Ten minutes of tiny pictures, each made when it is asked for."""
    for index in range(count):
        yield np.full((*size, 3), 60 + index % 3, np.uint8)


class OneFace:
    """Stands in for the detector, without its processes."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, rgb):
        answer = Future()
        answer.set_result(np.array([[20, 8, 40, 28, 0.9]], np.float32))
        return answer


@pytest.mark.parametrize("count", [1_500, pytest.param(15_000, marks=pytest.mark.slow)])
def test_frames_are_streamed(monkeypatch, count):
    """Only boxes stay, about half a kilobyte a frame; ten minutes of these tiny frames would be 104 MB."""
    monkeypatch.setattr(find, "FaceDetector", OneFace)
    tracemalloc.start()
    try:
        (track,) = find_tracks(crowd(count))
        found = tracemalloc.get_traced_memory()[1]
        start = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        (cut,) = crop_tracks(crowd(300), [Track(0, track.boxes[:300], track.scores[:300])])[TALKNET_DEMO]
        cropped = tracemalloc.get_traced_memory()[1] - start
    finally:
        tracemalloc.stop()
    assert len(track.boxes) == count
    assert found < 1e6 + 800 * count, f"{found / 1e6:.1f} MB to follow one face for {count / 25:.0f} s"
    assert cropped < cut.nbytes + 1e6, f"{cropped / 1e6:.1f} MB for {cut.nbytes / 1e6:.1f} MB of crops"


@pytest.mark.slow
def test_a_long_file_is_streamed(monkeypatch, tmp_path):
    """From the file on: nothing but the crops and the sound of three minutes stays (all frames would be 311 MB)."""
    monkeypatch.setattr(find, "FaceDetector", OneFace)
    size, count = (180, 128), 4_500
    silence = np.zeros(count * SAMPLES_PER_FRAME, np.int16)
    path = write_preview(tmp_path / "long.mp4", crowd(count, size), silence)
    tracemalloc.start()
    try:
        footage = read_clips(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert footage.frames == count
    kept = sum(clip.video.nbytes + 4 * clip.audio.nbytes for clip in footage.clips)
    assert peak < kept + 20e6, f"{peak / 1e6:.0f} MB at most, {kept / 1e6:.0f} MB of it crops and sound"


def real(name):
    if not (REAL / name).is_file():
        pytest.skip(f"no real footage at ../shared/data/real/{name}")
    return REAL / name


def test_a_film_scene_has_three_people():
    """One talks, two listen, one of them in profile."""
    footage = read_clips(real("friday.mp4"))
    assert 145 <= footage.frames <= 156 and footage.size == (480, 640)
    centres = sorted((track.boxes[:, 0] + track.boxes[:, 2]).mean() / 2 for track in footage.tracks)
    people = 1 + int((np.diff(centres) > 60).sum())  # one who turns away and comes back later has two tracks
    assert people == 3
    assert len(footage.tracks[0].boxes) == footage.frames  # she who talks is there all along
    for clip in footage.clips:
        assert 30 < clip.video.mean() < 220 and clip.video.std() > 15
        assert np.abs(clip.audio).max() > 0.01


def test_a_grid_clip_has_one_face_all_along():
    path = real("grid_bbaf2n.mpg")
    footage = read_clips(path)
    (track,) = footage.tracks
    assert footage.frames == 75 and (track.start, track.stop) == (0, 75) and (track.scores > 0.6).all()
    frame = next(iter(read_frames(path)))
    x1, y1, x2, y2 = crop_box(track.boxes[0])
    height, width = frame.shape[:2]
    assert x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height  # GRID speakers fill the picture, not more
