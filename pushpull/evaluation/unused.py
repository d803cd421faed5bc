"""Options of an attack that a study has no use for: said, not passed over."""

from dataclasses import fields

from pushpull.evaluation.studies import StudyOptions

BIM_ALONE = {"eps_av", "steps", "seed"}
USED = {
    "clean": {"seed"},
    "survival": BIM_ALONE,
    "embeddings": BIM_ALONE | {"precision"},
    "table1": BIM_ALONE | {"precision", "restarts", "objectives"},
    "fig3a": BIM_ALONE | {"precision", "restarts"},
    "fig3b": BIM_ALONE | {"precision", "restarts", "modalities"},
    "fig3c": BIM_ALONE | {"precision", "restarts"},
    "fig4": BIM_ALONE | {"precision", "restarts"},
    "transfer": BIM_ALONE | {"precision", "long_steps"},
    "detectors": BIM_ALONE | {"precision", "modalities"},
}
ONE_BUDGET = ("table1", "fig4", "embeddings")


def unused(study: str, options: StudyOptions, usual: StudyOptions) -> list[str]:
    """What of ``options`` changes nothing in a study, as sentences; empty where all counts.

    Args:
        usual: the options where none are given.
    """
    given = [field.name for field in fields(options) if getattr(options, field.name) != getattr(usual, field.name)]
    told = [
        f"--attacks.{name.replace('_', '-')} changes nothing in {study}" for name in given if name not in USED[study]
    ]
    if study in ONE_BUDGET and len(options.budgets) > 1:
        told.append(f"{study} attacks at one budget, the first of {options.eps_av}: {options.budgets[0]:g}")
    return told
