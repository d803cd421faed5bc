"""The results in words, numbers and files, as HTML."""

from html import escape

import numpy as np

from pushpull.metrics import Report

PERCENT = "{:.1%}".format
KINDS = {"audio": "sound", "video": "picture"}


def _decibel(value: float) -> str:
    return f"{value:.1f} dB"


# (metric, name, how to write it, what it means)
ROWS = [
    ("flipped", "Frames flipped", "{:d}".format, "decided otherwise than in the clean clip"),
    (
        "success_rate",
        "Attack success rate",
        PERCENT,
        "frames right before and wrong now; with an aim, frames at the aim",
    ),
    ("frame_accuracy", "Frame accuracy", PERCENT, "frames decided as the reference says"),
    ("robust_accuracy", "Robust frame accuracy", PERCENT, "frames that no step of the attack ever flipped"),
    ("average_precision", "AVA average precision", PERCENT, "ranking of frames by score, as the AVA benchmark does"),
    ("prevalence", "its floor, the prevalence", PERCENT, "share of speaking frames: what knowing nothing gets"),
    ("ecr_a", "ECR of sound, z_a", PERCENT, "embedding change ratio: how far it moved, relative to its length"),
    ("ecr_v", "ECR of picture, z_v", PERCENT, "the same for the picture"),
    ("max_video", "Largest change of a pixel", "{:.3g}".format, "grey levels of 255"),
    ("mean_video", "Mean change of a pixel", "{:.3g}".format, "grey levels, absolute"),
    ("max_audio", "Largest change of a sample", "{:.3g}".format, "steps of 1/32 768 of full scale"),
    ("mean_audio", "Mean change of a sample", "{:.3g}".format, "steps, absolute"),
    ("snr_audio_db", "Sound SNR", _decibel, "power of the sound over power of the noise"),
    ("snr_video_db", "Picture SNR", _decibel, "the same for the picture"),
    ("psnr_db", "Picture PSNR", _decibel, "above about 45 dB nobody sees a difference"),
    ("ssim", "Picture SSIM", "{:.5f}".format, "structural similarity; 1 is identical"),
]
COLUMNS = {"clean": "clean", "float": "attacked, float", "stored": "attacked, stored"}


def numbers(report: Report, reference: str) -> str:
    """The metrics, a row each, one column per version of the clip; ``reference`` says what counted as right."""
    columns = [name for name in COLUMNS if name in report.columns]
    head = "".join(f'<th scope="col" class="n">{COLUMNS[name]}</th>' for name in columns)
    body = []
    for metric, name, write, meaning in ROWS:
        values = [getattr(report.columns[column], metric) for column in columns]
        if all(value is None for value in values):
            continue
        cells = "".join(f'<td class="n">{"–" if value is None else write(value)}</td>' for value in values)
        body.append(f'<tr><th scope="row">{name}<small>{meaning}</small></th>{cells}</tr>')
    about = f"<p>{escape(reference)} {report.columns['clean'].frames} frames.</p>"
    table = f'<table class="pp-table"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return f'<h3>Numbers</h3>{about}<div class="pp-scroll">{table}</div>'


def sentence(margins: dict[str, np.ndarray], eps: dict[str, float], *, cancelled: bool, frozen: list[str]) -> str:
    """The result in one breath.

    Args:
        margins: (T,) log-odds of "clean", "adversarial" and "stored".
        eps: of "audio" in full scale and of "video" in grey levels.
        cancelled: whether the attack was stopped before its end.
        frozen: modalities that the budget allows to change but cannot move on the storage grid.
    """
    clean, adversarial, stored = (margins[name] for name in ("clean", "adversarial", "stored"))
    before, after, kept = (f"{100 * float((scores > 0).mean()):.0f} %" for scores in (clean, adversarial, stored))
    bounds = []
    if eps["video"]:
        bounds.append(f"no pixel moved by more than {eps['video']:.3g} of 255 grey levels")
    if eps["audio"]:
        bounds.append(f"no sample by more than {eps['audio']:.2g} of full scale")
    flipped, survived = (int(((clean > 0) != (scores > 0)).sum()) for scores in (adversarial, stored))
    outcome = f"{flipped} of {len(clean)} frames changed sides" if flipped else "not one frame changed sides"
    limits = " and ".join(bounds) or "nothing was allowed to change"
    words = [
        f'The model said <em>speaking</em> in <em class="pull">{before}</em> of frames. Attacked, it says so in '
        f'<em class="push">{after}</em>: {outcome}, although {limits}.',
        f"Stored as an ordinary file it is <em>{kept}</em>, and {survived or 'none'} changed sides.",
    ]
    for name in frozen:
        words.append(f"The {KINDS[name]} could not move at all: its budget is below one storage step.")
    if cancelled:
        words.append("You stopped it early: this is the best it had found.")
    return f'<p class="pp-sentence" role="status">{" ".join(words)}</p>'


def files(entries: list[tuple[str, str, str]], command: str) -> str:
    """Downloads, and the command that repeats the run.

    Args:
        entries: (address, title, what it is).
        command: one line of shell.
    """
    items = "".join(
        f'<li><a href="{escape(address)}?download=1" download>{escape(title)}<small>{escape(note)}</small></a></li>'
        for address, title, note in entries
    )
    again = f"<p>The report repeats this run, bit for bit on the same machine:</p><pre>{escape(command)}</pre>"
    return f'<h3>Take away</h3><ul class="pp-files">{items}</ul>{again}'
