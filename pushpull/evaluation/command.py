"""Attack many clips of many detectors: the paper's tables and figures, with intervals and the paper's own numbers.

python -m pushpull.evaluate table1 --data talkset:grid_s1 --out results/table1           every shipped row of Table 1
python -m pushpull.evaluate fig3b --models A --data talkset:grid_s1 --quick --out DIR    a first look, in minutes
python -m pushpull.evaluate detectors --videos film.mp4 --models lr-asd-ava,lite --out DIR
torchrun --nproc_per_node=4 -m pushpull.evaluate table1 --data ... --out DIR             shared by four processes

Stopped and started again with the same command, it goes on with the examples that are missing.
"""

import argparse
import shlex
import sys
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from pushpull import bfloat16
from pushpull.config import Parser, parse_options
from pushpull.data.parallel import World
from pushpull.detectors import CheckpointError, resolve_device
from pushpull.detectors.points import OWN, check_point
from pushpull.evaluation import points_command, seeds
from pushpull.evaluation.clean_study import TITLE as CLEAN_TITLE
from pushpull.evaluation.clean_study import WANTS_LABELS, run_clean
from pushpull.evaluation.crafting import BATCH, FLOAT32, Evaluator
from pushpull.evaluation.data import held_out_examples, video_examples
from pushpull.evaluation.embeddings_study import MODELS as EMBEDDED
from pushpull.evaluation.embeddings_study import TITLE as EMBEDDINGS_TITLE
from pushpull.evaluation.embeddings_study import (
    attack_embeddings,
    count_missing,
    embedding_conditions,
    write_embeddings,
)
from pushpull.evaluation.examples import SetOptions
from pushpull.evaluation.finished import check_finished
from pushpull.evaluation.output import as_markdown, document
from pushpull.evaluation.paper import FIGURE_4_ROWS, TABLE_1
from pushpull.evaluation.studies import STUDIES, WORST, Study, StudyOptions, study_rows
from pushpull.evaluation.subjects import Subject, load_subjects
from pushpull.evaluation.survival_study import EPS_AV, TITLE, run_survival
from pushpull.evaluation.unused import unused
from pushpull.evaluation.written import write_tables
from pushpull.files import check_folder
from pushpull.media import MediaError
from pushpull.plots.evaluation import budget_figure, matrix_figure, rows_figure
from pushpull.runs.run import environment

