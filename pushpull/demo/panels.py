"""The page's own HTML: small functions from values to strings. Whatever a visitor wrote is escaped here."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from pushpull.attacks import Step, paper_budget

WAVE = (
    '<svg viewBox="0 0 46 30" fill="none" stroke-width="2.6" stroke-linecap="round" aria-hidden="true">'
    '<path d="M2 15h6l2-3 3 7 3-12 3 16 3-11 2 3" stroke="var(--pp-push)"/>'
    '<path d="M24 15q3.5-9 7 0t7 0 6 0" stroke="var(--pp-pull)"/></svg>'
)

EXPLANATION = """
<section class="pp-about"><h2>What am I looking at?</h2><ol>
  <li><b>The detector</b>TalkNet takes a 112 × 112 grey crop of one face and the sound, 25 times a second, and gives
  a speaking score. Above one half it says <em>speaking</em>; the box round the face turns gold.</li>
  <li><b>The attack</b>It follows the detector's own gradient to the worst noise within a budget: at
  ε<sub>av</sub> = 5 no pixel moves by more than half a grey level of 255, no sample by more than 0.05 % of full
  scale.</li>
  <li><b>Two columns</b><em>Adversarial</em> is what the attack found. <em>Stored</em> is what is left of it in 8-bit
  frames
  and 16-bit samples, as any real file holds. Half a grey level often does not survive that.</li>
</ol></section>"""


def header(links: dict[str, str]) -> str:
    """The page's head; ``links`` are other pages of the same app, title to address."""
    places = "".join(f'<a href="{escape(address)}">{escape(title)}</a>' for title, address in links.items())
    return f"""
<header class="pp-head">
  <h1 class="pp-mark" aria-label="pushpull"><span class="push">push</span>{WAVE}<span class="pull">pull</span></h1>
  <p>A network watches a face, listens, and decides frame by frame whether that person is speaking. Change what it
  sees and hears by less than you can notice, and watch it change its mind.</p>
  <nav>{places}</nav>
</header>"""


def heading(number: int, text: str) -> str:
    """A numbered step of the form."""
    return f"<h2><i>{number}</i>{escape(text)}</h2>"


def empty(text: str) -> str:
    """A place where something will be; ``text`` is HTML of ours, never a visitor's."""
    return f'<div class="pp-empty">{text}</div>'


NO_FACES = empty("The faces of your clip appear here, each with the detector's score.")
START_HERE = '<p class="pp-start"><b>Start here:</b> choose a clip, then press <em>Run the attack</em> below.</p>'
NOTHING_YET = empty("Choose a clip. The detector's verdict on it appears here, frame by frame; then run an attack.")


def reading(title: str, share: float | None = None, text: str = "") -> str:
    """That a clip is being read, in the place where its verdict will be.

    Args:
        title: of the clip.
        share: of the reading, 0..1; None where it is not known.
        text: what is being done.
    """
    amount = "" if share is None else f", {100 * share:.0f} %"
    # No status: the form's own line is read out, and once is enough.
    return empty(f"<div><b>Reading {escape(title)} …</b><br>{escape(text)}{amount}&nbsp;</div>")


def budgets(eps_av: float, modality: str) -> str:
    """The two budgets that ``eps_av`` stands for, in units one can picture."""
    eps = {name: budget.eps for name, budget in paper_budget(eps_av, modality).items()}
    audio, video = eps["audio"], eps["video"]
    level = f", {20 * np.log10(audio):.0f} dBFS" if audio else ""
    sound = f"± {audio:.4g}", f"of full scale, that is {audio * 32768:.3g} of 32 768 steps{level}"
    image = f"± {video:.3g}", f"of 255 grey levels, {100 * video / 255:.2g} % of black to white"
    cells = [
        _budget("sound", sound, attacked=modality != "video"),
        _budget("picture", image, attacked=modality != "audio"),
    ]
    return f'<div class="pp-budget" aria-live="polite">{"".join(cells)}</div>'


def _budget(what: str, said: tuple[str, str], *, attacked: bool) -> str:
    amount, meaning = said if attacked else ("not attacked", "")
    return f'<div class="{"" if attacked else "off"}">{what}<b>{amount}</b>{meaning}</div>'


