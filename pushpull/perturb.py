"""Attack one face of a video and write what came of it.

Usage:
    python -m pushpull.perturb clip.mp4 --model talknet-lite --attack pgd --eps-av 5 --out result
    python -m pushpull.perturb clip.mp4 --list-faces
    python -m pushpull.perturb clip.mp4 --face 2 --attack bim --steps 20 --span 1.2:2.0 --say silent
    python -m pushpull.perturb clip.mp4 --model talknet-lite,talknet-lite-e2,lr-asd-ava --transfer-from talknet-lite
    python -m pushpull.perturb clip.mp4 --noise noise.safetensors
    python -m pushpull.perturb clip.mp4 --survive h264-23 --eps-av 20
    python -m pushpull.perturb --from result/report.json --out again
"""

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pushpull.attacks import ATTACKS, MODALITIES, Step
from pushpull.attacks.objectives import OBJECTIVES
from pushpull.config import Parser
from pushpull.detectors import POINTS, decided_at, describe, device_of, open_detector, point_of
from pushpull.faces import Footage, read_clips
from pushpull.media import CODECS
from pushpull.runs.compare import compare_each, gather, name_all
from pushpull.runs.compare_save import COMPARISON_FILES, check_comparison_folder, folder_name, write_comparison
from pushpull.runs.labels import read_labels
from pushpull.runs.noise import find_noise, with_noise
from pushpull.runs.report import Past, Source, read_report, run_report
from pushpull.runs.run import Run, environment, execute, most_speaking
from pushpull.runs.save import FILES, REPORT, check_folder, write_report, write_results
from pushpull.runs.spec import TARGETS, RunSpec, Target, make_attack
from pushpull.runs.summary import faces_table, run_text
from pushpull.runs.survive import check_survive_folder, survive
from pushpull.runs.survive_spec import METHODS, SurviveSpec, make_survive_spec
from pushpull.training.stopping import Stopping

REFUSED, DIFFERENT, INTERRUPTED = 2, 1, 130  # exit codes: bad input; a rerun that found other bits; Ctrl-C
PARAMETERS = ("steps", "restarts", "step_size", "momentum", "kind", "keep", "grid", "early_stop", "noise", "offset")
# What may be given beside --from: where things are, not what to do.
PLACES = {"clip", "past", "model", "noise", "out", "overwrite", "device"}


