"""What a training run leaves on disk: its state, its log and its curves."""

import json
import pickle
from pathlib import Path

import torch
from matplotlib.figure import Figure

from pushpull.files import PARTIAL, replacing


class TrainLog:
    """A JSON object per line; lines of what a resumed run will do again (later steps, the test) are dropped."""

    def __init__(self, path: Path, step: int):
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:  # the line that a kill cut in two
                    continue
                if entry["step"] <= step and "test" not in entry:
                    kept.append(line + "\n")
        for left in path.parent.glob(f"*{PARTIAL}"):
            left.unlink(missing_ok=True)
        with replacing(path, "w") as handle:
            handle.write("".join(kept))
        self.path = path

    def write(self, entry: dict) -> None:
        with open(self.path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(entry) + "\n")


def save_state(path: Path, state: dict) -> None:
    """Write tensors and plain values so that ``path`` holds the old state or the new one, never half of one."""
    with replacing(path) as handle:
        torch.save(state, handle)


def load_state(path: Path, identity: dict, device: torch.device) -> dict:
    """What :func:`save_state` wrote.

    Raises:
        ValueError: it cannot be read, or is of a run with another identity; the message names what differs.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} cannot be read ({why}): remove it to begin anew, or give another --out") from error
    before, now = _flat(state["identity"]), _flat(identity)
    changed = [f"{k} ({before.get(k)} -> {now.get(k)})" for k in sorted(before | now) if before.get(k) != now.get(k)]
    if changed:
        raise ValueError(
            f"{path.parent} holds a run with other options: {', '.join(changed)}. "
            "Give those again to go on with it, or another --out to begin anew"
        )
    return state


def draw_curves(log: Path, picture: Path, title: str) -> None:
    """Loss parts over frames, and held-out AVA-AP per kind, from a log to a PNG."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    steps = [entry for entry in entries if "loss" in entry]
    if not steps:  # the log was removed; the run itself does not need it
        return
    figure = Figure(figsize=(11, 4), layout="constrained")
    losses, precision = figure.subplots(1, 2)
    frames_per_step = steps[0]["frames"] / steps[0]["step"]
    for part, label in (("av", "CE av"), ("a", "CE a"), ("v", "CE v")):
        losses.plot([e["frames"] for e in steps], _smooth([e[part] for e in steps]), label=label)
    losses.set(xlabel="frames", ylabel="cross-entropy (nats)", title=f"{title}: training loss", ylim=(0, None))
    losses.legend()
    checks = [e for e in entries if e.get("validation")]
    for kind in checks[0]["validation"] if checks else ():
        x = [e["step"] * frames_per_step for e in checks]
        precision.plot(x, [e["validation"][kind]["ap"] for e in checks], marker="o", markersize=3, label=kind)
    precision.set(xlabel="frames", ylabel="AVA-AP (%)", title="held-out clips, each kind against in_sync")
    if checks:
        precision.legend(fontsize="small")
    figure.savefig(picture, dpi=110)


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
