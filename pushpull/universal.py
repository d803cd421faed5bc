"""Universal noise: fit one on some clips, try it on others, look at it and listen to it.

Usage:
    python -m pushpull.universal fit --model talknet-lite --data talkset:FOLDER --eps-av 5 --out noise.safetensors
    python -m pushpull.universal test noise.safetensors --data talkset:FOLDER --out result
    python -m pushpull.universal show noise.safetensors --out noise
    python -m pushpull.perturb clip.mp4 --noise noise.safetensors
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from pushpull.attacks import MODALITIES, paper_budget
from pushpull.attacks.looped import SUFFIX, UniversalNoise, load_noise
from pushpull.attacks.universal import FitOptions, FitStep, fit_universal
from pushpull.config import parse_options
from pushpull.data.talkset import SPLITS, cores
from pushpull.detectors import attack_copy, describe, device_of, load_detector
from pushpull.evaluation.universal import UniversalOptions, universal_rows
from pushpull.evaluation.universal_clips import KINDS, Samples, read_samples
from pushpull.files import check_file, check_folder, replacing
from pushpull.plots import save
from pushpull.plots.universal import GOALS, noise_figure, universal_figure
from pushpull.training.stopping import Stopping, end_politely

REFUSED, INTERRUPTED = 2, 130  # exit codes: bad input; Ctrl-C
PROGRAM = "python -m pushpull.universal"


def fit(arguments: list[str]) -> int:
    """``fit``: one noise from the training split."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} fit",
        description="Fit one noise on many clips; Ctrl-C keeps what there is.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FILE", help=f"the noise, FILE{SUFFIX}")
    add("--model", default="talknet-lite", help="name or path of the detector that it is fitted on (%(default)s)")
    add(
        "--eps-av", type=float, default=5.0, metavar="X", help="budget: X x 1e-4 of full scale, X x 0.1 grey levels (5)"
    )
    add("--modality", choices=MODALITIES, default="both", help="what it may change (%(default)s)")
    _add_clips(parser, split="train", count=48)
    options, given = parse_options(FitOptions, arguments, parser)
    check_file(given.out, (SUFFIX,))
    budgets = paper_budget(given.eps_av, given.modality)
    detector = load_detector(given.model, given.device)
    samples = _read(given.data, given, describe(detector)["crop"])
    facts = {
        "detector": {key: describe(detector).get(key) for key in ("name", "architecture", "sha256")},
        "data": {"set": samples.name, "fingerprint": samples.fingerprint, "clips": len(samples.clips)}
        | {"kinds": given.kinds, "seed": given.clip_seed},
        "eps_av": given.eps_av,
    }
    with tqdm(total=options.steps, unit="step", desc="fit") as bar, Stopping() as stopping:

        def on_step(step: FitStep) -> bool:
            bar.set_postfix_str(f"objective {step.loss:.3f}, {step.won_share:.0%} of frames won", refresh=False)
            bar.update()
            return not stopping.wanted

        clips = [sample.clip for sample in samples.clips]
        noise = fit_universal(
            attack_copy(detector),
            clips,
            budgets=budgets,
            options=options,
            facts=facts,
            device=device_of(detector),
            on_step=on_step,
        )
    path = noise.save(given.out)
    print(f"wrote {path}\n{noise_text(noise)}")
    return 0


def test(arguments: list[str]) -> int:
    """``test``: noises on clips that they have not seen."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} test", description="Try noises on clips that they have not seen.", allow_abbrev=False
    )
    add = parser.add_argument
    add("noises", nargs="+", type=Path, metavar="NOISE", help="files that fit wrote")
    add("--out", type=Path, required=True, metavar="DIR", help="where universal.json, .md and .png go")
    add(
        "--models", nargs="+", default=["talknet-lite"], metavar="MODEL", help="detectors to try them on (talknet-lite)"
    )
    _add_clips(parser, split="test", count=32, several=True)
    options, given = parse_options(UniversalOptions, arguments, parser)
    noises = [load_noise(path) for path in given.noises]
    check_folder(given.out)
    rows = []
    for model in given.models:
        detector = load_detector(model, given.device)
        for data in given.data:
            samples = _read(data, given, describe(detector)["crop"])
            _warn_of_seen(samples, noises)
            shown = partial(tqdm, unit="noise", desc=f"{describe(detector)['name']}, {samples.name}")
            rows += universal_rows(detector, samples, noises, options, progress=shown)
    write_universal(given.out, rows)
    print(rows_text(rows))
    print(f"\nwrote universal.json, universal.md and universal.png in {given.out}")
    return 0


def show(arguments: list[str]) -> int:
    """``show``: what a noise is, and the same for ears and eyes."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} show", description="Tell of a noise, and write WAV and PNG of it."
    )
    parser.add_argument("noise", type=Path)
    parser.add_argument("--out", type=Path, metavar="PATH", help="also write PATH.wav, PATH.png and PATH-figure.png")
    given = parser.parse_args(arguments)
    noise = load_noise(given.noise)
    print(noise_text(noise))
    if given.out is not None:
        check_folder(given.out.parent)
        written = list(noise.export(given.out).values())
        written.append(save(noise_figure(noise, given.noise.name), given.out.with_name(f"{given.out.name}-figure.png")))
        print("wrote " + ", ".join(map(str, written)) + "; sound and picture are magnified: eps fills their range")
    return 0


