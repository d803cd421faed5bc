"""How well a trained model holds against the paper's attacks, for its card: evaluation's figures, on few examples."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from pushpull.attacks import BIM
from pushpull.clip import Clip
from pushpull.data.sources import Corpus
from pushpull.detectors import Detector
from pushpull.detectors.points import OWN
from pushpull.evaluation.card_figures import card_form
from pushpull.evaluation.crafting import Condition, Evaluator
from pushpull.evaluation.examples import SetOptions, make_examples
from pushpull.evaluation.subjects import Subject
from pushpull.evaluation.summary import Subset, summarise, worst_of
from pushpull.training.adversarial import ADVERSARIAL, paper_attack
from pushpull.training.networks import TALKNET


@dataclass(frozen=True, kw_only=True)
class RobustOptions:
    """What is attacked, and how.

    Args:
        clips: held-out examples in all, as many of each source, half of them speaking.
        frames: of each, 25 a second; shorter clips are left out.
        eps_av: budget; audio moves by up to 1e-4 eps_av of full scale, video by 0.1 eps_av grey levels.
        steps: gradient steps of every attack.
        restarts: random starts of PGD.
        objective: what the attacker maximises, see pushpull.attacks.objectives.
        seed: of examples and random starts.
    """

    clips: int = 100
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
    model: Detector,
    pool: Corpus,
    options: RobustOptions = RobustOptions(),
    *,
    progress: Callable = lambda attacks, **_: attacks,
) -> dict:
    """Attack held-out examples of every source with BIM, MIM and PGD, white-box, both modalities.

    All frames count, also those that the model takes wrongly unattacked (the paper leaves these out): compare with
    ``clean``. Numbers are of the adversarial column; none of half a grey level survives an 8-bit file. ``worst`` is the
    worst case per clip over the three and BIM with the margin objective.

    Args:
        pool: held-out clips, in sync.
        progress: wraps the list of attacks' names, as tqdm does.

    Returns:
        {"options", "set", "examples_set", "examples", "clean": {metric: value}, "bim": ..., "mim": ..., "pgd": ...,
        "worst": ...}; rates and average precisions in 0..1, see ``pushpull.metrics.METRICS``; "intervals" in each has
        (low, high) of 95 %.

    Raises:
        ValueError: no clip is long enough.
    """
    examples = make_examples(pool, _chosen(options))
    subject = Subject.of(model, point=OWN)
    evaluator, subset = Evaluator([subject], examples), Subset.of(examples, seed=options.seed)
    common = {"source": subject.name, "eps_av": options.eps_av, "seed": options.seed}
    records = {}
    for name in progress([*ADVERSARIAL, "margin"], unit="attack", desc="attacked"):
        if name == "margin":
            condition = Condition(attack=BIM(steps=options.steps), objective="margin", **common)
        else:
            attack = paper_attack(name, steps=options.steps, restarts=options.restarts)
            condition = Condition(attack=attack, objective=options.objective, **common)
        records[name] = evaluator.run(condition)[subject.name]
    records["worst"] = worst_of([*records.values()])
    figures = {"options": asdict(options), "set": pool.fingerprint, "examples": len(examples)}
    figures["examples_set"] = evaluator.hashes[""]
    told = {name: summarise(subset, found) for name, found in records.items() if name != "margin"}
    return figures | card_form(told)


def robust_examples(pool: Corpus, options: RobustOptions) -> list[Clip]:
    """The examples that are attacked."""
    return [example.clip for example in make_examples(pool, _chosen(options))]


def _chosen(options: RobustOptions) -> SetOptions:
    """Any speech will do: footage to train on may hold little."""
    return SetOptions(examples=max(2, options.clips), frames=options.frames, seed=options.seed, speech=0.0)
