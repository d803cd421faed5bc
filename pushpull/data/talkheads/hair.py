"""Hair: ribbons of strands grown from the scalp, and thin shells for what is short."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from pushpull.data.talkheads.head import Head, scalp_height
from pushpull.data.talkheads.identity import Identity


@dataclass(frozen=True)
class Shells:
    """Short hair as ``count`` layers up to ``depth`` dm over the scalp."""

    count: int
    depth: float


@dataclass(frozen=True, kw_only=True)
class Style:
    """How ribbons grow.

    Args:
        cards: how many. length, width: dm. lift: how far they rise before gravity takes them, 0..2.
        gravity: pull per step. comb: share of the combing way at the root. curl: dm; turns: per dm.
        volume: dm kept from the skin. way: "part", "back", "forward", "out", "bun" or "tail".
    """

    cards: int
    length: float
    width: float = 0.10
    lift: float = 0.5
    gravity: float = 0.3
    comb: float = 1.0
    curl: float = 0.0
    turns: float = 1.0
    volume: float = 0.05
    way: str = "part"
    segments: int = 10


STYLES = {
    "crop": Style(cards=900, length=0.30, width=0.06, lift=0.45, gravity=0.02, way="forward", volume=0.02),
    "side": Style(cards=900, length=0.55, width=0.065, lift=0.5, gravity=0.06, way="part", volume=0.03),
    "swept": Style(cards=900, length=0.75, width=0.065, lift=0.42, gravity=0.04, way="back", volume=0.04),
    "fringe": Style(cards=1000, length=0.80, width=0.07, lift=0.35, gravity=0.25, way="forward", volume=0.04),
    "bob": Style(cards=1200, length=1.75, width=0.08, lift=0.25, gravity=0.75, way="part", volume=0.05, segments=14),
    "long": Style(cards=1200, length=3.2, width=0.09, lift=0.22, gravity=0.9, way="part", volume=0.05, segments=16),
    "wavy": Style(
        cards=1200, length=2.6, width=0.09, lift=0.35, gravity=0.7, curl=0.07, turns=0.9, volume=0.09, segments=16
    ),
    "curly": Style(
        cards=1000,
        length=1.15,
        width=0.08,
        lift=0.9,
        gravity=0.22,
        curl=0.075,
        turns=2.2,
        way="out",
        volume=0.12,
        segments=20,
    ),
    "afro": Style(
        cards=1300, length=0.62, width=0.11, lift=1.6, gravity=-0.02, curl=0.07, turns=3.5, way="out", segments=14
    ),
    "bun": Style(cards=900, length=1.9, width=0.09, lift=0.2, gravity=0.0, way="bun", volume=0.09, segments=14),
    "tail": Style(cards=900, length=2.6, width=0.09, lift=0.2, gravity=0.0, way="tail", volume=0.09, segments=14),
}


def shells(person: Identity) -> Shells | None:
    """The identity's fur layers: buzz cuts, and an undercoat below ribbons."""
    if person.hairstyle == "bald":
        return None
    if person.hairstyle == "buzz":
        return Shells(6, 0.05 + 0.03 * person.hair_length)
    return Shells(4, 0.05)


def _roots(head: Head, count: int, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points spread evenly over the scalp: positions, normals, template places, each (count, 3)."""
    faces = head.triangles["skin"]
    template = head.template[faces].mean(1)
    above = scalp_height(template, head.identity.hairline) > 0.02
    on_ear = head.masks["ears"][faces].max(1) > 0.3
    faces = faces[above & ~on_ear & (template[:, 1] > 6.5)]
    a, b, c = (head.rest[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    edges = np.cumsum(area)
    # systematic sampling: evenly spaced in area, so no bald patches
    pick = np.searchsorted(edges, (np.arange(count) + rng.uniform(0, 1, count)) / count * edges[-1] * (1 - 1e-9))
    pick = rng.permutation(pick)
    u, v = rng.uniform(0, 1, (2, count))
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
    weights = np.stack([1 - u - v, u, v], 1)

    def spread(values):
        return np.einsum("nk,nkd->nd", weights, values[faces[pick]])

    normals = spread(head.rest_normals)
    return spread(head.rest), normals / np.linalg.norm(normals, axis=1, keepdims=True), spread(head.template)


def _combing(style: Style, person: Identity, place: np.ndarray, knot: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The way each root is combed, (n, 3)."""
    x, y, z = place.T
    if style.way == "forward":
        way = np.stack([0.35 * np.sign(person.parting) + 0 * x, -0.35 + 0 * y, np.where(z > 0.2, 1.0, 0.1)], 1)
        way[z < 0.2] = (0, -1, -0.2)
        side = np.abs(x) > 0.55
        way[side] = np.stack([0.1 * np.sign(x[side]), -1 + 0 * x[side], 0.3 + 0 * x[side]], 1)
    elif style.way == "back":
        way = np.stack([0.25 * np.sign(x), -0.1 + 0 * y, -1 + 0 * z], 1)
        way[y < 7.5, 1] = -0.7
    elif style.way in ("bun", "tail"):
        way = knot - points
    elif style.way == "out":
        way = np.stack([x * 0.4, -0.15 + 0 * y, 0.2 * (z - 0.4)], 1)
    else:
        away = np.tanh((x - 0.28 * np.sign(person.parting) * min(1, abs(person.parting) + 0.2)) / 0.06)
        way = np.stack([away, -0.35 + 0 * y, np.where(z > 0.6, -0.35, -0.25)], 1)
    return way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)


