"""What is left of an attack once the clip was stored, compressed, resized or put out of step.

Every channel is measured twice, with the attacked clip and with the clean one: a codec alone makes a detector wrong
now and then, and that is not the attack's doing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from pushpull.attacks import Attack, AttackResult, Step, paper_budget
from pushpull.clip import Clip
from pushpull.detectors import attack_copy, device_of
from pushpull.evaluation.statistics import Clusters
from pushpull.media.channels import Channel, delay, get_channels
from pushpull.runs.run import default_objective

FLOAT = "float"  # no channel: the numbers as the attack found them
BATCH = 8  # clips that are attacked, or versions that are scored, together


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is done to every clip.

    Args:
        attack: with its parameters; its iterates never see a channel.
        eps_avs: joint budgets, each in turn.
        channels: what the clips go through; None is all of ``pushpull.media.channels``.
        objective: what the attacker maximises; None is the detector's default.
        modality: "both", "audio" or "video": what may change.
        seed: clip i draws from ``seed + i``.
    """

    attack: Attack
    eps_avs: tuple[float, ...] = (1.0, 5.0, 20.0)
    channels: tuple[Channel, ...] | None = None
    objective: str | None = None
    modality: str = "both"
    seed: int = 0

    def __post_init__(self):
        channels = get_channels() if self.channels is None else self.channels
        object.__setattr__(self, "channels", tuple(channels))
        object.__setattr__(self, "eps_avs", tuple(float(eps_av) for eps_av in self.eps_avs))


