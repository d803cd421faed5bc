"""Things on a head that are not skin or hair: eyeballs, glasses, earrings, hats, scarves, collars."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from pushpull.data.talkheads.camera import linear
from pushpull.data.talkheads.head import Head


@dataclass(frozen=True, eq=False)
class Thing:
    """A mesh with its look: rows of (position 3, normal 3, pattern coordinates 3, masks 4, follow, ambient)."""

    data: np.ndarray
    triangles: np.ndarray
    tint: np.ndarray
    tint2: np.ndarray
    kind: int = 0
    gloss: float = 20.0
    shine: float = 0.5
    casts: bool = True


def grid_triangles(rows: int, columns: int, *, closed: bool) -> np.ndarray:
    """Triangles of a rows x columns lattice of vertices; ``closed`` joins the last column to the first."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a = (r * columns + c).ravel()
    b = (r * columns + (c + 1) % columns).ravel()
    return np.concatenate([np.stack([a, b, a + columns], 1), np.stack([b, b + columns, a + columns], 1)])


def lattice_normals(points: np.ndarray, *, closed: bool, outward) -> np.ndarray:
    """Normals of a (rows, columns, 3) lattice, turned to point away from ``outward`` (3,)."""
    along = np.gradient(points, axis=0)
    around = (np.roll(points, -1, 1) - np.roll(points, 1, 1)) / 2 if closed else np.gradient(points, axis=1)
    normals = np.cross(along, around)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    flip = np.sum(normals * (points - outward)) < 0
    return -normals if flip else normals


def _rows(points, normals, spot=None, masks=None, follow=1.0, ambient=1.0) -> np.ndarray:
    points, normals = points.reshape(-1, 3), normals.reshape(-1, 3)
    count = len(points)
    spot = points if spot is None else spot.reshape(-1, 3)
    masks = np.zeros((count, 4)) if masks is None else masks.reshape(-1, 4)
    tail = np.stack([np.broadcast_to(np.ravel(value), count) for value in (follow, ambient, -1.0)], 1)
    return np.concatenate([points, normals, spot, masks, tail], 1).astype(np.float32)


