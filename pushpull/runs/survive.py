"""An attack that is made to survive: written into an ordinary video file, and scored as anybody would read that file.

The attack goes through stand-ins of the file's codec, or through the codec itself, so that what it finds is what is
left after compression. The file holds the whole scene; faces are found in it anew. Beside it stands the same scene
without the attack, written and read the same way: what compression and face finding do by themselves is told apart.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pushpull.attacks import ATTACKS, BIM, Attack, Step, paper_budget
from pushpull.attacks.eot import Through
from pushpull.attacks.objectives import margin
from pushpull.attacks.stand_ins import Actual, BandLimited, Blurred, Compressed, Pasted, Reframed, Rounded, StandIn
from pushpull.clip import Clip
from pushpull.detectors import attack_copy, describe, device_of
from pushpull.files import check_folder, replacing
from pushpull.media import CODECS, Limits
from pushpull.metrics import psnr, snr_db
from pushpull.runs.run import environment
from pushpull.runs.scene_file import SceneFile
from pushpull.runs.spec import Target, attack_parameters, make_attack

FORMAT = "pushpull.survive/1"
METHODS = ("actual", "stand-ins", "none")
ATTACK_OPTIONS = ("steps", "restarts", "step_size", "momentum", "kind", "keep", "early_stop")
REPORT = "survive.json"
# Name of each file but the report, without its container's ending, to what it is.
FILES = {
    "survive": "the scene with the attack in it: an ordinary file, read again and scored",
    "clean": "the same scene without the attack, written the same way",
}
# Grey levels between which the rounding of a codec's frequencies is drawn: around x264's step at that quality.
STEPS = {"h264-18": (3.0, 7.0), "h264-23": (5.0, 12.0), "h264-28": (9.0, 20.0), "vp9-31": (4.0, 10.0)}
# Pixels of the face in the scene that stand-ins reckon with: a larger one holds all of a crop, and costs memory.
SMALLEST, LARGEST = 8, 224
# Log-odds up to which a frame that is won is pushed on: more than elsewhere, since file and face finding take of it.
CONFIDENT = 10.0
BLUR = (0.5, 3.0)  # pixels, of the gradient that stands in for a codec's
# What may lie between attacker and detector, in the order of the report.
VERSIONS = {
    "clean": "the clip as it was read",
    "adversarial": "the attacked clip as the attack left it, on the values that a lossless file holds",
    "clean file, known place": "the scene without the attack, compressed; the face cut where it was",
    "file, known place": "the attacked scene, compressed; the face cut where it was: what the attack counted on",
    "clean file": "the scene without the attack, compressed; the face found anew",
    "file": "the attacked scene, compressed; the face found anew: what a reader of the file gets",
}


@dataclass(frozen=True, kw_only=True)
class SurviveSpec:
    """What is made to survive, and how.

    Args:
        codec: of ``pushpull.media.CODECS``, the file that is written.
        method: "actual" sends every iterate through the codec, in the scene, and takes the gradient of stand-ins;
            "stand-ins" goes through stand-ins alone, which is sooner; "none" is an attack that knows of no codec.
        attack: with its parameters; on the storage grid, since a file holds nothing else.
        eps_av: the joint budget. Files want more than the paper's 5: docs/survival.md.
        modality: "both", "audio" or "video": what may change.
        objective: what the attacker maximises; "margin" goes on up to 10 log-odds here.
        target: what the detector is to say.
        samples: random draws of the stand-ins for each step.
        seed: of starts and draws.

    Raises:
        ValueError: an unknown codec or method.
    """

    codec: str = "h264-23"
    method: str = "actual"
    attack: Attack = BIM(steps=20, grid=True)  # noqa: RUF009 (frozen)
    eps_av: float = 20.0
    modality: str = "both"
    objective: str = "margin"
    target: Target = Target()
    samples: int = 1
    seed: int = 0

    def __post_init__(self):
        if self.codec not in CODECS:
            raise ValueError(f"unknown codec {self.codec!r}; known are {', '.join(CODECS)}")
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; known are {', '.join(METHODS)}")

    def to_dict(self) -> dict:
        """As JSON holds it."""
        attack = {"name": type(self.attack).__name__.lower()} | asdict(self.attack)
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {
            "attack": attack,
            "target": asdict(self.target),
        }


def make_survive_spec(given: dict, target: Target) -> SurviveSpec:
    """What options of the command line ask for: those of other attacks, and ``survive`` and ``survive_by``.

    The attack is on the storage grid, and BIM with 20 steps where nothing else is said.

    Raises:
        ValueError: no codec, an attack that does not search, or values out of range.
    """
    if "survive" not in given:
        raise ValueError("--survive-by needs --survive CODEC, the file that is written")
    name = given.get("attack", "bim")
    if "noise" in given or name == "universal":
        raise ValueError("--survive searches for a perturbation; a noise that is ready is added by --noise alone")
    known = attack_parameters(name) if name in ATTACKS else {}
    parameters = {"steps": SurviveSpec().attack.steps} if "steps" in known else {}
    parameters |= {key: given[key] for key in ATTACK_OPTIONS if key in given} | {"grid": True}
    chosen = {key: given[key] for key in ("eps_av", "modality", "objective", "seed") if key in given}
    method = given.get("survive_by", METHODS[0])
    return SurviveSpec(
        codec=given["survive"], method=method, attack=make_attack(name, **parameters), target=target, **chosen
    )


@dataclass(frozen=True, eq=False)
class Survived:
    """What came of it.

    Args:
        spec: what was asked for.
        clip: the clip as it was read.
        attacked: as the attack left it.
        margins: (T,) float32 log-odds of speaking by the names of VERSIONS; nan where the face was not found.
        overlaps: how well the face that was found anew sits on the one that was attacked, 0..1, by version.
        labels: (T,) what counts as right: the clip's labels, else the detector's decisions on the clean clip.
        aimed: (T,) bool, frames that the attack was after, and ``wanted`` (T,), what it wanted them to be.
        files: {"file": the attacked video, "clean file": the one without the attack}.
        sizes: bytes of both.
        seconds: that the attack took.
        stopped_after: evaluations after which it was stopped; None if it ran to its end.
        card, environment: of the detector and the machine.
    """

    spec: SurviveSpec
    clip: Clip
    attacked: Clip
    margins: dict[str, np.ndarray]
    overlaps: dict[str, float | None]
    labels: np.ndarray
    aimed: np.ndarray
    wanted: np.ndarray
    files: dict[str, Path]
    sizes: dict[str, int]
    seconds: float
    stopped_after: int | None
    card: dict
    environment: dict

    def row(self, name: str) -> dict:
        """The numbers of one version: frames ``found``; of these ``flipped`` (decided otherwise than in the clean
        clip), ``right``, ``aimed`` at and ``won`` (as the attacker wants); ``lead``, mean log-odds in favour of what is
        right; ``overlap``.
        """
        margin = self.margins[name]
        there = ~np.isnan(margin)
        decided, before = margin > 0, self.margins["clean"] > 0
        return {
            "found": int(there.sum()),
            "flipped": int((there & (decided != before)).sum()),
            "right": int((there & (decided == (self.labels == 1))).sum()),
            "aimed": int((there & self.aimed).sum()),
            "won": int((there & self.aimed & (decided == (self.wanted == 1))).sum()),
            # By how much a frame stands on the side that counts as right: below 0 it is wrong.
            "lead": float((margin * np.where(self.labels == 1, 1, -1))[there].mean()) if there.any() else None,
            "overlap": self.overlaps.get(name),
        }

    @property
    def described(self) -> dict[str, str]:
        """Names of the files that were written, with what each is."""
        ending = self.files["file"].suffix
        return {name + ending: what for name, what in FILES.items()} | {REPORT: "every number and setting"}

    def report(self) -> dict:
        """Everything about it, ready for JSON."""
        before, after = self.clip.inputs(), self.attacked.inputs()
        visible = {"psnr_db": psnr(before["video"], after["video"]), "snr_db": snr_db(before["audio"], after["audio"])}
        origin = self.clip.origin
        return {
            "format": FORMAT,
            "spec": self.spec.to_dict(),
            "source": {"name": origin.path.name, "face": origin.face, "first": origin.first},
            "frames": self.clip.frames,
            "checkpoint": {name: self.card.get(name) for name in ("name", "sha256")},
            "environment": self.environment,
            "versions": {name: self.row(name) | {"what": what} for name, what in VERSIONS.items()},
            "perturbation": {name: value if np.isfinite(value) else None for name, value in visible.items()},
            "files": {name: {"name": path.name, "bytes": self.sizes[name]} for name, path in self.files.items()},
            "seconds": round(self.seconds, 2),
            "stopped_after": self.stopped_after,
        }

    def text(self) -> str:
        """The versions as a table, for a terminal."""
        lines = [f"{'':26}{'found':>8}{'flipped':>10}{'right':>8}{'lead':>8}   of {self.clip.frames} frames"]
        for name in VERSIONS:
            row = self.row(name)
            lead = "" if row["lead"] is None else f"{row['lead']:+.2f}"
            lines.append(f"{name:26}{row['found']:>8}{row['flipped']:>10}{row['right']:>8}{lead:>8}")
        return "\n".join(lines)


def survive(
    detector,
    clip: Clip,
    folder: str | os.PathLike,
    spec: SurviveSpec = SurviveSpec(),  # noqa: B008 (frozen)
    *,
    limits: Limits = Limits(),
    on_step: Callable[[Step], bool | None] | None = None,
) -> Survived:
    """Attack a clip so that it survives, write it into a video file, read that file, and score it.

    Args:
        detector: any detector; it is left as it was.
        clip: with its ``origin``: its scene is read again, and written with the attack in it.
        folder: gets ``survive.mp4`` (or ``.webm``), ``clean.mp4`` beside it, and the report ``survive.json``; made if
            needed.
        spec: what to do.
        limits: for reading and writing videos.
        on_step: as for ``Attack.run``.

    Raises:
        ValueError: the clip was cut from no video, or labels or target do not fit it.
        MediaError: the video cannot be read again, or ffmpeg failed.
    """
    scene, device = SceneFile(clip, CODECS[spec.codec], limits), device_of(detector)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT).unlink(missing_ok=True)  # an earlier one would describe files that are about to be replaced
    margins = {"clean": _margin(detector, clip)}
    given = clip.targets(device)
    labels = torch.from_numpy(margins["clean"] > 0).long()[None].to(device) if given is None else given
    targets, mask, aimed = spec.target.resolve(labels)
    began = time.perf_counter()
    result = spec.attack.run(
        surviving_model(detector, spec, clip, scene),
        clip.inputs(device),
        labels if targets is None else targets,
        budgets=paper_budget(spec.eps_av, spec.modality),
        objective=partial(margin, cap=CONFIDENT) if spec.objective == "margin" else spec.objective,
        targeted=targets is not None,
        mask=mask,
        seed=spec.seed,
        on_step=on_step,
    )
    seconds = time.perf_counter() - began
    attacked = clip.with_inputs(result.stored)
    margins["adversarial"] = _margin(detector, attacked)
    files, overlaps = {}, {}
    for prefix, name, content in (("clean ", "clean", clip), ("", "survive", attacked)):
        path = files[f"{prefix}file"] = scene.write(folder / f"{name}.{scene.codec.container}", content)
        margins[f"{prefix}file, known place"] = _margin(detector, scene.cut(path))
        margins[f"{prefix}file"], overlaps[f"{prefix}file"] = _found_margin(detector, scene, path)
    survived = Survived(
        spec=spec,
        clip=clip,
        attacked=attacked,
        margins=margins,
        overlaps=overlaps,
        labels=labels[0].cpu().numpy(),
        aimed=np.ones(clip.frames, bool) if aimed is None else aimed[0].cpu().numpy(),
        wanted=(1 - labels if targets is None else targets)[0].cpu().numpy(),
        files=files,
        sizes={name: path.stat().st_size for name, path in files.items()},
        seconds=seconds,
        stopped_after=len(result.trace) if result.cancelled else None,
        card=describe(detector),
        environment=environment(detector),
    )
    with replacing(folder / REPORT, "w") as file:
        json.dump(survived.report(), file, indent=1, allow_nan=False)
    return survived


def surviving_model(detector, spec: SurviveSpec, clip: Clip, scene: SceneFile) -> Callable:
    """What the attack runs on: the detector's copy for attacks, behind what it is to survive."""
    model, stand_ins = attack_copy(detector), stand_ins_for(spec, clip, scene)
    return Through(model, stand_ins, samples=spec.samples, seed=spec.seed) if stand_ins else model


