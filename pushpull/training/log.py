"""What a training run leaves on disk: its state, its log and its curves."""

import json
import pickle
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from pushpull.data.parallel import World
from pushpull.detectors import Outputs
from pushpull.files import PARTIAL, replacing
from pushpull.training.avil import NAMES
from pushpull.training.examples import Examples
from pushpull.training.options import BEGUN_WITH, TrainOptions, modern


class Totals:
    """Numbers by name, (), added up over the batches of a step; read from the device once, at its end."""

    def __init__(self):
        self._sums, self._count = {}, 0

    def add(self, numbers: dict[str, Tensor]) -> None:
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in numbers.items()}
        self._count += 1

    def mean(self, world: World, **once: Tensor) -> dict[str, float]:
        """Over the batches of all processes, each of which has as many; and ``once``, what a step has one of."""
        means = {name: total.float() / self._count for name, total in self._sums.items()} | once
        return dict(zip(means, world.mean(torch.stack(list(means.values()))).tolist(), strict=True))


class StepFigures(Totals):
    """All that is told of one step: its losses, who was right about which type of example, how long it waited."""

    def __init__(self):
        super().__init__()
        self.waited = 0.0  # seconds, for its batches
        self._right, self._types = [], []

    def add(self, numbers: dict[str, Tensor], outputs: Outputs, examples: Examples) -> None:
        """What one batch gave."""
        super().add(numbers)
        self._right.append(((outputs.margin > 0) == (examples.labels == 1)).detach())
        self._types += examples.types

    def accuracies(self) -> dict:
        """Of this process's batches, see :func:`accuracies`."""
        return accuracies(self._right, self._types)


def accuracies(right: Sequence[Tensor], types: Sequence[str]) -> dict:
    """Share of frames on the right side of log-odds 0, of all and of each type; ``right`` are (B, T) bool batches."""
    shares = torch.cat([x.float().mean(dim=1).cpu() for x in right])
    weights = torch.cat([torch.full((len(x),), float(x.shape[1])) for x in right])
    chosen = {name: torch.tensor([other == name for other in types]) for name in sorted(set(types))}

    def mean(which):
        return ((shares * weights)[which].sum() / weights[which].sum()).item()

    return {"accuracy": mean(slice(None)), "by_type": {name: mean(which) for name, which in chosen.items()}}


class TrainLog:
    """A JSON object per line; lines of what a resumed run will do again are dropped.

    These are later steps, the test, and a validation that came after the last save.

    Args:
        step: the last step that is done.
        validated: the steps whose validation is done.
        tensorboard: also write the numbers of steps and validations to ``tensorboard`` beside ``path``.

    Raises:
        ValueError: TensorBoard is wanted and not installed.
    """

    def __init__(self, path: Path, step: int, *, validated: Collection[int] = (), tensorboard: bool = False):
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:  # the line that a kill cut in two
                    continue
                again = "test" in entry or ("validation" in entry and entry["step"] not in validated)
                if entry["step"] <= step and not again:
                    kept.append(line + "\n")
        for left in path.parent.glob(f"*{PARTIAL}"):
            left.unlink(missing_ok=True)
        with replacing(path, "w") as handle:
            handle.write("".join(kept))
        self.path = path
        self.board = _board(path.parent / "tensorboard", step) if tensorboard else None

    def write(self, entry: dict) -> None:
        if self.board is not None:
            for name, value in _flat({k: v for k, v in entry.items() if v is not None}).items():
                if isinstance(value, int | float) and name not in ("step", "frames"):
                    self.board.add_scalar(name.replace(".", "/"), value, entry["step"])
        with open(self.path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(entry) + "\n")


def load_state(path: Path, identity: dict, device: torch.device) -> dict:
    """What :func:`pushpull.training.saving.save_tensors` wrote.

    A run that is older than an option goes on while the option is at its default, which leaves training as it was. One
    that did not keep what checkpoints it began with goes on with those that it finds.

    Raises:
        ValueError: it cannot be read, or is of a run with another identity; the message names what differs.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} cannot be read ({why}): remove it to begin anew, or give another --out") from error
    now = _flat(identity)
    default = {k: v for k, v in _flat(asdict(TrainOptions())).items() if k in now}
    found = {} if BEGUN_WITH in state["identity"] else {k: v for k, v in now.items() if k.startswith(f"{BEGUN_WITH}.")}
    before = default | found | _flat(modern(state["identity"]))
    changed = [f"{k} ({before.get(k)} -> {now.get(k)})" for k in sorted(before | now) if before.get(k) != now.get(k)]
    if changed:
        raise ValueError(
            f"{path.parent} holds a run with other options: {', '.join(changed)}. "
            "Give those again to go on with it, or another --out to begin anew"
        )
    return state


def draw_curves(log: Path, picture: Path, title: str) -> None:
    """Loss parts over frames, and held-out AVA-AP by type, from a log to a PNG; interaction losses where logged."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    steps = [entry for entry in entries if "loss" in entry]
    if not steps:  # the log was removed; the run itself does not need it
        return
    interacts = NAMES[0] in steps[-1]
    figure = Figure(figsize=(11, 8 if interacts else 4), layout="constrained")
    panels = figure.subplots(2 if interacts else 1, 2, squeeze=False)
    losses, precision = panels[0]
    heads = {"av": "CE av", "a": "CE a", "v": "CE v"}
    _plot(losses, steps, {name: label for name, label in heads.items() if name in steps[-1]})
    if told := [entry for entry in steps if "distillation" in entry]:
        _plot(losses, told, {"distillation": "distillation"})
    losses.set(ylabel="cross-entropy (nats)", title=f"{title}: training loss", ylim=(0, None))
    if interacts:
        _plot(panels[1][0], steps, {name: name for name in NAMES})
        panels[1][0].set(ylabel="loss, not weighted", title="audio-visual interaction losses")
        _plot(panels[1][1], steps, {"norm_a": "|e_a|", "norm_v": "|e_v|"})
        panels[1][1].set(ylabel="mean l2 norm", title="embeddings", ylim=(0, None))
    checks = [entry for entry in entries if entry.get("validation")]
    frames_per_step = steps[0]["frames"] / steps[0]["step"]
    for name in checks[0]["validation"] if checks else ():
        x = [e["step"] * frames_per_step for e in checks]
        precision.plot(x, [e["validation"][name]["ap"] for e in checks], marker="o", markersize=3, label=name)
    precision.set(xlabel="frames", ylabel="AVA-AP (%)", title="held-out clips, each type against in_sync")
    if checks:
        precision.legend(fontsize="small")
    figure.savefig(picture, dpi=110)


def _plot(panel, steps, parts):
    for part, label in parts.items():
        panel.plot([e["frames"] for e in steps], _smooth([e[part] for e in steps]), label=label)
    panel.set(xlabel="frames")
    panel.legend(fontsize="small")


def _board(folder, step):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("--tensorboard needs the package tensorboard: pip install tensorboard") from error
    return SummaryWriter(folder, purge_step=step + 1)


def _smooth(values, share=0.05):
    smoothed, current = [], values[0]
    for value in values:
        current += share * (value - current)
        smoothed.append(current)
    return smoothed


def _flat(values, prefix=""):
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
