"""Whether the app is well, for monitors and load balancers."""

from collections.abc import Callable

from fastapi import FastAPI
from fastapi.responses import JSONResponse

import pushpull
from pushpull.demo.context import DemoContext


def add_health(app: FastAPI, context: DemoContext, database: Callable[[], bool] | None) -> None:
    """Serve /healthz: 200 if all is well, 503 if the database does not answer.

    Args:
        app: where.
        context: detectors and queue.
        database: whether it answers; None where there is none.
    """

    @app.api_route("/healthz", methods=["GET", "HEAD"], include_in_schema=False)
    def health():
        found = report(context, database)
        status = 503 if found["database"] == "unreachable" else 200
        return JSONResponse(found, status, headers={"Cache-Control": "no-store"})


def report(context: DemoContext, database: Callable[[], bool] | None) -> dict:
    """What /healthz says: version, detector (the default one, and whether it is loaded), queue, database."""
    name = context.detectors.default()
    reached = "none" if database is None else "reachable" if database() else "unreachable"
    return {
        "status": "unwell" if reached == "unreachable" else "ok",
        "version": pushpull.__version__,
        "detector": {"default": name, "loaded": context.detectors.loaded()},
        "queue": context.line.lengths(),
        "database": reached,
    }
