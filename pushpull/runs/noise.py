"""A universal noise out of a file as the attack of a run: what the options mean, and where a rerun finds the file."""

from dataclasses import replace
from pathlib import Path

from pushpull.attacks import Universal, load_noise
from pushpull.files import shipped_folder
from pushpull.runs.spec import RunSpec

SHIPPED = shipped_folder("assets") / "noises"
AIMS = {"flip": "untargeted", "speak": "speak", "silence": "hide"}  # targets, by the goal that a noise was fitted for


def with_noise(given: dict) -> dict:
    """Options of a run that adds a noise: its budget, its modality and its goal, unless others were given.

    Args:
        given: options of ``pushpull.perturb``, with ``noise``, the file.

    Raises:
        ValueError: the file is no noise, or an attack was named beside it.
    """
    if given.get("attack", "universal") != "universal":
        raise ValueError(f"--noise is an attack of its own; leave out --attack {given['attack']}")
    if "noise" not in given:
        raise ValueError("--attack universal needs --noise FILE, which  python -m pushpull.universal fit  writes")
    noise = load_noise(given["noise"])
    own = {"attack": "universal", "modality": noise.modality, "eps_av": noise.eps_av}
    goal = (noise.facts.get("options") or {}).get("goal")
    if not {"target", "span"} & set(given):
        own["target"] = AIMS.get(goal, "untargeted")
    return own | given | {"noise": str(given["noise"])}


def find_noise(spec: RunSpec, report: Path, given: Path | None = None) -> RunSpec:
    """The spec of a report, with its noise where it is now: as given, or as told, seen from here, from the report, or
    among those that ship.

    Raises:
        ValueError: it is nowhere.
    """
    if not isinstance(spec.attack, Universal):
        if given is not None:
            raise ValueError(f"{report} is about no universal noise; leave out --noise")
        return spec
    told = Path(spec.attack.noise)
    places = [told, report.parent / told, report.parent / told.name, SHIPPED / told.name]
    for path in places if given is None else [given]:
        if path.is_file():
            return replace(spec, attack=replace(spec.attack, noise=str(path)))
    raise ValueError(f"the report is about the noise {given or told}, which is not here; give its place: --noise FILE")
