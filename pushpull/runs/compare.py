"""One clip and one attack on several detectors: white-box on each, or one's perturbation on all."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pushpull.attacks import PGD, Attack, Step
from pushpull.clip import FPS, Clip
from pushpull.detectors import Point, describe
from pushpull.faces import recut
from pushpull.metrics import FLOORS, METRICS, Metric
from pushpull.runs.run import Run, execute, spec_for
from pushpull.runs.spec import RunSpec, Target
from pushpull.runs.transfer import transfer

OnStep = Callable[[str, Step], bool | None]
# The metrics of a comparison, and of which versions of the clip each is told.
TOLD: dict[str, tuple[str, ...]] = {
    "flipped": ("adversarial", "stored"),
    "success_rate": ("adversarial", "stored"),
    "frame_accuracy": ("clean", "adversarial", "stored"),
    "robust_accuracy": ("adversarial",),
    "average_precision": ("clean", "adversarial", "stored"),
    "prevalence": ("clean",),
    "ecr_a": ("adversarial",),
    "ecr_v": ("adversarial",),
    "snr_audio_db": ("adversarial",),
    "psnr_db": ("adversarial",),
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What one attack does to several detectors.

    Args:
        runs: by the name of the detector, in the order in which they were given.
        transfer_from: the detector that the one perturbation was made on; None if each was attacked itself.
        remarks: sentences on what has to be known to read the numbers.
    """

    runs: dict[str, Run]
    transfer_from: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def spec(self) -> RunSpec:
        """What was asked for; ``model`` and a default objective are those of the first detector."""
        return next(iter(self.runs.values())).spec

    def rows(self) -> list[tuple[str, Metric, dict[str, float | None]]]:
        """(title, metric, {detector: value}) of each number that is told, leaving out what is defined for none."""
        known = {metric.name: metric for metric in METRICS}
        rows = []
        for name, versions in TOLD.items():
            # A floor is the clip's, told without the name of a version.
            if name in FLOORS and rows[-1][1].name != FLOORS[name]:
                continue  # of a row that is not there
            for version in versions:
                values = {who: run.metrics[version][name] for who, run in self.runs.items()}
                if any(value is not None for value in values.values()):
                    title = known[name].title if name in FLOORS else f"{known[name].title}, {version}"
                    rows.append((title, known[name], values))
        return rows

    def table(self) -> list[str]:
        """Lines of text: a head, then a number of each detector in each line."""
        width = max(14, *(len(name) + 2 for name in self.runs))
        lines = [f"{'':36}" + "".join(f"{name:>{width}}" for name in self.runs)]
        for title, metric, values in self.rows():
            written = ("-" if value is None else metric.write(value) for value in values.values())
            lines.append(f"{title:36}" + "".join(f"{text:>{width}}" for text in written))
        return lines

    def __str__(self) -> str:
        return "\n".join(self.table())

    def metrics_table(self) -> pd.DataFrame:
        """One row per detector and version of the clip, one column per metric; numbers that do not exist are empty."""
        return pd.DataFrame(
            [
                {"detector": name, "version": version, **run.metrics[version]}
                for name, run in self.runs.items()
                for version in run.metrics.columns
            ]
        )

    def scores_table(self) -> pd.DataFrame:
        """One row per frame: ``frame``, ``time_s``, and of each detector NAME ``NAME label``, ``NAME clean``,
        ``NAME adversarial`` and ``NAME stored``: what was right, and the log-odds of speaking."""
        first = next(iter(self.runs.values())).clip
        offset = first.origin.offset if first.origin else 0.0
        table: dict[str, np.ndarray] = {
            "frame": np.arange(first.frames),
            "time_s": np.round(offset + np.arange(first.frames) / FPS, 6),
        }
        for name, run in self.runs.items():
            table[f"{name} label"] = run.labels[0].numpy()
            table |= {f"{name} {version}": margin.astype(np.float64) for version, margin in run.margins.items()}
        return pd.DataFrame(table)

    def save(self, folder: str | os.PathLike, *, overwrite: bool = False) -> dict[str, Path]:
        """Write what ``pushpull perturb --model A,B`` writes: the comparison, and a folder for each detector.

        Raises:
            ValueError: ``folder`` holds such files already, or cannot be written to.
        """
        from pushpull.runs.compare_save import check_comparison_folder, write_comparison  # they import this file

        check_comparison_folder(folder, self.runs, overwrite=overwrite)
        return write_comparison(folder, self)


