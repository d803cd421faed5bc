"""Frozen dataclasses as command-line flags and JSON files; whatever is unknown raises."""

import argparse
import inspect
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TypeVar

from pushpull.files import read_text

T = TypeVar("T")
MODULE = "python -m "  # how a module that is run as a command calls itself


class Parser(argparse.ArgumentParser):
    """argparse's, but flags are written out: an abbreviated one is refused, for its commands as well.

    By half of a name a later version's flag would be meant, or another than was thought of. A command calls itself by
    what was typed: ``pushpull perturb``, where that was it, in place of ``python -m pushpull.perturb``.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{"allow_abbrev": False} | kwargs)
        if self.prog.startswith(MODULE) and (typed := _typed()):
            _module, *command = self.prog.removeprefix(MODULE).split()
            self.prog = " ".join([typed, *command])


def _typed() -> str | None:
    """``pushpull NAME`` where the console command was typed so; ``sys.argv`` no longer tells once a module runs."""
    match sys.orig_argv:
        case [_, "-m", "pushpull", name, *_]:
            return f"pushpull {name}"
        case [_, program, name, *_] if Path(program).stem == "pushpull":
            return f"pushpull {name}"
    return None


def from_dict(cls: type[T], values: dict, *, where: str = "") -> T:
    """An options object from plain values, nested ones as nested dicts; what is not given keeps its default.

    Raises:
        ValueError: an unknown key, or a value of the wrong type; the message names it by its dotted path.
    """
    if not isinstance(values, dict):
        raise ValueError(f"option {where.rstrip('.') or 'file'} takes a JSON object of options, got {values!r}")
    known = {field.name: field for field in fields(cls)}
    if renamed := [key for key in values if key in renamed_in(cls)]:
        raise ValueError(", ".join(f"option {where}{key} is called {renamed_in(cls)[key]} now" for key in renamed))
    if unknown := [where + key for key in values if key not in known]:
        raise ValueError(f"unknown option {', '.join(unknown)}; there are {', '.join(where + key for key in known)}")
    given = {}
    for key, value in values.items():
        kind = known[key].type
        if is_dataclass(kind):
            given[key] = from_dict(kind, value, where=f"{where}{key}.")
        elif kind is float and type(value) is int:
            given[key] = float(value)
        elif type(value) is kind:
            given[key] = value
        else:
            raise ValueError(f"option {where}{key} takes a {kind.__name__}, got {value!r}")
    return cls(**given)


def parse_options(
    cls: type[T],
    arguments: Sequence[str] | None,
    parser: argparse.ArgumentParser,
    *,
    complete: Callable[[dict], dict] | None = None,
    beneath: Callable[[argparse.Namespace], dict] | None = None,
) -> tuple[T, argparse.Namespace]:
    """Options from ``--config FILE.json`` and flags, flags winning; a nested option's flag is ``--outer.inner-name``.

    Each flag's help is what the dataclass says of the field in the ``Args`` of its docstring; the flags of a nested
    dataclass stand together under the first line of its own. Flags are written out: an abbreviation is refused.

    Args:
        complete: gets the values that were given, and returns them with what follows from them.
        beneath: gets the namespace that is returned, and returns values, nested, that hold in place of the dataclass's
            own defaults where neither file nor flags give any.

    Returns:
        (options, the namespace with whatever other flags ``parser`` had).
    """
    # An option that was given by half of its name would look as if it was not given.
    parser.allow_abbrev = False
    parser.add_argument("--config", type=Path, metavar="FILE", help="JSON file of options; flags override it")
    paths = _add_flags(parser, cls, "")
    arguments = sys.argv[1:] if arguments is None else arguments
    refuse_underscores(arguments, paths, parser)
    refuse_renamed(arguments, renamed_in(cls), parser)
    given = parser.parse_args(arguments)
    try:
        values = _read(given.config) if given.config else {}
        for path in paths:
            if hasattr(given, path):
                _put(values, path.split("."), getattr(given, path))
        if beneath and isinstance(values, dict):
            values = _over(beneath(given), values)
        return from_dict(cls, complete(values) if complete and isinstance(values, dict) else values), given
    except (OSError, ValueError, TypeError) as error:
        parser.error(str(error))


def numbers(text: str, name: str) -> tuple[float, ...]:
    """The numbers of a comma-separated option, each once, in their order.

    Args:
        name: of the option, for the message.

    Raises:
        ValueError: there is none, or something else among them.
    """
    try:
        found = tuple(dict.fromkeys(float(part) for part in text.split(",") if part.strip()))
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise ValueError(f"{name} is one or several numbers, comma-separated, got {text!r}")
    return found


def _read(path: Path):
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error


def flag_of(path: str) -> str:
    """The flag of an option's dotted path: names in files have underscores, flags have dashes."""
    return "--" + path.replace("_", "-")


