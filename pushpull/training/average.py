"""Average a checkpoint with what further training made of it: keep what it knew, and most of what it learned.

    python -m pushpull.train --config checkpoints/late.json --data ... --start talknet-lite-a --out runs/late
    python -m pushpull.training.average talknet-lite-a runs/late/talknet-lite.safetensors --data ... --out runs/mine

Weights between two ends of one fine-tuning give a network that often beats both, on what the first was trained for and
on what the second was (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"; "WiSE-FT"). Normalisation is
estimated anew for them, and the result is measured and attacked on held-out clips as any row of the zoo is.
"""

import argparse
import copy
import sys
from dataclasses import replace
from pathlib import Path

import torch

from pushpull.config import Parser
from pushpull.data.talkset import cores
from pushpull.detectors import CheckpointError, TalkNet
from pushpull.detectors.checkpoint import weights_file
from pushpull.files import check_file, check_free
from pushpull.training.figures import attack_and_tell, held_out_text, read_clips, settled, write_measured
from pushpull.training.networks import Network, architecture_of, described, load_network
from pushpull.training.options import TrainOptions
from pushpull.training.stopping import end_politely

# What the card of an average takes over from the card of its second end.
TOLD = ("training", "clips", "credit", "crop", "crops", "trained_on", "licence", "started_from", "begun_with")


def average(before: Network, after: Network, weight: float) -> Network:
    """A network with the weights (1 - ``weight``) ``before`` + ``weight`` ``after``, running statistics included.

    Raises:
        ValueError: ``weight`` is not within 0 and 1.
        CheckpointError: the two are of different architectures, variants or sizes.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"the weight of the second checkpoint lies within 0 and 1, got {weight}")
    configurations = [each.config if isinstance(each, TalkNet) else architecture_of(each) for each in (before, after)]
    if configurations[0] != configurations[1]:
        raise CheckpointError(
            f"a {described(before)} and a {described(after)} have no average: give a checkpoint and one whose training "
            "began with it"
        )
    mixed, first, second = copy.deepcopy(after), before.state_dict(), after.state_dict()
    mixed.load_state_dict(
        {name: torch.lerp(first[name], x, weight) if x.is_floating_point() else x for name, x in second.items()}
    )
    return mixed.eval()


def main(arguments=None) -> int:
    parser = Parser(
        prog="python -m pushpull.training.average",
        description="Average a checkpoint with what further training made of it, measure and attack the result.",
    )
    parser.add_argument("before", help="name or path of the checkpoint that the training began with")
    parser.add_argument("after", help="name or path of what came of it; its card says on what it was trained")
    parser.add_argument("--weight", type=float, default=0.6, help="of the second one, within 0 and 1 (%(default)s)")
    parser.add_argument("--data", required=True, help="the sources that it was trained on, as for pushpull.train")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint to write, with or without .safetensors")
    parser.add_argument("--title", default="", help="what the demo's list calls it")
    parser.add_argument("--summary", default="", help="a sentence for its card")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (as torch chooses)")
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that is there")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    given = parser.parse_args(arguments)
    end_politely()
    try:
        path = averaged(given)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"wrote {path}")
    print(held_out_text(load_network(path, "cpu").card["heldout"]))
    return 0


def averaged(given: argparse.Namespace) -> Path:
    """What the command does; the path of the weights."""
    check_file(given.out)
    check_free([weights_file(given.out)], overwrite=given.overwrite)
    before, after = load_network(given.before, given.device), load_network(given.after, given.device)
    mixed = average(before, after, given.weight)
    if "training" not in after.card:
        raise ValueError(f"{given.after} was not trained by pushpull.train: its card does not say how to split footage")
    if given.threads:
        torch.set_num_threads(given.threads)
    local = {"data": given.data, "device": given.device, "threads": given.threads}
    options = TrainOptions.of_card(after.card["training"], **local)
    splits = read_clips(options, not given.quiet, cores())
    # Both ends assume their prior already, and so does their average.
    mixed = settled(replace(options, prior=0.0), mixed, splits["train"])
    card = {
        "title": given.title,
        "summary": given.summary,
        "row": "",
        "averaged": [
            {"name": model.card["name"], "sha256": model.card["sha256"], "weight": weight}
            for model, weight in ((before, 1 - given.weight), (after, given.weight))
        ],
        **{key: after.card[key] for key in TOLD if key in after.card},
    }
    path, _ = write_measured(given.out, mixed, card, options, splits, not given.quiet)
    attack_and_tell(path, options, splits["test"], progress=not given.quiet)
    return path


if __name__ == "__main__":
    sys.exit(main())