def _add_clips(parser: argparse.ArgumentParser, *, split: str, count: int, several: bool = False) -> None:
    add = parser.add_argument
    what = "what train --data takes, or videos:PATH, of which every face counts"
    add("--data", required=True, metavar="SOURCE", help=what, **({"nargs": "+"} if several else {}))
    add("--split", choices=SPLITS, default=split, help="of the source (%(default)s)")
    add("--clips", type=int, default=count, metavar="N", help="how many at most (%(default)s)")
    add("--kinds", default=",".join(KINDS), help="kinds of example, in turn, see docs/training.md (%(default)s)")
    add("--clip-seed", type=int, default=0, metavar="N", help="of which clips (%(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda or mps (%(default)s)")


def _read(data: str, given: argparse.Namespace, crop: str) -> Samples:
    return read_samples(
        data,
        split=given.split,
        count=given.clips,
        kinds=given.kinds.split(","),
        seed=given.clip_seed,
        crop=crop,
        workers=cores(),
        progress=partial(tqdm, unit="file", desc="faces", leave=False),
    )


def _warn_of_seen(samples: Samples, noises: list[UniversalNoise]) -> None:
    if any((noise.facts.get("data") or {}).get("fingerprint") == samples.fingerprint for noise in noises):
        print(f"{samples.name} is what a noise was fitted on: its figures say nothing of unseen clips", file=sys.stderr)


def noise_text(noise: UniversalNoise) -> str:
    """A noise in a few lines, for a terminal."""
    units = {name: budget.unit for name, budget in noise.budgets.items()}
    size = ", ".join(f"{name} within {eps:g} {units[name]}" for name, eps in noise.eps.items())
    lines = [f"SHA-256 {noise.sha256}", f"eps_av {noise.eps_av:g}: {size}"]
    facts = noise.facts
    if options := facts.get("options"):
        lines.append(
            f"goal {options['goal']}, {facts.get('steps_done')} of {options['steps']} steps, {options['rule']}"
        )
    if detector := facts.get("detector"):
        lines.append(f"fitted on {detector.get('name')} ({detector.get('sha256')})")
    if data := facts.get("data"):
        lines.append(f"with {data.get('clips')} clips of {data.get('set')} ({data.get('fingerprint')})")
    return "\n".join(lines)


def rows_text(rows: list[dict]) -> str:
    """Rows as a Markdown table: percent with 95 % intervals."""
    head = "| detector | clips | goal | eps_av | noise | column | flipped | won | less random | accuracy |"
    lines = [head, "|---|---|---|---:|---|---|---:|---:|---:|---:|"]
    for row in rows:
        goal = row["goal"] or "flip"
        cells = [
            f"{row['detector']}{' (white box)' if row['white_box'] else ''}",
            f"{row['set']}, {row['clips']} of {row['bases']}",
            goal,
            f"{row['eps_av']:g}",
            row["condition"],
            row["column"],
            *(_percent(row[name]) for name in ("flipped", GOALS[goal][0], "beyond_random")),
            f"{_percent(row['clean_accuracy'], brief=True)} to {_percent(row['accuracy'], brief=True)}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percent(found: dict | None, *, brief: bool = False) -> str:
    if found is None:
        return "-"
    text = f"{100 * found['value']:.1f}"
    if brief or found["low"] is None:
        return text
    return f"{text} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def write_universal(folder: Path, rows: list[dict]) -> None:
    """``universal.json``, ``.md`` and ``.png`` of some rows."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "universal.json", "w") as file:
        file.write(json.dumps({"format": "pushpull.universal-rows/1", "rows": rows}, indent=2, allow_nan=False) + "\n")
    with replacing(folder / "universal.md", "w") as file:
        file.write(rows_text(rows) + "\n")
    save(universal_figure(rows), folder / "universal.png")


COMMANDS = {"fit": fit, "test": test, "show": show}


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in COMMANDS:
        asked = bool(arguments) and arguments[0] in ("-h", "--help")
        print(__doc__.strip(), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else REFUSED
    end_politely()
    try:
        return COMMANDS[arguments[0]](arguments[1:])
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
