"""A head on the device: its buffers, what it wears, its hair, and how much sky each vertex sees."""

from dataclasses import dataclass

import numpy as np

from pushpull.data.talkheads import hair, wear
from pushpull.data.talkheads.camera import Pose, look_at, orthographic
from pushpull.data.talkheads.device import Mesh
from pushpull.data.talkheads.head import Head, scalp_height

AMBIENT_SIZE = 96  # pixels of each depth picture
MOVING = ("3f 3f", ("in_position", "in_normal"))
STILL = ("3f 4f 3f", ("in_template", "in_masks", "in_follow"))
THING = ("3f 3f 3f 4f 3f", ("in_position", "in_normal", "in_template", "in_masks", "in_follow"))
STRAND = ("3f 3f 3f 4f 1f", ("in_position", "in_normal", "in_tangent", "in_card", "in_ao"))


@dataclass(frozen=True)
class Detail:
    """How finely heads are drawn. llvmpipe's time goes by triangles, so small pictures get fewer.

    Args:
        cards: share of the hair's ribbons, the rest made wider; every ``stride``-th point along them.
        shells: most layers of short hair. shadow: pixels of the shadow map. ways: directions of the ambient's sky.
    """

    cards: float
    stride: int
    shells: int
    shadow: int
    ways: int


FINE = Detail(cards=1.0, stride=1, shells=8, shadow=512, ways=40)
COARSE = Detail(cards=0.3, stride=2, shells=1, shadow=256, ways=20)
COARSE_BELOW = 400  # pixels of the drawn picture's height


