"""Universal noise: fit one on some clips, try it on others, look at it and listen to it.

Usage:
    python -m pushpull.universal fit --model talknet-lite --data talkset:FOLDER --eps-av 5 --out noise.safetensors
    python -m pushpull.universal test noise.safetensors --data talkset:FOLDER --out result
    python -m pushpull.universal test noise.safetensors --videos film.mp4 --models lr-asd-ava,lite --out result
    python -m pushpull.universal show noise.safetensors --out noise
    python -m pushpull.perturb clip.mp4 --noise noise.safetensors
"""

import argparse
import shlex
import sys
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from tqdm import tqdm

from pushpull.attacks import MODALITIES, paper_budget
from pushpull.attacks.looped import SUFFIX, UniversalNoise, load_noise
from pushpull.attacks.universal import FitOptions, FitStep, fit_universal
from pushpull.clip import FPS
from pushpull.config import Parser, parse_options
from pushpull.data.talkset import cores
from pushpull.detectors.points import OWN, POINTS
from pushpull.evaluation.command import load_subjects
from pushpull.evaluation.data import held_out_examples, video_examples
from pushpull.evaluation.examples import Example, SetOptions, set_hash
from pushpull.evaluation.universal import UniversalOptions
from pushpull.evaluation.universal_study import as_markdown, run_universal
from pushpull.faces import TALKNET_DEMO
from pushpull.files import check_file, check_folder, check_free
from pushpull.plots import save
from pushpull.plots.universal import noise_figure
from pushpull.runs.cards import find_clips
from pushpull.runs.run import environment
from pushpull.training.stopping import Stopping, end_politely

REFUSED, INTERRUPTED = 2, 130  # exit codes: bad input; Ctrl-C
PROGRAM = "python -m pushpull.universal"