def eyeball(centre: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The front of an eyeball; ``spot`` holds the direction from its centre, which the shader paints by."""
    polar, around = np.linspace(0, np.pi * 0.62, 18), np.linspace(0, 2 * np.pi, 28, endpoint=False)
    p, a = np.meshgrid(polar, around, indexing="ij")
    way = np.stack([np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)], -1)
    data = _rows(centre + way * radius, way, spot=way)
    return data, grid_triangles(18, 28, closed=True)


def _tube(
    path: np.ndarray, radius, sides: int = 8, *, closed: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tube along ``path`` (n, 3): positions, normals, triangles."""
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    helper = np.where(np.abs(ahead[:, 1:2]) > 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    side = np.cross(ahead, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    above = np.cross(side, ahead)
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    normals = np.cos(angles)[None, :, None] * side[:, None] + np.sin(angles)[None, :, None] * above[:, None]
    points = path[:, None] + normals * np.reshape(radius, (-1, 1, 1))
    if closed:
        points, normals = np.concatenate([points, points[:1]]), np.concatenate([normals, normals[:1]])
    return points, normals, grid_triangles(len(points), sides, closed=True)


def _joined(pieces) -> tuple[np.ndarray, np.ndarray]:
    rows, triangles, start = [], [], 0
    for data, faces in pieces:
        rows.append(data)
        triangles.append(faces + start)
        start += len(data)
    return np.concatenate(rows), np.concatenate(triangles)


def glasses(head: Head) -> Thing:
    """Two rims, a bridge, two temples that reach the ears."""
    person, pieces = head.identity, []
    wire = 0.010 + 0.016 * person.glasses
    square = 2.0 + 3.0 * person.glasses_shape
    half_width, half_height = 0.235, 0.19 - 0.04 * person.glasses_shape
    nose = head.rest[
        np.argmax(head.rest[:, 2] * (np.abs(head.rest[:, 0]) < 0.1) * (head.rest[:, 1] > head.mouth[1] + 0.2))
    ]
    for side, centre in head.eye_centre.items():
        sign = 1 if side == "l" else -1
        front = centre[2] + head.eye_radius + 0.17
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        c, s = np.cos(angles), np.sin(angles)
        x = np.sign(c) * np.abs(c) ** (2 / square) * half_width
        y = np.sign(s) * np.abs(s) ** (2 / square) * half_height
        middle = np.array([sign * max(abs(centre[0]), half_width + 0.07), centre[1] - 0.03, front])
        rim = middle + np.stack([x, y, -0.10 * (x * sign / half_width) ** 2 * (x * sign > 0)], 1)
        points, normals, faces = _tube(rim, wire, closed=True)
        pieces.append((_rows(points, normals), faces))
        hinge = middle + np.array([sign * half_width, 0.05, -0.10])
        ear = np.array([sign * 0.80, centre[1] - 0.02, 0.45 - 0.35])
        skin = head.rest[np.unique(head.triangles["skin"])]
        band = skin[(np.abs(skin[:, 1] - centre[1]) < 0.15) & (skin[:, 2] < front - 0.2)]
        reach = np.linspace(0, 1, 12)[:, None]
        path = hinge * (1 - reach) + ear * reach
        for point in path[1:]:
            near = band[np.abs(band[:, 2] - point[2]) < 0.1]
            if len(near):
                point[0] = sign * max(abs(point[0]), np.abs(near[:, 0]).max() * 0.9 + 0.03)
        points, normals, faces = _tube(path, wire * 0.8)
        pieces.append((_rows(points, normals), faces))
    inner = abs(head.eye_centre["l"][0])
    gap = max(inner, half_width + 0.07) - half_width
    height, front = head.eye_centre["l"][1] + 0.02, head.eye_centre["l"][2] + head.eye_radius + 0.17
    t = np.linspace(-1, 1, 9)
    bridge = np.stack([t * gap, height + 0.03 * (1 - t * t), np.full(9, max(front, nose[2] - 0.25))], 1)
    bridge[:, 2] = front + 0.04 * (1 - t * t)
    points, normals, faces = _tube(bridge, wire)
    pieces.append((_rows(points, normals), faces))
    tint = linear(person.glasses_colour)
    return Thing(*_joined(pieces), tint=tint, tint2=tint, gloss=60.0, shine=2.0)


def earrings(head: Head) -> Thing:
    """A small bead or hoop under each ear's lobe."""
    pieces = []
    ears = head.masks["ears"] > 0.6
    for sign in (-1, 1):
        lobe = head.rest[ears & (head.template[:, 0] * sign > 0)]
        low = lobe[np.argmin(lobe[:, 1])]
        angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        ring = low + np.stack([np.full(20, sign * 0.01), 0.07 * np.cos(angles) - 0.06, 0.07 * np.sin(angles)], 1)
        points, normals, faces = _tube(ring, 0.012, 6, closed=True)
        pieces.append((_rows(points, normals), faces))
    gold = np.array([0.75, 0.52, 0.20])
    return Thing(*_joined(pieces), tint=gold, tint2=gold, gloss=50.0, shine=5.0, casts=False)


def _skull_radius(head: Head, rows: np.ndarray, columns: np.ndarray, centre: np.ndarray, keep):
    """Distance from ``centre`` to the skin along each (polar, azimuth) way, (rows, columns); the ways, (..., 3)."""
    skin = np.unique(head.triangles["skin"])
    skin = skin[keep(head.template[skin])]
    offset = head.rest[skin] - centre
    distance = np.linalg.norm(offset, axis=1)
    tree = cKDTree(offset / distance[:, None])
    p, a = np.meshgrid(rows, columns, indexing="ij")
    way = np.stack([np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)], -1)
    _, near = tree.query(way.reshape(-1, 3), k=6)
    return distance[near].max(1).reshape(p.shape), way


def _cap(head: Head, *, rim, thickness, kind, top=0.0, rows=22, columns=48, crown=0.0) -> Thing:
    """A shell over the skull down to ``rim(azimuth)`` radians from the top."""
    person = head.identity
    centre = np.array([0.0, head.eye_centre["l"][1] + 0.30, -0.15])
    azimuth = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    share = np.linspace(0.0, 1.0, rows)
    radius, way = _skull_radius(head, share * 1.9, azimuth, centre, lambda t: t[:, 1] > 6.9)
    polar = share[:, None] * np.array([rim(a) for a in azimuth])[None]
    grid = np.linspace(0, 1.9, rows)
    fitted = np.stack([np.interp(polar[:, c], grid, radius[:, c]) for c in range(columns)], 1)
    smooth = fitted.copy()
    for _ in range(6):
        smooth = 0.5 * smooth + 0.25 * (np.roll(smooth, 1, 1) + np.roll(smooth, -1, 1))
    fitted = np.maximum(fitted, smooth)
    lift = (
        thickness * np.ones_like(fitted)
        + top * np.exp(-((polar / 0.7) ** 2))
        + crown * np.sin(np.clip(polar, 0, np.pi / 2))
    )
    p = polar
    a = np.broadcast_to(azimuth, p.shape)
    way = np.stack([np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)], -1)
    points = centre + way * (fitted + lift)[..., None]
    # a folded edge: the last row turns back to the skin
    edge = centre + way[-1:] * (fitted[-1:] + 0.01)[..., None]
    points = np.concatenate([points, edge])
    normals = lattice_normals(points, closed=True, outward=centre)
    tint, tint2 = linear(person.wear_colour), linear(person.cloth2)
    masks = np.zeros((*points.shape[:2], 4))
    masks[-7:, :, 0] = 1
    spot = points - centre
    return Thing(
        _rows(points, normals, spot=spot, masks=masks),
        grid_triangles(rows + 1, columns, closed=True),
        tint,
        tint2,
        kind=kind,
        gloss=8.0,
        shine=0.2,
    )


def _front(azimuth: float) -> float:
    return 0.5 + 0.5 * np.cos(azimuth)


def hat_parts(head: Head) -> list[Thing]:
    """The identity's headwear as meshes; none for bare heads."""
    wear = head.identity.headwear
    if wear == "beanie":
        return [_cap(head, rim=lambda a: 1.72 - 0.52 * _front(a) ** 2, thickness=0.09, top=0.10, kind=4)]
    if wear == "turban":
        return [_cap(head, rim=lambda a: 1.66 - 0.46 * _front(a) ** 2, thickness=0.17, top=0.05, crown=0.14, kind=5)]
    if wear in ("cap", "hat"):
        dome = _cap(
            head,
            rim=lambda a: 1.44 - 0.20 * _front(a) ** 2,
            thickness=0.08,
            top=0.22 if wear == "hat" else 0.06,
            kind=6 if wear == "hat" else 0,
        )
        return [dome, _brim(head, dome, all_round=wear == "hat")]
    if wear == "hijab":
        return [_scarf(head)]
    return []


def _brim(head: Head, dome: Thing, *, all_round: bool) -> Thing:
    columns = 48
    ring = dome.data[-2 * columns : -columns, :3].astype(float)
    azimuth = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    outward = np.stack([np.sin(azimuth), np.zeros(columns), np.cos(azimuth)], 1)
    reach = (
        np.full(columns, 0.46) if all_round else 0.75 * np.clip(np.cos(azimuth), 0, 1) ** 0.55 * (np.cos(azimuth) > 0)
    )
    rows = []
    for t in np.linspace(0, 1, 7):
        droop = -0.16 * t * t - (0 if all_round else 0.06 * t)
        rows.append(ring + outward * (reach * t)[:, None] + np.array([0, 0.02 + droop, 0]))
    points = np.stack(rows)
    normals = lattice_normals(points, closed=True, outward=ring.mean(0) - (0, 5, 0))
    return Thing(
        _rows(points, normals, spot=points),
        grid_triangles(7, columns, closed=True),
        dome.tint,
        dome.tint2,
        kind=6 if all_round else 0,
        gloss=8.0,
        shine=0.2,
    )


def _scarf(head: Head) -> Thing:
    """A headscarf: a smooth envelope of head, neck and shoulders, open on an oval around the face.

    The first mask holds the oval's equation, below 1 inside the opening, where the shader draws nothing.
    """
    person, template = head.identity, head.template
    skin = np.unique(head.triangles["skin"])
    centre = np.array([0.0, head.mouth[1] + 0.25, 0.10])
    offset = head.rest[skin] - centre
    distance = np.linalg.norm(offset, axis=1)
    tree = cKDTree(offset / distance[:, None])
    rows, columns = 40, 64
    polar, azimuth = np.linspace(0.0, 2.5, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False)
    p, a = np.meshgrid(polar, azimuth, indexing="ij")
    way = np.stack([np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)], -1)
    _, near = tree.query(way.reshape(-1, 3), k=40, distance_upper_bound=0.2)
    _, nearest = tree.query(way.reshape(-1, 3))
    reach = np.where(near < len(skin), distance[np.minimum(near, len(skin) - 1)], 0).max(1)
    reach = np.maximum(reach, distance[nearest]).reshape(rows, columns)
    reach = np.minimum(reach, 2.3)
    for _ in range(5):
        padded = np.concatenate([reach[:1], reach, reach[-1:]])
        reach = 0.4 * reach + 0.2 * (np.roll(reach, 1, 1) + np.roll(reach, -1, 1)) + 0.1 * (padded[:-2] + padded[2:])
    points = centre + way * (reach + 0.06)[..., None]
    middle = np.abs(template[skin, 0]) < 0.1
    chin = head.rest[skin[middle & (template[skin, 1] > 6.1) & (template[skin, 1] < 6.3)], 1].min()
    brow = head.rest[skin[middle & (template[skin, 1] < 7.93) & (template[skin, 2] > 1.2)], 1].max()
    high, tall = (brow + chin) / 2, (brow - chin) / 2 + 0.03
    masks = np.zeros((*p.shape, 4))
    up = (points[..., 1] - high) / tall
    wide = 0.64 - 0.10 * np.clip(-up, 0, 1) ** 2
    masks[..., 0] = np.where(points[..., 2] > 0.2, (points[..., 0] / wide) ** 2 + up**2, 4.0)
    follow = head.masks["head"][skin][nearest]
    normals = lattice_normals(points, closed=True, outward=centre)
    tint = linear(person.wear_colour)
    return Thing(
        _rows(points, normals, spot=points, masks=masks, follow=follow),
        grid_triangles(rows, columns, closed=True),
        tint,
        tint * 0.7,
        kind=7,
        casts=False,  # a shadow knows no opening: it would lie on the whole face
        gloss=8.0,
        shine=0.25,
    )


def things(head: Head) -> list[Thing]:
    """Everything the identity wears on the head."""
    person, out = head.identity, []
    if person.glasses > 0:
        out.append(glasses(head))
    if person.earrings and person.headwear != "hijab":
        out.append(earrings(head))
    return out + hat_parts(head)
