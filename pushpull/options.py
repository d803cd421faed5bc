"""Frozen dataclasses as command-line flags and JSON files; whatever is unknown raises."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def from_dict(cls: type[T], values: dict, *, where: str = "") -> T:
    """An options object from plain values, nested ones as nested dicts; what is not given keeps its default.

    Raises:
        ValueError: an unknown key, or a value of the wrong type; the message names it by its dotted path.
    """
    known = {field.name: field for field in fields(cls)}
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


def parse_options(cls: type[T], arguments: Sequence[str] | None, parser: argparse.ArgumentParser) -> tuple[T, object]:
    """Options from ``--config FILE.json`` and flags, flags winning; a nested option's flag is ``--outer.inner``.

    Each flag's help is the comment beside the field's default in the options' own documentation.

    Returns:
        (options, the namespace with whatever other flags ``parser`` had).
    """
    parser.add_argument("--config", type=Path, help="JSON file of options, nested as in a checkpoint's card")
    paths = list(_leaves(cls))
    group = parser.add_argument_group("options")
    for path, field in paths:
        # SUPPRESS tells a flag that was given from one that was not: only the former overrides the file.
        group.add_argument(f"--{path}", type=field.type, default=argparse.SUPPRESS, metavar=field.type.__name__.upper())
    given = parser.parse_args(arguments)
    try:
        values = json.loads(given.config.read_text(encoding="utf-8")) if given.config else {}
        for path, _ in paths:
            if hasattr(given, path):
                _put(values, path.split("."), getattr(given, path))
        return from_dict(cls, values), given
    except (OSError, ValueError, TypeError) as error:
        parser.error(str(error))


def _leaves(cls, prefix=""):
    for field in fields(cls):
        if is_dataclass(field.type):
            yield from _leaves(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field


def _put(values, path, value):
    for key in path[:-1]:
        values = values.setdefault(key, {})
    values[path[-1]] = value
