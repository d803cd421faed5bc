"""Options: frozen dataclasses as flags and files, nothing unknown, nothing of the wrong type."""

import argparse
import importlib.util
import json
import runpy
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from pushpull.__main__ import COMMANDS
from pushpull.config import described, from_dict, parse_options
from pushpull.data.talkheads.make import MakeOptions
from pushpull.evaluation.audit_command import AuditCommandOptions
from pushpull.evaluation.command import EvaluateOptions
from pushpull.training.options import TrainOptions
from pushpull.training.zoo import ZooOptions


@dataclass(frozen=True)
class Paint:
    """How the wall is painted; inside and out.

    Args:
        colour: of the ``wall``.
        coats, litres: how much,
            all in all 100 %.
        drying_hours: before the next coat.
    """

    colour: str = "white"
    coats: int = 2
    litres: float = 1.5
    drying_hours: int = 8

    def __post_init__(self):
        if self.coats < 1:
            raise ValueError("a wall needs a coat")


@dataclass(frozen=True)
class House:
    """A house.

    Args:
        rooms: how many.

    Nothing: here belongs to the arguments.
    """

    RENAMED: ClassVar[dict[str, str]] = {"chambers": "rooms", "colours": "paint"}
    rooms: int = 3
    paint: Paint = field(default_factory=Paint)


def parse(*arguments):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--out", default="here")
    return parse_options(House, arguments, parser)


def config(tmp_path, values):
    path = tmp_path / "house.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return str(path)


def test_defaults_lie_beneath_what_file_and_flags_give(tmp_path):
    path = config(tmp_path, {"paint": {"coats": 4}})

    def asked(*arguments):
        beneath = {"rooms": 7, "paint": {"coats": 9, "litres": 9.5}} if "there" in arguments else {}
        parser = argparse.ArgumentParser()
        parser.add_argument("--out", default="here")
        return parse_options(House, arguments, parser, beneath=lambda given: beneath if given.out == "there" else {})[0]

    assert asked("--out", "there") == House(rooms=7, paint=Paint(coats=9, litres=9.5))
    assert asked("--out", "there", "--config", path, "--rooms", "1") == House(1, Paint(coats=4, litres=9.5))
    assert asked("--out", "elsewhere") == House()


def test_a_flag_is_not_known_by_half_of_its_name(capsys):
    with pytest.raises(SystemExit):
        parse_options(House, ["--paint.coat", "3"], argparse.ArgumentParser())
    assert "unrecognized arguments: --paint.coat" in capsys.readouterr().err


def test_from_dict_keeps_what_is_not_given():
    assert from_dict(House, {"paint": {"coats": 3}}) == House(paint=Paint(coats=3))
    assert from_dict(House, {}) == House()
    assert from_dict(Paint, {"litres": 2}) == Paint(litres=2.0)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"room": 3}, "unknown option room; there are rooms, paint"),
        ({"paint": {"color": "red"}}, "unknown option paint.color; there are paint.colour"),
        ({"rooms": 2.5}, "option rooms takes a int, got 2.5"),
        ({"rooms": True}, "option rooms takes a int, got True"),
        ({"rooms": "2"}, "option rooms takes a int, got '2'"),
        ({"paint": {"colour": None}}, "option paint.colour takes a str, got None"),
        ({"paint": 3}, "option paint takes a JSON object of options, got 3"),
        ([1], "option file takes a JSON object of options"),
        ({"paint": {"coats": 0}}, "a wall needs a coat"),
        ({"chambers": 2}, "option chambers is called rooms now"),
        ({"colours": {"coats": 2}, "chambers": 1}, "colours is called paint now, option chambers is called rooms"),
    ],
)
def test_from_dict_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(House, values)


def test_flags_override_the_file_which_overrides_the_defaults(tmp_path):
    path = config(tmp_path, {"rooms": 5, "paint": {"coats": 4, "colour": "red"}})
    options, given = parse("--config", path, "--paint.coats", "1", "--out", "there")
    assert options == House(rooms=5, paint=Paint(colour="red", coats=1)) and given.out == "there"
    # A flag that repeats the default is a flag all the same.
    assert parse("--config", path, "--rooms", "3")[0].rooms == 3
    assert parse()[0] == House()


def test_flags_have_dashes_where_files_have_underscores(tmp_path):
    assert parse("--paint.drying-hours", "9")[0].paint.drying_hours == 9
    path = config(tmp_path, {"paint": {"drying_hours": 7}})
    assert parse("--config", path)[0].paint.drying_hours == 7


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--garage", "1"], "unrecognized arguments: --garage"),
        (["--room", "1"], "unrecognized arguments: --room"),
        (["--rooms", "many"], "invalid int value: 'many'"),
        (["--paint.coats", "0"], "a wall needs a coat"),
        (["--config", "/nowhere/house.json"], "No such file"),
        (["--paint.drying_hours", "9"], "the flag is --paint.drying-hours, not --paint.drying_hours"),
        (["--paint.drying_hours=9"], "the flag is --paint.drying-hours"),
        (["--chambers", "9"], "the flag is --rooms, not --chambers"),
        (["--chambers=9"], "the flag is --rooms, not --chambers"),
        (["--colours.coats", "9"], "the flag is --paint.coats, not --colours.coats"),
    ],
)
def test_flags_that_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(*arguments)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(
    "values, message",
    [
        ({"room": 1}, "unknown option room"),
        ("{", "house.json is no JSON: Expecting"),
        ({"paint": 3}, "option paint takes a JSON object"),
        ([], "takes a JSON object"),
        ({"rooms": None}, "takes a int, got None"),
    ],
)
def test_files_that_are_refused(tmp_path, values, message, capsys):
    for more in ([], ["--paint.coats", "1"]):
        with pytest.raises(SystemExit):
            parse("--config", config(tmp_path, values), *more)
        assert message in capsys.readouterr().err