def compare(
    detectors: Sequence | Mapping[str, object],
    clip: Clip,
    attack: Attack = PGD(),  # noqa: B008 (frozen)
    *,
    eps_av: float = 5.0,
    modality: str = "both",
    objective: str | None = None,
    target: Target | str = "untargeted",
    labels: np.ndarray | None = None,
    seed: int = 0,
    transfer_from: str | None = None,
    on_step: OnStep | None = None,
) -> Comparison:
    """Attack one clip on several detectors.

    Args:
        detectors: what :func:`pushpull.load_detector` or :func:`pushpull.wrap` return, which go by the names on their
            cards; or {name: detector}.
        clip: a face and its sound. A detector whose card asks for another crop gets the same face cut that way, out of
            the file that the clip came from; where it came from no file, all get the same pictures.
        transfer_from: the name of a detector: its perturbation alone is made, and scored on all of them.
        on_step: called with a detector's name and a ``Step`` after every evaluation; returning False stops the attack
            on that detector and keeps the best so far.
        attack, eps_av, modality, objective, target, labels, seed: as :func:`pushpull.attack`.

    Raises:
        ValueError: no detectors, two of one name, or a source that is none of them; or as :func:`pushpull.attack`.
    """
    named = dict(detectors) if isinstance(detectors, Mapping) else name_all(detectors)
    if not named:
        raise ValueError("there is nothing to compare: no detectors were given")
    settings = {"attack": attack, "modality": modality, "eps_av": eps_av, "objective": objective, "seed": seed}
    spec = spec_for(next(iter(named)), clip, target=target, labels=labels, **settings)
    cuts: dict[str, Clip] = {clip.crop: clip}

    def cut(detector) -> Clip:
        crop = describe(detector)["crop"]
        if clip.origin is None:
            return clip
        if crop not in cuts:
            cuts[crop] = recut(clip, crop)
        return cuts[crop]

    told = tuple(compare_each(list(named), named.__getitem__, cut, spec, transfer_from=transfer_from, on_step=on_step))
    return gather(told, list(named), transfer_from)


def compare_each(
    names: Sequence[str],
    get: Callable[[str], object],
    cut: Callable[[object], Clip],
    spec: RunSpec,
    *,
    transfer_from: str | None = None,
    on_step: OnStep | None = None,
) -> Iterator[tuple[str, Run]]:
    """The runs of :func:`compare` one after the other, so that each can be shown or written when it is there.

    Args:
        names: of the detectors.
        get: the detector of a name; asked for one at a time, so it need not hold them all.
        cut: the face as a detector wants it cut.
        spec: what to do; its ``model`` is replaced by the name.
        transfer_from, on_step: as :func:`compare`.

    Yields:
        (name, run); the source of a transfer comes first.

    Raises:
        ValueError: as :func:`compare`.
    """
    if transfer_from is None:
        for name in names:
            detector = get(name)
            yield name, execute(detector, cut(detector), replace(spec, model=name), _told(name, on_step))
        return
    if transfer_from not in names:
        raise ValueError(f"a perturbation can be made on one of {', '.join(names)}, not on {transfer_from}")
    detector = get(transfer_from)
    source = execute(detector, cut(detector), replace(spec, model=transfer_from), _told(transfer_from, on_step))
    yield transfer_from, source
    for name in names:
        if name != transfer_from:
            detector = get(name)
            yield name, transfer(source, detector, cut(detector))


def gather(told: Sequence[tuple[str, Run]], names: Sequence[str], transfer_from: str | None) -> Comparison:
    """The comparison of runs that are there, in the order of ``names``, with the remarks that belong to it."""
    runs = dict(told)
    runs = {name: runs[name] for name in names if name in runs}
    return Comparison(runs, transfer_from, tuple(_remarks(runs, transfer_from)))


def name_all(detectors: Sequence) -> dict[str, object]:
    """Detectors by the names on their cards.

    Raises:
        ValueError: two have the same; give them names in a dict.
    """
    named: dict[str, object] = {}
    for detector in detectors:
        name = str(describe(detector)["name"])
        if name in named:
            raise ValueError(f"two detectors are called {name!r}: give each once, or a dict of names and detectors")
        named[name] = detector
    return named


def _told(name: str, on_step: OnStep | None) -> Callable[[Step], bool | None] | None:
    return None if on_step is None else lambda step: on_step(name, step)


def _remarks(runs: dict[str, Run], transfer_from: str | None) -> list[str]:
    remarks = []
    crops = {run.clip.crop for run in runs.values()}
    wanted = {name: run.card.get("crop", run.clip.crop) for name, run in runs.items()}
    if odd := [name for name, crop in wanted.items() if crop != runs[name].clip.crop]:
        remarks.append(f"The clip came from no file, so {', '.join(odd)} saw the face cut otherwise than in training.")
    if transfer_from is not None:
        remarks.append(f"The perturbation was made on {transfer_from} and scored on all; nothing else was attacked.")
        if len(crops) > 1:
            remarks.append(
                "The detectors cut faces differently: the change of the picture was moved to where each crop has it."
            )
    if any(run.own_labels for run in runs.values()):
        remarks.append(
            "Nobody labelled the clip: right is what each detector said before the attack, so clean accuracy is 100 % "
            "and their average precisions are not of the same labels."
        )
    objectives = {run.spec.objective.replace("_", "-") for run in runs.values()}
    if len(objectives) > 1:
        remarks.append(f"The objective is {' or '.join(sorted(objectives))}, as far as each detector has the heads.")
    points = {name: run.point for name, run in runs.items()}
    if any(point != Point() for point in points.values()):
        remarks.append(f"Each decides where its card says: {'; '.join(f'{n} at {p}' for n, p in points.items())}.")
    return remarks