CLEAN, SURVIVAL, EMBEDDINGS = "clean", "survival", "embeddings"
ALONE = (points_command, seeds)  # commands whose options are their own
USUAL = {CLEAN: "5", SURVIVAL: EPS_AV, EMBEDDINGS: "5"}  # budgets of the others
QUICK = {"set": {"examples": 24, "frames": 25}, "attacks": {"steps": 10, "restarts": 1}}
QUICK_ROWS = ("A", "B3", "D3", "E3")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What is evaluated.

    Args:
        models: names, paths or rows of Table 1 ("A", "D3"; the lite checkpoints), comma-separated. Left out: what the
            study is about, of the checkpoints that ship. The first is what others are compared with, and in fig3a
            what is attacked.
        data: held-out clips, as for training: talkset:FOLDER,talkheads:FOLDER.
        videos: in place of data: videos, comma-separated, in which each detector's own decisions count as right.
        batch: clips attacked together.
        device: "auto", "cpu", "cuda" or "mps".
        point: where detectors decide: "own", their own threshold (log-odds 0), or an operating point of their cards,
            "speaking" or "strict_sync".
        set: which examples.
        attacks: how strongly they are attacked.
    """

    models: str = ""
    data: str = ""
    videos: str = ""
    batch: int = BATCH
    device: str = "auto"
    point: str = OWN
    set: SetOptions = field(default_factory=SetOptions)
    attacks: StudyOptions = field(default_factory=StudyOptions)

    def __post_init__(self):
        if bool(self.data) == bool(self.videos):
            raise ValueError(
                "say what to attack: --data talkset:FOLDER (held-out clips with labels) or --videos FILE,FILE"
            )
        check_point(self.point)


DEFAULTS = asdict(EvaluateOptions(data="any"))
# What the hashes of models and set say better, and what no number depends on.
FREE = ("models", "data", "videos", "set", "device", "batch")


def default_models(study: str, *, quick: bool = False) -> list[str]:
    """The shipped lite checkpoints that a study is about."""
    if study == "fig3a":
        return ["A", "nctalknet-lite", "spectalknet-lite"]
    if study in ("fig3b", "fig3c"):
        return ["A"]
    if study in ("detectors", CLEAN, SURVIVAL):
        return ["talknet-lite"]
    if quick:
        return list(QUICK_ROWS)
    if study == EMBEDDINGS:
        return list(EMBEDDED)
    if study == "fig4":
        return list(FIGURE_4_ROWS)
    return list(TABLE_1)


def run_study(
    study: str,
    options: EvaluateOptions,
    out: Path,
    *,
    command: str = "",
    quick: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> dict:
    """Run a study and write its files into ``out``.

    Args:
        command: what the results say that they were made by.
        quick: fewer rows where no models are named.
        overwrite: replace finished results of something else in ``out``.
        progress: show a bar.

    Returns:
        What results.json holds; see ``pushpull.evaluation.output.document``.

    Raises:
        ValueError, CheckpointError, MediaError: options, detectors or data do not fit, or ``out`` holds other results;
            the message says which.
        KeyboardInterrupt: stopped; what is done stays in ``out`` and the same call goes on.
    """
    if study in (CLEAN, SURVIVAL) and options.attacks.precision != FLOAT32:
        raise ValueError(f"{study} is in float32: leave out --attacks.precision {options.attacks.precision}")
    if study == CLEAN and options.videos:
        raise ValueError(WANTS_LABELS)
    check_folder(out)
    with World(resolve_device(options.device)) as world:
        names = [name.strip() for name in options.models.split(",") if name.strip()]
        chosen = names or default_models(study, quick=quick)
        subjects = load_subjects(chosen, str(world.device), options.point)
        with world.leader_first():
            examples = _examples(options, subjects, progress and world.leads)
        bar = tqdm(unit="example", disable=not (progress and world.leads))
        evaluator = Evaluator(
            subjects,
            examples,
            own_labels=bool(options.videos),
            folder=out / "records",
            batch=options.batch,
            shard=world.rank,
            shards=world.size,
            on_examples=bar.update,
        )
        check_finished(out, _asked(study, evaluator, options), defaults=DEFAULTS, free=FREE, overwrite=overwrite)
        told = {"command": command, "options": asdict(options), "environment": environment(subjects[0].detector)}
        if study == CLEAN:
            return run_clean(evaluator, out, told, options.attacks.seed) if world.leads else {}
        if study == SURVIVAL:
            bar.reset(len(subjects) * len(evaluator.examples))
            return run_survival(evaluator, options.attacks, out, told, bar.update) if world.leads else {}
        if study == EMBEDDINGS:
            conditions = embedding_conditions(evaluator, options.attacks)
            bar.reset(count_missing(evaluator, conditions))
            attack_embeddings(evaluator, conditions)
            world.wait()
            return write_embeddings(evaluator, conditions, out, told) if world.leads else {}
        study = STUDIES[study]
        conditions = study.asked(subjects, options.attacks)
        bar.reset(sum(evaluator.missing(condition) for condition in conditions))
        for condition in conditions:
            bar.set_description(f"{condition.source} {condition.attack_name} {condition.eps_av:g}")
            evaluator.run(condition)
        bar.close()
        world.wait()
        if not world.leads:
            return {}
        rows = study_rows(study, evaluator, conditions, options.attacks.seed)
        found = document(study, evaluator, rows, told)
        write_tables(out, found, as_markdown(found), study_figure(study, rows))
        return found


def _asked(study: str, evaluator: Evaluator, options: EvaluateOptions) -> dict:
    """What tells these results from others, as results.json says it."""
    return {
        "study": study,
        "models": [{"name": name, "sha256": subject.sha256} for name, subject in evaluator.subjects.items()],
        "set": evaluator.hashes,
        "options": asdict(options),
    }


def study_figure(study: Study, rows: list[dict]):
    """The figure of a study, of the first set of examples that its rows are told of: all."""
    shown = [row for row in rows if row["set"] == rows[0]["set"]]
    if study.name in ("table1", "fig4"):
        return rows_figure(shown)
    if study.name == "transfer":
        return matrix_figure(shown)
    lines = {"fig3a": ("source",), "fig3b": ("model", "modality"), "fig3c": ("model", "attack")}
    if study.name == "detectors":
        worst = [row for row in shown if row["attack"] == WORST]
        several = len({row["modality"] for row in worst}) > 1
        return budget_figure(worst, ("model",), panels="modality" if several else None)
    return budget_figure(shown, lines[study.name], "average_precision")


def _examples(options: EvaluateOptions, subjects: list[Subject], progress: bool):
    if options.videos:
        crops = [subject.crop for subject in subjects]
        paths = [Path(part.strip()) for part in options.videos.split(",") if part.strip()]
        return video_examples(paths, crops, options.set.frames, most=options.set.examples)
    bar = partial(tqdm, unit="file", desc="faces") if progress else None
    return held_out_examples(options.data, options.set, [subject.crop for subject in subjects], progress=bar)


def _usual(given: argparse.Namespace) -> dict:
    """What holds for a study, and for a quick look at it, where nothing else is given."""
    eps_av = STUDIES[given.study].eps_av if given.study in STUDIES else USUAL[given.study]
    quick = QUICK if given.quick else {}
    return quick | {"attacks": quick.get("attacks", {}) | {"eps_av": eps_av}}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for other in ALONE:
        if arguments[:1] == [other.NAME]:
            return other.main(arguments[1:])
    parser = Parser(
        prog="python -m pushpull.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    titles = {CLEAN: CLEAN_TITLE} | {name: study.title for name, study in STUDIES.items()}
    titles |= {SURVIVAL: TITLE, EMBEDDINGS: EMBEDDINGS_TITLE}
    titles |= {other.NAME: f"{other.TITLE} (options of its own: {other.NAME} --help)" for other in ALONE}
    parser.add_argument("study", choices=titles, help="; ".join(f"{name}: {title}" for name, title in titles.items()))
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--quick", action="store_true", help="24 examples of a second, few rows, unless given: minutes on two cores"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace other results that are there")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options, given = parse_options(EvaluateOptions, arguments, parser, beneath=_usual)
    command = f"python -m pushpull.evaluate {shlex.join(arguments)}"
    usual = StudyOptions(**_usual(given)["attacks"])
    notes = unused(given.study, options.attacks, usual)
    if options.attacks.precision != FLOAT32:
        notes.append(bfloat16.warning(resolve_device(options.device), "--attacks.precision"))
    for each in filter(None, notes):
        print(f"note: {each}", file=sys.stderr)
    try:
        found = run_study(
            given.study,
            options,
            given.out,
            command=command,
            quick=given.quick,
            overwrite=given.overwrite,
            progress=not given.quiet,
        )
    except (ValueError, CheckpointError, MediaError, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        goes_on = "" if given.study == CLEAN else f"; the same command goes on where it stopped, in {given.out}"
        print(f"stopped{goes_on}", file=sys.stderr)
        return 130
    if found:
        print((given.out / "results.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
