"""The annotated video: its size and length, what is drawn in it, what is heard."""

from dataclasses import replace

import numpy as np
import pytest
from perturb_support import FRAMES, make_world
from PIL import ImageColor

from pushpull.attacks import FGSM
from pushpull.faces.scene import Scene
from pushpull.media import read_audio, read_frames
from pushpull.plots.style import AFTER, BEFORE, SILENT, SPEAKING, STORED
from pushpull.runs import video as annotate
from pushpull.runs.run import execute
from pushpull.runs.spec import RunSpec
from pushpull.runs.video import (
    CAPTION,
    METERS,
    PANEL,
    Layout,
    describe,
    draw_caption,
    draw_meters,
    draw_panel,
    draw_scene,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def run(world):
    return execute(world.model, world.footage.clips[0], RunSpec(attack=FGSM(), eps_av=10))


@pytest.fixture(scope="module")
def video(world, run):
    path = annotate.write_annotated(world.video.parent / "annotated.mp4", world.scene(), run)
    return path, np.stack(list(read_frames(path)))


def near(picture, colour, tolerance=40):
    """Where an encoded picture shows ``colour``."""
    return np.abs(picture.astype(int) - ImageColor.getrgb(colour)).max(axis=-1) < tolerance


@pytest.mark.parametrize(
    "size, shown, width",
    [
        ((160, 230), (320, 460), 640),  # small footage is enlarged twice, no more
        ((288, 360), (576, 720), 720),
        ((1080, 1920), (720, 1280), 1280),
        ((1920, 1080), (720, 404), 640),  # upright
        ((101, 4001), (32, 1280), 1280),
        ((1, 1), (2, 2), 640),
    ],
)
def test_pictures_of_any_shape_get_even_sides(size, shown, width):
    layout = Layout.of(size)
    assert layout == Layout(shown, width, shown[0])
    assert all(side % 2 == 0 for side in (*layout.shown, layout.width, layout.height + CAPTION + PANEL))


def test_the_video_has_every_frame_and_nothing_else_is_left(world, video):
    path, frames = video
    layout = Layout.of(world.footage.size)
    assert frames.shape == (FRAMES, layout.height + CAPTION + PANEL, layout.width, 3)
    assert not list(path.parent.glob(".*")) and not list(path.parent.glob("*TEMP*"))


def test_the_sound_is_that_of_the_attacked_clip(video, run):
    heard, meant = read_audio(video[0])[: FRAMES * 640], run.stored_clip.audio
    spectra = [np.abs(np.fft.rfft(sound[: len(meant)])) for sound in (heard, meant[: len(heard)])]
    length = min(len(spectrum) for spectrum in spectra)
    assert np.corrcoef(spectra[0][:length], spectra[1][:length])[0, 1] > 0.95
    assert heard.std() == pytest.approx(meant.std(), rel=0.15)


def test_the_box_has_the_colour_of_the_verdict_after_the_attack(video, run, world):
    _, frames = video
    layout = Layout.of(world.footage.size)
    left = (layout.width - layout.shown[1]) // 2
    assert len(set((run.margins["adversarial"] > 0).tolist())) == 2, "both verdicts must occur"
    for index, frame in enumerate(frames):
        x1, _, _, y2 = world.footage.tracks[0].boxes[index] * (layout.shown[1] / world.footage.size[1])
        edge = frame[int(y2) - 8 : int(y2), int(x1) + left - 2 : int(x1) + left + 4]
        colours = [near(edge, colour, 70).sum() for colour in (SILENT, SPEAKING)]
        assert np.argmax(colours) == int(run.margins["adversarial"][index] > 0), f"frame {index}: {colours}"


def test_the_playhead_moves_with_time(video, run, world):
    _, frames = video
    layout = Layout.of(world.footage.size)
    _, left, right = draw_panel(run, layout.width)
    assert METERS < left < right <= layout.width
    row = layout.height + CAPTION + 12
    for index in (1, FRAMES // 2, FRAMES - 1):
        dark = np.flatnonzero(frames[index, row, METERS:].max(axis=-1) < 120) + METERS
        expected = left + (right - left) * index / FRAMES
        assert np.abs(dark - expected).min() <= 2, f"frame {index}: {dark}, not {expected:.0f}"


def test_bars_are_as_long_as_the_probabilities():
    scores = {"clean": np.array([0.0, 0.75]), "adversarial": np.array([1.0, 0.25]), "stored": np.array([0.5, 0.5])}
    for index in (0, 1):
        picture = draw_meters(scores, index)
        assert picture.shape == (PANEL, METERS, 3)
        for row, (name, colour) in enumerate((("clean", BEFORE), ("adversarial", AFTER), ("stored", STORED))):
            line = near(picture[42 + 52 * row + 26], colour, 4)
            assert line.sum() == pytest.approx((METERS - 30) * scores[name][index], abs=3)


def test_the_caption_fits_any_width_and_states_the_units(run):
    text = describe(run)
    assert text.startswith("FGSM: sound ±0.001 of full scale, picture ±1 of 255 grey levels; ")
    nothing = replace(run, budgets={name: replace(budget, eps=0.0) for name, budget in run.budgets.items()})
    assert "nothing may change" in describe(nothing)
    for width in (640, 1280):
        written = np.flatnonzero((draw_caption(run, width) < 128).any(axis=(0, 2)))
        assert written[0] >= 10 and written[-1] < width - 10


def test_a_face_at_the_border_keeps_its_verdict_in_the_picture(run, world):
    layout = Layout.of(world.footage.size)
    frame = np.zeros((*world.footage.size, 3), np.uint8)
    for box in ([-20, -30, 60, 60], [200, 100, 260, 170], [-50, -50, 400, 400]):
        picture = draw_scene(frame, np.array(box, np.float32), 0, run, layout)
        colour = SPEAKING if run.margins["adversarial"][0] > 0 else SILENT
        assert picture.shape == (layout.height, layout.width, 3)
        label = near(picture, colour, 4)
        assert label.sum() > 500, f"no label for a face at {box}"


def test_a_failure_leaves_no_file(world, run, tmp_path):
    short = replace(world.footage.clips[0].origin, first=FRAMES - 3)  # the video ends before this face does
    with pytest.raises((ValueError, RuntimeError, OSError)):
        annotate.write_annotated(tmp_path / "annotated.mp4", Scene(short), run)
    assert list(tmp_path.iterdir()) == []


def test_the_attack_is_seen_in_the_scene(world, run):
    scene, clip = world.scene(), run.clip
    strong = clip.with_inputs({name: x.clone() for name, x in clip.inputs().items()})
    strong = replace(strong, video=np.minimum(strong.video + 40, 255))
    for (before, box), (after, again) in zip(scene.frames(), scene.attacked(clip, strong), strict=True):
        assert np.array_equal(box, again)
        x, y = int((box[0] + box[2]) / 2), int((box[1] + 2 * box[3]) / 3)
        assert (after[y, x].astype(int) - before[y, x]).max() > 15
        assert np.array_equal(after[:, -20:], before[:, -20:]), "only the face may change"


def test_a_part_of_a_clip_has_the_same_pictures(world):
    clip = world.footage.clips[0]
    whole, some = (np.stack([frame for frame, _ in Scene(part.origin).frames()]) for part in (clip, clip.span(4, 9)))
    assert len(some) == 5 and np.array_equal(whole[4:9], some)
