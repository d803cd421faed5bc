"""Do the interaction losses push and pull as they say? Embeddings of every frame, clean and attacked, in numbers.

The four quantities are those that the losses L1 to L4 act on (paper, section 3.3, Fig. 2), measured on e_a and e_v over
all frames of all examples. Intervals are over base clips: class centres are computed anew in every replicate.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushpull.evaluation.crafting import Condition, Evaluator
from pushpull.evaluation.examples import Example
from pushpull.evaluation.records import RecordStore
from pushpull.evaluation.statistics import Clusters, differences
from pushpull.files import replacing

MODALITIES = ("a", "v")
COLUMNS = ("clean", "adversarial")
CLASSES = (1, 0)
# Of a row: name, and what it says. ``_a`` is of sound, ``_v`` of picture, ``_av`` between them.
MEASURES = {
    "inter": "cosine of the centres of speaking and other frames, -1..1; L1 pushes it down",
    "intra": "mean cosine of a frame and its class's centre, mean over the classes, -1..1; L2 pulls it up",
    "norm": "mean length of a frame's embedding",
    "wrong": "share of frames that are nearer, by cosine, to the clean centre of the other class, 0..1",
    "moved": "mean |e - e'| / |e|: how far the attack moved a frame",
    "centres_av": "cosine of the centres of sound and picture, mean over the classes, -1..1; L3 pulls it up",
    "distance_av": "mean |e_v - e_a| over a class's frames, mean over the classes; L4 pulls it down",
    "relative_av": "the same divided by the mean length of the two, 0..2: what is left where embeddings shrink",
}


@dataclass(frozen=True, eq=False)
class Space:
    """The embeddings of one detector on all examples.

    Args:
        labels: for each example (T,), 1 speaking, 0 not.
        clean, adversarial: {"a": for each example (T, D), "v": ...} before cross-attention.
    """

    labels: list[np.ndarray]
    clean: dict[str, list[np.ndarray]]
    adversarial: dict[str, list[np.ndarray]]

    def column(self, name: str) -> dict[str, list[np.ndarray]]:
        return self.clean if name == "clean" else self.adversarial


def has_embeddings(evaluator: Evaluator, name: str) -> bool:
    """Whether a detector gives e_a and e_v."""
    said = evaluator.clean(name)[0]
    return said.e_a is not None and said.e_v is not None


def store_of(evaluator: Evaluator, condition: Condition) -> Path:
    """The folder of one detector's attacked embeddings; its name depends on all that they depend on.

    Raises:
        ValueError: the evaluator keeps nothing on disk.
    """
    if evaluator.folder is None:
        raise ValueError("embeddings are kept on disk: give the evaluator a folder")
    return evaluator.folder / f"embeddings-{RecordStore(None, evaluator.key(condition)).name}"


def missing(evaluator: Evaluator, condition: Condition) -> set[str]:
    """Names of the examples whose attacked embeddings are not on disk yet."""
    folder = store_of(evaluator, condition)
    return {example.name for example in evaluator.examples if not _file(folder, example).exists()}


def embed(evaluator: Evaluator, condition: Condition) -> None:
    """Attack this process's share of the missing examples and keep their embeddings; one file for each example.

    Raises:
        KeyboardInterrupt: cancelled; what is done stays on disk.
    """
    folder, subject = store_of(evaluator, condition), evaluator.subjects[condition.source]
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "key.json", "w") as file:
        json.dump(evaluator.key(condition), file, indent=1, sort_keys=True)
    for indices in evaluator.batches(missing(evaluator, condition)):
        _, result = evaluator.craft(condition, indices)
        said = subject.score(result.adversarial)
        for row, index in enumerate(indices):
            with replacing(_file(folder, evaluator.examples[index])) as file:
                np.savez(file, **{m: _array(said, m)[row] for m in MODALITIES})
        evaluator.on_examples(len(indices))


def read_space(evaluator: Evaluator, condition: Condition) -> Space:
    """What :func:`embed` kept, beside the clean embeddings.

    Raises:
        ValueError: examples are missing.
    """
    if left := missing(evaluator, condition):
        raise ValueError(f"{len(left)} examples of {condition.source} are not attacked yet: run the same command again")
    name, folder = condition.source, store_of(evaluator, condition)
    attacked = [dict(np.load(_file(folder, example))) for example in evaluator.examples]
    return Space(
        [evaluator.labels(name, index) for index in range(len(evaluator.examples))],
        {m: [_array(said, m)[0] for said in evaluator.clean(name)] for m in MODALITIES},
        {m: [found[m] for found in attacked] for m in MODALITIES},
    )


def _file(folder: Path, example: Example) -> Path:
    """By the example's name and not its number: the folder's name says which examples, and not in which order."""
    return folder / f"{hashlib.sha256(example.name.encode()).hexdigest()[:16]}.npz"


def _array(said, modality: str) -> np.ndarray:
    """(rows, T, D) float32."""
    return getattr(said, f"e_{modality}").float().numpy()


Replicates = tuple[float, np.ndarray]  # a value and its bootstrap replicates


def measure(space: Space, clusters: Clusters) -> dict[str, dict[str, Replicates]]:
    """{"clean": {measure: value and replicates}, "adversarial": ...}; names as in ``MEASURES``, with _a, _v or _av.

    Centres of "wrong" are those of all clean frames, also in replicates: they are a place, not an estimate.

    Raises:
        ValueError: the examples have frames of one class only.
    """
    weights = np.concatenate([np.ones((1, clusters.examples)), clusters.weights])  # first everything, once
    if any(not any((labels == c).any() for labels in space.labels) for c in CLASSES):
        raise ValueError("embeddings are compared between speaking and other frames, and there is one class only")
    found = {}
    for column in COLUMNS:
        here = space.column(column)
        centres, values = {}, {}
        for m in MODALITIES:
            centres[m] = [weights @ _sums(here[m], space.labels, c) for c in CLASSES]
            values[f"inter_{m}"] = _cos(*centres[m])
            values[f"intra_{m}"] = _per_class(weights, [_unit(e) for e in here[m]], space.labels, centres[m])
            values[f"norm_{m}"] = _mean(weights, [np.linalg.norm(e, axis=-1) for e in here[m]])
            values[f"wrong_{m}"] = _mean(weights, _nearer_to_the_other(space.clean[m], here[m], space.labels))
            if column != "clean":
                pairs = zip(space.clean[m], here[m], strict=True)
                steps = [np.linalg.norm(y - x, axis=-1) / np.linalg.norm(x, axis=-1) for x, y in pairs]
                values[f"moved_{m}"] = _mean(weights, steps)
        values["centres_av"] = np.mean([_cos(a, v) for a, v in zip(*centres.values(), strict=True)], axis=0)
        gaps = [np.linalg.norm(v - a, axis=-1) for a, v in zip(here["a"], here["v"], strict=True)]
        lengths = [
            (np.linalg.norm(a, axis=-1) + np.linalg.norm(v, axis=-1)) / 2
            for a, v in zip(here["a"], here["v"], strict=True)
        ]
        values["distance_av"] = _class_mean(weights, gaps, space.labels)
        shares = [gap / length for gap, length in zip(gaps, lengths, strict=True)]
        values["relative_av"] = _class_mean(weights, shares, space.labels)
        found[column] = {name: (float(x[0]), x[1:]) for name, x in values.items()}
    return found


def embedding_rows(spaces: dict[str, Space], clusters: Clusters) -> list[dict]:
    """A row for each detector.

    Args:
        spaces: by the detector's name, of the same examples; differences are to the first.

    Returns:
        "model", "examples", "frames", "speaking" (share of frames); "clean", "adversarial": {measure: estimate with its
        95 % interval over base clips}; "minus FIRST": the same of paired differences, with p-values (Holm over the
        detectors).
    """
    measured = {name: measure(space, clusters) for name, space in spaces.items()}
    rows = []
    for name, space in spaces.items():
        labels = np.concatenate(space.labels)
        row = {"model": name, "examples": len(space.labels), "frames": len(labels), "speaking": float(labels.mean())}
        for column, values in measured[name].items():
            row[column] = {key: clusters.interval(reps, value).to_dict() for key, (value, reps) in values.items()}
        rows.append(row)
    first, *others = spaces
    for column in COLUMNS if others else ():
        for key, base in measured[first][column].items():
            apart = differences(clusters, {name: (base, measured[name][column][key]) for name in others})
            for row in rows[1:]:
                row.setdefault(f"minus {first}", {}).setdefault(column, {})[key] = apart[row["model"]].to_dict()
    return rows


def by_kind(space: Space, kinds: Sequence[str], clusters: Clusters) -> dict[str, dict[str, dict[str, dict]]]:
    """Share of frames that are nearer to the clean centre of speaking ones: {kind: {column: {modality: share}}}.

    What is no speech for a listener may be speech to one encoder alone: a swapped voice is a voice, and its face talks.
    """
    found: dict = {}
    for column in COLUMNS:
        for m in MODALITIES:
            wrong = _nearer_to_the_other(space.clean[m], space.column(column)[m], space.labels)
            towards = [np.where(y == 1, 1 - x, x) for x, y in zip(wrong, space.labels, strict=True)]
            for kind in dict.fromkeys(kinds):
                there = np.array([k == kind for k in kinds], dtype=float)
                top = np.array([x.sum() for x in towards]) * there
                value, replicates = clusters.ratio(top, np.array([len(x) for x in towards]) * there)
                estimate = clusters.interval(replicates, value).to_dict()
                found.setdefault(kind, {}).setdefault(column, {})[m] = estimate
    return found


def class_centres(frames: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """(D,) mean of the speaking frames, and of the others."""
    together, known = np.concatenate(frames), np.concatenate(labels)
    return [together[known == c].mean(axis=0) for c in CLASSES]


def _nearer_to_the_other(clean, frames, labels) -> list[np.ndarray]:
    speaking, other = (_unit(centre) for centre in class_centres(clean, labels))
    return [
        ((_unit(e) @ (speaking - other) > 0) != (y == 1)).astype(float) for e, y in zip(frames, labels, strict=True)
    ]


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _sums(frames, labels, c) -> np.ndarray:
    """(examples, ...) of the frames of one class."""
    return np.stack([e[y == c].sum(axis=0) for e, y in zip(frames, labels, strict=True)]).astype(np.float64)


def _cos(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(R, D), (R, D) -> (R,); nan where one of them is nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x * y).sum(-1) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1))


def _per_class(weights, units, labels, centres) -> np.ndarray:
    """Mean cosine of frames and their class's centre, mean over the classes."""
    found = []
    for c, centre in zip(CLASSES, centres, strict=True):
        counts = weights @ np.array([(y == c).sum() for y in labels], dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append((weights @ _sums(units, labels, c) * _unit(centre)).sum(-1) / counts)
    return np.mean(found, axis=0)


def _mean(weights, values) -> np.ndarray:
    """Mean over all frames."""
    counts = weights @ np.array([len(x) for x in values], dtype=float)
    return (weights @ np.array([x.sum() for x in values])) / counts


def _class_mean(weights, values, labels) -> np.ndarray:
    """Mean over each class's frames, mean over the classes."""
    found = []
    for c in CLASSES:
        counts = weights @ np.array([(y == c).sum() for y in labels], dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append((weights @ _sums(values, labels, c)) / counts)
    return np.mean(found, axis=0)