def check_survive_folder(folder: str | os.PathLike, *, overwrite: bool) -> None:
    """Raise ValueError if results would replace something, or could not be written."""
    folder = Path(folder)
    check_folder(folder)
    endings = {codec.container for codec in CODECS.values()}
    names = [REPORT, *(f"{name}.{ending}" for name in FILES for ending in sorted(endings))]
    if (taken := [name for name in names if (folder / name).exists()]) and not overwrite:
        raise ValueError(f"{folder} already holds {', '.join(taken)}; give another folder, or allow to overwrite them")


def stand_ins_for(spec: SurviveSpec, clip: Clip, scene: SceneFile) -> tuple[StandIn, ...]:
    """What the attack goes through; nothing for the method "none"."""
    if spec.method == "none":
        return ()
    clean, side = clip.inputs()["video"], round(min(max(scene.side, SMALLEST), LARGEST))
    if spec.method == "actual":
        # Sound comes through AAC and Opus almost as it was, so its gradient needs no stand-in.
        return (Actual(scene.send, (Pasted(clean, side), Blurred(*BLUR))), Reframed(0.5, 0.01))
    inside = (Rounded(), Compressed(*STEPS[spec.codec]))
    return (Pasted(clean, side, inside), Reframed(0.5, 0.01), BandLimited(6000, 7800), Rounded())


@torch.no_grad()
def _margin(detector, clip: Clip) -> np.ndarray:
    return detector(clip.inputs(device_of(detector))).margin[0].float().cpu().numpy()


def _found_margin(detector, scene: SceneFile, path: Path) -> tuple[np.ndarray, float | None]:
    """(T,) log-odds of the face that is found in a file, nan where it is not, and how well it sits."""
    margin = np.full(scene.clip.frames, np.nan, np.float32)
    found = scene.find(path)
    if found is None:
        return margin, None
    margin[found.first : found.first + found.clip.frames] = _margin(detector, found.clip)
    return margin, float(found.overlap)
