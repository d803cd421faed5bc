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


def routes(desk) -> APIRouter:
    """Args: desk: see xab.pages."""
    router = APIRouter(include_in_schema=False)
    sessions, run = desk.store.sessions, desk.pool

    @router.get("/")
    async def page(request: Request):
        # Without the slash, the page's own addresses begin with "xab/": they hold below any path of a proxy.
        query = request.url.query
        return RedirectResponse("../xab" + (f"?{query}" if query else ""), 307)

    @router.get("/static/{name}")
    async def static(name: str):
        path = desk.static_files.get(name)
        return FileResponse(path, media_type=TYPES.get(path.suffix)) if path else Response(status_code=404)

    @router.post("/api/state")
    async def state(request: Request):
        ask = await parsed(request, Ask)
        return JSONResponse(await run(sessions.state, ask.t))

    @router.post("/api/join")
    async def join(request: Request):
        ask = await parsed(request, Ask)
        return JSONResponse({"t": await run(sessions.issue, ask.t)})

    @router.post("/api/consent")
    async def consent(request: Request):
        ask = await parsed(request, Consent)
        await run(sessions.consent, ask.t, ask.version, request.headers.get("user-agent", ""))
        return JSONResponse(await run(sessions.state, ask.t))

    @router.post("/api/step")
    async def step(request: Request):
        ask = await parsed(request, Step)
        await run(sessions.advance, ask.t, ask.step, hears=ask.hears)
        return JSONResponse(await run(sessions.state, ask.t))

    @router.post("/api/check")
    async def check(request: Request):
        ask = await parsed(request, Check)
        report = ask.report.model_dump()
        passed = selfcheck.passed(report)
        await run(sessions.check, ask.t, passed=passed, report=report)
        return JSONResponse({"passed": passed, "state": await run(sessions.state, ask.t)})

    @router.post("/api/events")
    async def events(request: Request):
        ask = await parsed(request, Events)
        rows = [event.model_dump() for event in ask.events]
        return JSONResponse({"stored": await run(sessions.log, ask.t, ask.page, rows)})

    @router.post("/api/answer")
    async def answer(request: Request):
        ask = await parsed(request, Judgment)
        result = await run(
            sessions.answer,
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

    @router.post("/api/withdraw")
    async def withdraw(request: Request):
        ask = await parsed(request, Ask)
        await run(sessions.withdraw, ask.t)
        return JSONResponse({"withdrawn": True})

    @router.get("/media/{handle}")
    async def media(handle: str, request: Request):
        def find() -> bytes:
            return desk.wardrobe.get(sessions.media(handle[:64].replace("\x00", "")))

        return ranged(await run(find), request.headers.get("range"), "video/mp4")

    @router.get("/selfcheck.mp4")
    async def selfcheck_clip(request: Request):
        path = await run(selfcheck.clip_path, desk.settings.data)
        return ranged(await run(path.read_bytes), request.headers.get("range"), "video/mp4")

    return router
