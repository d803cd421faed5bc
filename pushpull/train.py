"""The command that trains a detector, or measures one on held-out footage.

python -m pushpull.train --data SOURCE --out runs/lite                       train; the same command goes on
python -m pushpull.train --data SOURCE --row E2 --out runs/e2                a row of the paper's Table 1
python -m pushpull.train --data SOURCE --evaluate checkpoints/X.safetensors  held-out figures, type by type
python -m pushpull.train --data SOURCE --evaluate X.safetensors --unseen     of people it was not trained on
torchrun --nproc_per_node=4 -m pushpull.train --accumulate 4 ...             on four GPUs
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from pushpull.config import Parser, parse_options
from pushpull.data.parallel import leads
from pushpull.data.talkset import cores
from pushpull.training.figures import check_card, held_out_text, measure_unseen, repeat_held_out, tell_unseen
from pushpull.training.options import TrainOptions
from pushpull.training.rows import complete
from pushpull.training.stopping import end_politely
from pushpull.training.trainer import train


def build_parser() -> Parser:
    """The flags that are not options of a run."""
    parser = Parser(
        prog="python -m pushpull.train",
        usage="%(prog)s --data SOURCE [--out FOLDER] [options]\n       %(prog)s --data SOURCE --evaluate CHECKPOINT",
        description="Train an active speaker detector on talking-face footage or talking heads, or go on with it.",
        epilog="In square brackets: what an option is when it is not given.",
        formatter_class=partial(argparse.HelpFormatter, max_help_position=34),
    )
    parser.add_argument("--out", type=Path, default=Path("runs/train"), help="folder of the run [%(default)s]")
    parser.add_argument("--quiet", action="store_true", help="no progress bars; --evaluate prints JSON")
    parser.add_argument("--tensorboard", action="store_true", help="also write scalars for TensorBoard")
    parser.add_argument("--attack", action="store_true", help="then attack it on held-out clips, for its card")
    parser.add_argument("--evaluate", metavar="CHECKPOINT", help="measure a checkpoint on the held-out test split")
    parser.add_argument(
        "--unseen", action="store_true", help="with --evaluate: it was trained on none of this footage; measure on all"
    )
    parser.add_argument("--card", action="store_true", help="with --unseen: put the figures into the checkpoint's card")
    return parser


def run(options: TrainOptions, given: argparse.Namespace) -> str:
    """Train or measure; what to print."""
    progress = not given.quiet
    if given.evaluate:
        if given.card:
            check_card(given.evaluate)
        measure = measure_unseen if given.unseen else repeat_held_out
        figures = measure(given.evaluate, options, progress, cores())
        if given.card:
            tell_unseen(given.evaluate, figures)
        return json.dumps(figures, indent=2) if given.quiet else held_out_text(figures)
    path = train(
        options, given.out, progress=progress, croppers=cores(), tensorboard=given.tensorboard, attack=given.attack
    )
    if not leads():  # the first process tells
        return ""
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return f"wrote {path}\n{held_out_text(card['heldout'])}"


def main(arguments=None) -> int:
    parser = build_parser()
    options, given = parse_options(TrainOptions, arguments, parser, complete=complete)
    if given.unseen and not given.evaluate:
        parser.error("--unseen goes with --evaluate CHECKPOINT")
    if given.card and not given.unseen:
        parser.error("--card goes with --evaluate CHECKPOINT --unseen")
    end_politely()
    try:
        told = run(options, given)
    except KeyboardInterrupt:
        print("stopped" + ("" if given.evaluate else "; the same command goes on where it stopped"), file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        parser.error(str(error))
    if told:
        print(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