def refuse_underscores(arguments: Sequence[str], paths: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """End with the right spelling where a flag is written as in a file."""
    for argument in arguments:
        name = argument.removeprefix("--").partition("=")[0]
        if argument.startswith("--") and "_" in name and name in paths:
            parser.error(f"the flag is {flag_of(name)}, not --{name}")


def renamed_in(cls: type) -> dict[str, str]:
    """The old names of a dataclass's options, with their new ones: its ``RENAMED``, where it has any."""
    return getattr(cls, "RENAMED", {})


def refuse_renamed(arguments: Sequence[str], renamed: dict[str, str], parser: argparse.ArgumentParser) -> None:
    """End with the new name where a flag has an old one, nested or not."""
    for argument in arguments:
        flag = argument.partition("=")[0]
        outer, dot, inner = flag.removeprefix("--").partition(".")
        if flag.startswith("--") and outer in renamed:
            parser.error(f"the flag is {flag_of(renamed[outer])}{dot}{inner}, not {flag}")


def described(cls: type) -> dict[str, str]:
    """What the ``Args`` section of a dataclass's docstring says of each field, on one line each."""
    notes, names, inside = {}, [], False
    for line in (inspect.getdoc(cls) or "").splitlines():
        if not inside:
            inside = line == "Args:"
        elif line and not line.startswith(" "):
            break
        elif entry := re.fullmatch(r" {4}(\w+(?:, \w+)*): (.*)", line):
            names = entry[1].split(", ")
            notes |= dict.fromkeys(names, entry[2].replace("``", ""))
        elif line.strip():
            notes |= {name: f"{notes[name]} {line.strip().replace('``', '')}" for name in names}
    return notes


def _add_flags(parser, cls, prefix, usual=None):
    """Flags for every field of ``cls``; the dotted paths of all of them. ``usual`` has what those not given are."""
    title = inspect.getdoc(cls).splitlines()[0].split("; ")[0].rstrip(".:")
    group = parser.add_argument_group(f"{title} ({prefix}*)" if prefix else title)
    notes, paths = described(cls), []
    for field in (field for field in fields(cls) if not is_dataclass(field.type)):
        paths.append(prefix + field.name)
        default = getattr(usual, field.name, field.default)
        default = "" if default == "" else f" [{default}]"
        text = (notes.get(field.name, "") + default).replace("%", "%%")
        # SUPPRESS tells a flag that was given from one that was not: only the former overrides the file.
        group.add_argument(
            flag_of(prefix + field.name),
            type=field.type,
            dest=prefix + field.name,
            default=argparse.SUPPRESS,
            metavar=field.type.__name__.upper(),
            help=text.strip(),
        )
    for field in (field for field in fields(cls) if is_dataclass(field.type)):
        inner = field.default if field.default_factory is MISSING else field.default_factory()
        paths += _add_flags(parser, field.type, f"{prefix}{field.name}.", getattr(usual, field.name, inner))
    return paths


def _over(defaults, values):
    """``values`` with those of ``defaults`` that they lack, at any depth."""
    found = dict(defaults)
    for key, value in values.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = _over(found[key], value) if both else value
    return found


def _put(values, path, value):
    for key in path[:-1]:
        values = values.setdefault(key, {}) if isinstance(values, dict) else values
    if not isinstance(values, dict):
        raise ValueError(f"option {'.'.join(path[:-1]) or 'file'} takes a JSON object of options, got {values!r}")
    values[path[-1]] = value
