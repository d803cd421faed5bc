"""How well a model does on held-out clips, one type of example after the other."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import torch

from pushpull.clip import Clip
from pushpull.data.mix import ExampleMix, NoStillLips, make_example, other_clip
from pushpull.data.speech import detect_speech
from pushpull.metrics import average_precision

VOICED = ("in_sync", "swapped", "shifted", "still", "frozen")  # types whose sound is a voice


@torch.no_grad()
def evaluate_types(
    model,
    pool: Sequence[Clip],
    *,
    types: Sequence[str] = ExampleMix().names,
    seed: int = 0,
    device="cpu",
    progress=None,
) -> dict[str, dict]:
    """Every whole clip of ``pool`` as every type; the same examples for the same seed, whatever the model.

    Args:
        model: a TalkNet in evaluation mode on ``device``.
        pool: clips in sync with speech activity, as ``TalkSet`` gives them; none that the model was trained on.
        types: ``in_sync`` is always evaluated: it has the only frames labelled speaking.
        progress: wraps the range of clip numbers, as tqdm does.

    Returns:
        For each type, and for ``all`` of them together:

        * ``ap``: AVA average precision in percent over the frames of this type and those of ``in_sync``;
        * ``prevalence``: the share of speaking frames among them in percent, the floor of ``ap``;
        * ``accuracy``: percent of this type's own frames on the right side of log-odds 0;
        * ``accuracy_voiced``: the same over the frames in which a voice (for ``noise`` and ``silence``: anything)
          is to be heard; a silent frame is easily right. For ``in_sync`` this is nearly the recall of speech;
        * ``frames``: how many of this type.

        Where the pool has ``finished`` examples (talking heads) their types follow, as ``own TYPE``.

        What is not defined is None: the average precision where nobody speaks. Where no clip keeps its lips still
        the type ``still`` is missing.

    Raises:
        ValueError: fewer than two clips (a swapped voice needs another), unless all there is are finished ones.
    """
    finished = getattr(pool, "finished", ())
    if len(pool) < 2 and not finished:
        raise ValueError(f"held-out figures need at least two clips, got {len(pool)}")
    names = ["in_sync", *(name for name in types if name != "in_sync")] if len(pool) > 1 else []
    scored = _Scored()
    numbers = range(len(pool) if names else 0)
    for number in progress(numbers) if progress else numbers:
        examples = {name: made for name in names if (made := _example(pool, number, name, seed)) is not None}
        margins = _margins(model, list(examples.values()), device)
        for (name, example), margin in zip(examples.items(), margins, strict=True):
            scored.add(name, example, margin, sounds=name not in VOICED)
    for part in finished:
        for index, name in enumerate(part.types):
            scored.add(f"own {name}", part[index], _margins(model, [part[index]], device)[0], sounds=False)
    return scored.report(names)


class _Scored:
    """Scores, labels and what is to be heard, frame by frame, of every type of example."""

    def __init__(self):
        self.scores, self.labels, self.voiced = {}, {}, {}

    def add(self, name: str, example: Clip, margin: np.ndarray, *, sounds: bool) -> None:
        """One example; ``sounds``: all of its frames count as heard, voice or not."""
        heard = np.ones(example.frames, dtype=bool) if sounds else detect_speech(example.audio)
        for column, values in ((self.scores, margin), (self.labels, example.labels), (self.voiced, heard)):
            column.setdefault(name, []).append(values)

    def report(self, first: Sequence[str]) -> dict[str, dict]:
        """See :func:`evaluate_types`; the types of ``first`` come first."""
        names = [name for name in first if name in self.scores]
        names += [name for name in self.scores if name not in names]
        scores, labels, voiced = (
            {name: np.concatenate(column[name]) for name in names} for column in (self.scores, self.labels, self.voiced)
        )
        rights = {name: (scores[name] > 0) == (labels[name] == 1) for name in names}
        found = {}
        for name in names:
            with_in_sync = [name] if name == "in_sync" or "in_sync" not in names else ["in_sync", name]
            heard = rights[name][voiced[name]]
            found[name] = _ranked(scores, labels, with_in_sync) | {
                "accuracy": 100 * float(rights[name].mean()),
                "accuracy_voiced": 100 * float(heard.mean()) if len(heard) else None,
                "frames": len(rights[name]),
            }
        everything = np.concatenate(list(rights.values()))
        found["all"] = _ranked(scores, labels, names) | {
            "accuracy": 100 * float(everything.mean()),
            "accuracy_voiced": None,
            "frames": len(everything),
        }
        return found


def report_table(report: dict[str, dict]) -> str:
    """A plain-text table of what :func:`evaluate_types` returns."""
    lines = [f"{'type':<13}{'AVA-AP':>8}{'floor':>8}{'accuracy':>10}{'voiced':>8}{'frames':>8}"]
    for name, row in report.items():
        ap, voiced = ("" if row[key] is None else f"{row[key]:.1f}" for key in ("ap", "accuracy_voiced"))
        lines.append(f"{name:<13}{ap:>8}{row['prevalence']:>8.1f}{row['accuracy']:>10.1f}{voiced:>8}{row['frames']:>8}")
    return "\n".join(lines)


def _example(pool, number, kind, seed):
    """One example, or None where the footage gives none of its type."""
    rng = np.random.default_rng([seed, number, crc32(kind.encode())])
    clip = pool[number]

    def neighbour():
        return other_clip(pool, number, rng)

    try:
        return make_example(kind, clip, neighbour, rng, start=0, frames=clip.frames)
    except NoStillLips:
        return None


def _margins(model, examples, device):
    """(T,) float32 log-odds of each of the examples, all as long; pictures that several share are encoded once."""
    distinct = {example.video.__array_interface__["data"][0]: example.video for example in examples}
    places = [list(distinct).index(example.video.__array_interface__["data"][0]) for example in examples]
    video = torch.from_numpy(np.stack(list(distinct.values()))).to(device=device, dtype=torch.float32)
    audio = torch.from_numpy(np.stack([example.audio for example in examples])).to(device)
    e_v = model.encode_video(video)[torch.tensor(places, device=device)]
    return model.fuse(model.encode_audio(audio, video.shape[1]), e_v).margin.float().cpu().numpy()


def _ranked(scores, labels, names):
    s, y = (np.concatenate([x[name] for name in names]) for x in (scores, labels))
    return {"ap": 100 * average_precision(s, y) if y.any() else None, "prevalence": 100 * float(y.mean())}
