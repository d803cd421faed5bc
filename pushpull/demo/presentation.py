"""What the page shows of a clip, and of an attack on it."""

import numpy as np
import torch

from pushpull.clip import Clip
from pushpull.demo import tables, view
from pushpull.demo.clusters import embeddings
from pushpull.demo.context import DemoContext
from pushpull.demo.intake import Subject
from pushpull.demo.made import shell
from pushpull.demo.storage import ResultFolder
from pushpull.detectors import Outputs, device_of, reference_embeddings_of
from pushpull.runs.run import Run
from pushpull.runs.save import FILES, REPORT
from pushpull.runs.survived import FILES as SURVIVED_FILES
from pushpull.runs.survived import Survived

# The annotated video and the report first: most people want one of them.
OFFERED = ("annotated.mp4", REPORT, "adversarial_face.mp4", "scores.csv", "scores.png", "perturbation.png")
# What survives in a file comes before all of it, the clip to compare it with after.
SURVIVORS = ("survive.mp4", "survive.webm", "clean.mp4", "clean.webm")
HEADS = {"logits_a": "sound", "logits_v": "picture"}
TITLES = {
    "survive.mp4": "The file that survives",
    "survive.webm": "The file that survives",
    "clean.mp4": "The same without the attack",
    "clean.webm": "The same without the attack",
    "annotated.mp4": "Annotated video",
    REPORT: "Report (JSON)",
    "adversarial_face.mp4": "Adversarial clip, bit-exact",
    "adversarial_scene.mp4": "Attacked scene",
    "scores.csv": "Scores (CSV)",
    "scores.png": "Figure: scores",
    "perturbation.png": "Figure: perturbation",
    "embeddings.png": "Figure: embeddings",
    "trace.png": "Figure: the attack, step by step",
}


def score(network, clip: Clip) -> tuple[np.ndarray, Outputs]:
    """(T,) log-odds of speaking, and the outputs they come from."""
    with torch.no_grad():
        outputs = network(clip.inputs(device_of(network)))
    return outputs.margin[0].cpu().numpy(), outputs


def clean_view(context: DemoContext, subject: Subject, face: int, network) -> str:
    """The untouched clip in the player; the address of its view."""
    clip = subject.clips(network)[face]
    scores, outputs = score(network, clip)
    classes = (scores > 0).astype(int) if clip.labels is None else clip.labels
    folder = context.store.open()
    content = {
        "description": "Speaking score of the clean clip, frame by frame",
        "screens": [view.write_clean(folder, subject, face, clip)],
        "scores": {"clean": scores},
        "strips": [view.strip("says" if clip.labels is None else "truth", classes)],
        "sound": {"title": "sound", "clean": view.envelope(clip.audio)},
        "embeddings": embeddings(outputs, None, classes, {}, reference_embeddings_of(network)),
    }
    return view.write_view(folder, subject, face, content)


def attacked_view(
    folder: ResultFolder, subject: Subject, face: int, run: Run, survived: Survived | None = None, *, films: bool = True
) -> str:
    """Clean and attacked clip and the noise between them in the player; the address of the view.

    Args:
        folder: gets the view.
        subject, face: what was attacked.
        run: the attack.
        survived: what became of it in a file: that very file is played, and its scores are shown.
        films: whether to write the attacked clip and the noise, which takes longest; the clean one is there.
    """
    clip, eps, found = run.clip, run.eps, run.adversarial_clip
    screens = [view.write_clean(folder, subject, face, clip)]
    if films:
        file = survived and survived.files["file"]
        screens.append(view.write_attacked(folder, subject, face, clip, run.stored_clip, file))
        screens.append(view.write_noise(folder, subject, face, clip, found, eps))
    classes = run.labels[0].numpy()
    strips = [view.strip("says" if run.own_labels else "truth", classes)]
    if run.targets is not None:
        wanted = run.targets[0].numpy()
        counted = run.aimed if run.aimed is not None else torch.ones_like(run.targets, dtype=torch.bool)
        strips.append(view.strip("aim", np.where(counted[0].numpy(), wanted, -1)))
    noise, (_, volume) = found.audio - clip.audio, view.gains(eps)
    content = {
        "description": "Speaking score before and after the attack, frame by frame",
        "screens": screens,
        "scores": run.margins if survived is None else survived_scores(survived),
        "strips": strips,
        "sound": {
            "title": f"sound, and noise × {volume:.0f}" if eps["audio"] else "sound",
            "clean": view.envelope(clip.audio),
            "noise": view.envelope(noise, volume) if eps["audio"] else None,
        },
        "spectrogram": view.write_spectrogram(folder, noise) if noise.any() else None,
        "embeddings": run_clusters(run),
    }
    # Under another name: a browser would not read one that it knows again.
    return view.write_view(folder, subject, face, content, "view.json" if films else "scores.json")


def run_clusters(run: Run) -> dict:
    """Where the frames of an attacked clip lie before and after, see :func:`pushpull.demo.clusters.embeddings`."""
    # Measured on z where the detector has it, else on e.
    measured = {name[-1]: name for name in run.clean.embeddings}
    found = {name: run.metrics["adversarial"][f"ecr_{letter}"] for letter, name in measured.items()}
    ratios = {name: value for name, value in found.items() if value is not None}
    return embeddings(run.clean, run.adversarial, run.labels[0].numpy(), ratios, run.reference_embeddings)


def remarks(run: Run) -> list[str]:
    """What the detector does not have and what was therefore left out, in sentences."""
    words = []
    if lacking := [word for name, word in HEADS.items() if getattr(run.clean, name) is None]:
        objective = run.spec.objective.replace("_", "-")
        words.append(f"This model has no head for {' and '.join(lacking)} alone: the objective was {objective}.")
    if not run.clean.embeddings:
        words.append("It gives no embeddings, so there is no embedding change ratio (ECR).")
    words.append(f"The detector decides at {run.point}.")
    return words


def survived_scores(survived: Survived) -> dict[str, np.ndarray]:
    """What is drawn over time: clean, attacked, and read again out of the file (nan where no face was found)."""
    shown = {name: survived.margins[name] for name in ("clean", "adversarial")}
    return shown | {"file": survived.margins["file"]}


def downloads(folder: ResultFolder, subject: Subject, prefix: str, noise: str | None = None) -> str:
    """Links to the files that were written into ``folder``, as HTML.

    Args:
        folder: of the run.
        subject: the clip.
        prefix: what the names under which they are saved begin with.
        noise: the file of a noise for every clip; None for other attacks.
    """
    first = [name for name in SURVIVORS if (folder.path / name).exists()]
    names = [*OFFERED, *(name for name in FILES if name not in OFFERED)]
    about = FILES | {name: SURVIVED_FILES[name.partition(".")[0]] for name in first}
    entries = [
        (folder.url(name), TITLES[name], about[name]) for name in [*first, *names] if (folder.path / name).exists()
    ]
    if noise is None:
        words = tables.REPEATS
    else:
        address = f"{folder.url(noise)}?download=1"  # the report knows it by its own name
        entries.append((address, "The noise", "to be added to any other clip, and for the report to repeat"))
        words = f"With {noise} beside it, the report repeats this run, bit for bit on the same machine:"
    again = shell(subject.source.path, "--from", f"{prefix}-{REPORT}", "--out", "again")
    return tables.files(entries, again, words, prefix=prefix)
