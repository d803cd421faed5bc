"""The files of an attack run: clips, annotated video, scores, figures, report."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from pushpull.faces.scene import FaceScene, Scene, write_scene
from pushpull.files import check_folder as check_place
from pushpull.files import replacing, shown
from pushpull.media import Limits, quantise_audio, quantise_video, write_stimulus
from pushpull.plots import embedding_figure, perturbation_figure, save, scores_figure, trace_figure
from pushpull.runs.report import Source, run_report, scores_table
from pushpull.runs.run import Run
from pushpull.runs.video import describe, write_annotated

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


def check_folder(folder: str | os.PathLike, *, overwrite: bool) -> None:
    """Raise ValueError if results would replace something, or could not be written."""
    folder = Path(folder)
    check_place(folder)
    if (names := taken(folder)) and not overwrite:
        raise ValueError(f"{folder} already holds {', '.join(names)}; give another folder, or allow to overwrite them")


def write_results(
    folder: str | os.PathLike,
    run: Run,
    *,
    source: Source | None = None,
    limits: Limits = Limits(),
    say: Callable[[str], object] = lambda text: None,
    films: bool = True,
    more: dict | None = None,
) -> dict[str, Path]:
    """Write the files of ``FILES`` into ``folder``, replacing what has these names.

    A clip that was cut from no video has no scene: its annotated video shows the face alone. A detector without
    embeddings has no figure of them, and one that was not attacked itself has none of the attack's steps.

    Args:
        folder: made if needed.
        run: the attack.
        source: the file that the user gave; None is the one that the clip was cut from.
        limits: for reading that file again.
        say: called with what is being written.
        films: whether to write the scene and the annotated video, which take longest.
        more: sections that the report has besides, by name.

    Returns:
        {name: path}.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / name for name in FILES}
    paths[REPORT].unlink(missing_ok=True)  # an earlier report would describe files that are about to be replaced
    stored = run.stored_clip
    say("the bit-exact clip")
    write_stimulus(paths["adversarial_face.mp4"], quantise_video(stored.video), quantise_audio(stored.audio))
    scene = Scene(run.clip.origin, limits) if run.clip.origin else FaceScene(run.clip)
    if films and run.clip.origin:
        say("the scene")
        write_scene(paths["adversarial_scene.mp4"], scene, run.clip, stored)
    if films:
        say("the annotated video")
        write_annotated(paths["annotated.mp4"], scene, run)
    say("scores and figures")
    scores_table(run).to_csv(paths["scores.csv"], index=False)
    write_figures(folder, run)
    there = {
        "adversarial_scene.mp4": films and run.clip.origin,
        "annotated.mp4": films,
        "embeddings.png": run.clean.embeddings,
        "trace.png": run.result.trace,
    }
    for name in (name for name, written in there.items() if not written):
        paths.pop(name).unlink(missing_ok=True)  # of an earlier run, which this one replaces
    files = {name: FILES[name] for name in paths if name != REPORT}
    write_report(paths[REPORT], run_report(run, source=source, files=files) | (more or {}))
    return paths


def write_figures(folder: Path, run: Run) -> None:
    """The PNG files of ``FILES``."""
    margins, name = run.margins, shown(run.clip.name)
    title = f"{name}: {describe(run)}"
    target = run.spec.target
    figures = {
        "scores.png": scores_figure(
            margins["clean"],
            margins["adversarial"],
            stored=margins["stored"],
            labels=None if run.own_labels else run.labels[0].numpy(),
            span=(target.start, target.stop) if target.kind == "span" else None,
            title=name,
        ),
        "perturbation.png": perturbation_figure(
            {"audio": run.clip.audio, "video": run.clip.video},
            {name: values[0].numpy() for name, values in run.result.adversarial.items()},
            title=title,
        ),
    }
    if run.result.trace:
        figures["trace.png"] = trace_figure(run.result.trace, objective=run.spec.objective, title=name)
    if run.clean.embeddings:
        figures["embeddings.png"] = embedding_figure(
            {name: values[0].numpy() for name, values in run.clean.embeddings.items()},
            {name: values[0].numpy() for name, values in run.adversarial.embeddings.items()},
            run.labels[0].numpy(),
            moved=(margins["clean"] > 0) != (margins["adversarial"] > 0),
            reference={name: values.numpy() for name, values in run.reference_embeddings.items()} or None,
            title=name,
        )
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
