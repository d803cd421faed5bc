"""An attack run in a few lines of text, for a terminal."""

import numpy as np

from pushpull.clip import FPS
from pushpull.faces import Footage
from pushpull.runs.report import storage
from pushpull.runs.run import Run

COLUMNS = ("clean", "float", "stored")
ROWS = (
    ("flipped", "frames flipped", "{:d}"),
    ("success_rate", "success rate", "{:.1%}"),
    ("frame_accuracy", "frame accuracy", "{:.1%}"),
    ("robust_accuracy", "robust frame accuracy", "{:.1%}"),
    ("average_precision", "AVA average precision", "{:.1%}"),
    ("prevalence", "  its floor, the prevalence", "{:.1%}"),
    ("ecr_a", "ECR of sound, z_a", "{:.1%}"),
    ("ecr_v", "ECR of picture, z_v", "{:.1%}"),
    ("snr_audio_db", "SNR of sound", "{:.1f} dB"),
    ("snr_video_db", "SNR of picture", "{:.1f} dB"),
    ("psnr_db", "PSNR of picture", "{:.1f} dB"),
    ("ssim", "SSIM of picture", "{:.4f}"),
)


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


def outcome_text(outcome: Run) -> str:
    """What the attack was allowed, what it reached, and what of it survives in a file."""
    lines = [_budget(outcome), _decisions(outcome), "", f"{'':30}" + "".join(f"{name:>14}" for name in COLUMNS)]
    for metric, title, form in ROWS:
        values = [getattr(outcome.metrics.columns[name], metric) for name in COLUMNS]
        if all(value is None for value in values):
            continue
        lines.append(f"{title:30}" + "".join(f"{'-' if v is None else form.format(v):>14}" for v in values))
    lines += ["", f"What is right: {outcome.reference}.", storage(outcome)["statement"]]
    if outcome.targets is not None and _at_target(outcome, "clean") == 1:
        lines.append("The model said what the attacker wants before the attack: there was nothing to win.")
    return "\n".join(lines)


def _budget(outcome: Run) -> str:
    audio, video = outcome.eps["audio"], outcome.eps["video"]
    return (
        f"Budget eps_av {outcome.order.eps_av:g}: sound +-{audio:.3g} of full scale, picture +-{video:.3g} of 255 grey "
        f"levels. {outcome.elapsed:.1f} s, {len(outcome.result.trace)} evaluations."
    )


def _decisions(outcome: Run) -> str:
    shares = {name: float((margin > 0).mean()) for name, margin in outcome.margins.items()}
    return (
        f"The model says speaking in {shares['clean']:.0%} of frames before, {shares['adversarial']:.0%} after, "
        f"{shares['stored']:.0%} after once stored in a file."
    )


def _at_target(outcome: Run, name: str) -> float:
    wanted = outcome.targets[0].numpy() == 1
    counted = np.ones(len(wanted), bool) if outcome.aimed is None else outcome.aimed[0].numpy()
    return float(((outcome.margins[name] > 0) == wanted)[counted].mean())
