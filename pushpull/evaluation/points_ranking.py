"""How well detectors tell speaking frames from every kind that does not speak, beside the first of them."""

from collections.abc import Mapping

from pushpull.evaluation.kind_scores import SILENT_KINDS, KindScores
from pushpull.evaluation.points import REPLICATES
from pushpull.evaluation.recall import FALSE_ALARMS, recall_at
from pushpull.evaluation.statistics import Clusters, Measured, differences
from pushpull.evaluation.written import SURE


def ranking(scored: Mapping[str, KindScores], seed: int = 0) -> list[dict]:
    """Speaking frames found at 5, 10 and 20 % false alarms of each kind.

    Args:
        scored: what each detector said of one set of clips.
        seed: of the bootstrap.

    Returns:
        Rows of "model", "kind", and, as shares in 0..1 with 95 % intervals over base clips, "recall_at_5", .. ; of all
        detectors but the first "minus FIRST_at_5", ..: paired differences with p-values, corrected (Holm) over all
        kinds, rates and detectors of the set. A detector for whom faces were cut otherwise, so that it has other
        clips, has none.
    """
    first = next(iter(scored))
    comparisons = (len(scored) - 1) * len(SILENT_KINDS) * len(FALSE_ALARMS)
    clusters = {name: _clusters(each, comparisons, seed) for name, each in scored.items()}
    found = {name: _recalls(each, clusters[name]) for name, each in scored.items()}
    alike = [name for name, each in scored.items() if name != first and each.bases == scored[first].bases]
    pairs = {
        (name, *key): (found[first][key], value)
        for name in alike
        for key, value in found[name].items()
        if key in found[first]
    }
    changes = differences(clusters[first], pairs)
    rows = []
    for name, each in scored.items():
        for kind in each.kinds:
            row = {"model": name, "kind": kind}
            for rate in FALSE_ALARMS:
                value, replicates = found[name][kind, rate]
                row[f"recall_at_{100 * rate:g}"] = clusters[name].interval(replicates, value).to_dict()
            for rate in FALSE_ALARMS:
                if change := changes.get((name, kind, rate)):
                    row[f"minus {first}_at_{100 * rate:g}"] = change.to_dict()
            rows.append(row)
    return rows


def _clusters(scores: KindScores, comparisons: int, seed: int) -> Clusters:
    """With so many replicates that the least p-value there is, 2 / (replicates + 1), survives the correction."""
    replicates = max(REPLICATES, round(2.5 * comparisons / SURE))
    return Clusters(scores.bases, replicates=replicates, seed=seed)


def _recalls(scores: KindScores, clusters: Clusters) -> dict[tuple[str, float], Measured]:
    speaking = scores.speaking()
    return {
        (kind, rate): recall_at(clusters, speaking, scores.silent([kind]), rate)
        for kind in scores.kinds
        for rate in FALSE_ALARMS
    }
