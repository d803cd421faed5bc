"""List the detectors that can be used here, and fetch published ones.

python -m pushpull.detectors                     list them
python -m pushpull.detectors fetch lr-asd-ava    download, check and convert one into the user's cache
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from pushpull.config import Parser
from pushpull.detectors.catalogue import COMMAND, PUBLISHED
from pushpull.detectors.checkpoint import CheckpointError
from pushpull.detectors.fetch import FetchError, fetch
from pushpull.detectors.load import list_detectors


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog=COMMAND, description="List detectors, and fetch published ones.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="all detectors that have a name here (what is done without a command)")
    fetching = commands.add_parser("fetch", help="download, check and convert published detectors")
    fetching.add_argument("names", nargs="+", metavar="NAME", help=f"of {', '.join(PUBLISHED)}")
    fetching.add_argument("--folder", type=Path, help="where to, instead of the user's cache")
    fetching.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    try:
        if options.command == "fetch":
            for name in options.names:
                print(_fetch(name, options.folder, options.quiet))
        else:
            print(table(list_detectors()), flush=True)
    except BrokenPipeError:  # whoever reads, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except (CheckpointError, FetchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def table(cards: list[dict]) -> str:
    """Cards as lines of text: name, architecture, size, crop, and where each one is."""
    lines = [f"{'name':22} {'architecture':12} {'MB':>5}  {'crop':12} where"]
    for card in cards:
        where = f"to be fetched: {COMMAND} fetch {card['name']}" if card["where"] == "published" else card["where"]
        architecture, crop = (card.get(fact) or "-" for fact in ("architecture", "crop"))
        lines.append(f"{card['name']:22} {architecture:12} {card['bytes'] / 1e6:5.1f}  {crop:12} {where}")
    return "\n".join(lines)


def _fetch(name: str, folder: Path | None, quiet: bool) -> Path:
    with tqdm(unit="B", unit_scale=True, desc=name, disable=True if quiet else None) as bar:

        def progress(so_far: int, total: int) -> None:
            bar.total = total
            bar.update(so_far - bar.n)

        return fetch(name, folder=folder, progress=progress)


if __name__ == "__main__":
    sys.exit(main())
