"""The test to try: begin, what comes next, an answer. Its clips have the same addresses as every clip."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from .http import parsed
from .volunteer import Ask, Token


class Begin(BaseModel):
    """``counted``: the result may be added to the count."""

    model_config = ConfigDict(extra="forbid")
    counted: Annotated[bool, Field(strict=True)]


class Choice(Ask):
    handle: Token
    choice: Literal["A", "B"]


def routes(context) -> APIRouter:
    """Args: context: see xab.pages."""
    router = APIRouter(include_in_schema=False, prefix="/api/try")
    tryouts, run = context.tryouts, context.pool

    @router.post("/begin")
    async def begin(request: Request):
        ask = await parsed(request, Begin)
        return JSONResponse({"t": await run(tryouts.begin, counted=ask.counted)})

    @router.post("/state")
    async def state(request: Request):
        ask = await parsed(request, Ask)
        return JSONResponse(await run(tryouts.state, ask.t))

    @router.post("/answer")
    async def answer(request: Request):
        ask = await parsed(request, Choice)
        return JSONResponse(await run(tryouts.answer, ask.t, ask.handle, ask.choice))

    return router