def grow(head: Head, *, share: float = 1.0, stride: int = 1) -> tuple[np.ndarray, np.ndarray] | None:
    """Ribbons of the identity's style: rows of (position 3, normal 3, tangent 3, card 4, ambient), triangles.

    None where the style has none or a scarf or turban hides it.

    Args:
        share: of the ribbons, the rest made wider. stride: keep every so-many-th point along each.
    """
    person = head.identity
    if person.hairstyle not in STYLES or person.headwear in ("hijab", "turban"):
        return None
    style = STYLES[person.hairstyle]
    rng = np.random.default_rng([person.seed, 72])
    points, normals, place = _roots(head, round(style.cards * share), rng)
    if person.headwear in ("beanie", "cap", "hat"):
        below = place[:, 1] < 7.72 - 0.1 * (place[:, 2] > 0.6)
        points, normals, place = points[below], normals[below], place[below]
        if len(points) < 10 or style.way in ("out",) and person.hairstyle == "afro":
            return None
    count = len(points)
    bun, eyes = style.way == "bun", head.eye_centre["l"][1]
    knot = np.array([0.0, eyes + (1.30 if bun else 0.55), -0.45 if bun else -1.15])
    comb = _combing(style, person, place, knot, points)
    comb -= np.einsum("nd,nd->n", comb, normals)[:, None] * normals * 0.8
    length = _lengths(style, person, place, rng)
    step = (length / style.segments)[:, None]
    way = normals * style.lift * person.hair_volume * rng.uniform(0.6, 1.3, (count, 1)) + comb * style.comb
    way += rng.normal(0, 0.12 + style.curl, (count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    skin = np.unique(head.triangles["skin"])
    tree, base, base_normals = cKDTree(head.rest[skin]), head.rest[skin], head.rest_normals[skin]
    layer = rng.uniform(0.3, 1.0, count) * style.volume * person.hair_volume + 0.015
    phase = rng.uniform(0, 2 * np.pi, count)
    spread = rng.uniform(0, 0.30, count)
    track = [points.copy()]
    now = points.copy()
    for k in range(1, style.segments + 1):
        if style.way in ("bun", "tail"):
            way = _toward_knot(way, knot - now, style, rng)
        else:
            pull = np.array([0.0, -style.gravity * (1 if k > 1 else 0.3), 0.0])
            way = way + pull + comb * 0.10 * (style.length < 1)
        way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
        if style.gravity > 0.1:
            way[:, 1] = np.minimum(way[:, 1], 0.25 if k < 3 else -0.1)
            wide = (now[:, 1] < eyes) & (np.abs(now[:, 0]) > 0.92 + 0.4 * style.volume + spread)
            way[:, 0] -= np.where(wide, 0.4 * np.sign(now[:, 0]), 0)
            way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
        now = now + way * step
        _, near = tree.query(now)
        height = np.einsum("nd,nd->n", now - base[near], base_normals[near])
        now = now + np.maximum(layer - height, 0)[:, None] * base_normals[near]
        _keep_off_face(now, eyes, style, step, spread)
        track.append(now.copy())
        way = 0.6 * way + 0.4 * (track[-1] - track[-2]) / np.maximum(step, 1e-6)
    path = np.stack(track, 1)  # (count, segments + 1, 3)
    return _ribbons(head, path, normals, style, person, length, phase, rng, share**-0.5, stride)


def _lengths(style: Style, person, place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) dm of every ribbon; shorter low on the head, and above the forehead of a fringe."""
    length = style.length * person.hair_length * rng.uniform(0.75, 1.1, len(place))
    if style.way in ("forward", "part", "back"):
        length *= np.where(place[:, 1] < 7.35, 0.55 if style.length < 1 else 1.0, 1.0)
    if person.hairstyle == "fringe":
        length *= np.where(place[:, 2] > 0.8, 0.75, 1.0)
    return length


def _toward_knot(way: np.ndarray, toward: np.ndarray, style: Style, rng: np.random.Generator) -> np.ndarray:
    """(N, 3) ways drawn to the knot ``toward`` it, and around or down from it once it is near."""
    near = np.linalg.norm(toward, axis=1, keepdims=True)
    way = way * 0.5 + toward / np.maximum(near, 0.05) * 0.6
    if style.way == "tail":
        return np.where(near < 0.3, way * 0.3 + np.array([0, -1.0, -0.15]), way)
    swirl = np.cross(toward, np.array([0.3, 0.2, 1.0])) + rng.normal(0, 0.08, toward.shape)
    return np.where(near < 0.32, swirl / np.maximum(np.linalg.norm(swirl, axis=1, keepdims=True), 0.05), way)


def _keep_off_face(points: np.ndarray, eyes: float, style: Style, step: np.ndarray, spread: np.ndarray) -> None:
    """Part the hair like a curtain where it would hang before the face (in place), gradually, as it falls."""
    top = eyes + (0.14 if style.way == "forward" else 0.75)
    depth = np.clip((top - points[:, 1]) / 0.45, 0, 1)  # 0 at the hairline .. 1 where the curtain must be open
    edge = (0.68 + spread) * depth  # each ribbon at its own place, or they pile up into a rope
    inside = (points[:, 2] > 0.25) & (np.abs(points[:, 0]) < edge)
    side = np.where(points[:, 0] >= 0, 1.0, -1.0)
    wanted = side * edge - points[:, 0]
    limit = 0.9 * step[:, 0]
    points[:, 0] += np.where(inside, np.clip(wanted, -limit, limit), 0)
    low = (points[:, 1] < eyes - 0.25) & (points[:, 2] > 0.7)
    points[:, 2] -= np.where(low, np.minimum(points[:, 2] - 0.7, limit), 0)


def _ribbons(head, path, normals, style, person, length, phase, rng, widen, stride):
    count, rows, _ = path.shape
    along = np.linspace(0, 1, rows)
    tangent = np.gradient(path, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
    centre = np.array([0.0, head.eye_centre["l"][1] + 0.1, -0.2])
    outward = path - centre
    outward[..., 1] *= 0.5
    outward /= np.linalg.norm(outward, axis=2, keepdims=True)
    blend = np.exp(-along * 3)[None, :, None]
    normal = normals[:, None] * blend + outward * (1 - blend)
    across = np.cross(tangent, normal)
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-9)
    if style.curl:
        turns = phase[:, None] + along[None] * (style.turns * 2 * np.pi * length)[:, None]
        ramp = np.minimum(along * 3, 1)[None, :, None] * style.curl
        path = path + ramp * (np.cos(turns)[..., None] * across + 0.7 * np.sin(turns)[..., None] * normal)
        tangent = np.gradient(path, axis=1)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
    keep = np.unique(np.append(np.arange(0, rows, stride), rows - 1))
    path, tangent, across, outward, along = (
        path[:, keep],
        tangent[:, keep],
        across[:, keep],
        outward[:, keep],
        along[keep],
    )
    rows = len(keep)
    width = (
        widen
        * style.width
        * rng.uniform(0.6, 1.2, count)[:, None]
        * (1 - 0.35 * along[None] ** 2)
        * np.minimum(0.3 + 6 * along[None], 1)
    )
    left, right = path - across * width[..., None] / 2, path + across * width[..., None] / 2
    normal = np.cross(across, tangent)
    normal *= np.sign(np.einsum("nkd,nkd->nk", normal, outward) + 1e-9)[..., None]
    mark = rng.uniform(0, 1, count)
    low = np.clip((path[..., 1] + 1.6) / 0.9, 0, 1)  # tips on the shoulders stay with the body
    rowdata = []
    for edge, points in ((0.0, left), (1.0, right)):
        card = np.stack(
            [
                np.full((count, rows), edge),
                np.broadcast_to(along, (count, rows)),
                np.repeat(mark[:, None], rows, 1),
                low,
            ],
            -1,
        )
        rowdata.append(np.concatenate([points, normal, tangent, card, np.ones((count, rows, 1))], -1))
    data = np.stack(rowdata, 2).reshape(count * rows * 2, -1).astype(np.float32)
    base = (np.arange(count)[:, None] * rows + np.arange(rows - 1)[None]).ravel() * 2
    triangles = np.concatenate([np.stack([base, base + 1, base + 2], 1), np.stack([base + 1, base + 3, base + 2], 1)])
    return data, triangles
