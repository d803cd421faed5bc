"""What a result was made with: a line beside it, and the names of its files."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from pushpull.attacks import attack_titles
from pushpull.demo.form import MODALITY_NAMES, TARGET_NAMES
from pushpull.media import CODECS
from pushpull.runs.spec import RunSpec, attack_parameters

LONGEST = 40  # characters of a clip's name in a file's


def made_with(models: Sequence[str], spec: RunSpec, face: int, title: str, codec: str | None = None) -> str:
    """Detectors, attack, budget and face in a line, as HTML; what is as usual is left out.

    Args:
        models: the detectors' names.
        spec: of the run that the result came of; the form may say something else by now.
        face: from 0.
        title: of the clip.
        codec: of the file in which the attack was to survive; None if in none.
    """
    parts = [", ".join(models), _attack(spec), f"eps_av {spec.eps_av:g}"]
    if spec.modality != "both":
        parts.append(MODALITY_NAMES[spec.modality])
    if spec.target.kind != "untargeted":
        parts.append(TARGET_NAMES[spec.target.kind])
    if codec is not None:
        parts.append(f"through {CODECS[codec].title}")
    parts.append(f"Face {face + 1} of {title}")
    return f'<p class="pp-made pp-quiet">{escape(" · ".join(parts))}</p>'


def _attack(spec: RunSpec) -> str:
    # "PGD, random starts" is what the form needs; here its numbers follow.
    name = re.split(r",| \(", attack_titles()[spec.attack_name])[0]
    steps, restarts = (getattr(spec.attack, number, 1) for number in ("steps", "restarts"))
    counted = [f"{steps} steps"] if steps > 1 else []
    counted += [f"{restarts} starts"] if restarts > 1 else []
    return ", ".join([name, *counted])


def file_prefix(path: str | Path, spec: RunSpec) -> str:
    """What the names of a run's files begin with, so that they can be told from another run's: "clip-pgd-eps5".

    Args:
        path: the clip.
        spec: of the run.
    """
    clip = re.sub(r"[^A-Za-z0-9]+", "-", Path(path).stem).strip("-")[:LONGEST] or "clip"
    return f"{clip}-{spec.attack_name}-eps{spec.eps_av:g}"


def shell(path: str | Path, *options: str) -> str:
    """The command that attacks the clip ``path`` with these options, as a shell takes it whatever its name."""
    clip = f"./{path}" if str(path).startswith("-") else str(path)
    return "python -m pushpull.perturb " + shlex.join([clip, *options])


def options_of(spec: RunSpec) -> list[str]:
    """The options that ask the command for ``spec``, model and labels aside; its own defaults are left out."""
    said = {"face": spec.face, "attack": spec.attack_name}
    own = attack_parameters(spec.attack_name)
    said |= {name: value for name, value in asdict(spec.attack).items() if value != own[name]}
    said |= {"eps_av": f"{spec.eps_av:g}"}
    others, usual = ("start", "seconds", "modality", "objective", "seed"), RunSpec()
    said |= {name: getattr(spec, name) for name in others if getattr(spec, name) != getattr(usual, name)}
    if spec.target.kind == "span":
        said |= {"span": f"{spec.target.start:g}:{spec.target.stop:g}"}
        said |= {
            "say": "speaking" if spec.target.speaking else "silent",
            "rest": "hold" if spec.target.hold else "free",
        }
    elif spec.target.kind != "untargeted":
        said |= {"target": spec.target.kind}
    options = []
    for name, value in said.items():
        options += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return options
