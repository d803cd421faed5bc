"""AVA-ActiveSpeaker from the command line.

python -m pushpull.data.ava prepare --csv FOLDER --videos FOLDER --out ROOT --split train
python -m pushpull.data.ava check ROOT
python -m pushpull.data.ava score ROOT CHECKPOINT --out val_res.csv
"""

import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from pushpull.config import Parser
from pushpull.data.ava.check import check
from pushpull.data.ava.layout import SPLITS, Layout, read_loader
from pushpull.data.ava.pool import read_ava
from pushpull.data.ava.predictions import predict, write_predictions
from pushpull.data.ava.prepare import prepare
from pushpull.detectors import device_of, open_detector, undecided
from pushpull.files import check_file, check_free
from pushpull.metrics import average_precision, prevalence

SHOWN = 20  # problems of a split; of a tree that is quite wrong there are thousands


def main(arguments=None) -> int:
    """Parse and run; 0 if all went well, 1 if ``check`` found problems, 130 after Ctrl-C."""
    parser = Parser(prog="python -m pushpull.data.ava", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("prepare", help="cut the tracks out of the films and write the loader CSV, resumably")
    command.add_argument("--csv", type=Path, required=True, help="folder of one split's official CSVs")
    command.add_argument("--videos", type=Path, required=True, help="folder of the films, with its sub-folders")
    command.add_argument("--out", type=Path, required=True, help="the tree; the same for both splits")
    command.add_argument("--split", choices=SPLITS, required=True, help="which of AVA's splits the CSVs are")
    command.add_argument("--workers", type=int, default=1, help="films at a time, a process each; default %(default)s")
    command = commands.add_parser("check", help="say what is there, and what is missing or wrong")
    command.add_argument("root", type=Path, help="the tree")
    command = commands.add_parser("score", help="AVA's mAP of a detector, and the file for the official tool")
    command.add_argument("root", type=Path, help="the tree")
    command.add_argument("checkpoint", help="name or file of any detector")
    command.add_argument("--out", type=Path, default=Path("val_res.csv"), help="the scores; default %(default)s")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; default %(default)s")
    command.add_argument("--overwrite", action="store_true", help="replace scores that are there")
    command.add_argument("--header", action="store_true", help="write a header; the official tool wants none")
    given = parser.parse_args(arguments)
    try:
        return {"prepare": _prepare, "check": _check, "score": _score}[given.command](given)
    except KeyboardInterrupt:
        goes_on = given.command == "prepare"  # the others begin anew
        print("stopped" + ("; the same command goes on where it stopped" if goes_on else ""), file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        parser.error(str(error))


def _prepare(given):
    if given.workers < 1:
        raise ValueError(f"workers must be at least 1, got {given.workers}")
    tracks, left_out = prepare(
        given.csv,
        given.videos,
        given.out,
        split=given.split,
        workers=given.workers,
        progress=partial(tqdm, unit="film", desc=given.split),
    )
    for what, why in sorted(left_out.items()):
        print(f"left out {what}: {why}")
    print(f"wrote {given.out / 'csv' / f'{given.split}_loader.csv'}: {len(tracks)} tracks, {len(left_out)} left out")
    return 0


def _check(given):
    found = check(given.root, progress=partial(tqdm, unit="track"))
    for split, report in found.items():
        print(
            f"{split:>6}: {report.films} films, {report.tracks} tracks, {report.pictures} pictures, "
            f"{report.hours:.2f} h, {100 * report.speaking:.1f} % speaking"
        )
        for problem in report.problems[:SHOWN]:
            print(f"        {problem}")
        if len(report.problems) > SHOWN:
            print(f"        and {len(report.problems) - SHOWN} more")
    return int(any(report.problems for report in found.values()))


def _score(given):
    check_file(given.out)
    check_free([given.out], overwrite=given.overwrite)
    model = undecided(open_detector(given.checkpoint, given.device))  # ranks are all that counts
    pool, promised = read_ava(given.root)["test"], read_loader(Layout(given.root).loader("val"))
    if len(pool) < len(promised):
        raise ValueError(
            f"the figure is of all tracks, but {len(promised) - len(pool)} lack media: see the command check"
        )
    scores = predict(model, pool, device=device_of(model), progress=partial(tqdm, unit="track"))
    scores, labels = write_predictions(given.root, "val", scores, given.out, header=given.header)
    print(f"wrote {given.out}: {len(labels)} rows, {100 * prevalence(labels):.2f} % speaking (the floor)")
    print(f"AVA mAP {100 * average_precision(scores, labels):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
