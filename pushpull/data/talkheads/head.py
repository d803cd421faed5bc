"""A head that can move: an identity's mesh, its face units applied, its normals."""

import numpy as np
from scipy import sparse

from pushpull.data.talkheads.bake import Basis
from pushpull.data.talkheads.identity import Identity

FACE_LENGTH = 1.09  # dm from the eyes to the jaw's tip on the template; every head is scaled to it
PARTS = ("skin", "upper_teeth", "lower_teeth", "tongue", "upper_lashes", "lower_lashes")


class Head:
    """An identity's geometry. Its origin lies between eyes and mouth, on the ears' plane; dimensions in dm.

    Attributes:
        rest: (V, 3) float32, the neutral face. template: (V, 3), where each vertex lies on the template, which is
            what paints lips, brows and hairlines in the same place on everybody.
        masks: (V,) float32 each, see Basis.
        units: the names of the face units in the order of :meth:`posed`'s weights.
        eye_centre: {"l": (3,), "r": (3,)}; eye_radius: dm.
        pivot: (3,) where the head turns on the neck.
    """

    def __init__(self, basis: Basis, identity: Identity):
        self.basis = basis
        self.identity = identity
        self.units = tuple(sorted(basis.units))
        known = {name: weight for name, weight in identity.shapes.items() if name in basis.shapes}
        raw = basis.shaped(known)

        def joint(name):
            return raw[basis.joints[name]].mean(0)

        middle = (joint("l-eye") + joint("r-eye")) / 2
        self.scale = float(FACE_LENGTH / np.linalg.norm(middle - joint("jaw")))
        lips = basis.masks["lips"] > 0.5
        mouth = raw[lips].mean(0)
        origin = np.array([middle[0], (middle[1] + mouth[1]) / 2, joint("head")[2] + 0.3])

        def place(points):
            return ((points - origin) * self.scale).astype(np.float32)

        self.rest = place(raw)
        self._seat_teeth()
        self.template = basis.vertices
        self.masks = basis.masks
        self.pivot = place((joint("head") * 0.6 + joint("neck") * 0.4)[None])[0]
        self.eye_centre, radii = {}, []
        for side, index in basis.eyes.items():
            points = self.rest[index]
            self.eye_centre[side] = points.mean(0)
            radii.append(np.ptp(points[:, 0]) / 2)
        self.eye_radius = float(np.mean(radii))
        self.mouth = place(mouth[None])[0]
        self.triangles = basis.triangles
        everything = np.concatenate([basis.triangles[name] for name in PARTS])
        self._faces = everything
        rows = everything.T.ravel()
        columns = np.tile(np.arange(len(everything)), 3)
        shape = (len(self.rest), len(everything))
        self._gather = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
        offsets = basis.unit_matrix(self.units)
        self._moving = np.flatnonzero(np.abs(offsets).max((0, 2)) > 0)
        # sparse: units touch small parts of the face, and a dense product would wake every BLAS thread per frame
        self._offsets = sparse.csr_matrix(offsets[:, self._moving].reshape(len(self.units), -1).T)
        bearing = self._offsets @ self.weights(identity.bearing)
        self.rest[self._moving] += bearing.reshape(-1, 3)
        self.rest_normals = self.normals(self.rest)

    def _seat_teeth(self) -> None:
        """MakeHuman's teeth and tongue are stand-ins set high and back: bring them where speech shows them."""
        for part, shift in (
            ("upper_teeth", (0, -0.055, 0.02)),
            ("lower_teeth", (0, 0.015, 0.0)),
            ("tongue", (0, -0.05, -0.10)),
        ):
            self.rest[np.unique(self.basis.triangles[part])] += np.float32(shift)

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Area-weighted vertex normals, (V, 3) float32, unit length."""
        a, b, c = (points[self._faces[:, corner]] for corner in range(3))
        normals = self._gather @ np.cross(b - a, c - a)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)

    def posed(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The face with unit ``weights`` (52,): positions (V, 3) and normals (V, 3), float32."""
        points = self.rest.copy()
        points[self._moving] += (self._offsets @ np.asarray(weights, np.float32)).reshape(-1, 3)
        return points, self.normals(points)

    def weights(self, values: dict[str, float]) -> np.ndarray:
        """A (52,) vector from unit names; unknown names raise KeyError."""
        out = np.zeros(len(self.units), np.float32)
        for name, value in values.items():
            if name not in self.basis.units:
                raise KeyError(f"no face unit {name!r}; there are {', '.join(self.units)}")
            out[self.units.index(name)] = value
        return out


def scalp_height(template: np.ndarray, recede: float = 0.0) -> np.ndarray:
    """How far above the hairline each template point lies, dm; negative on face, ears and neck.

    The hairline is a height over the side profile: high on the forehead, down before the ears, up behind them.
    """
    x, y, z = template.T
    profile_z = np.array([-1.2, -0.1, 0.1, 0.3, 0.42, 0.58, 0.72, 0.86, 1.0, 1.15, 1.6])
    profile_y = np.array([6.55, 6.6, 6.7, 7.05, 7.38, 7.42, 7.12, 7.45, 7.72, 7.88, 7.96])
    line = np.interp(z, profile_z, profile_y)
    corner = np.exp(-(((np.abs(x) - 0.42) / 0.2) ** 2)) * (z > 0.8)
    line = line + recede * (0.16 * corner + 0.1 * (z > 0.9)) - 0.05 * np.exp(-((x / 0.2) ** 2)) * (z > 0.9)
    return y - line
