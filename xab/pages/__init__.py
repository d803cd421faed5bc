"""The web side of the test: HTML pages and a JSON API below /xab, in the same process as the demo.

No gradio here: its queue, its copies of files under names that hold their hashes, and its public description of
every endpoint are what a blind test cannot have (docs/xab.md).
"""

import contextlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from ..blinding import BlindedClips, StimulusDamaged
from ..files import ROOT
from ..settings import Gate, Settings
from ..store import Refused, Store, StoreError
from ..tryout import Clips, Tryouts
from ..tryout.clips import Worker
from . import lab, lab_planner, lab_results, tryout, volunteer
from .entry import Entry, NotAdmitted, route
from .http import HEADERS, Headers, Pool, log, refusal

RETENTION_SECONDS = 6 * 3600
# A link's token with what mail programs and people leave around it: a full stop, a bracket, a space.
WRAPPED = r"[^A-Za-z0-9_-]*([A-Za-z0-9_-]{8,64})[^A-Za-z0-9_-]*"
STATIC = Path(__file__).parents[1] / "static"


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the routes work with."""

    settings: Settings
    store: Store
    gate: Gate
    pool: Pool
    clips: BlindedClips
    start_worker: Callable[[str], None]
    tryouts: Tryouts
    static: Path = STATIC
    static_files: dict[str, Path] = field(default_factory=lambda: {path.name: path for path in STATIC.iterdir()})


def start_worker(settings: Settings, *command: str) -> subprocess.Popen:
    """Make clips in a process of its own, ``python -m xab COMMAND``: it is slow, and must not slow down an answer."""
    environment = {**settings.environment(), "OMP_NUM_THREADS": "1"}
    with (settings.data / "worker.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "xab", *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def create(
    settings: Settings, *, worker: Callable[[str], None] | None = None, maker: Callable[[], Worker] | None = None
) -> FastAPI:
    """The application below /xab.

    Args:
        settings: where its things are.
        worker: starts what makes a study's stimuli; a process of its own by default.
        maker: starts what makes the clips of the test to try; likewise.

    Raises:
        StoreError: the database cannot be opened.
    """
    settings.prepare()
    store = Store(settings.url)
    gate = Gate(settings)
    store.links.forget()
    context = Context(
        settings=settings,
        store=store,
        gate=gate,
        pool=Pool(),
        clips=BlindedClips(settings.data / "stimuli", gate.secret),
        start_worker=worker or (lambda study: start_worker(settings, "make", study)),
        tryouts=Tryouts(
            Clips(settings.data, settings.assets, maker or (lambda: start_worker(settings, "tryout"))),
            store.tally,
            gate.secret,
        ),
    )
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    entry = Entry(context)
    of_lab = lab.refusals(entry)

    async def refuse(request: Request, error: Exception) -> Response:
        if route(request).startswith("/lab"):
            return await of_lab(request, error)
        return refusal(error)

    for error in (Refused, StoreError, StimulusDamaged, NotAdmitted):
        app.add_exception_handler(error, refuse)
    app.add_middleware(Headers)
    app.include_router(volunteer.routes(context))
    app.include_router(tryout.routes(context))
    # The planner's address first: /lab/{study} would take it.
    app.include_router(lab_planner.routes(context, entry))
    app.include_router(lab_results.routes(context, entry))
    app.include_router(lab.routes(context, entry))
    return app


def mount(app: FastAPI, settings: Settings | None = None, *, maker: Callable[[], Worker] | None = None) -> FastAPI:
    """Serve the test below /xab of ``app``, and say where its data are and, once, the password.

    Mount before anything that takes every address, as gradio at "/" does.
    """
    settings = settings or Settings.from_env()
    inner = create(settings, maker=maker)

    @app.get("/xab", include_in_schema=False)
    async def page(t: str | None = None):
        if t is None:  # nobody's link: anybody may try
            return FileResponse(STATIC / "tryout.html", headers=HEADERS)
        if (found := re.fullmatch(WRAPPED, t)) and found[1] != t:
            return RedirectResponse(f"?t={found[1]}", 303, headers=HEADERS)
        return FileResponse(STATIC / "volunteer.html", headers=HEADERS)

    app.mount("/xab", inner)
    threading.Thread(target=keep_forgetting, args=(inner.state.context.store,), daemon=True, name="retention").start()
    announce(inner)
    return inner


def keep_forgetting(store: Store) -> None:
    """Apply retention now and then, for a server that is not restarted for months."""
    while True:
        time.sleep(RETENTION_SECONDS)
        try:
            store.links.forget()
        except Exception as error:  # the database is away: at the next turn
            log.error("retention: %s", error)


def announce(inner: FastAPI) -> None:
    """Say on the terminal where the data are and how the experimenter gets in."""
    context = inner.state.context
    print(f"XAB test: to try at /xab, data in {context.settings.data}, database {context.store.shown}")
    if context.settings.password:
        print("XAB test: experimenter's page at /xab/lab, password from PUSHPULL_XAB_PASSWORD")
    elif context.gate.generated:
        print(f"XAB test: experimenter's page at /xab/lab, password: {context.gate.generated}  (shown this once)")
    else:
        print("XAB test: experimenter's page at /xab/lab (password lost? python -m xab password)")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
