"""What the app serves beside the page: its scripts, the files of results, and the reports of audits."""

import asyncio
import contextlib
import re
from collections.abc import Callable

from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from pushpull.demo.example import Example
from pushpull.demo.results import report_page
from pushpull.demo.storage import ResultStore
from pushpull.demo.theme import STATIC
from pushpull.files import shipped_folder

NO_AUDIT = "There is no such audit among the results of this server."
REPORT_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
    "X-Content-Type-Options": "nosniff",
}
PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,80}")
TIDY_SECONDS = 60.0  # between two looks at what has become old
GONE = "These results are no longer on the server. Run the attack again."


def download_name(name: str, asked: str) -> str | None:
    """The name under which the file ``name`` is saved: ``asked`` is what its address says of it, "" where it is shown.

    "1" leaves the name as it is; anything else that may be part of a name comes before it.
    """
    if not asked:
        return None
    return f"{asked}-{name}" if asked != "1" and PREFIX.fullmatch(asked) else name


def serve_files(app: FastAPI, store: ResultStore, example: Example) -> None:
    """Serve /demo-static, /results of ``store``, /example and /audits; nothing else of the disk."""
    app.mount("/demo-static", StaticFiles(directory=STATIC), name="demo-static")

    @app.get("/results/{token}/{name}")
    def result(token: str, name: str, download: str = ""):
        path = store.find(token, name)
        if path is None:
            return PlainTextResponse(GONE, status_code=404)
        headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return FileResponse(path, headers=headers, filename=download_name(name, download))

    @app.get("/example/{name}")
    def first_sight(name: str):
        path = example.find(name)
        if path is None:
            return PlainTextResponse(GONE, status_code=404)
        # Asked again each time: a new detector brings a new example at the same address.
        return FileResponse(path, headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})

    @app.get("/audits/{name}")
    def audit(name: str):
        path = report_page(shipped_folder("docs") / "results", name)
        return FileResponse(path, headers=REPORT_HEADERS) if path else PlainTextResponse(NO_AUDIT, status_code=404)


async def tidy(*works: Callable[[], object]) -> None:
    """Have what is old forgotten while the app runs, also where nobody comes whose visit would do it."""
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        for work in works:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(work)
