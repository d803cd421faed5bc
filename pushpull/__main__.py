"""The console command: ``pushpull COMMAND`` is ``python -m pushpull.COMMAND``, and says what there is.

pushpull perturb clip.mp4 --eps-av 5
pushpull train --data FOLDER --out runs/mine
"""

import runpy
import sys

# Command, the module that is it, and what it does.
COMMANDS = {
    "perturb": ("pushpull.perturb", "attack one face of a video and write what came of it"),
    "universal": ("pushpull.universal", "fit one noise for every clip, and try it on clips it has never seen"),
    "evaluate": ("pushpull.evaluate", "the paper's tables and figures: many clips, many detectors, with intervals"),
    "audit": ("pushpull.audit", "whether a detector's robust figures are robustness or bad gradients"),
    "train": ("pushpull.train", "train a detector, or measure one on held-out footage"),
    "detectors": ("pushpull.detectors", "list detectors, and fetch published ones"),
    "heads": ("pushpull.data.talkheads", "make talking-head clips that belong to nobody"),
    "ava": ("pushpull.data.ava", "prepare, check and score AVA-ActiveSpeaker"),
    "average": ("pushpull.training.average", "weights between a checkpoint and what training made of it"),
    "zoo": ("pushpull.training.zoo", "train every row of the paper's Table 1"),
    "xab": ("xab", "listening-and-viewing studies"),
}


def usage() -> str:
    lines = "\n".join(f"  {name:10} {what}" for name, (_, what) in COMMANDS.items())
    return f"usage: pushpull COMMAND [options]\n\n{lines}\n\npushpull COMMAND --help says what each one takes."


def main(arguments: list[str] | None = None) -> int:
    """Run a command as if its module had been; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, *rest = arguments
    if name == "--version":
        from pushpull import __version__

        print(f"pushpull {__version__}")
        return 0
    if name not in COMMANDS:
        print(f"pushpull: there is no command {name!r}\n{usage()}", file=sys.stderr)
        return 2
    sys.argv = [f"pushpull {name}", *rest]
    try:
        runpy.run_module(COMMANDS[name][0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
