"""Audit detectors: attacks of many kinds, and whether a good figure comes from robustness or from bad gradients.

python -m pushpull.audit lite --data talkset:grid_s1 --out results/audit           one detector
python -m pushpull.audit D3 E3 --reference A --data talkset:grid_s1 --out DIR      several, each in a folder of its own
python -m pushpull.audit lite --data talkset:grid_s1 --quick --out DIR             a first look, in minutes

Stopped and started again with the same command, it goes on where it stopped.
"""

import argparse
import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

from pushpull.config import Parser, parse_options
from pushpull.detectors import CheckpointError
from pushpull.detectors.points import OWN, check_point
from pushpull.evaluation.audit import Audit, AuditOptions, asked, audit
from pushpull.evaluation.audit_page import write_audit
from pushpull.evaluation.command import load_subjects
from pushpull.evaluation.crafting import BATCH
from pushpull.evaluation.data import Cuts, held_out_examples
from pushpull.evaluation.examples import SetOptions
from pushpull.evaluation.finished import check_audit
from pushpull.evaluation.subjects import Subject
from pushpull.files import check_folder
from pushpull.media import MediaError

SET = {"examples": 150}  # two of a base clip: of fewer than checks.ENOUGH no detector can have all answers surely yes
QUICK = {"set": {"examples": 12, "frames": 25}, "attacks": asdict(AuditOptions.quick())}


@dataclass(frozen=True, kw_only=True)
class AuditCommandOptions:
    """What is audited, and on what.

    Args:
        data: held-out clips, as for training: talkset:FOLDER,talkheads:FOLDER.
        reference: an undefended detector whose perturbations are tried on the others; "" leaves that out.
        batch: clips attacked together.
        device: "auto", "cpu", "cuda" or "mps".
        point: where the audited detectors decide: "own", their own threshold (log-odds 0), or an operating point of
            their cards, "speaking" or "strict_sync".
        set: which examples.
        attacks: how hard it tries.
    """

    data: str = ""
    reference: str = "A"
    batch: int = BATCH
    device: str = "auto"
    point: str = OWN
    set: SetOptions = field(default_factory=lambda: SetOptions(**SET))
    attacks: AuditOptions = field(default_factory=AuditOptions)

    def __post_init__(self):
        if not self.data:
            raise ValueError("say what to attack: --data talkset:FOLDER, held-out clips with labels")
        check_point(self.point)


def _reference(options: AuditCommandOptions) -> Subject | None:
    if not options.reference:
        return None
    try:
        return load_subjects([options.reference], options.device)[0]
    except CheckpointError as error:
        raise CheckpointError(f"the reference: {error}; name another, or leave it out with --reference=") from error


def audit_one(
    subject: Subject,
    cuts: Cuts,
    options: AuditCommandOptions,
    out: Path,
    *,
    command: str,
    progress: bool = False,
    overwrite: bool = False,
) -> Audit:
    """Audit one detector and write audit.json, audit.html and its records into ``out``.

    Args:
        overwrite: whether a finished audit of something else that lies there may be replaced.

    Raises:
        ValueError: it may not; or as :func:`audit`.
    """
    check_folder(out)
    examples = cuts.get(subject.crop) or next(iter(cuts.values()))
    reference = _reference(options)
    check_audit(out, asked(subject, examples, options.attacks, reference), overwrite=overwrite)
    bar = tqdm(unit="attack", disable=not progress, desc=subject.name)

    def on_trial(name: str, done: int, total: int) -> None:
        bar.total = total
        bar.n = done
        bar.set_postfix_str(name)

    with bar:
        found = audit(
            subject,
            examples,
            options.attacks,
            reference=reference,
            folder=out / "records",
            batch=options.batch,
            on_trial=on_trial,
        )
    write_audit(out, found, command)
    return found


def _usual(given: argparse.Namespace) -> dict:
    """What holds where nothing else is given."""
    return QUICK if given.quick else {"set": SET}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = Parser(
        prog="python -m pushpull.audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="names, paths, or rows of Table 1 (A, D3)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; several get one each in it")
    parser.add_argument(
        "--quick", action="store_true", help="12 examples of a second and short attacks, unless given: minutes"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished audit of something else")
    options, given = parse_options(AuditCommandOptions, arguments, parser, beneath=_usual)
    command = f"python -m pushpull.audit {shlex.join(arguments)}"
    try:
        subjects = load_subjects(given.models, options.device, options.point)
        cuts = held_out_examples(options.data, options.set, [subject.crop for subject in subjects])
        for subject in subjects:
            folder = given.out / subject.name if len(subjects) > 1 else given.out
            found = audit_one(
                subject, cuts, options, folder, command=command, progress=not given.quiet, overwrite=given.overwrite
            )
            print(f"{subject.name}: {found.verdict}; {folder / 'audit.html'}")
            print(
                f"  frames right: clean {found.clean:.1f} %, under the paper's attacks {found.paper_style:.1f} %, "
                f"worst of all {found.worst:.1f} %, constant answer {found.constant:.1f} %"
            )
            for flag in found.flags:
                if flag.passed is False:
                    bounds = "" if flag.low is None else f" [{flag.low:.3g}, {flag.high:.3g}]"
                    told = f"{flag.number:.3g}{bounds} {flag.unit}, limit {flag.limit:g}"
                    print(f"  {'not so' if flag.sure else 'perhaps not so'}: {flag.title} ({told})")
    except (ValueError, CheckpointError, MediaError, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on where it stopped, in {given.out}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
