"""What every page of the test needs of HTTP: headers, a thread pool of its own, JSON in and out, byte ranges."""

import asyncio
import json
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError

from ..blinding import StimulusDamaged
from ..store import Refused, StoreError

MOST_BODY = 256 * 1024  # bytes of a request; the largest honest one is a few hundred events
THREADS = 8
log = logging.getLogger("pushpull.xab")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",  # the link's token is in the address
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")


class Pool:
    """Threads for the database and the disk, which nothing else in the process can keep waiting."""

    def __init__(self):
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="xab")

    async def __call__(self, work: Callable[..., Result], *args, **kwargs) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))


class Headers:
    """ASGI middleware: the same headers on everything, errors included."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.encode(), value.encode())
                        for name, value in HEADERS.items()
                        if name.lower().encode() not in present
                    ),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def body_of(request: Request) -> bytes:
    """The request's body; Refused (413) when it is larger than any honest one."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BODY:
            raise TooLarge("too_large", "the request is too large")
        parts.append(part)
    return b"".join(parts)


class TooLarge(Refused):
    status = 413


async def parsed(request: Request, model: type[Model]) -> Model:
    """The JSON body as ``model``; Refused (400) without a word of what was sent."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused("bad_request", "send JSON")
    try:
        return model.model_validate(json.loads(await body_of(request)))
    except (ValueError, RecursionError) as error:
        fields = {str(part["loc"][0]) for part in error.errors() if part["loc"]} if is_invalid(error) else set()
        known = sorted(fields & set(model.model_fields))
        raise Refused("bad_request", f"not understood: {', '.join(known) or 'no such request'}") from error


def is_invalid(error: Exception) -> bool:
    return isinstance(error, ValidationError)


def refusal(error: Exception) -> JSONResponse:
    """Any failure as JSON; what went wrong inside is logged, not told."""
    if isinstance(error, Refused):
        return JSONResponse({"error": error.code, "message": error.message}, error.status)
    if isinstance(error, StimulusDamaged):
        log.error("stimulus damaged: %s", error)
        message = "a clip of this study is damaged. Your answers are safe. Please tell the experimenter."
        return JSONResponse({"error": "damaged", "message": message}, 503)
    if isinstance(error, StoreError):
        log.error("database: %s", error)
        message = "the server cannot store anything right now. Trying again soon."
        return JSONResponse({"error": "busy", "message": message}, 503, headers={"Retry-After": "2"})
    raise error


def ranged(data: bytes, header: str | None, media_type: str) -> Response:
    """All of ``data`` (200), the one range asked for (206), or 416. Nothing in the headers names the content."""
    headers = {"Accept-Ranges": "bytes"}
    found = re.fullmatch(r"\s*bytes=(\d{0,18})-(\d{0,18})\s*", header or "")
    if not found or not any(found.groups()):
        return Response(data, media_type=media_type, headers=headers)
    first, last = found.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    stop = min(int(last) + 1 if first and last else len(data), len(data))
    if start >= stop:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return Response(data[start:stop], 206, media_type=media_type, headers=headers)
