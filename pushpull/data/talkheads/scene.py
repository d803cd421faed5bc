"""Film a performance: heads in a set, frame by frame, and where each face is in the picture."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pushpull.data.talkheads.bake import Basis
from pushpull.data.talkheads.camera import Pose, turn
from pushpull.data.talkheads.face import FaceMotion, animate
from pushpull.data.talkheads.head import Head
from pushpull.data.talkheads.identity import sample_identity
from pushpull.data.talkheads.perform import Performance
from pushpull.data.talkheads.render import Renderer
from pushpull.data.talkheads.script import Script
from pushpull.data.talkheads.studio import backdrop, lighting, places

# libfacedetection's box around a head that looks into the camera, in units of the distance from eyes to mouth:
# fitted to its boxes of 300 renders. The box's middle lies on the line from between the eyes to the mouth.
BOX_MIDDLE = 0.32
BOX_WIDTH, BOX_HEIGHT = 2.07, 2.61


@dataclass(frozen=True, eq=False)
class Film:
    """A scene ready to be filmed.

    Args:
        motions: per role. boxes: (R, T, 4) float32 x1, y1, x2, y2 in pixels: where a detector sees each face.
    """

    script: Script
    motions: tuple[FaceMotion, ...]
    heads: tuple[Head, ...]
    boxes: np.ndarray

    def pose(self, role: int, frame: int) -> Pose:
        motion, head = self.motions[role], self.heads[role]
        yaw, pitch, roll = (float(v) for v in motion.turn[frame])
        return Pose(
            units=head.weights({name: float(values[frame]) for name, values in motion.units.items()}),
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            shift=tuple(float(v) for v in motion.shift[frame]),
            body_yaw=0.35 * _facing(self.script, role),
            place=places(len(self.heads))[role],
            gaze=tuple(float(v) for v in motion.gaze[frame]),
            sway=tuple(float(v) for v in motion.sway[frame]),
        )


def prepare(script: Script, performance: Performance, basis: Basis, size: tuple[int, int]) -> Film:
    """Build the heads of ``script`` and let them move; ``size`` is (width, height) in pixels."""
    heads = tuple(Head(basis, sample_identity(role.identity, basis.shapes)) for role in script.roles)
    motions = tuple(
        animate(role, performance, index, script.seed, facing=(0.65 * _facing(script, index), 0.0))
        for index, role in enumerate(script.roles)
    )
    film = Film(script, motions, heads, np.zeros((0, 0, 4), np.float32))
    boxes = [[_box(film, role, frame, size) for frame in range(script.frames)] for role in range(len(heads))]
    return Film(script, motions, heads, np.array(boxes, np.float32))


def shoot(film: Film, renderer: Renderer) -> Iterator[np.ndarray]:
    """The frames, (H, W, 3) uint8 RGB, as the scene's camera delivers them."""
    script, (width, height) = film.script, renderer.size
    renderer.backdrop(backdrop(script.staging, width / height))
    view, light = script.staging.view(), lighting(script.staging)
    expose = script.sensor.film(np.random.default_rng([script.seed, 5]))
    actors = []
    try:
        for head in film.heads:
            actors.append(renderer.actor(head))
        for frame in range(script.frames):
            cast = [(actor, film.pose(role, frame)) for role, actor in enumerate(actors)]
            yield expose(renderer.draw(cast, view, light))
    finally:
        for actor in actors:
            actor.release()


def _facing(script, role):
    """People in one picture are turned a little towards each other."""
    if len(script.roles) == 1:
        return script.staging.facing
    middle = (len(script.roles) - 1) / 2
    return script.staging.facing * 0.3 - 0.35 * (role - middle) / max(middle, 1)


def _box(film, role, frame, size):
    """Where a detector would see the face, from where eyes and mouth are projected."""
    head, pose = film.heads[role], film.pose(role, frame)
    eyes = (head.eye_centre["l"] + head.eye_centre["r"]) / 2
    marks = np.stack([eyes + (0, 0, head.eye_radius), head.mouth])
    moved = (marks - head.pivot) @ turn(pose.yaw, pose.pitch, pose.roll).T + head.pivot + pose.shift
    world = moved @ turn(pose.body_yaw).T + pose.place
    matrix, _ = film.script.staging.view().matrix(size[0] / size[1])
    clip = np.concatenate([world, np.ones((2, 1))], axis=1) @ matrix.T
    pixels = (clip[:, :2] / clip[:, 3:] * (1, -1) + 1) / 2 * size
    middle = pixels[0] + BOX_MIDDLE * (pixels[1] - pixels[0])
    scale = np.linalg.norm(pixels[1] - pixels[0])
    half = np.array([BOX_WIDTH, BOX_HEIGHT]) * scale / 2
    return [*(middle - half), *(middle + half)]
