"""The volunteer's side: one page that never changes, and an API that says what comes next."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from .. import selfcheck
from .http import parsed, ranged

Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
Page = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,24}$")]
Count = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]
Number = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Crc = Annotated[int, Field(ge=0, le=2**32 - 1, strict=True)]

# Named here: where a system's own table calls scripts text, "nosniff" keeps browsers from running them.
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Ask(BaseModel):
    """``t`` is the token of the link."""

    model_config = ConfigDict(extra="forbid")
    t: Token


class Consent(Ask):
    version: Count
    agree: Literal[True]


class Step(Ask):
    step: Literal["instructions", "sound"]
    hears: Annotated[bool, Field(strict=True)] = True
    listens: Literal["headphones", "loudspeakers"] | None = None


class Report(BaseModel):
    """What the browser found; the sums decide, the rest explains."""

    model_config = ConfigDict(extra="forbid")
    video: Annotated[list[Crc], Field(max_length=16)]
    audio: Crc | None = None
    wrong_pixels: Count | None = None
    largest_difference: Count | None = None
    wrong_samples: Count | None = None
    error: Annotated[str, Field(max_length=500)] = ""
    width: Count = 0
    height: Count = 0
    pixel_ratio: Number = 0


class Check(Ask):
    report: Report


class Event(BaseModel):
    model_config = ConfigDict(extra="forbid")
    seq: Count
    kind: Word
    role: Literal["X", "A", "B"] | None = None
    clip_time: Number | None = None
    page_ms: Count
    handle: Token | None = None


class Events(Ask):
    page: Page
    events: Annotated[list[Event], Field(max_length=500)]


class Viewport(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: Count
    height: Count
    pixel_ratio: Number
    clip_width: Number


class Judgment(Events):
    handle: Token
    choice: Literal["A", "B"]
    nonce: Token
    response_ms: Count | None = None
    viewport: Viewport | None = None


def routes(context) -> APIRouter:
    """Args: context: see xab.pages."""
    router = APIRouter(include_in_schema=False)
    pages, steps = Pages(context), Steps(context)
    for path, handler in (
        ("/", pages.whole),
        ("/static/{name}", pages.static),
        ("/media/{handle}", pages.media),
        ("/selfcheck.mp4", pages.selfcheck),
    ):
        router.add_api_route(path, handler, methods=["GET"])
    for name in ("state", "join", "consent", "step", "check", "events", "answer", "withdraw"):
        router.add_api_route(f"/api/{name}", getattr(steps, name), methods=["POST"])
    return router


class Pages:
    """What a browser fetches: scripts, styles and clips."""

    def __init__(self, context):
        self._context, self._run = context, context.pool

    async def whole(self, request: Request):
        # Without the slash, the page's own addresses begin with "xab/": they hold below any path of a proxy.
        query = request.url.query
        return RedirectResponse("../xab" + (f"?{query}" if query else ""), 307)

    async def static(self, name: str):
        path = self._context.static_files.get(name)
        return FileResponse(path, media_type=TYPES.get(path.suffix)) if path else Response(status_code=404)

    async def media(self, handle: str, request: Request):
        data = await self._run(self._clip, handle[:64].replace("\x00", ""))
        return ranged(data, request.headers.get("range"), "video/mp4")

    def _clip(self, handle: str) -> bytes:
        of_try = self._context.tryouts.clip(handle)
        return of_try if of_try is not None else self._context.clips.get(self._context.store.sessions.media(handle))

    async def selfcheck(self, request: Request):
        path = await self._run(selfcheck.clip_path, self._context.settings.data)
        return ranged(await self._run(path.read_bytes), request.headers.get("range"), "video/mp4")


class Steps:
    """What the page asks and tells, as JSON."""

    def __init__(self, context):
        self._sessions, self._run = context.store.sessions, context.pool

    async def state(self, request: Request):
        ask = await parsed(request, Ask)
        return await self._state(ask)

    async def _state(self, ask: Ask) -> JSONResponse:
        return JSONResponse(await self._run(self._sessions.state, ask.t))

    async def join(self, request: Request):
        ask = await parsed(request, Ask)
        return JSONResponse({"t": await self._run(self._sessions.issue, ask.t)})

    async def consent(self, request: Request):
        ask = await parsed(request, Consent)
        await self._run(self._sessions.consent, ask.t, ask.version, request.headers.get("user-agent", ""))
        return await self._state(ask)

    async def step(self, request: Request):
        ask = await parsed(request, Step)
        await self._run(self._sessions.advance, ask.t, ask.step, hears=ask.hears, listens=ask.listens)
        return await self._state(ask)

    async def check(self, request: Request):
        ask = await parsed(request, Check)
        report = ask.report.model_dump()
        passed = selfcheck.passed(report)
        await self._run(self._sessions.check, ask.t, passed=passed, report=report)
        return JSONResponse({"passed": passed, "state": await self._run(self._sessions.state, ask.t)})

    async def events(self, request: Request):
        ask = await parsed(request, Events)
        rows = [event.model_dump() for event in ask.events]
        return JSONResponse({"stored": await self._run(self._sessions.log, ask.t, ask.page, rows)})

    async def answer(self, request: Request):
        ask = await parsed(request, Judgment)
        result = await self._run(
            self._sessions.answer,
            ask.t,
            handle=ask.handle,
            choice=ask.choice,
            nonce=ask.nonce,
            response_ms=ask.response_ms,
            viewport=ask.viewport.model_dump() if ask.viewport else None,
            page=ask.page,
            events=[event.model_dump() for event in ask.events],
        )
        return JSONResponse(result)

    async def withdraw(self, request: Request):
        ask = await parsed(request, Ask)
        await self._run(self._sessions.withdraw, ask.t)
        return JSONResponse({"withdrawn": True})
