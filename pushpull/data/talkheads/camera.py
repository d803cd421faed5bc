"""Cameras, rotations and light: small matrices, numpy only. Angles in radians, lengths in dm."""

from dataclasses import dataclass

import numpy as np


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """(3, 3) rotation: yaw to the head's left, pitch down, roll to its left shoulder."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return around_y @ around_x @ around_z


def look_at(eye, target, up=(0.0, 1.0, 0.0)) -> np.ndarray:
    """(4, 4) view matrix."""
    eye, target = np.asarray(eye, float), np.asarray(target, float)
    forward = (target - eye) / np.linalg.norm(target - eye)
    side = np.cross(forward, up)
    side /= np.linalg.norm(side)
    above = np.cross(side, forward)
    out = np.eye(4)
    out[:3, :3] = side, above, -forward
    out[:3, 3] = -out[:3, :3] @ eye
    return out


def perspective(height_angle: float, aspect: float, near: float, far: float) -> np.ndarray:
    f = 1 / np.tan(height_angle / 2)
    out = np.zeros((4, 4))
    out[0, 0], out[1, 1] = f / aspect, f
    out[2, 2], out[2, 3] = (far + near) / (near - far), 2 * far * near / (near - far)
    out[3, 2] = -1
    return out


def orthographic(half_width: float, half_height: float, near: float, far: float) -> np.ndarray:
    out = np.eye(4)
    out[0, 0], out[1, 1] = 1 / half_width, 1 / half_height
    out[2, 2], out[2, 3] = -2 / (far - near), -(far + near) / (far - near)
    return out


@dataclass(frozen=True, kw_only=True)
class View:
    """Where the camera stands.

    Args:
        centre: (x, y) dm of the picture's middle, at the heads' depth. height: dm that the picture shows there.
        distance: dm from the heads; long distances flatten, as long lenses do. lift, side: dm off the axis.
    """

    centre: tuple = (0.0, -0.15)
    height: float = 4.2
    distance: float = 14.0
    lift: float = 0.0
    side: float = 0.0

    def matrix(self, aspect: float) -> tuple[np.ndarray, np.ndarray]:
        """(4, 4) clip-from-world and the eye's place (3,)."""
        target = np.array([self.centre[0], self.centre[1], 0.9])
        eye = target + np.array([self.side, self.lift, self.distance])
        angle = 2 * np.arctan(self.height / 2 / self.distance)
        return perspective(angle, aspect, 1.0, self.distance + 12) @ look_at(eye, target), eye


@dataclass(frozen=True, kw_only=True)
class Light:
    """Three lights and the ambient. Ways point towards the light; colours are linear, about 0..3.

    The first is the key and casts shadows.
    """

    ways: tuple = ((0.55, 0.55, 0.75), (-0.8, 0.15, 0.6), (-0.55, 0.45, -0.75))
    colours: tuple = ((1.30, 1.18, 1.04), (0.28, 0.31, 0.37), (0.8, 0.8, 0.9))
    sky: tuple = (0.25, 0.26, 0.29)
    ground: tuple = (0.14, 0.115, 0.10)
    exposure: float = 0.88


@dataclass(frozen=True, kw_only=True)
class Pose:
    """One frame of one head.

    Args:
        units: (52,) face unit weights, in ``Head.units``' order.
        yaw, pitch, roll: the head's turn on the neck, radians. shift: (3,) dm.
        body_yaw: the whole bust. place: (3,) dm, where the head's origin stands.
        gaze: (yaw, pitch) of the eyes, radians. sway: (3,) dm, how far long hair's tips lag.
    """

    units: np.ndarray
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    shift: tuple = (0.0, 0.0, 0.0)
    body_yaw: float = 0.0
    place: tuple = (0.0, 0.0, 0.0)
    gaze: tuple = (0.0, 0.0)
    sway: tuple = (0.0, 0.0, 0.0)


def linear(colour) -> np.ndarray:
    """sRGB 0..255 to linear 0..1."""
    return (np.asarray(colour, float) / 255) ** 2.2
