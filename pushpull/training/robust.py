"""How well a trained model holds against the paper's attacks, for its card: a look, not the paper's evaluation."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from pushpull.attacks import paper_budget
from pushpull.clip import Clip
from pushpull.data.mix import NoStillLips, make_example, other_clip
from pushpull.data.sources import Corpus
from pushpull.detectors import Outputs, attack_copy
from pushpull.metrics import tabulate
from pushpull.training.adversarial import ADVERSARIAL, paper_attack
from pushpull.training.networks import TALKNET, Network

ASKED = ("in_sync", "swapped", "in_sync", "still", "in_sync", "noise")  # types of the examples, in turn
AT_ONCE = 8  # clips attacked together
REPORTED = (
    "average_precision",
    "prevalence",
    "frame_accuracy",
    "robust_accuracy",
    "success_rate",
    "ecr_a",
    "ecr_v",
    "snr_audio_db",
    "psnr_db",
)


@dataclass(frozen=True, kw_only=True)
class RobustOptions:
    """What is attacked, and how.

    Args:
        clips: held-out examples in all, as many of each source.
        frames: of each, 25 a second; shorter clips are left out.
        eps_av: budget; audio moves by up to 1e-4 eps_av of full scale, video by 0.1 eps_av grey levels.
        steps: gradient steps of every attack.
        restarts: random starts of PGD.
        objective: what the attacker maximises, see pushpull.attacks.objectives.
        seed: of examples and random starts.
    """

    clips: int = 16
    frames: int = 50
    eps_av: float = 5.0
    steps: int = 10
    restarts: int = 3
    objective: str = "training_aware"
    seed: int = 0

    def __post_init__(self):
        if min(self.clips, self.frames, self.steps, self.restarts) < 1 or self.eps_av < 0:
            raise ValueError("clips, frames, steps and restarts are at least 1, eps_av at least 0")

    def suited_to(self, architecture: str) -> "RobustOptions":
        """The same with an objective that the architecture allows: the training-aware one needs TalkNet's heads."""
        if architecture == TALKNET or self.objective != "training_aware":
            return self
        return replace(self, objective="inference_aware")


def robust_figures(
    model: Network,
    pool: Corpus,
    options: RobustOptions = RobustOptions(),
    *,
    progress: Callable = lambda attacks, **_: attacks,
) -> dict:
    """Attack held-out examples of every source with BIM, MIM and PGD, white-box, both modalities.

    All frames count, also those that the model takes wrongly unattacked (the paper leaves these out): compare with
    ``clean``. Numbers are of the adversarial column; none of half a grey level survives an 8-bit file.

    Args:
        pool: held-out clips, in sync.
        progress: wraps the list of attacks' names, as tqdm does.

    Returns:
        {"options", "set", "examples", "clean": {metric: value}, "bim": ..., "mim": ..., "pgd": ...}; rates and
        average precisions in 0..1, see ``pushpull.metrics.METRICS``.

    Raises:
        ValueError: no clip is long enough.
    """
    examples = robust_examples(pool, options)
    device = next(model.parameters()).device
    labels = torch.from_numpy(np.stack([example.labels for example in examples])).to(device)
    clean = {
        "audio": torch.from_numpy(np.stack([example.audio for example in examples])).to(device),
        "video": torch.from_numpy(np.stack([example.video for example in examples])).float().to(device),
    }
    victim, before = attack_copy(model), _outputs(model, clean)
    figures = {"options": asdict(options), "set": pool.fingerprint, "examples": len(examples)}
    figures["clean"] = _reported(tabulate({"clean": before}, {"clean": clean}, labels)["clean"])
    for name in progress(ADVERSARIAL, unit="attack", desc="attacked"):
        attack = paper_attack(name, steps=options.steps, restarts=options.restarts)
        adversarial, flipped = [], []
        for start in range(0, len(examples), AT_ONCE):
            part = {key: values[start : start + AT_ONCE] for key, values in clean.items()}
            found = attack.run(
                victim,
                part,
                labels[start : start + AT_ONCE],
                budgets=paper_budget(options.eps_av),
                objective=options.objective,
                seed=options.seed + start,
            )
            adversarial.append(found.adversarial)
            flipped.append(found.flipped_ever)
        moved = {key: torch.cat([part[key] for part in adversarial]) for key in clean}
        report = tabulate(
            {"clean": before, "adversarial": _outputs(model, moved)},
            {"clean": clean, "adversarial": moved},
            labels,
            flipped_ever=torch.cat(flipped),
        )
        figures[name] = _reported(report["adversarial"])
    return figures


def robust_examples(pool: Corpus, options: RobustOptions) -> list[Clip]:
    """The examples that are attacked: of every source as many, half of them in sync."""
    sources = [part for part in pool.by_source().values() if len(part) > 1]
    found = []
    for part in sources:
        long = [index for index in range(len(part)) if part[index].frames >= options.frames]
        share = -(-options.clips // len(sources))
        for number in range(min(share, len(long))):
            index, kind = long[number], ASKED[number % len(ASKED)]
            rng = np.random.default_rng([options.seed, index, crc32(kind.encode())])
            clip = part[index]
            start = (clip.frames - options.frames) // 2
            neighbour = lambda part=part, index=index, rng=rng: other_clip(part, index, rng)  # noqa: E731
            try:
                found.append(make_example(kind, clip, neighbour, rng, start=start, frames=options.frames))
            except NoStillLips:
                continue
    if not found:
        raise ValueError(f"no held-out clip has the {options.frames} frames that are to be attacked")
    return found


@torch.no_grad()
def _outputs(model: Network, inputs: dict[str, Tensor]) -> Outputs:
    parts = [
        model({key: values[start : start + AT_ONCE] for key, values in inputs.items()})
        for start in range(0, len(inputs["audio"]), AT_ONCE)
    ]
    return Outputs.cat(parts)


def _reported(column: dict) -> dict:
    return {name: column[name] for name in REPORTED}
