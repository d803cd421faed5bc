"""A finished result has an address: what the page showed of it comes back after a reload, while its files are there."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pushpull.demo.storage import ResultFolder, ResultStore

SHOWN = "shown.json"
PARTS = ("progress", "sentence", "player", "numbers", "files")  # of a tab, each a component of that name


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a tab showed of a finished run.

    Args:
        tab: "attack" or "compare".
        form: the values of its form, in the form's order.
        parts: HTML of each of ``PARTS``.
    """

    tab: str
    form: tuple
    parts: dict[str, str]

    def write(self, folder: ResultFolder) -> None:
        """Lay it beside the result's files."""
        (folder.path / SHOWN).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def find(cls, store: ResultStore, token: str, tab: str, fields: Iterable) -> "Kept | None":
        """The result of ``tab`` in the folder ``token``; None if there is none, or its form had other fields."""
        path = store.find(token, SHOWN)
        if path is None:
            return None
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            found = cls(tab=said["tab"], form=tuple(said["form"]), parts=said["parts"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        fits = found.tab == tab and len(found.form) == len(list(fields)) and set(found.parts) == set(PARTS)
        return found if fits else None


def marked(html: str, folder: ResultFolder) -> str:
    """``html``, by which the page's script knows the result that it belongs to."""
    return f'<div data-result="{folder.token}">{html}</div>'


def gone(seconds: float) -> str:
    """That the result which an address names is not there, in a sentence."""
    return f"The result of this address is no longer here: results are kept for {seconds / 3600:g} hours. Run it again."
