"""The files of an attack run: clips, annotated video, scores, figures, report."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from pushpull.annotate import describe, write_annotated
from pushpull.clip import FPS
from pushpull.files import replacing, shown
from pushpull.job import Outcome
from pushpull.media import quantise_audio, quantise_video, write_stimulus
from pushpull.models import TalkNet
from pushpull.plots import embedding_figure, perturbation_figure, save, scores_figure, trace_figure
from pushpull.report import Source, run_report, scores_table
from pushpull.scene import Scene, write_scene

REPORT = "report.json"
# Name of each file to what it is; the report comes last, so that a folder with a report is complete.
FILES = {
    "adversarial_face.mp4": "the attacked face and its sound, bit-exact (lossless VP9 and FLAC)",
    "adversarial_scene.mp4": "the whole scene with the attack in it (H.264 and AAC, for looking at)",
    "annotated.mp4": "the scene with scores before and after burnt in",
    "scores.csv": "score of every frame: probability and log-odds, clean, adversarial and stored",
    "scores.png": "scores over time",
    "perturbation.png": "what was added to picture and sound, magnified",
    "embeddings.png": "where the model's embeddings moved",
    "trace.png": "objective and frames won, step by step",
    REPORT: "every number and setting; the run repeats from it",
}


def taken(folder: str | os.PathLike) -> list[str]:
    """Names of ``FILES`` that ``folder`` already holds."""
    return [name for name in FILES if (Path(folder) / name).exists()]


def write_results(
    folder: str | os.PathLike,
    outcome: Outcome,
    *,
    model: TalkNet,
    scene: Scene,
    source: Source,
    say: Callable[[str], object] = lambda text: None,
) -> dict[str, Path]:
    """Write every file of ``FILES`` into ``folder``, replacing what has these names.

    Args:
        folder: made if needed.
        outcome: of the attack.
        model: the detector that was attacked.
        scene: where the face is.
        source: the file that the user gave.
        say: called with what is being written.

    Returns:
        {name: path}.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / name for name in FILES}
    paths[REPORT].unlink(missing_ok=True)  # an earlier report would describe files that are about to be replaced
    offset = outcome.order.start + scene.track.start / FPS
    stored = outcome.stored_clip
    say("the bit-exact clip")
    write_stimulus(paths["adversarial_face.mp4"], quantise_video(stored.video), quantise_audio(stored.audio))
    say("the scene")
    write_scene(paths["adversarial_scene.mp4"], scene, outcome.clip, stored)
    say("the annotated video")
    write_annotated(paths["annotated.mp4"], scene, outcome)
    say("scores and figures")
    scores_table(outcome, offset).to_csv(paths["scores.csv"], index=False)
    write_figures(folder, outcome)
    files = {name: what for name, what in FILES.items() if name != REPORT}
    write_report(paths[REPORT], run_report(outcome, source=source, model=model, offset=offset, files=files))
    return paths


def write_figures(folder: Path, outcome: Outcome) -> None:
    """The four PNG files of ``FILES``."""
    margins, name = outcome.margins, shown(outcome.clip.name)
    title = f"{name}: {describe(outcome)}"
    target = outcome.order.target
    figures = {
        "scores.png": scores_figure(
            margins["clean"],
            margins["adversarial"],
            stored=margins["stored"],
            labels=None if outcome.own_labels else outcome.labels[0].numpy(),
            span=(target.start, target.stop) if target.kind == "span" else None,
            title=name,
        ),
        "perturbation.png": perturbation_figure(
            {"audio": outcome.clip.audio, "video": outcome.clip.video},
            {name: values[0].numpy() for name, values in outcome.result.adversarial.items()},
            title=title,
        ),
        "embeddings.png": embedding_figure(
            {name: getattr(outcome.clean, name)[0].numpy() for name in ("z_a", "z_v")},
            {name: getattr(outcome.adversarial, name)[0].numpy() for name in ("z_a", "z_v")},
            outcome.labels[0].numpy(),
            moved=(margins["clean"] > 0) != (margins["adversarial"] > 0),
            reference={name: values.numpy() for name, values in outcome.reference_embeddings.items()} or None,
            title=name,
        ),
        "trace.png": trace_figure(outcome.result.trace, objective=outcome.order.objective, title=name),
    }
    for file, figure in figures.items():
        save(figure, folder / file)


def write_report(path: Path, report: dict) -> Path:
    """JSON, under its name whole or not at all."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if text != text.encode("utf-8", "ignore").decode():  # a file's name that is no UTF-8: escaped, it can be read back
        text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    with replacing(path, "w") as handle:
        handle.write(text)
    return path