class Actor:
    """A head's buffers. Made by ``Renderer.actor``; release it when its clip is done."""

    def __init__(self, context, programs: dict, head: Head, detail: Detail):
        self.head, self.detail = head, detail
        count = len(head.rest)
        masks = _part_masks(head)
        line = scalp_height(head.template, head.identity.hairline)
        follow = np.stack([head.masks["head"], np.ones(count), line], 1)
        self._still = np.concatenate([head.template, masks, follow], 1).astype(np.float32)
        self._moving_buffer = context.buffer(reserve=count * 24)
        self._still_buffer = context.buffer(self._still.tobytes())
        self._owned = [self._moving_buffer, self._still_buffer]
        layouts = [(self._moving_buffer, *MOVING), (self._still_buffer, *STILL)]

        skin = head.triangles["skin"]
        parts = dict(head.triangles)
        parts["cloth"] = skin[(head.template[skin, 1] < 6.5).any(1)]
        parts["fur"] = skin[(head.masks["head"][skin] > 0.2).any(1)]
        uses = {"skin": ("skin", "depth"), "cloth": ("cloth", "depth"), "fur": ("fur",)}
        self.parts = {
            name: self._own(Mesh(context, _pick(programs, uses.get(name, ("thing",))), layouts, triangles))
            for name, triangles in parts.items()
        }

        self.eyes = []
        for centre in head.eye_centre.values():
            data, triangles = wear.eyeball(centre, head.eye_radius)
            self.eyes.append(self._mesh(context, _pick(programs, ("eye",)), data, THING, triangles))
        self.things = []
        for thing in wear.things(head):
            uses = ("thing", "depth") if thing.casts else ("thing",)
            self.things.append((thing, self._mesh(context, _pick(programs, uses), thing.data, THING, thing.triangles)))
        self.cards = None
        grown = hair.grow(head, share=detail.cards, stride=detail.stride)
        if grown is not None:
            self._card_data, triangles = grown
            self._card_buffer = context.buffer(self._card_data.tobytes())
            self._owned.append(self._card_buffer)
            use = {"strand": programs["strand"], "depth": programs["strand_depth"]}
            self.cards = self._own(Mesh(context, use, [(self._card_buffer, *STRAND)], triangles))

    def _own(self, item):
        self._owned.append(item)
        return item

    def _mesh(self, context, programs, data, layout, triangles) -> Mesh:
        buffer = self._own(context.buffer(np.ascontiguousarray(data, np.float32).tobytes()))
        return self._own(Mesh(context, programs, [(buffer, *layout)], triangles))

    def pose(self, pose: Pose) -> None:
        """Move the face's vertices to ``pose.units``."""
        points, normals = self.head.posed(pose.units)
        self._moving_buffer.write(np.concatenate([points, normals], 1).astype(np.float32).tobytes())

    def bake_ambient(self, depth_picture) -> None:
        """How much of the sky each vertex sees past skin, hair and hats, from depth pictures all around.

        Args:
            depth_picture: (4, 4) clip-from-world -> (AMBIENT_SIZE, AMBIENT_SIZE) depths in 0..1 of this actor at rest.
        """
        head = self.head
        self.pose(Pose(units=np.zeros(len(head.units), np.float32)))
        sets = [(head.rest, head.rest_normals)]
        if self.cards:
            sets.append((self._card_data[:, :3], self._card_data[:, 3:6]))
        seen = [np.zeros(len(points)) for points, _ in sets]
        weight = [np.full(len(points), 1e-6) for points, _ in sets]
        golden = np.pi * (3 - np.sqrt(5))
        for k in range(self.detail.ways):
            y = 1 - 1.7 * (k + 0.5) / self.detail.ways  # few from below: the floor is dark
            ring = np.sqrt(max(0.0, 1 - y * y))
            way = np.array([np.cos(k * golden) * ring, y, np.sin(k * golden) * ring])
            matrix = orthographic(2.6, 2.6, 0.1, 14.0) @ look_at(way * 7, (0, -0.6, 0), (0.01, 1, 0.02))
            depth = depth_picture(matrix)
            for (points, normals), total, share in zip(sets, seen, weight, strict=True):
                lean = np.clip(normals @ way, 0, 1) if points is head.rest else np.full(len(points), 0.5)
                at = (points + normals * 0.04) @ matrix[:3, :3].T + matrix[:3, 3]
                pixel = np.clip(((at[:, :2] * 0.5 + 0.5) * AMBIENT_SIZE).astype(int), 0, AMBIENT_SIZE - 1)
                free = depth[pixel[:, 1], pixel[:, 0]] >= at[:, 2] * 0.5 + 0.5 - 0.006
                total += lean * free
                share += lean
        ambient = [np.clip(s / w, 0, 1) for s, w in zip(seen, weight, strict=True)]
        self._still[:, -2] = 0.25 + 0.75 * ambient[0] ** 0.8
        self._still_buffer.write(self._still.tobytes())
        if self.cards:
            self._card_data[:, -1] = 0.3 + 0.7 * np.clip(ambient[1] * 1.5, 0, 1)
            self._card_buffer.write(self._card_data.tobytes())

    def release(self) -> None:
        """Give the buffers back; a second call does nothing."""
        for item in self._owned:
            item.release()
        self._owned = []


def _pick(programs: dict, names) -> dict:
    return {name: programs[name] for name in names}


def _part_masks(head: Head) -> np.ndarray:
    """(V, 4): lips, inside, lids, ears on the skin; teeth carry crown-to-root, lashes root-to-tip."""
    out = np.stack([head.masks[name] for name in ("lips", "inside", "lids", "ears")], 1)
    y, z = head.template[:, 1], head.template[:, 2]
    for name in ("upper_teeth", "lower_teeth", "tongue", "upper_lashes", "lower_lashes"):
        out[np.unique(head.triangles[name])] = 0
    upper, lower = np.unique(head.triangles["upper_teeth"]), np.unique(head.triangles["lower_teeth"])
    out[upper, 0] = (y[upper] - y[upper].min()) / 0.234
    out[lower, 0] = (y[lower].max() - y[lower]) / 0.294
    centre = head.template[head.basis.eyes["l"]].mean(0)
    for name in ("upper_lashes", "lower_lashes"):
        index = np.unique(head.triangles[name])
        across, up = np.abs(head.template[index, 0]) - centre[0], y[index] - centre[1]
        reach = np.sqrt(across**2 + up**2 + (z[index] - centre[2]) ** 2)
        out[index, 1] = (reach - reach.min()) / np.ptp(reach)
    return out