def test_help_is_what_the_docstring_says():
    assert described(House) == {"rooms": "how many."}
    both = "how much, all in all 100 %."
    hours = {"drying_hours": "before the next coat."}
    assert described(Paint) == {"colour": "of the wall.", "coats": both, "litres": both} | hours


def test_help_shows_groups_and_defaults(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    assert "How the wall is painted (paint.*):" in shown and "how much, all in all 100 %. [1.5]" in shown


def test_help_tells_the_defaults_that_hold_where_an_option_stands(capsys):
    @dataclass(frozen=True)
    class Shed:
        """A shed."""

        paint: Paint = field(default_factory=lambda: Paint(coats=1))

    with pytest.raises(SystemExit):
        parse_options(Shed, ["--help"], argparse.ArgumentParser())
    shown = capsys.readouterr().out
    assert "--paint.coats INT" in shown and "[1]" in shown and "[2]" not in shown
    assert parse_options(Shed, [], argparse.ArgumentParser())[0].paint.coats == 1


@pytest.mark.parametrize("cls", [TrainOptions, ZooOptions, EvaluateOptions, AuditCommandOptions, MakeOptions])
def test_every_option_of_a_command_has_help(cls):
    def missing(cls, prefix=""):
        notes = described(cls)
        for option in fields(cls):
            if is_dataclass(option.type):
                yield from missing(option.type, f"{prefix}{option.name}.")
            elif not notes.get(option.name):
                yield prefix + option.name

    assert not list(missing(cls))


@pytest.mark.parametrize(
    ("module", "work", "arguments", "goes_on"),
    [
        ("pushpull.data.talkheads", "_make", ["make", "--out", "heads"], True),
        ("pushpull.data.talkheads", "_assets", ["assets"], False),
        ("pushpull.data.talkheads", "_bake", ["bake"], False),
        ("pushpull.data.ava", "_prepare", ["prepare", "--csv=c", "--videos=v", "--out=o", "--split=val"], True),
        ("pushpull.data.ava", "_check", ["check", "tree"], False),
        ("pushpull.data.ava", "_score", ["score", "tree", "model"], False),
    ],
)
def test_a_stopped_command_says_that_it_goes_on_only_where_it_does(
    module, work, arguments, goes_on, capsys, monkeypatch
):
    def interrupted(given):
        raise KeyboardInterrupt

    command = importlib.import_module(f"{module}.__main__")
    monkeypatch.setattr(command, work, interrupted)
    assert command.main(arguments) == 130
    said = capsys.readouterr().err
    assert said.startswith("stopped") and ("the same command goes on" in said) == goes_on


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("app", ["--check", "."]),
        ("pushpull.perturb", ["clip.mp4", "--overw"]),
        ("pushpull.train", ["--quie"]),
        ("pushpull.training.zoo", ["--quie"]),
        ("pushpull.training.average", ["a", "b", "--data", "d", "--out", "o", "--quie"]),
        ("pushpull.universal", ["fit", "--out", "n.safetensors", "--eps", "5"]),
        ("pushpull.universal", ["test", "n.safetensors", "--out", "o", "--spl", "test"]),
        ("pushpull.universal", ["show", "n.safetensors", "--ou", "o"]),
        ("pushpull.detectors", ["fetch", "lr-asd-ava", "--fold", "."]),
        ("pushpull.detectors.checkpoint", ["--lis"]),
        ("pushpull.data.ava", ["score", "tree", "model", "--head"]),
        ("pushpull.data.talkset", ["prepare", "footage", "--work", "1"]),
        ("pushpull.data.talkheads", ["make", "--out", "heads", "--clip", "1"]),
        ("pushpull.data.talkheads.sheet", ["--out", "sheet.png", "--coun", "1"]),
        ("pushpull.evaluation.card_figures", ["docs/results/table1", "--checkp", "."]),
        ("pushpull.evaluation.seeds", ["one", "two", "--out", "o", "--overw"]),
        ("pushpull.demo.example", ["--mode", "talknet-lite"]),
        ("xab.cli", ["create", "--dra"]),
    ],
)
def test_no_command_takes_half_of_a_flag(module, arguments, capsys):
    main = importlib.import_module(f"{module}.__main__" if is_package(module) else module).main
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "unrecognized arguments" in error or "one of the arguments" in error


@pytest.mark.parametrize("module", sorted({module for module, _ in COMMANDS.values()}))
def test_processes_that_a_command_starts_can_begin_with_it(module, monkeypatch):
    """They run the command's module under this name, before what they were started for."""
    monkeypatch.setattr("sys.argv", ["command", "--no-such-flag"])
    name = f"{module}.__main__" if is_package(module) else module
    runpy.run_module(name, run_name="__mp_main__")


def is_package(module):
    return bool(importlib.util.find_spec(module).submodule_search_locations)


@pytest.mark.parametrize(
    ("file", "cls"),
    [
        ("docs/talknet-ava.json", TrainOptions),
        ("checkpoints/zoo.json", ZooOptions),
        ("checkpoints/zoo-full.json", ZooOptions),
        ("checkpoints/zoo-scratch.json", ZooOptions),
        ("checkpoints/zoo-lr-asd.json", ZooOptions),
        ("checkpoints/late.json", TrainOptions),
        ("checkpoints/one-row.json", TrainOptions),
    ],
)
def test_recipes_that_ship_are_valid(file, cls):
    values = json.loads((Path(__file__).parents[1] / file).read_text(encoding="utf-8"))
    assert from_dict(cls, values) == cls(**vars(from_dict(cls, values)))
