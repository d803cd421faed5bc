"""Choose the operating points of detectors on one set of footage, and say what they give there and elsewhere.

python -m pushpull.evaluate points --models lite,A --data talkset:strangers --out results/points
python -m pushpull.evaluate points --models lite --data talkset:strangers --elsewhere talkset:grid_s1 --out DIR --write

All of the footage in --data is used, of which no detector was trained on anything: a development set, since the points
fit it. Of --elsewhere it is the test split. --write puts the points into the cards beside the weights, and those of
published weights into pushpull/detectors/published_points.json. Stopped and started again, it goes on with the
detectors that are missing.
"""

import argparse
import re
import shlex
import sys
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from pushpull.config import Parser, parse_options
from pushpull.data.sources import Corpus, crops_of, read_sources
from pushpull.data.talkset import TalkSetOptions, cores
from pushpull.detectors import CheckpointError, card_of, open_detector, resolve_device
from pushpull.detectors.points import OWN
from pushpull.evaluation.finished import check_finished
from pushpull.evaluation.kind_scores import KindScores, score_kinds
from pushpull.evaluation.points import RULES
from pushpull.evaluation.points_cards import card_points, file_to_write, write_points
from pushpull.evaluation.points_output import document, write_results
from pushpull.evaluation.points_ranking import ranking
from pushpull.evaluation.points_rows import DEVELOPMENT, ELSEWHERE, Footage, rows_of
from pushpull.evaluation.subjects import Subject, without_rows
from pushpull.files import check_folder
from pushpull.runs.run import environment

NAME, TITLE = "points", "Operating points: where detectors are to decide"


@dataclass(frozen=True, kw_only=True)
class PointsOptions:
    """Which detectors, and on what.

    Args:
        models: names, paths or rows of Table 1 ("A", "D3"; the lite checkpoints), comma-separated.
        data: footage that the points are chosen on, as for training: talkset:FOLDER. All of it is used; of talking
            heads their test split.
        elsewhere: further sources, comma-separated, on whose test split the points are tried; "" for none.
        device: "auto", "cpu", "cuda" or "mps".
        seed: of what examples are made with, and of the bootstrap.
    """

    models: str = "talknet-lite"
    data: str = ""
    elsewhere: str = ""
    device: str = "auto"
    seed: int = 0

    def __post_init__(self):
        if not self.data:
            raise ValueError("say what to choose the points on: --data talkset:FOLDER")


class Places:
    """The footage by its role, cut as one detector after the other wants it.

    Args:
        options: whose data and elsewhere are read.
        progress: whether to show it.
    """

    def __init__(self, options: PointsOptions, progress: bool):
        self._options, self._progress = options, progress
        self._read: dict[tuple[str, str], dict[str, Corpus]] = {}

    def of(self, crop: str) -> list[Footage]:
        """Every source for detectors of a crop: those whose faces cannot be cut that way are left out.

        Raises:
            ValueError, FileNotFoundError: as ``read_sources``; or the data cannot be cut that way.
        """
        found = [
            Footage(name, DEVELOPMENT, pool)
            for name, pool in self._pools(self._options.data, crop, validation=0.0, test=1.0).items()
        ]
        if not found:
            raise ValueError(f"no face of {self._options.data} can be cut as {crop}: give footage, not talking heads")
        elsewhere = self._pools(self._options.elsewhere, crop) if self._options.elsewhere else {}
        return found + [Footage(name, ELSEWHERE, pool) for name, pool in elsewhere.items()]

    def _pools(self, text: str, crop: str, **splits) -> dict[str, Corpus]:
        if (text, crop) not in self._read:
            footage = TalkSetOptions(crop=crop, **splits)
            bar = partial(tqdm, unit="file", desc=f"faces, {crop}") if self._progress else None
            fits = {name for name, made in crops_of(text, footage).items() if made == crop}
            whole = read_sources(text, footage, workers=cores(), progress=bar)["test"] if fits else Corpus([])
            self._read[text, crop] = {name: pool for name, pool in whole.by_source().items() if name in fits}
        return self._read[text, crop]


def run_points(
    options: PointsOptions,
    out: Path,
    *,
    command: str,
    write: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> dict:
    """Choose the points of every detector, write the results into ``out`` and, if asked for, the cards.

    Args:
        command: what the results say that they were made by.
        write: whether to write the cards.
        overwrite: replace finished results of something else in ``out``.
        progress: show bars.

    Returns:
        What results.json holds.

    Raises:
        ValueError, CheckpointError, FileNotFoundError: detectors or footage do not fit, or ``out`` holds other results;
            the message says which.
    """
    check_folder(out)
    names = without_rows([name.strip() for name in options.models.split(",") if name.strip()])
    files = {name: file_to_write(name) for name in names} if write else {}
    told = asdict(replace(options, models=",".join(names)))
    device, places = resolve_device(options.device), Places(options, progress)
    detectors = [open_detector(name, device, OWN) for name in names]
    # What a .py file made has no file of weights, and is told by the weights themselves.
    cards = [replace(card_of(detector), sha256=Subject.of(detector).sha256) for detector in detectors]
    asked = {"study": NAME, "options": told, "models": [{"name": c.name, "sha256": c.sha256} for c in cards]}
    check_finished(out, asked, defaults=asdict(options), free=("models", "device"), overwrite=overwrite)
    rows, models, footage, ran, said = [], [], {}, {}, {}
    for name, detector, card in zip(names, detectors, cards, strict=True):
        scored = []
        for place in places.of(card.crop):
            facts = {"sha256": card.sha256, "set": place.pool.fingerprint, "seed": options.seed}
            facts |= {"clip_norm": card.clip_norm} if card.clip_norm else {}
            path = out / "records" / f"{card.name}-{place.role}-{re.sub('[:/]', '-', place.name)}.npz"
            scores = KindScores.read(path, facts)
            if scores is None:
                bar = partial(tqdm, unit="clip", desc=f"{card.name} on {place.name}", disable=not progress)
                scores = score_kinds(detector, place.pool, seed=options.seed, progress=bar)
                scores.save(path, facts)
            scored.append((place, scores))
            said.setdefault(place.name, {})[card.name] = scores
            footage[place.name, card.crop] = place.told(card.crop)
        found = rows_of(card, scored, options.seed)
        points = card_points(found, card, command=command)
        rows, ran = rows + found, environment(detector)
        models.append({"name": card.name, "sha256": card.sha256, "crop": card.crop, "operating_points": points})
        if write:
            write_points(files[name], points, sha256=card.sha256)
    told = {"command": command, "options": told, "environment": ran}
    ranked = [{"data": name, **row} for name, each in said.items() for row in ranking(each, options.seed)]
    found = document(TITLE, told, RULES, list(footage.values()), models, rows, ranked)
    write_results(out, found)
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = Parser(
        prog=f"python -m pushpull.evaluate {NAME}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--write", action="store_true", help="put the points into the detectors' cards")
    parser.add_argument("--overwrite", action="store_true", help="replace other results that are there")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options, given = parse_options(PointsOptions, arguments, parser)
    command = f"python -m pushpull.evaluate {NAME} {shlex.join(arguments)}"
    try:
        run_points(
            options,
            given.out,
            command=command,
            write=given.write,
            overwrite=given.overwrite,
            progress=not given.quiet,
        )
    except (ValueError, CheckpointError, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on where it stopped, in {given.out}", file=sys.stderr)
        return 130
    print((given.out / "results.md").read_text(encoding="utf-8"))
    return 0