def survival(
    detector,
    clips: Sequence[Clip],
    attack: Attack,
    eps_avs: Sequence[float] = (1.0, 5.0, 20.0),
    channels: Sequence[Channel] | None = None,
    *,
    objective: str | None = None,
    modality: str = "both",
    seed: int = 0,
    bases: Sequence[str] | None = None,
    progress: Callable[[float, str], object] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> list[dict]:
    """Share of frames decided right, clean and attacked, in floating point and through every channel.

    Args:
        detector: any detector that decides at log-odds 0; it is left as it was.
        clips: with labels.
        attack, eps_avs, channels, objective, modality, seed: see :class:`Setting`.
        bases: for each clip, what footage it was made from: intervals are over these. None is the clips' names.
        progress: called as ``progress(share, message)``.
        cancel: asked between steps; True stops, and what is complete is tabulated.

    Returns:
        Rows as :func:`tabulate` makes them, ready for JSON; none if nothing was completed.

    Raises:
        ValueError: a clip has no labels, or ``bases`` are not one for each clip.
    """
    channels = None if channels is None else tuple(channels)
    setting = Setting(
        attack=attack, eps_avs=tuple(eps_avs), channels=channels, objective=objective, modality=modality, seed=seed
    )
    examples = list(measure(detector, clips, setting, bases=bases, progress=progress, cancel=cancel))
    return tabulate(examples, setting.channels, seed=seed)


def measure(
    detector,
    clips: Sequence[Clip],
    setting: Setting,
    *,
    bases: Sequence[str] | None = None,
    progress: Callable[[float, str], object] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Iterator[dict]:
    """One example for each clip, in their order, for whoever stores or resumes; arguments as :func:`survival`.

    Neighbours of equal length are attacked together; what a clip gets does not depend on that.

    Yields:
        ``clip``, ``base``, ``frames``; ``clean``: frames right by channel; ``attacked``: for each budget ``eps_av``,
        frames ``right`` by channel, and what is ``left`` of the perturbation, by channel and modality (0..1, None where
        it was not moved): its projection onto the perturbation that was sent.
    """
    bases = [clip.name for clip in clips] if bases is None else list(bases)
    if len(bases) != len(clips):
        raise ValueError(f"bases must be one for each of the {len(clips)} clips, got {len(bases)}")
    for clip in clips:
        if clip.labels is None:
            raise ValueError(f"{clip.name} has no labels: say which frames speak (Clip.labels, 1 speaking, 0 not)")
    tell, stopped = progress or (lambda share, text: None), cancel or (lambda: False)
    work = _Work(detector, setting, stopped)
    for numbers in _batches(clips):

        def told(share: float, text: str, numbers=numbers) -> None:
            tell(
                (numbers[0] + share * len(numbers)) / len(clips), f"clips {numbers[0] + 1} to {numbers[-1] + 1}, {text}"
            )

        together = [clips[number] for number in numbers]
        found = work.examples(together, [bases[number] for number in numbers], setting.seed + numbers[0], told)
        if found is None:
            return
        yield from found
    tell(1.0, "done")


def _batches(clips: Sequence[Clip]) -> Iterator[list[int]]:
    """Numbers of neighbours of one length, no more than BATCH of them at once."""
    for _, run in groupby(range(len(clips)), key=lambda number: clips[number].frames):
        numbers = list(run)
        yield from (numbers[first : first + BATCH] for first in range(0, len(numbers), BATCH))


class _Work:
    """A detector, and what is done to clips of one length on it."""

    def __init__(self, detector, setting: Setting, stopped: Callable[[], bool]):
        self.detector, self.setting, self.stopped = detector, setting, stopped
        self.model, self.device = attack_copy(detector), device_of(detector)

    def examples(self, clips: list[Clip], bases: list[str], seed: int, tell: Callable) -> list[dict] | None:
        """See :func:`measure`; None if it was stopped."""
        tell(0.0, "clean")
        sent = [self._sent(clip) for clip in clips]
        found = [
            {"clip": clip.name, "base": base, "frames": clip.frames, "clean": self._right(versions), "attacked": []}
            for clip, base, versions in zip(clips, bases, sent, strict=True)
        ]
        for number, eps_av in enumerate(self.setting.eps_avs):
            tell(number / len(self.setting.eps_avs), f"eps_av {eps_av:g}")
            result = self._attacked(clips, eps_av, seed)
            if self.stopped():
                return None
            for row, (clip, clean, example) in enumerate(zip(clips, sent, found, strict=True)):
                attacked = clip.with_inputs({name: x[row : row + 1] for name, x in result.adversarial.items()})
                versions = self._sent(attacked)
                left = {c.name: _left(clean, versions, c) for c in self.setting.channels}
                example["attacked"].append({"eps_av": eps_av, "right": self._right(versions), "left": left})
        return found

    def _sent(self, clip: Clip) -> dict[str, Clip]:
        return {FLOAT: clip} | {channel.name: channel(clip) for channel in self.setting.channels}

    @torch.no_grad()
    def _right(self, versions: dict[str, Clip]) -> dict[str, int]:
        """Frames decided as labelled, for each version of one clip."""
        right, names = {}, list(versions)
        for first in range(0, len(names), BATCH):
            some = names[first : first + BATCH]
            parts = [versions[name].inputs(self.device) for name in some]
            margin = self.detector({key: torch.cat([part[key] for part in parts]) for key in parts[0]}).margin
            for name, decided in zip(some, (margin > 0).cpu().numpy(), strict=True):
                right[name] = int((decided == (versions[name].labels == 1)).sum())
        return right

    def _attacked(self, clips: list[Clip], eps_av: float, seed: int) -> AttackResult:
        parts = [clip.inputs(self.device) for clip in clips]
        inputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        labels = torch.cat([clip.targets(self.device) for clip in clips])
        objective = self.setting.objective
        if objective is None:
            with torch.no_grad():
                objective = default_objective(self.detector(parts[0]))

        def on_step(step: Step) -> bool:
            return not self.stopped()

        return self.setting.attack.run(
            self.model,
            inputs,
            labels,
            budgets=paper_budget(eps_av, self.setting.modality),
            objective=objective,
            seed=seed,
            on_step=on_step,
        )


def _left(clean: dict[str, Clip], attacked: dict[str, Clip], channel: Channel) -> dict[str, float | None]:
    """Per modality, <d', d> / <d, d> of the perturbation d that was sent and d' that came back."""

    def difference(name: str) -> dict[str, np.ndarray]:
        before, after = clean[name], attacked[name]
        if name != FLOAT and channel.late:
            before, after = delay(before, -channel.late), delay(after, -channel.late)
        return {
            "audio": after.audio.astype(np.float64) - before.audio,
            "video": after.video.astype(np.float64) - before.video,
        }

    sent, back = difference(FLOAT), difference(channel.name)
    found = {}
    for name, delta in sent.items():
        size = float((delta**2).sum())
        found[name] = float((delta * back[name]).sum()) / size if size else None
    return found


def tabulate(examples: Iterable[dict], channels: Sequence[Channel] | None = None, *, seed: int = 0) -> list[dict]:
    """Examples of :func:`measure` as a row for every budget and channel, "float" (no channel) first.

    A row has ``eps_av``, ``channel``, ``title``, ``group``, ``clips``, ``bases``, ``frames``, and as {"value", "low",
    "high", "clusters"}, see ``pushpull.evaluation.statistics``:

    * ``clean``, ``attacked``: share of frames right, of the clean and of the attacked clip through the channel;
    * ``harm``: their difference, what the attack alone costs there;
    * ``survives``: that harm divided by the harm in floating point;
    * ``left_audio``, ``left_video``: mean of what is left of the perturbation.

    Intervals are bootstraps over base clips, paired; None where there are fewer than two, or nothing to measure.

    Args:
        examples: of one setting.
        channels: for titles and groups; None is all.
        seed: of the bootstrap.
    """
    examples = list(examples)
    if not examples:
        return []
    known = {channel.name: channel for channel in (get_channels() if channels is None else channels)}
    clusters = Clusters([example["base"] for example in examples], seed=seed)
    frames = np.array([example["frames"] for example in examples], dtype=float)
    rows = []
    for number, budget in enumerate(examples[0]["attacked"]):
        parts = [example["attacked"][number] for example in examples]
        for name in budget["right"]:
            clean, before = (np.array([e["clean"][c] for e in examples], dtype=float) for c in (name, FLOAT))
            attacked, bare = (np.array([part["right"][c] for part in parts], dtype=float) for c in (name, FLOAT))
            channel = known.get(name)
            row = {
                "eps_av": budget["eps_av"],
                "channel": name,
                "title": "floating point, as attacked" if channel is None else channel.title,
                "group": "" if channel is None else channel.group,
                "clips": len(examples),
                "bases": clusters.count,
                "frames": int(frames.sum()),
                "clean": _share(clusters, clean, frames),
                "attacked": _share(clusters, attacked, frames),
                "harm": _share(clusters, clean - attacked, frames),
                "survives": _share(clusters, clean - attacked, before - bare),
            }
            for modality in ("audio", "video"):
                left = [None if channel is None else part["left"][name][modality] for part in parts]
                there = np.array([value is not None for value in left], dtype=float)
                row[f"left_{modality}"] = _share(clusters, np.array([value or 0.0 for value in left]), there)
            rows.append(row)
    return rows


def _share(clusters: Clusters, top: np.ndarray, bottom: np.ndarray) -> dict:
    """sum(top) / sum(bottom) with its interval, where the latter is above 0: attacks may do no harm to divide by."""
    each = np.ones(clusters.examples)
    (upper, uppers), (lower, lowers) = clusters.ratio(top, each), clusters.ratio(bottom, each)
    replicates = np.where(lowers > 0, uppers / np.where(lowers > 0, lowers, 1), np.nan)
    return clusters.interval(replicates, upper / lower if lower > 0 else np.nan).to_dict()
