"""The results in words, numbers and files, as HTML."""

from collections.abc import Sequence
from html import escape

import numpy as np

from pushpull.media import CODECS
from pushpull.metrics import COLUMNS, FLOORS, METRICS, Metrics
from pushpull.runs.survived import Survived

REPEATS = "The report repeats this run, bit for bit on the same machine:"
MODALITY_WORDS = {"audio": "sound", "video": "picture"}


def numbers(metrics: Metrics, reference: str, remarks: Sequence[str] = ()) -> str:
    """The metrics, a row each, one column per version of the clip.

    Args:
        metrics: of one run.
        reference: what counted as right.
        remarks: sentences on what was left out, and why.
    """
    columns = [name for name in COLUMNS if name in metrics.columns]
    head = "".join(f'<th scope="col" class="n">{COLUMNS[name]}</th>' for name in columns)
    body = []
    for metric in METRICS:
        values = [metrics[column][metric.name] for column in columns]
        if metric.name == "frames" or not metrics.defined(metric.name):
            continue
        if not metrics.defined(FLOORS.get(metric.name, metric.name)):
            continue  # of a row that is not there
        cells = "".join(f'<td class="n">{"–" if value is None else metric.write(value)}</td>' for value in values)
        body.append(f'<tr><th scope="row">{metric.title}<small>{metric.meaning}</small></th>{cells}</tr>')
    words = " ".join((reference, f"{metrics['clean']['frames']} frames.", *remarks))
    about = f"<p>{escape(words)}</p>"
    table = f'<table class="pp-table"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return f"<h2>Numbers</h2>{about}{scroll(table, 'Numbers')}"


def scroll(table: str, label: str) -> str:
    """A table that is wider than a small screen scrolls by itself, by keyboard as well."""
    return f'<div class="pp-scroll" tabindex="0" role="region" aria-label="{escape(label)}">{table}</div>'


def sentence(
    margins: dict[str, np.ndarray],
    eps: dict[str, float],
    *,
    cancelled: bool,
    frozen: list[str],
    stored: bool = True,
    more: Sequence[str] = (),
) -> str:
    """The result in one breath.

    Args:
        margins: (T,) log-odds of "clean", "adversarial" and "stored".
        eps: of "audio" in full scale and of "video" in grey levels.
        cancelled: whether the attack was stopped before its end.
        frozen: modalities that the budget allows to change but cannot move on the storage grid.
        stored: whether to say what is left in a lossless file.
        more: sentences that come after that, HTML of ours.
    """
    clean, adversarial, kept = (margins[name] for name in ("clean", "adversarial", "stored"))
    before, after, left = (f"{100 * float((scores > 0).mean()):.0f} %" for scores in (clean, adversarial, kept))
    bounds = []
    if eps["video"]:
        bounds.append(f"no pixel moved by more than {eps['video']:.3g} of 255 grey levels")
    if eps["audio"]:
        verb = "" if bounds else " moved"
        bounds.append(f"no sample{verb} by more than {eps['audio']:.2g} of full scale")
    flipped, survived = (int(((clean > 0) != (scores > 0)).sum()) for scores in (adversarial, kept))
    run = f"{flipped} of {len(clean)} frames changed sides" if flipped else "not one frame changed sides"
    limits = " and ".join(bounds) or "nothing was allowed to change"
    joint = ", although" if flipped else ";"
    words = [
        f'The model said <em>speaking</em> in <em class="pull">{before}</em> of frames. Attacked, it says so in '
        f'<em class="push">{after}</em>: {run}{joint} {limits}.',
    ]
    if stored:
        words.append(f"Stored as an ordinary file it is <em>{left}</em>, and {survived or 'none'} changed sides.")
    words += more
    for name in frozen:
        words.append(f"The {MODALITY_WORDS[name]} could not move at all: its budget is below one storage step.")
    if cancelled:
        words.append("You stopped it early: this is the best it had found.")
    return f'<p class="pp-sentence" role="status">{" ".join(words)}</p>'


def survival_words(survived: Survived) -> list[str]:
    """What became of an attack in the file that was written, in sentences, as HTML."""
    there, floor, frames = survived.row("file"), survived.row("clean file"), survived.clip.frames
    title = escape(CODECS[survived.spec.codec].title)
    if not there["found"]:
        return [f"Written as {title} and read again, the file shows no face in that place any more."]
    share = f"{100 * there['speaking'] / there['found']:.0f} %"
    of = "frames" if there["found"] == frames else f"the {there['found']} of {frames} frames in which the face is found"
    words = [
        f'Written as {title} and read again, face finding included, it says so in <em class="push">{share}</em> of '
        f"{of}: {there['flipped'] or 'none'} changed sides.",
        f"Of the same file without the attack, {floor['flipped'] or 'none'} did: that is the floor.",
    ]
    if there["flipped"] <= floor["flipped"]:
        words.append("So nothing of the attack is left in it: take a larger budget or more steps.")
    return words


SURVIVAL_ROWS = {
    "clean": ("Clean clip", "as it was read"),
    "adversarial": ("Attacked clip", "before any file"),
    "clean file": ("File without the attack", "the floor: what compression and face finding change by themselves"),
    "file": ("File with the attack", "what anybody gets who reads it"),
}


def survival(survived: Survived) -> str:
    """What is decided of the clip and of the files, as a table."""
    head = "".join(
        f'<th scope="col" class="n">{name}</th>' for name in ("face found", "speaking", "changed sides", "right")
    )
    body = []
    for name, (title, meaning) in SURVIVAL_ROWS.items():
        row = survived.row(name)
        cells = "".join(f'<td class="n">{row[key]}</td>' for key in ("found", "speaking", "flipped", "right"))
        body.append(f'<tr><th scope="row">{title}<small>{meaning}</small></th>{cells}</tr>')
    sizes = " and ".join(f"{survived.sizes[name] / 1e3:.0f} kB" for name in ("clean file", "file"))
    about = (
        f"<p>Frames, of {survived.clip.frames}. Both files are {escape(CODECS[survived.spec.codec].title)}, without "
        f"and with the attack {sizes}.</p>"
    )
    table = f'<table class="pp-table"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return f"<h2>In the file</h2>{about}{scroll(table, 'In the file')}"


def files(entries: list[tuple[str, str, str]], command: str, words: str = REPEATS, *, prefix: str = "1") -> str:
    """Downloads, and the command that repeats the run.

    Args:
        entries: (address, title, what it is); an address that says how it is saved ("?download=1") is left as it is.
        command: one line of shell.
        words: what that does.
        prefix: what the names under which the files are saved begin with; "1" for nothing.
    """

    def saved(address: str) -> str:
        return escape(address if "?" in address else f"{address}?download={prefix}")

    items = "".join(
        f'<li><a href="{saved(address)}" download>{escape(title)}<small>{escape(note)}</small></a></li>'
        for address, title, note in entries
    )
    again = f"<p>{escape(words)}</p><pre>{escape(command)}</pre>"
    return f'<h2>Take away</h2><ul class="pp-files">{items}</ul>{again}'
