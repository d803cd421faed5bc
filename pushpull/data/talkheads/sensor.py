"""What a camera does to a picture: optics out of focus, motion blur, sensor noise, exposure, lossy compression."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """A camera; all zero is an ideal one.

    Args:
        blur: standard deviation of the defocus, in shares of the picture's height (0.005 is soft).
        smear: share of the frame before that lingers, 0 .. 0.5: a long exposure.
        noise: standard deviation of the sensor's noise at mid grey, in levels of 255.
        gain: factor on the light. gamma: exponent on levels, 1 is none.
        quality: of JPEG, 100 is none: every frame by itself, as webcams send them.
    """

    blur: float = 0.0
    smear: float = 0.0
    noise: float = 0.0
    gain: float = 1.0
    gamma: float = 1.0
    quality: int = 100

    def __post_init__(self):
        if min(self.blur, self.smear, self.noise) < 0 or self.smear >= 1 or self.gain <= 0 or self.gamma <= 0:
            raise ValueError(f"a sensor's blur, smear and noise must not be negative, smear below 1, got {self}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"JPEG quality lies in 1..100, got {self.quality}")

    def film(self, rng: np.random.Generator):
        """A function that turns frames, shown one after the other, (H, W, 3) uint8, into what the file has."""
        last = None

        def expose(frame: np.ndarray) -> np.ndarray:
            nonlocal last
            picture = frame.astype(np.float32)
            if self.blur > 0:
                picture = cv2.GaussianBlur(picture, (0, 0), max(0.2, self.blur * len(frame)))
            if self.smear > 0:
                blend = picture if last is None else picture * (1 - self.smear) + last * self.smear
                last, picture = picture, blend
            if self.gain != 1 or self.gamma != 1:
                picture = 255 * np.clip(picture * (self.gain / 255), 0, 1) ** self.gamma
            if self.noise > 0:
                # Photons: noise grows with the root of the light, over a floor of the electronics.
                amount = self.noise * np.sqrt(0.3 + 0.7 * picture.mean(axis=2, keepdims=True) / 128)
                grain = rng.standard_normal(frame.shape[:2] + (1,), dtype=np.float32)
                tint = rng.standard_normal(frame.shape, dtype=np.float32)
                picture = picture + amount * (0.8 * grain + 0.4 * tint)
            picture = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
            if self.quality < 100:
                coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
                picture = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]
            return picture

        return expose


def draw_sensor(rng: np.random.Generator) -> Sensor:
    """A camera such as people have; each of its faults is there or not, independently."""

    def sometimes(chance, low, high, none=0.0):
        value = float(rng.uniform(low, high))
        return value if rng.random() < chance else none

    return Sensor(
        blur=sometimes(0.5, 0.001, 0.009),
        smear=sometimes(0.4, 0.1, 0.4),
        noise=sometimes(0.7, 0.5, 7.0),
        gain=sometimes(0.5, 0.75, 1.25, 1.0),
        gamma=sometimes(0.5, 0.75, 1.3, 1.0),
        quality=int(sometimes(0.7, 25, 95, 100)),
    )
