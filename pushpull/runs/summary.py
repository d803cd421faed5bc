"""An attack run in a few lines of text, for a terminal."""

import numpy as np

from pushpull.clip import FPS
from pushpull.faces import Footage
from pushpull.runs.report import storage
from pushpull.runs.run import Run


def faces_table(footage: Footage, margins: list[np.ndarray], chosen: int) -> str:
    """The faces of a video, one a line.

    Args:
        footage: the faces.
        margins: (T,) log-odds of speaking of each.
        chosen: number of the one that is attacked, from 1.
    """
    lines = []
    for number, (track, margin) in enumerate(zip(footage.tracks, margins, strict=True), start=1):
        height = float(np.median(track.boxes[:, 3] - track.boxes[:, 1]))
        speaking = int((margin > 0).sum())
        lines.append(
            f"{'*' if number == chosen else ' '} --face {number}: {track.start / FPS:6.2f} to "
            f"{track.stop / FPS:6.2f} s, {height:4.0f} pixels high, "
            f"the model says speaking in {speaking} of {len(margin)} frames"
        )
    return "\n".join(lines)


def run_text(run: Run) -> str:
    """What the attack was allowed, what it reached, and what of it survives in a file."""
    lines = [_budget(run), _decisions(run), f"It decides at {run.point}.", "", *run.metrics.table()]
    lines += ["", f"What is right: {run.reference}.", storage(run)["statement"]]
    if run.targets is not None and _at_target(run, "clean") == 1:
        lines.append("The model said what the attacker wants before the attack: there was nothing to win.")
    return "\n".join(lines)


def _budget(run: Run) -> str:
    audio, video = run.eps["audio"], run.eps["video"]
    return (
        f"Budget eps_av {run.spec.eps_av:g}: sound +-{audio:.3g} of full scale, picture +-{video:.3g} of 255 grey "
        f"levels. {run.elapsed:.1f} s, {len(run.result.trace)} evaluations."
    )


def _decisions(run: Run) -> str:
    shares = {name: float((margin > 0).mean()) for name, margin in run.margins.items()}
    return (
        f"The model says speaking in {shares['clean']:.0%} of frames before, {shares['adversarial']:.0%} after, "
        f"{shares['stored']:.0%} after once stored in a file."
    )


def _at_target(run: Run, name: str) -> float:
    wanted = run.targets[0].numpy() == 1
    counted = np.ones(len(wanted), bool) if run.aimed is None else run.aimed[0].numpy()
    return float(((run.margins[name] > 0) == wanted)[counted].mean())
