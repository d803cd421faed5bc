"""An attack that is made to survive: written into an ordinary video file, and scored as anybody would read that file.

The attack goes through stand-ins of the file's codec, or through the codec itself, so that what it finds is what is
left after compression. The file holds the whole scene; faces are found in it anew. Beside it stands the same scene
without the attack, written and read the same way: what compression and face finding do by themselves is told apart.
"""

import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pushpull.attacks import Step, paper_budget
from pushpull.attacks.eot import Through
from pushpull.attacks.objectives import margin
from pushpull.attacks.stand_ins import Actual, BandLimited, Blurred, Compressed, Pasted, Reframed, Rounded, StandIn
from pushpull.clip import Clip
from pushpull.detectors import attack_copy, decided, describe, device_of
from pushpull.files import check_folder, replacing
from pushpull.media import CODECS, Limits
from pushpull.runs.run import Run, scored, spec_for
from pushpull.runs.save import REPORT as RUN_REPORT
from pushpull.runs.scene_file import SceneFile
from pushpull.runs.survive_spec import SurviveSpec
from pushpull.runs.survived import FILES, REPORT, Survived

# Grey levels between which the rounding of a codec's frequencies is drawn: around x264's step at that quality.
STEPS = {"h264-18": (3.0, 7.0), "h264-23": (5.0, 12.0), "h264-28": (9.0, 20.0), "vp9-31": (4.0, 10.0)}
# Pixels of the face in the scene that stand-ins reckon with: a larger one holds all of a crop, and costs memory.
SMALLEST, LARGEST = 8, 224
# Log-odds up to which a frame that is won is pushed on: more than elsewhere, since file and face finding take of it.
CONFIDENT = 10.0
BLUR = (0.5, 3.0)  # pixels, of the gradient that stands in for a codec's


def survive(
    detector,
    clip: Clip,
    folder: str | os.PathLike,
    spec: SurviveSpec = SurviveSpec(),  # noqa: B008 (frozen)
    *,
    model: str | None = None,
    limits: Limits = Limits(),
    on_step: Callable[[Step], bool | None] | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Survived:
    """Attack a clip so that it survives, write it into a video file, read that file, and score it.

    Args:
        detector: any detector; it is left as it was.
        clip: with its ``origin``: its scene is read again, and written with the attack in it.
        folder: gets ``survive.mp4`` (or ``.webm``), ``clean.mp4`` beside it, and the report ``survive.json``; made if
            needed.
        spec: what to do.
        model: what the run calls the detector; None is the name on its card.
        limits: for reading and writing videos.
        on_step: as for ``Attack.run``.
        say: called with what is done after the attack.

    Raises:
        ValueError: the clip was cut from no video, or labels or target do not fit it.
        MediaError: the video cannot be read again, or ffmpeg failed.
    """
    detector = decided(detector)
    scene = SceneFile(clip, CODECS[spec.codec], limits)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (REPORT, RUN_REPORT):  # an earlier one would describe files that are about to be replaced
        (folder / name).unlink(missing_ok=True)
    run = surviving_run(detector, clip, spec, scene, model or describe(detector)["name"], on_step)
    attacked = run.stored_clip
    margins, files, overlaps = {"clean": run.margins["clean"], "adversarial": run.margins["stored"]}, {}, {}
    versions = ("clean ", "clean", clip, "without the attack"), ("", "survive", attacked, "with the attack in it")
    for prefix, name, content, words in versions:
        say(f"Writing the file {words}")
        path = files[f"{prefix}file"] = scene.write(folder / f"{name}.{scene.codec.container}", content)
        say(f"Finding the face in the file {words}")
        margins[f"{prefix}file, known place"] = _margin(detector, scene.cut(path))
        margins[f"{prefix}file"], overlaps[f"{prefix}file"] = _found_margin(detector, scene, path)
    survived = Survived(
        spec=spec,
        run=run,
        margins=margins,
        overlaps=overlaps,
        labels=run.labels[0].numpy(),
        aimed=np.ones(clip.frames, bool) if run.aimed is None else run.aimed[0].numpy(),
        wanted=(1 - run.labels if run.targets is None else run.targets)[0].numpy(),
        files=files,
        sizes={name: path.stat().st_size for name, path in files.items()},
    )
    with replacing(folder / REPORT, "w") as file:
        json.dump(survived.report(), file, indent=1, allow_nan=False)
    return survived


def surviving_run(
    detector, clip: Clip, spec: SurviveSpec, scene: SceneFile, model: str, on_step: Callable | None = None
) -> Run:
    """The attack as a run like any other, made behind what it is to survive and scored without it.

    Args:
        detector, clip, spec, on_step: as :func:`survive`.
        scene: of the clip.
        model: what the run calls the detector.
    """
    device, given = device_of(detector), clip.targets(device_of(detector))
    with torch.no_grad():
        clean = detector(clip.inputs(device))
    labels = (clean.margin > 0).long() if given is None else given
    targets, mask, aimed = spec.target.resolve(labels)
    budgets = paper_budget(spec.eps_av, spec.modality)
    asked = {name: getattr(spec, name) for name in ("attack", "eps_av", "modality", "objective", "target", "seed")}
    told = spec_for(model, clip, labels=clip.labels, **asked)  # refuses what no report can hold, before the attack
    began = time.perf_counter()
    result = spec.attack.run(
        surviving_model(detector, spec, clip, scene),
        clip.inputs(device),
        labels if targets is None else targets,
        budgets=budgets,
        objective=partial(margin, cap=CONFIDENT) if spec.objective == "margin" else spec.objective,
        targeted=targets is not None,
        mask=mask,
        seed=spec.seed,
        on_step=on_step,
    )
    return scored(
        detector,
        clip,
        result,
        clean,
        spec=told,
        budgets=budgets,
        labels=labels,
        own_labels=given is None,
        targets=targets,
        mask=mask,
        aimed=aimed,
        elapsed=time.perf_counter() - began,
    )


def surviving_model(detector, spec: SurviveSpec, clip: Clip, scene: SceneFile) -> Callable:
    """What the attack runs on: the detector's copy for attacks, behind what it is to survive."""
    model, stand_ins = attack_copy(detector), stand_ins_for(spec, clip, scene)
    return Through(model, stand_ins, samples=spec.samples, seed=spec.seed) if stand_ins else model


def check_survive_folder(folder: str | os.PathLike, *, overwrite: bool) -> None:
    """Raise ValueError if results would replace something, or could not be written."""
    folder = Path(folder)
    check_folder(folder)
    endings = {codec.container for codec in CODECS.values()}
    names = [REPORT, *(f"{name}.{ending}" for name in FILES for ending in sorted(endings)), RUN_REPORT]
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
