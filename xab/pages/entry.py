"""Who may see the experimenter's pages, and how those pages are drawn and their forms read."""

import asyncio
import ipaddress
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ..store import Refused
from ..words import p_value
from .http import body_of

COOKIE = "xab_lab"
BROWSER_COOKIE = "xab_lab_browser"
TEMPLATES = Path(__file__).parent / "templates"
MOST_FIELDS = 600


class NotAdmitted(Exception):
    """Nobody is logged in; the page asks for the password and comes back."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """Who tries a password. ``known``: a browser that gave the right one before, and is called by its own name."""

    name: str
    known: bool


class Throttle:
    """Slows down guessing: wrong passwords are counted for each client, and for all strangers together.

    A client of its own is an address, or a browser that logged in before: whoever guesses from elsewhere locks neither
    out. Addresses are cheap, so there is a limit to what all of them may try; it too holds no known browser back.

    Args:
        most: wrong passwords of one client within ``window`` seconds.
        together: of all strangers.
    """

    def __init__(
        self,
        *,
        most: int = 10,
        together: int = 100,
        window: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._most, self._together, self._window, self._clock = most, together, window, clock
        self._failures: deque[tuple[float, Client]] = deque()

    def wait(self, client: Client) -> float:
        """Seconds until the client's next attempt is heard; 0 when now."""
        now = self._clock()
        while self._failures and now - self._failures[0][0] >= self._window:
            self._failures.popleft()
        own = [at for at, who in self._failures if who == client]
        strangers = [at for at, who in self._failures if not who.known] if not client.known else []
        full = [times[-most] for times, most in ((own, self._most), (strangers, self._together)) if len(times) >= most]
        return max(full) + self._window - now if full else 0.0

    def failed(self, client: Client) -> None:
        self._failures.append((self._clock(), client))


class Entry:
    """The login of the experimenter's pages, their templates and their forms.

    Args:
        context: see xab.pages.
    """

    def __init__(self, context, *, throttle: Throttle | None = None):
        self._context = context
        self._throttle = throttle or Throttle()
        self._one_at_a_time = asyncio.Lock()  # checking a password is slow by design: it must not fill the pool
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(when=when, number=number, percent=percent, p_value=p_value)

    def cookie(self, request: Request) -> str:
        """The cookie of somebody who is logged in; raises NotAdmitted."""
        value = request.cookies.get(COOKIE)
        if not self._context.gate.knows(value):
            raise NotAdmitted
        return value

    async def log_in(self, request: Request, password: str) -> bool:
        """Whether the password is right; Refused (429) when this client gave too many wrong ones."""
        client = self._client(request)
        async with self._one_at_a_time:
            if wait := self._throttle.wait(client):
                raise TooMany(wait)
            if await self._context.pool(self._context.gate.admits, password):
                return True
            self._throttle.failed(client)
            return False

    def _client(self, request: Request) -> Client:
        browser = request.cookies.get(BROWSER_COOKIE)
        if self._context.gate.knows_browser(browser):
            return Client(name=browser, known=True)
        return Client(name=network(request.client.host if request.client else ""), known=False)

    def page(self, request: Request, template: str, *, status: int = 200, **values) -> HTMLResponse:
        """A page drawn from ``template``; everything that is filled in is escaped."""
        cookie = request.cookies.get(COOKIE)
        known = self._context.gate.knows(cookie)
        text = self._templates.get_template(template).render(
            lab=f"{up(request)}lab",
            static=f"{up(request)}static",
            known=known,
            form_token=self._context.gate.form_token(cookie) if known else "",
            **values,
        )
        return HTMLResponse(text, status)

    async def form(self, request: Request) -> dict[str, list[str]]:
        """The posted fields, once it is sure that they come from a page of ours and a person who is logged in."""
        cookie = self.cookie(request)
        fields = await fields_of(request)
        if not self._context.gate.knows_form(cookie, first(fields, "form_token")):
            raise Stale("stale_form", "this form is too old or from another login: open the page again")
        return fields


def network(address: str) -> str:
    """What stands for an address: of IPv6 the /64, because one machine has all of it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    found = getattr(found, "ipv4_mapped", None) or found
    return str(found if found.version == 4 else ipaddress.ip_network((found, 64), strict=False))


class TooMany(Refused):
    status = 429

    def __init__(self, wait: float):
        super().__init__("too_many", f"too many wrong passwords: wait {round(wait) + 1} seconds")
        self.wait = round(wait) + 1


class Stale(Refused):
    status = 403


async def fields_of(request: Request) -> dict[str, list[str]]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Refused("bad_request", "this is not the form of the page")
    try:
        text = (await body_of(request)).decode("utf-8")
        return parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise Refused("bad_request", "the form cannot be read") from error


def first(fields: dict[str, list[str]], name: str, default: str = "") -> str:
    return (fields.get(name) or [default])[0]


def route(request: Request) -> str:
    """The part of the address that these pages are told apart by: "/lab/new"."""
    return request.url.path.removeprefix(request.scope.get("root_path", ""))


def up(request: Request) -> str:
    """From the page that is asked for to where these pages are mounted, as "../../".

    Every address here is relative: a proxy may serve the application below a path that it does not tell us.
    """
    return "../" * (route(request).count("/") - 1)


def go(request: Request, path: str = "") -> Response:
    """To another page after a form: reloading it does not post again."""
    return RedirectResponse(f"{up(request)}lab{path}", 303)


def when(seconds: float | None) -> str:
    """A time as people read it; UTC, which is what is stored."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) + " UTC" if seconds else "–"


def number(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "–"
    shown = round(value, digits) + 0.0  # what rounds to nothing has no sign
    return f"{shown:,.{digits}f}".replace(",", "\u2009")


def percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"