def fit(arguments: list[str]) -> int:
    """``fit``: one noise from the training split."""
    parser = Parser(
        prog=f"{PROGRAM} fit",
        description="Fit one noise on many clips; Ctrl-C keeps what there is.",
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FILE", help=f"the noise, FILE{SUFFIX}")
    add("--model", default="talknet-lite", help="name or path of the detector that it is fitted on (%(default)s)")
    add("--eps-av", type=float, default=5.0, metavar="X", help="X x 1e-4 of full scale, X x 0.1 grey levels (5)")
    add("--modality", choices=MODALITIES, default="both", help="what it may change (%(default)s)")
    add("--overwrite", action="store_true", help="replace a noise that is there")
    _add_clips(parser, split="train", count=48, seconds=3.0)
    options, given = parse_options(FitOptions, arguments, parser)
    check_file(given.out, (SUFFIX,))
    check_free([given.out], overwrite=given.overwrite)
    budgets = paper_budget(given.eps_av, given.modality)
    subject = load_subjects([given.model], given.device, given.point)[0]
    examples = _examples(given, subject.crop)
    facts = {
        "detector": {"name": subject.name, "sha256": subject.sha256, "point": subject.point.to_dict()},
        "data": {
            "sources": list(dict.fromkeys(example.source for example in examples)),
            "split": given.split if given.data else None,
            "clips": len(examples),
            "seed": given.clip_seed,
            "set": set_hash(examples),
        },
    }
    with tqdm(total=options.steps, unit="step", desc="fit") as bar, Stopping() as stopping:

        def on_step(step: FitStep) -> bool:
            bar.set_postfix_str(f"objective {step.loss:.3f}, {step.won_share:.0%} of frames won", refresh=False)
            bar.update()
            return not stopping.wanted

        # Labels of videos only hold their place.
        clips = [replace(e.clip, labels=e.clip.labels if given.data else None) for e in examples]
        noise = fit_universal(
            subject.fast, clips, budgets=budgets, options=options, facts=facts, device=subject.device, on_step=on_step
        )
    print(f"wrote {noise.save(given.out)}\n{noise_text(noise)}")
    return 0


def test(arguments: list[str]) -> int:
    """``test``: noises on clips that they have not seen."""
    parser = Parser(prog=f"{PROGRAM} test", description="Try noises on clips that they have not seen.")
    add = parser.add_argument
    add("noises", nargs="+", type=Path, metavar="NOISE", help="files that fit wrote")
    add("--out", type=Path, required=True, metavar="DIR", help="where results.json, .csv, .md and figure.png go")
    add("--models", default="talknet-lite", metavar="A,B", help="names, paths or rows of Table 1 (%(default)s)")
    add("--overwrite", action="store_true", help="replace other results that are there")
    _add_clips(parser, split="test", count=48, seconds=3.0)
    options, given = parse_options(UniversalOptions, arguments, parser)
    noises = [load_noise(path) for path in given.noises]
    check_folder(given.out)
    subjects = load_subjects(_names(given.models), given.device, given.point)

    @lru_cache
    def cut(crop: str) -> list[Example]:
        examples = _examples(given, crop)
        split = given.split if given.data else None
        if known := sorted(set().union(*(_fitted_on(noise, examples, split) for noise in noises))):
            told = f"a noise was fitted on clips of {', '.join(known)} as well: this says nothing of unseen ones"
            print(told, file=sys.stderr)
        return examples

    found = run_universal(
        subjects,
        # Videos are read once for each crop; clips of data have one crop for all.
        lambda subject: cut(subject.crop if given.videos else TALKNET_DEMO),
        noises,
        given.out,
        options,
        own_labels=not given.data,
        told={"command": f"{PROGRAM} test {shlex.join(arguments)}", "environment": environment(subjects[0].detector)},
        overwrite=given.overwrite,
        progress=lambda some, name: tqdm(some, unit="noise", desc=name),
    )
    print(f"{as_markdown(found)}\nwrote results.json, results.csv, results.md and figure.png in {given.out}")
    return 0


def show(arguments: list[str]) -> int:
    """``show``: what a noise is, and the same for ears and eyes."""
    parser = Parser(prog=f"{PROGRAM} show", description="Tell of a noise; WAV and PNG of it.")
    parser.add_argument("noise", type=Path)
    parser.add_argument("--out", type=Path, metavar="PATH", help="also write PATH.wav, PATH.png and PATH-figure.png")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    given = parser.parse_args(arguments)
    noise = load_noise(given.noise)
    print(noise_text(noise))
    if given.out is not None:
        check_folder(given.out.parent)
        figure = given.out.with_name(f"{given.out.name}-figure.png")
        files = [given.out.with_name(f"{given.out.name}.{ending}") for ending in ("wav", "png")]
        check_free([*files, figure], overwrite=given.overwrite)
        written = [*noise.export(given.out).values(), save(noise_figure(noise, given.noise.name), figure)]
        print("wrote " + ", ".join(map(str, written)) + "; sound and picture are magnified: eps fills their range")
    return 0


def _add_clips(parser: Parser, *, split: str, count: int, seconds: float) -> None:
    add = parser.add_argument
    add("--data", default="", metavar="SOURCES", help="labelled clips, as for training: talkset:FOLDER")
    add("--videos", default="", metavar="A,B", help="in place of data: videos or folders, every face of which counts")
    add("--split", choices=("train", "validation", "test"), default=split, help="of the data (%(default)s)")
    add("--clips", type=int, default=count, metavar="N", help="how many, half of them speaking (%(default)s)")
    add(
        "--seconds",
        type=float,
        default=seconds,
        metavar="S",
        help="of each; shorter ones are left out, but for faces of videos (%(default)s)",
    )
    add("--clip-seed", type=int, default=0, metavar="N", help="of which clips (%(default)s)")
    add("--point", choices=POINTS, default=OWN, help="where detectors decide, see docs/evaluation.md (%(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda or mps (%(default)s)")


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _examples(given: argparse.Namespace, crop: str) -> list[Example]:
    """The clips that the options name, cut as a detector wants them where there is a choice.

    Raises:
        ValueError: none or both of data and videos are named, clips have no length, or there is no clip.
    """
    if not 0 < given.seconds < float("inf"):
        raise ValueError(f"--seconds is the length of a clip, above 0, got {given.seconds:g}")
    if given.clips < 0:
        raise ValueError(f"--clips counts clips, or is 0 for all of some videos, got {given.clips}")
    if bool(given.data) == bool(given.videos):
        raise ValueError("say which clips: --data talkset:FOLDER (with labels) or --videos FILE,FILE")
    frames = max(1, round(given.seconds * FPS))
    if given.data:
        options = SetOptions(examples=given.clips, frames=frames, split=given.split, seed=given.clip_seed)
        bar = partial(tqdm, unit="file", desc="faces", leave=False)
        return next(iter(held_out_examples(given.data, options, workers=cores(), progress=bar).values()))
    places = [Path(name) for name in _names(given.videos)]
    paths = [path for place in places for path in (find_clips(place) if place.is_dir() else [place])]
    if not paths:
        raise ValueError(f"{given.videos} holds no video")
    return video_examples(paths, [crop], frames, most=given.clips)[crop]


def _fitted_on(noise: UniversalNoise, examples: list[Example], split: str | None) -> set[str]:
    """What of the examples' sources a noise was fitted on: videos, or data of which the same split was taken."""
    data = noise.facts.get("data") or {}
    return {e.source for e in examples} & set(data.get("sources") or []) if data.get("split") == split else set()


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
        sources = ", ".join(data.get("sources") or [])
        lines.append(f"with {data.get('clips')} clips of {sources} {data.get('split') or ''} ({data.get('set')})")
    return "\n".join(lines)


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
