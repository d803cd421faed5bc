"""Command line of the XAB test; see docs/xab.md."""

import argparse

from .settings import Settings
from .store import Store


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m xab")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make").add_argument("study")
    options = parser.parse_args(arguments)
    settings = Settings.from_env()
    settings.prepare()
    from .stimuli import make_study

    make_study(Store(settings.url), options.study, data=settings.data, assets=settings.assets)
    return 0
