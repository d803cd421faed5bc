"""The noises for every clip that the page offers, and what it says of one before it is used."""

import logging
from functools import lru_cache
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from pushpull.attacks import UniversalNoise, load_noise
from pushpull.attacks.looped import SUFFIX
from pushpull.clip import SAMPLE_RATE
from pushpull.demo import panels
from pushpull.runs.cards import read_card
from pushpull.runs.noise import SHIPPED, with_noise

log = logging.getLogger("pushpull.demo")
UNIVERSAL = "universal"  # name of the attack that adds one
GOALS = {
    "flip": "to turn every decision round",
    "speak": "to make everybody speak",
    "silence": "to make nobody speak",
}
BANDS, DEPTH = 120, 30.0  # of the drawn spectrum; dB from its top to its bottom


def find_noises(folder: Path = SHIPPED) -> dict[str, Path]:
    """The noises of a folder by the name of their files; what is none is left out with a warning."""
    found = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            load(path)
        except (OSError, ValueError) as error:
            log.warning("%s is not offered: %s", path, error)
        else:
            found[path.stem] = path
    return found


def choices(found: dict[str, Path]) -> list[tuple[str, str]]:
    """(what people read, name) of each."""
    return [(read_card(path).title or name, name) for name, path in found.items()]


def form_choices(path: Path) -> tuple[float, str, str]:
    """The budget ε_av, the modality and the aim that a noise is for, as the form has them."""
    own = with_noise({"noise": path})
    return own["eps_av"], own["modality"], own["target"]


def noise_card(path: Path | None) -> str:
    """A noise seen, magnified until its budget fills the range, and where it comes from; as HTML."""
    if path is None:
        return panels.empty(
            "There is no noise on this server. <code>python -m pushpull.universal fit</code> makes one; put its file "
            "into the folder of <code>app.py --noises</code> and reload the page."
        )
    noise = load(path)
    pictures = [_picture(noise)] if noise.video is not None else []
    pictures += [_loop(noise)] if noise.audio is not None else []
    caption = read_card(path).caption
    words = f"<p>Fitted beforehand{escape(origin(noise))}.{escape(' ' + caption if caption else '')}</p>"
    words += f"<p>A budget below {noise.eps_av:g} cuts it off; a larger one adds nothing.</p>"
    return f'<div class="pp-noise-card">{"".join(pictures)}<div>{words}</div></div>'


def origin(noise: UniversalNoise) -> str:
    """Where a noise comes from: what follows "fitted"; empty if nothing is known."""
    facts = noise.facts
    data, goal = facts.get("data") or {}, (facts.get("options") or {}).get("goal")
    on = f" on {facts['detector']['name']}" if facts.get("detector") else ""
    sources = f" ({', '.join(data['sources'])})" if data.get("sources") else ""
    clips = f" with {data['clips']} clips of other people{sources}" if data.get("clips") else ""
    return f"{on}{clips}{', ' + GOALS[goal] if goal in GOALS else ''}"


def load(path: Path) -> UniversalNoise:
    """A noise that :func:`find_noises` found; read once as long as its file stays as it is."""
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read(path: Path, _changed: int) -> UniversalNoise:
    return load_noise(path)


def _picture(noise: UniversalNoise) -> str:
    share = noise.video.numpy() / max(noise.eps["video"], 1e-30)
    levels = np.rint(127.5 * (1 + share)).astype(np.uint8)
    rgb = np.asarray(Image.fromarray(levels).convert("RGB"))
    said = f"what is added to every picture: grey is nothing, black and white {noise.eps['video']:g} of 255 grey levels"
    return (
        f'<figure><img src="{panels.picture(rgb, quality=90)}" alt="{said}"><figcaption>picture</figcaption></figure>'
    )


def _loop(noise: UniversalNoise) -> str:
    """The loop of sound as its spectrum: in time it is at its budget throughout, and one would see a filled box."""
    seconds = len(noise.audio) / SAMPLE_RATE
    power = np.abs(np.fft.rfft(noise.audio.numpy())) ** 2
    level = 10 * np.log10([max(band.mean(), 1e-30) for band in np.array_split(power[1:], BANDS)])
    heights = np.clip((level - level.max()) / DEPTH + 1, 0, 1)
    points = " ".join(f"{x},{54 - 50 * height:.1f}" for x, height in enumerate(heights))
    said = f"spectrum of the loop of {seconds:g} s that is added to the sound, 0 to {SAMPLE_RATE // 2000} kHz"
    drawn = f'<polygon points="0,56 {points} {BANDS - 1},56"/>'
    svg = f'<svg viewBox="0 0 {BANDS - 1} 56" preserveAspectRatio="none" role="img" aria-label="{said}">{drawn}</svg>'
    caption = f"sound, a loop of {seconds:g} s: 0 to {SAMPLE_RATE // 2000} kHz"
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"