def picture(rgb: np.ndarray, *, quality: int = 82) -> str:
    """(H, W, 3) uint8 as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def score_strip(scores: np.ndarray) -> str:
    """(T,) log-odds as a small filled curve: gold where the model says speaking."""
    heights = 24 - 22 / (1 + np.exp(-np.asarray(scores, dtype=np.float64)))
    at = np.linspace(0, 100, len(heights))
    top = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(at, heights, strict=True))
    return (
        '<svg viewBox="0 0 100 26" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="0,26 {top} 100,26" fill="var(--pp-on)" opacity=".75"/>'
        '<line x1="0" x2="100" y1="13" y2="13" stroke="var(--pp-soft)" stroke-width=".5" stroke-dasharray="2 2"/></svg>'
    )


def faces(
    thumbnails: list[np.ndarray], spans: list[tuple[float, float]], scores: list[np.ndarray] | None, chosen: int
) -> str:
    """One card per face: picture, score strip, when it is seen, how often the model says it speaks."""
    cards = []
    for index, (thumbnail, (start, stop)) in enumerate(zip(thumbnails, spans, strict=True)):
        name, says, strip = f"Face {index + 1}", "", ""
        if scores is not None:
            says = f"<small>speaking {100 * float((scores[index] > 0).mean()):.0f} %</small>"
            strip = score_strip(scores[index])
        said = f"<span>{name}<small>{start:.1f} to {stop:.1f} s</small>{says}</span>"
        image = f'<img src="{picture(thumbnail)}" alt="{name}">'
        cards.append(_card(index, chosen, image + strip + said, kind="pp-face"))
    return f'<div class="pp-cards" role="group" aria-label="Faces in this clip">{"".join(cards)}</div>'


def found(thumbnails: list[np.ndarray]) -> str:
    """The faces that were found so far, while the rest of the clip is still looked at."""
    cards = []
    for number, thumbnail in enumerate(thumbnails, start=1):
        image = f'<img src="{picture(thumbnail)}" alt="Face {number}">'
        cards.append(f'<div class="pp-card pp-face">{image}<span>Face {number}</span></div>')
    return f'<div class="pp-cards" role="group" aria-label="Faces found so far">{"".join(cards)}</div>'


def _card(index: int, chosen: int | None, content: str, *, kind: str = "", name: str = "", title: str = "") -> str:
    pressed = str(index == chosen).lower()
    attributes = f'type="button" class="pp-card {kind}" data-card="{index}" aria-pressed="{pressed}"'
    attributes += f' data-name="{escape(name)}"' if name else ""
    attributes += f' title="{escape(title)}"' if title else ""  # all of a caption that is cut off
    return f"<button {attributes}>{content}</button>"


def gallery(samples: list, chosen: int | None) -> str:
    """The sample clips as cards; ``samples`` have path, title, caption and a poster."""
    if not samples:
        return empty(
            "No sample clips are installed yet. Upload a clip that shows a face, or record five seconds of yourself."
        )
    cards = []
    for index, (sample, poster) in enumerate(samples):
        caption = f"<small>{escape(sample.caption)}</small>" if sample.caption else ""
        said = f'<img src="{poster}" alt=""><span>{escape(sample.title)}{caption}</span>'
        cards.append(_card(index, chosen, said, name=sample.path.stem, title=sample.caption))
    return f'<div class="pp-cards" role="group" aria-label="Sample clips">{"".join(cards)}</div>'


def player(address: str, *, autoplay: bool = False) -> str:
    """The player, of the view at ``address``; with ``autoplay`` it starts by itself, silent, again and again."""
    return f'<pp-player src="{escape(address)}"{" autoplay" if autoplay else ""}></pp-player>'


def link(address: str) -> str:
    """A field to copy an address from."""
    field = f'<input type="text" readonly value="{escape(address)}">'
    return f'<div id="pp-link"><label><span>The link:</span>{field}</label></div>'


def clip_cards(found: list[tuple[int, str, str, str]], chosen: int | None) -> str:
    """Clips as cards: (number, title, caption, picture's address) of each."""
    if not found:
        return empty("No sample clips are installed. Choose a clip in the Attack tab, then come back.")
    cards = []
    for index, title, caption, image in found:
        small = f"<small>{escape(caption)}</small>" if caption else ""
        said = f"<span>{escape(title)}{small}</span>"
        cards.append(_card(index, chosen, f'<img src="{image}" alt="">{said}', title=caption))
    return f'<div class="pp-cards" role="group" aria-label="Clips">{"".join(cards)}</div>'


def alert(text: str) -> str:
    """A problem and its remedy."""
    return f'<div class="pp-alert" role="alert">{escape(text)}</div>'


def note(text: str) -> str:
    """Something that is so and needs no action."""
    return f'<div class="pp-note" role="status">{escape(text)}</div>'


def about(title: str, seconds: float, size: tuple[int, int], faces: int, cut: str) -> str:
    """What was read."""
    height, width = size
    count = "1 face" if faces == 1 else f"{faces} faces"
    return note(f"{title}: {seconds:.1f} s at {width} × {height}, {count}. {cut}".strip())


def waiting(text: str) -> str:
    """Progress whose end is not known."""
    return _progress(text, "", None)


def working(share: float | None, text: str) -> str:
    """Progress of ``share`` 0..1."""
    return _progress(text, "" if share is None else f"{100 * share:.0f} %", share)


def _progress(text: str, amount: str, share: float | None, more: str = "") -> str:
    head = f"<header><b>{escape(text)}</b><span>{amount}</span></header>"
    if share is None:
        return f'<div class="pp-run" role="status">{head}<div class="pp-bar wait"><i></i></div>{more}</div>'
    # No status: it changes several times a second, and a screen reader would read out every step.
    bar = f'role="progressbar" aria-label="{escape(text)}" aria-valuemin="0" aria-valuemax="100"'
    bar = f'<div class="pp-bar" {bar} aria-valuenow="{100 * share:.0f}"><i style="width:{100 * share:.1f}%"></i></div>'
    return f'<div class="pp-run">{head}{bar}{more}</div>'


def attacking(
    trace: list[Step],
    seconds: float,
    *,
    share: float | None = None,
    note: str = "",
    done: bool = False,
    flipped: float | None = None,
) -> str:
    """A running attack, or one that is ``done``: bar, step, loss, share of frames flipped, and both as curves.

    Args:
        trace: its steps so far.
        seconds: since it began.
        share: of the work, 0..1, what follows the last step included; that of the steps if None.
        note: what it does after its last step, or how it ended; the step if empty.
        flipped: share of frames, 0..1, that what it found flips, once that is known; the last step's otherwise.
    """
    step = trace[-1]
    starts = f", from {step.restarts} random starts" if step.restarts > 1 else ""
    time = f"{seconds:.0f} s"
    share = 1.0 if done else step.progress if share is None else share
    if 0.02 < share < 1:
        time += f", about {seconds * (1 - share) / share:.0f} s left"
    facts = {
        "loss": f"{step.loss:.3f}",
        "best": f"{step.best_loss:.3f}",
        "frames flipped": f"{100 * (step.flipped_share if flipped is None else flipped):.0f} %",
        "time": time,
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    amount = f"{100 * share:.0f} %"
    text = note or f"Step {step.step} of {step.steps}{starts}"
    return _progress(text, amount, share, f"<dl>{listed}</dl>{curve(trace)}")


def curve(trace: list[Step]) -> str:
    """Loss (ink, own scale) and share of frames flipped (vermilion, 0..100 %) of each start, step by step."""
    if len(trace) < 2:
        return ""
    losses = [step.loss for step in trace]
    low, high = min(losses), max(losses)
    paths = []
    for restart in sorted({step.restart for step in trace}):
        steps = [step for step in trace if step.restart == restart]
        paths.append(_path("loss", steps, [(step.loss - low) / ((high - low) or 1) for step in steps]))
        paths.append(_path("flips", steps, [step.flipped_share for step in steps]))
    return (
        '<svg class="pp-curve" viewBox="0 0 100 60" preserveAspectRatio="none" role="img" '
        f'aria-label="Loss and share of frames flipped, step by step">{"".join(paths)}</svg>'
        f'<small class="pp-quiet"><b class="loss">—</b> loss, {low:.2f} to {high:.2f}'
        '<b class="flips">—</b> frames flipped, 0 to 100&nbsp;%</small>'
    )


def _path(name: str, steps: list[Step], heights: list[float]) -> str:
    at = (
        f"{100 * step.step / step.steps:.2f} {57 - 54 * height:.1f}"
        for step, height in zip(steps, heights, strict=True)
    )
    return f'<path class="{name}" vector-effect="non-scaling-stroke" d="M{"L".join(at)}"/>'
