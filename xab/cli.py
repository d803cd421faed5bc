"""Studies without a browser. `python -m xab COMMAND --help` says what each command takes.

python -m xab create --set eps_av=5 --set volunteers=14
python -m xab create --set models=talknet-lite,lr-asd-ava
python -m xab links STUDY 14 --address https://lab.example/xab
python -m xab results STUDY
python -m xab export STUDY results.zip
"""

import argparse
import contextlib
import csv
import json
import os
import sys
from dataclasses import asdict, fields
from pathlib import Path

from pushpull.config import Parser

from . import export
from .files import detector_path, remove_stimuli
from .plan import Design, DesignError, paper_preset
from .report import make_report
from .settings import Gate, Settings
from .store import Refused, Store, StoreError


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    settings = Settings.from_env()
    try:
        settings.prepare()
        if options.command in WITHOUT_STORE:
            return WITHOUT_STORE[options.command](settings, options)
        store = Store(settings.url)
        try:
            return COMMANDS[options.command](settings, store, options)
        finally:
            store.close()
    except (DesignError, Refused, StoreError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m xab",
        description="Make, run and read XAB studies. The data folder is PUSHPULL_XAB_DATA, the database "
        "PUSHPULL_DATABASE_URL; without them, those that the app uses.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, *, study: bool = True) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
        if study:
            made.add_argument("study", metavar="STUDY", help="the study's id, as `list` shows it")
        return made

    command("list", "show all studies", study=False)
    create = command("create", "make a study as in the paper, changed by --set, and its stimuli", study=False)
    create.add_argument("--json", type=Path, metavar="FILE", help="settings as a JSON object")
    create.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one setting; lists with commas; models are names that `python -m pushpull.detectors` lists, or paths of "
        "files. Known: " + ", ".join(field.name for field in fields(Design)),
    )
    create.add_argument("--draft", action="store_true", help="do not make the stimuli yet")
    command("make", "make the stimuli that a study still lacks")
    links = command("links", "make links for volunteers, and print all links as CSV")
    links.add_argument("count", type=int, nargs="?", default=0, metavar="N", help="new links (none by default)")
    links.add_argument("--address", metavar="URL", help="of the test, as volunteers reach it (PUSHPULL_PUBLIC_URL)")
    links.add_argument("--open", choices=("on", "off"), help="the link that gives everybody a link of their own")
    results = command("results", "print what the answers say")
    results.add_argument("--json", action="store_true", help="everything, as JSON")
    save = command("export", "write everything to a zip: CSV, JSON, codebook")
    save.add_argument("file", type=Path, metavar="FILE.zip")
    save.add_argument("--overwrite", action="store_true")
    command("freeze", "fix a study's design, plan and stimuli before the first volunteer does")
    command("archive", "close a study: links stop working, results stay")
    delete = command("delete", "delete a study, or one volunteer of it, with every answer")
    delete.add_argument("--volunteer", type=int, metavar="N", help="only this one")
    delete.add_argument("--yes", action="store_true", help="really")
    command("migrate", "bring the database to this version's schema (every command does)", study=False)
    tryout = command("tryout", "make the clips of the test to try, if they are not there", study=False)
    tryout.add_argument("--again", action="store_true", help="even if they are there")
    command("password", "make a new password for the experimenter's page and print it", study=False)
    return parser


def list_studies(settings: Settings, store: Store, options) -> int:
    for study in store.studies.all():
        done = sum(person["finished_at"] is not None for person in store.links.people(study.id))
        print(f"{study.id}  {study.state:9} {done:4} of {study.design.volunteers} finished  {study.title}")
    return 0


def create(settings: Settings, store: Store, options) -> int:
    values = asdict(paper_preset())
    if options.json:
        given = json.loads(options.json.read_text(encoding="utf-8-sig"))
        if not isinstance(given, dict):
            raise DesignError(f"{options.json} must hold a JSON object of settings")
        values |= given
    values |= dict(_setting(text) for text in options.set)
    if isinstance(values["models"], list | tuple):
        # The stimuli may be made by another process, in another folder.
        values["models"] = [detector_path(str(name)) or name for name in values["models"]]
    study = store.studies.create(Design.from_dict(values))
    print(study)
    options.study = study
    return 0 if options.draft else make(settings, store, options)