def make_parser() -> Parser:
    """Options that were not given are absent from the namespace: with --from, to give one is a contradiction."""
    parser = Parser(
        prog="python -m pushpull.perturb",
        description="Attack one face of a video and write the adversarial clip, scores, figures and a report.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("clip", nargs="?", type=Path, default=None, help="a video that shows who speaks")
    add = parser.add_argument
    add("--model", metavar="NAME", help="a detector's name or file, or A,B,C to compare several (talknet-lite)")
    add("--transfer-from", metavar="A", help="make the perturbation on A alone and score it on all models")
    add("--device", help="auto, cpu, cuda or mps (auto)")
    add("--point", choices=POINTS, help="where the model decides (speaking if its card has it; own if published)")
    add("--face", type=int, metavar="N", help="which face, from 1 (the one the model says speaks most)")
    add("--list-faces", action="store_true", help="show the faces and stop")
    add("--start", type=float, metavar="S", help="seconds of the video to skip (0)")
    add("--seconds", type=float, metavar="S", help="length of the part to use (all)")
    add("--labels", type=Path, metavar="FILE", help="what is right: CSV with time_s and label, or .align")
    attack = parser.add_argument_group("attack")
    add = attack.add_argument
    add("--attack", choices=ATTACKS, help="(pgd)")
    add("--noise", type=Path, metavar="FILE", help="add the noise that pushpull.universal fit wrote; search nothing")
    add("--offset", type=int, metavar="N", help="sample of the noise's loop at which the clip begins (0)")
    add("--modality", choices=MODALITIES, help="what may change (both)")
    add("--eps-av", type=float, metavar="X", help="budget: X x 1e-4 of full scale, X x 0.1 grey levels (5)")
    add("--objective", choices=OBJECTIVES, help="what is maximised (training_aware; without its heads inference_aware)")
    add("--target", choices=TARGETS, help="what the model is to say (untargeted: the opposite)")
    add("--span", metavar="A:B", help="seconds from A to B of the face's clip, for --target span")
    add("--say", choices=("speaking", "silent"), help="what the model is to say in the span (silent)")
    add("--rest", choices=("hold", "free"), help="frames outside the span stay as they are, or do not count (hold)")
    add("--steps", type=int, metavar="N", help="gradient steps, draws or queries (10; apgd 100, square 1000)")
    add("--restarts", type=int, metavar="N", help="of pgd, apgd and square (5, 1, 1)")
    add("--step-size", type=float, metavar="X", help="share of the budget per step (2.5 / steps)")
    add("--momentum", type=float, metavar="X", help="of mim (1)")
    add("--kind", choices=("sign", "uniform"), help="of noise (sign)")
    add("--keep", choices=("best", "last"), help="iterate that is kept (best)")
    add("--grid", action="store_true", help="only values that a file can store")
    add("--early-stop", action="store_true", help="stop once every frame is won")
    add("--seed", type=int, metavar="N", help="of random starts (0)")
    add("--survive", choices=CODECS, help="a file with the attack still in it (bim, 20 steps, --eps-av 20, margin)")
    add("--survive-by", choices=METHODS, help="the codec itself, stand-ins for it, or no thought of it (actual)")
    files = parser.add_argument_group("files")
    files.add_argument("--out", type=Path, metavar="DIR", help="where results go (CLIP-ATTACK, or CLIP-CODEC)")
    files.add_argument("--overwrite", action="store_true", help="replace results that are there")
    files.add_argument("--from", dest="past", type=Path, metavar="REPORT", help="repeat the run of a report.json")
    return parser


def make_spec(given: dict) -> RunSpec:
    """The spec that the options describe, labels and face aside.

    Raises:
        ValueError: options that contradict each other, or values out of range.
    """
    if "noise" in given or given.get("attack") == "universal":
        given = with_noise(given)
    name = given.get("attack", "pgd")
    attack = make_attack(name, **{key: given[key] for key in PARAMETERS if key in given})
    keys = ("model", "start", "seconds", "modality", "eps_av", "objective", "seed", "face")
    return RunSpec(attack=attack, target=make_target(given), **{key: given[key] for key in keys if key in given})


def make_target(given: dict) -> Target:
    """The target of ``--target``, ``--span``, ``--say`` and ``--rest``; a span alone says what the target is."""
    kind = given.get("target", "span" if "span" in given else "untargeted")
    if kind != "span":
        if extra := [f"--{key}" for key in ("span", "say", "rest") if key in given]:
            raise ValueError(f"{', '.join(extra)} belongs to --target span, not to --target {kind}")
        return Target(kind=kind)
    if "span" not in given:
        raise ValueError("--target span needs --span A:B in seconds, such as --span 1.2:2.0")
    try:
        start, stop = (float(word) for word in given["span"].split(":"))
    except ValueError:
        raise ValueError(f"--span takes two times in seconds, such as 1.2:2.0, got {given['span']!r}") from None
    speaking = given.get("say", "silent") == "speaking"
    return Target(kind="span", start=start, stop=stop, speaking=speaking, hold=given.get("rest", "hold") == "hold")


def read_faces(path: Path, spec: RunSpec, crops: Sequence[str]) -> Footage:
    """The faces of the video, or of the part of it that is wanted, with a progress bar and a word on the sound."""
    with tqdm(total=100, unit="%", bar_format="{desc}: {percentage:3.0f}% |{bar}|", leave=False) as bar:

        def progress(share, text):
            bar.set_description(text, refresh=False)
            bar.update(0 if share is None else 100 * share - bar.n)

        footage = read_clips(path, start=spec.start, seconds=spec.seconds, crops=crops, progress=progress)
    for remark in footage.remarks:
        print(remark)
    if footage.silent:
        print("The sound is silent, so the model hears nobody: only an attack on the picture can do much.")
    return footage


def choose_face(footage: Footage, model, number: int | None) -> tuple[int, list[np.ndarray]]:
    """Number of the face to attack, from 1: the one asked for, else the one the model says speaks most.

    Raises:
        ValueError: there is no face of that number.
    """
    margins = []
    with torch.no_grad():
        for clip in footage.clips:
            margins.append(model(clip.inputs(device_of(model))).margin[0].cpu().numpy())
    chosen = most_speaking(margins) + 1 if number is None else number
    if not 1 <= chosen <= len(margins):
        raise ValueError(f"there is no face {number}; the faces are\n{faces_table(footage, margins, 0)}")
    return chosen, margins


def tell_faces(footage: Footage, margins: list[np.ndarray], face: int, given: dict, path: Path) -> None:
    """Print the faces, where there is a choice or it was asked for."""
    if len(margins) > 1 or "list_faces" in given:
        print(f"{len(margins)} faces in {path.name}; the chosen one is marked:" if len(margins) > 1 else "1 face:")
        print(faces_table(footage, margins, face))


def attack(model, clip, spec: RunSpec, stopped_after: int | None = None) -> Run:
    """``execute`` with a progress bar, stopped by Ctrl-C or after as many evaluations as an earlier run was."""
    total = spec.attack.restarts * (spec.attack.steps + 1)
    with tqdm(total=total, unit="step", desc=spec.attack_name) as bar, Stopping() as stopping:

        def on_step(step: Step) -> bool:
            bar.total += bool(step.random_start)  # one evaluation more than planned, see Step
            bar.set_postfix_str(f"loss {step.best_loss:.3f}, {step.won_share:.0%} of frames won", refresh=False)
            bar.update()
            return not stopping.wanted and bar.n != stopped_after

        return execute(model, clip, spec, on_step)


def perturb(given: dict) -> int:
    """Do what the options say; the exit code.

    Raises:
        ValueError: they cannot be done; the message says why.
    """
    if ("survive" in given or "survive_by" in given) and "list_faces" not in given:
        return perturb_surviving(given)
    if len(models := models_of(given)) > 1 or "transfer_from" in given:
        return perturb_each(given, models)
    past = read_report(given["past"]) if "past" in given else None
    if past is not None and (extra := sorted(set(given) - PLACES)):
        names = ", ".join("--" + name.replace("_", "-") for name in extra)
        raise ValueError(f"--from repeats a run exactly, so its settings come from the report; leave out {names}")
    if past is not None and past.survive:
        return perturb_surviving(given, past)
    spec = make_spec(given) if past is None else find_noise(past.spec, given["past"], given.get("noise"))
    path = find_clip(given, past)
    out = given.get("out", Path(f"{path.stem}-{spec.attack_name}"))
    if "list_faces" not in given:
        check_folder(out, overwrite="overwrite" in given)
    model = open_model(given, spec, past)
    footage = read_faces(path, spec, [describe(model)["crop"]])
    face, margins = choose_face(footage, model, given.get("face") if past is None else spec.face)
    tell_faces(footage, margins, face, given, path)
    if "list_faces" in given:
        return 0
    clip = footage.clips[face - 1]
    spec = replace(spec, face=face)
    if "labels" in given:
        spec = replace(spec, labels=read_labels(given["labels"], clip.frames, clip.origin.offset))
    source = Source.of(path)
    if past is not None:
        print("\n".join(differences(past, source, model)))
    run = attack(model, clip, spec, None if past is None else past.stopped_after)
    if run.result.cancelled:
        print(f"Stopped early, after {len(run.result.trace)} evaluations: this is the best that was found.")
    print(run_text(run))
    with tqdm(bar_format="{desc}", leave=False) as bar:
        write_results(out, run, source=source, say=lambda text: bar.set_description_str(f"writing {text}"))
    tell_files(out, FILES)
    return 0 if past is None else verdict(past, run)


def open_model(given: dict, spec: RunSpec, past: Past | None):
    """The detector that was asked for; that of an earlier run decides where it did then."""
    model = open_detector(given.get("model", spec.model), given.get("device", "auto"), given.get("point"))
    if past is not None and (now := point_of(model)) != past.point:
        print(f"The report's run decided at {past.point}, and so does this one; a new run would decide at {now}.")
    return model if past is None else decided_at(model, past.point)


def perturb_surviving(given: dict, past: Past | None = None) -> int:
    """Write a video in which the attack survives, and score it as it is read again; the exit code.

    Raises:
        ValueError: as :func:`perturb`.
    """
    if past is None and ("past" in given or "transfer_from" in given or len(models_of(given)) > 1):
        raise ValueError("--survive makes one attack on one model: no --from, no --transfer-from, one --model")
    part = past.spec if past else RunSpec(**{key: given[key] for key in ("model", "start", "seconds") if key in given})
    spec = SurviveSpec.of(part, past.survive) if past else make_survive_spec(given, make_target(given))
    path = find_clip(given, past)
    out = given.get("out", Path(f"{path.stem}-{spec.codec}"))
    check_survive_folder(out, overwrite="overwrite" in given)
    part = replace(part, model=given.get("model", part.model))
    model = open_model(given, part, past)
    footage = read_faces(path, part, [describe(model)["crop"]])
    face, margins = choose_face(footage, model, part.face if past else given.get("face"))
    tell_faces(footage, margins, face, given, path)
    clip = footage.clips[face - 1]
    if "labels" in given:
        part = replace(part, labels=read_labels(given["labels"], clip.frames, clip.origin.offset))
    clip = replace(clip, labels=part.given_labels(clip.frames))
    source = Source.of(path)
    if past is not None:
        print("\n".join(differences(past, source, model)))
    total = spec.attack.restarts * (spec.attack.steps + 1)
    with tqdm(total=total, unit="step", desc=f"through {spec.codec}") as bar, Stopping() as stopping:

        def on_step(step: Step) -> bool:
            bar.update()
            return not stopping.wanted and (past is None or bar.n != past.stopped_after)

        survived = survive(model, clip, out, spec, model=part.model, on_step=on_step)
    write_report(out / REPORT, run_report(survived.run, source=source) | {"survive": survived.section()})
    print(survived.text())
    tell_files(out, survived.described | {REPORT: FILES[REPORT]})
    return 0 if past is None else verdict(past, survived.run)


def tell_files(out: Path, files: dict[str, str]) -> None:
    """Print those of ``files`` that are there, with what each is."""
    written = {name: what for name, what in files.items() if (out / name).exists()}
    print(f"\nIn {out}:\n" + "\n".join(f"  {name:22} {what}" for name, what in written.items()))


def models_of(given: dict) -> list[str]:
    """The detectors that ``--model`` names: one, or several with commas between them; a file's name may hold commas."""
    named = given.get("model", "")
    if not named or Path(named).is_file():
        return [named] if named else []
    return [name for name in (part.strip() for part in named.split(",")) if name]


def perturb_each(given: dict, models: list[str]) -> int:
    """The same for several detectors, and the comparison of them; the exit code.

    Raises:
        ValueError: as :func:`perturb`.
    """
    if "past" in given:
        raise ValueError("--from repeats the run of one model; leave out --transfer-from, and give one --model")
    if len(models) < 2:
        raise ValueError("--transfer-from needs several models to score on: --model A,B,C --transfer-from A")
    spec, path = make_spec(given | {"model": models[0]}), find_clip(given, None)
    out = given.get("out", Path(f"{path.stem}-{spec.attack_name}-compared"))
    detectors = name_all([open_detector(model, given.get("device", "auto"), given.get("point")) for model in models])
    told = dict(zip(detectors, models, strict=True))
    if "list_faces" not in given:
        check_comparison_folder(out, detectors, overwrite="overwrite" in given)
    crops = list(dict.fromkeys(describe(detector)["crop"] for detector in detectors.values()))
    footage = read_faces(path, spec, crops)
    face, margins = choose_face(footage, next(iter(detectors.values())), given.get("face"))
    tell_faces(footage, margins, face, given, path)
    if "list_faces" in given:
        return 0
    spec = replace(spec, face=face)
    if "labels" in given:
        clip = footage.clips[face - 1]
        spec = replace(spec, labels=read_labels(given["labels"], clip.frames, clip.origin.offset))
    source = given.get("transfer_from")
    source = next((name for name, model in told.items() if source in (name, model)), source)
    found = attack_each(detectors, lambda detector: footage.cut_as(describe(detector)["crop"])[face - 1], spec, source)
    # A report names the model as it was given here, so that it finds it again.
    named = [(name, replace(run, spec=replace(run.spec, model=told[source or name]))) for name, run in found]
    comparison = gather(named, list(detectors), source)
    print("\n".join(comparison.table()), *comparison.remarks, sep="\n")
    with tqdm(bar_format="{desc}", leave=False) as bar:
        write_comparison(out, comparison, source=Source.of(path), say=lambda text: bar.set_description_str(text))
    tell_files(out, COMPARISON_FILES | {f"{folder_name(name)}/": f"the run on {name}" for name in comparison.runs})
    return 0


def attack_each(detectors: dict, cut, spec: RunSpec, source: str | None) -> list[tuple[str, Run]]:
    """``compare_each`` with a progress bar; Ctrl-C ends the attack that runs, keeps its best and skips the others."""
    attacks = 1 if source else len(detectors)
    found = []
    with tqdm(total=attacks * spec.attack.restarts * (spec.attack.steps + 1), unit="step") as bar, Stopping() as stop:

        def on_step(name: str, step: Step) -> bool:
            bar.total += bool(step.random_start)
            bar.set_description(name, refresh=False)
            bar.set_postfix_str(f"loss {step.best_loss:.3f}, {step.won_share:.0%} of frames won", refresh=False)
            bar.update()
            return not stop.wanted

        runs = compare_each(list(detectors), detectors.get, cut, spec, transfer_from=source, on_step=on_step)
        for name, run in runs:
            found.append((name, run))
            if stop.wanted and source is None:
                break
    stopped = next((name for name, run in found if run.result.cancelled), None)  # of a transfer, its source
    if stopped or len(found) < len(detectors):
        print(f"Stopped early, with {stopped or found[-1][0]}: what there is of it is the best that was found.")
    return found


def find_clip(given: dict, past: Past | None) -> Path:
    """The video: the one given, else the one of the report, seen from here or from beside the report."""
    if given["clip"] is not None:
        return given["clip"]
    if past is None:
        raise ValueError("give a video, or --from the report.json of an earlier run; --help shows how")
    told = Path(past.source.path)
    for path in (told, given["past"].parent / told, given["past"].parent / told.name):
        if path.is_file():
            return path
    raise ValueError(f"the report is about {told}, which is not here; give its place: CLIP --from {given['past']}")


def differences(past: Past, source: Source, model) -> list[str]:
    """What is not as it was when the report was written, a line each; one line if nothing is."""
    lines = []
    if source.sha256 != past.source.sha256:
        lines.append(f"DIFFERENT CLIP: {source.path} has SHA-256 {source.sha256}, the report's {past.source.sha256}.")
    if describe(model)["sha256"] != past.checkpoint:
        lines.append(f"DIFFERENT MODEL: its SHA-256 is {describe(model)['sha256']}, the report's {past.checkpoint}.")
    now = environment(model)
    for name in sorted(set(now) | set(past.environment)):
        if now.get(name) != past.environment.get(name):
            lines.append(f"Different {name}: {now.get(name)}, then {past.environment.get(name)}; last bits may differ.")
    return lines or ["Clip, model and versions are those of the report."]


def verdict(past: Past, run: Run) -> int:
    """Say whether the rerun found the same perturbation; the exit code."""
    if run.digest() == past.digest:
        print("The perturbation is that of the report, bit for bit.")
        return 0
    print("THE PERTURBATION IS NOT THAT OF THE REPORT: at least one bit of it differs.")
    return DIFFERENT


def main(arguments: list[str] | None = None) -> int:
    given = vars(make_parser().parse_args(arguments))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show ends no run
    try:
        return perturb(given)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("interrupted: no report was written", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
