"""A study's results in one value: what the statistics, the page, the plots, the export and the command line share."""

from dataclasses import dataclass
from functools import lru_cache

from . import plots, words
from .stats import GROUPINGS, Answer, analyse
from .store import Pair, Store, Study

# What a reader looks at, in this order; the rest is one row each for few and many.
TITLES = {
    "attack": "By attack",
    "modality": "By what was attacked",
    "model": "By model",
    "speech": "By what the face does",
    "x": "By which twin X was",
    "match": "By the side of the right answer",
    "pair": "By pair",
    "volunteer": "By volunteer",
    "position": "By place in the test",
}
FIGURES = ("overall", *GROUPINGS)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Statistics and stimuli of a study at one moment."""

    study: Study
    pairs: list[Pair]
    analysis: dict
    headline: str
    verdict: tuple[str, str]
    cautions: list[str]


@lru_cache(maxsize=8)
def _analysed(answers: tuple[Answer, ...], margin: float, confidence: float, exclude: bool) -> dict:
    """Cached, because a page asks for its numbers once and for each of its figures."""
    return analyse(list(answers), margin=margin, confidence=confidence, exclude_failed_catch=exclude)


def make_report(store: Store, study_id: str) -> Report:
    study, pairs = store.studies.get(study_id), store.studies.pairs(study_id)
    design = study.design
    answers = store.results.answers(study_id)
    analysis = _analysed(tuple(answers), design.margin, design.confidence, design.exclude_failed_catch)
    main = [pair for pair in pairs if pair.phase == "main"]
    answered = {answer.volunteer for answer in answers}
    people = store.links.people(study_id)
    failed = sum(person["number"] in answered and person["check_passed"] == 0 for person in people)
    return Report(
        study=study,
        pairs=pairs,
        analysis=analysis,
        headline=words.headline(analysis),
        verdict=words.verdict(analysis),
        cautions=words.cautions(
            analysis,
            identical=sum(bool(pair.measures.get("identical")) for pair in main),
            pairs=len(main),
            failed_checks=failed,
            planned=design.volunteers,
            finished=sum(person["finished_at"] is not None for person in people),
            deleted=study.deleted,
        ),
    )


def figure(report: Report, name: str, *, theme: str, form: str) -> bytes:
    """One of FIGURES as SVG or PNG.

    Raises:
        KeyError: no such figure, theme or format.
    """
    plots.PALETTES[theme], plots.FORMATS[form]  # noqa: B018 -- KeyError before any work
    analysis, margin = report.analysis, report.study.design.margin
    if name == "overall":
        return plots.forest(_overall(analysis), title="All main trials", margin=margin, theme=theme, form=form)
    rows = [
        plots.Interval(
            label=words.group_label(name, row["value"]),
            share=row["accuracy"],
            low=row["clopper_pearson"][0],
            high=row["clopper_pearson"][1],
            note=f"{row['correct']} of {row['trials']}",
        )
        for row in analysis["by"][name]
    ]
    return plots.forest(rows, title=TITLES[name], margin=margin, theme=theme, form=form)


def _overall(analysis: dict) -> list[plots.Interval]:
    overall, bootstrap = analysis["overall"], analysis["cluster_bootstrap"]
    share, count = overall["accuracy"], f"{overall['correct']} of {overall['trials']}"
    exact, score = overall["clopper_pearson"], overall["wilson"]
    rows = [
        plots.Interval(label="exact interval", share=share, low=exact[0], high=exact[1], note=count, strong=True),
        plots.Interval(label="Wilson interval", share=share, low=score[0], high=score[1]),
    ]
    if bootstrap:
        rows.append(plots.Interval(label="bootstrap over volunteers", share=share, low=bootstrap[0], high=bootstrap[1]))
    return rows