def _setting(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    types = {field.name: field.type for field in fields(Design)}
    if not equals or name not in types:
        raise DesignError(f"--set {text}: write NAME=VALUE with a name among {', '.join(types)}")
    if types[name] == tuple[str, ...]:
        return name, tuple(part.strip() for part in value.split(",") if part.strip())
    if types[name] is bool:
        if value.lower() not in ("yes", "true", "1", "no", "false", "0"):
            raise DesignError(f"{name} must be yes or no, got {value!r}")
        return name, value.lower() in ("yes", "true", "1")
    return name, value


def make(settings: Settings, store: Store, options) -> int:
    if store.studies.get(options.study).state == "ready":
        print("nothing to make: every pair is there", file=sys.stderr)
        return 0
    from .stimuli import make_study  # here: it takes torch

    _step_back()
    make_study(store, options.study, data=settings.data, assets=settings.assets)
    study = store.studies.get(options.study)
    print(f"{study.made} of {study.to_make} pairs made" + (f": {study.note}" if study.note else ""), file=sys.stderr)
    return 0 if study.state == "ready" else 1


def _step_back() -> None:
    """Let the server go first: a volunteer's answer is small, and stimuli are never urgent."""
    if hasattr(os, "nice"):
        os.nice(10)
    # Linux may share the processor between sessions first and only within them by niceness. The server starts this
    # process in a session of its own, which is then the one to step back; a person's terminal is not.
    own = Path("/proc/self/autogroup")
    if own.exists() and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            own.write_text("10")


def links(settings: Settings, store: Store, options) -> int:
    if options.count:
        store.links.add_links(options.study, options.count)
    if options.open:
        store.links.set_open_link(options.study, options.open == "on")
    address = options.address or (settings.public_url.rstrip("/") + "/xab" if settings.public_url else None)
    if address is None:
        address = "http://127.0.0.1:7860/xab"
        print(f"links lead to {address}; give volunteers' address with --address", file=sys.stderr)
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(["volunteer", "link"])
    for person in store.links.people(options.study):
        if person["token"]:
            rows.writerow([person["number"], f"{address}?t={person['token']}"])
    if token := store.studies.get(options.study).open_token:
        rows.writerow(["open", f"{address}?t={token}"])
    return 0


def results(settings: Settings, store: Store, options) -> int:
    if options.json:
        print(json.dumps(export.study_json(store, options.study), indent=2, ensure_ascii=False))
        return 0
    report = make_report(store, options.study)
    print(report.study.title, report.headline, report.verdict[1], *report.cautions, sep="\n")
    return 0


def save(settings: Settings, store: Store, options) -> int:
    if options.file.exists() and not options.overwrite:
        raise ValueError(f"{options.file} exists; --overwrite replaces it")
    data = export.archive(store, options.study)
    options.file.write_bytes(data)
    print(f"{options.file}: {len(data)} bytes")
    return 0


def freeze(settings: Settings, store: Store, options) -> int:
    store.studies.freeze(options.study)
    print(store.studies.get(options.study).frozen_digest)
    return 0


def archive(settings: Settings, store: Store, options) -> int:
    store.studies.archive(options.study)
    return 0


def delete(settings: Settings, store: Store, options) -> int:
    study = store.studies.get(options.study)
    one = options.volunteer is not None  # 0 is no volunteer, and not the whole study
    what = f"volunteer {options.volunteer} of {study.title!r}" if one else repr(study.title)
    if not options.yes:
        raise ValueError(f"nothing was deleted: --yes deletes {what} with every answer")
    if one:
        store.links.delete_person(study.id, options.volunteer)
    else:
        store.studies.delete(study.id)
        remove_stimuli(settings.data, study.id)
    print(f"deleted {what}")
    return 0


def migrate(settings: Settings, store: Store, options) -> int:
    print(f"{store.shown} is up to date")
    return 0


def tryout(settings: Settings, options) -> int:
    from .tryout.make import make_clips  # here: it takes torch

    _step_back()
    print(make_clips(settings.data, settings.assets, again=options.again))
    return 0


def password(settings: Settings, options) -> int:
    if settings.password:
        raise ValueError("the password is set by PUSHPULL_XAB_PASSWORD: change it there")
    gate = Gate(settings)
    print(gate.generated or gate.renew())
    return 0


COMMANDS = {
    "list": list_studies,
    "create": create,
    "make": make,
    "links": links,
    "results": results,
    "export": save,
    "freeze": freeze,
    "archive": archive,
    "delete": delete,
    "migrate": migrate,
}
WITHOUT_STORE = {"password": password, "tryout": tryout}
