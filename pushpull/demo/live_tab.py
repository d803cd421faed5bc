"""The Live tab: scores while a camera films, and then an attack on what was filmed."""

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from pushpull.demo.context import DemoContext
from pushpull.demo.live import MOST_BYTES, Refused, Sessions, read_part
from pushpull.demo.models import choices
from pushpull.detectors import CheckpointError
from pushpull.media import MediaError

MOST_SKIPPED = 25 * 3600  # frames: an hour
INTRO = """
<p class="pp-start">Film yourself and talk: the detector says, about a second later, whether you are speaking. Then
attack what was filmed. Pictures and sound are scored as they come and not kept.</p>"""


def add_live(app: FastAPI, context: DemoContext) -> Sessions:
    """Serve /live, the detectors that can score, and /live/{token}: parts of what a camera films in, scores out.

    See :mod:`pushpull.demo.live`.
    """
    detectors = context.detectors
    sessions = Sessions(lambda name: detectors.get(name or detectors.default() or ""))

    @app.get("/live")
    def names():
        return JSONResponse(choices(detectors.cards()))

    @app.post("/live/{token}")
    async def part(token: str, request: Request, detector: str = "", skipped: int = 0):
        if not token.isalnum() or not 16 <= len(token) <= 64:
            return JSONResponse({"error": "no camera of this name"}, 404)
        if not 0 <= skipped <= MOST_SKIPPED:
            return JSONResponse({"error": "frames cannot have been left out for so long"}, 400)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                return JSONResponse({"error": "the part is too large"}, 413)
        try:
            return await run_in_threadpool(
                lambda: sessions.add(token, read_part(body), detector=detector, skipped=skipped)
            )
        except Refused as error:
            return JSONResponse({"error": str(error)}, 503 if "Others" in str(error) else 400)
        except (CheckpointError, MediaError) as error:
            return JSONResponse({"error": str(error)}, 503)

    @app.delete("/live/{token}")
    async def end(token: str):
        sessions.end(token)
        return JSONResponse({})

    return sessions


def live_tab() -> None:
    """Build the tab; everything in it is the page's own script."""
    gr.HTML(INTRO + "<pp-live></pp-live>", js_on_load=None, elem_id="pp-live")
