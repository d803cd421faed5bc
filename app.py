"""Serve the browser demo and the XAB test.

Usage:
    python app.py                          http://127.0.0.1:7860
    python app.py --host 0.0.0.0 --port 8000
    python app.py --clips FOLDER           show other sample clips
    python app.py --model mine.safetensors a detector of your own, or a .py file that makes one
    python app.py --root-path /anna        behind a proxy that serves it at https://HOST/anna
"""

import argparse
import contextlib
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from pushpull.demo.context import ASSETS, DemoContext  # before gradio: pushpull.demo switches its telemetry off
from pushpull.demo.intake import MAX_BYTES
from pushpull.demo.loaded import DetectorCache
from pushpull.demo.page import build_page
from pushpull.demo.storage import ResultStore
from pushpull.demo.theme import HEAD, STATIC, STYLE, theme
from pushpull.detectors import CheckpointError, Detector, open_detector
from pushpull.detectors.checkpoint import CHECKPOINTS
from xab.pages import mount as mount_xab
from xab.settings import Settings as XabSettings
from xab.store import StoreError

import gradio as gr  # isort: skip

MODEL_HELP = "a detector of your own: a weights file, or a .py file that sets `detector`; again for more"

# How every page of this process is mounted, the demo's and others'.
MOUNT = {
    "footer_links": [],
    "run_history": False,
    "show_error": False,
    "max_file_size": MAX_BYTES,
    "ssr_mode": False,
    "allowed_paths": [],
    "head": HEAD,
    "css_paths": [STYLE],
}


def build_app(
    *,
    clips: Path = ASSETS,
    checkpoints: Path = CHECKPOINTS,
    results: Path | None = None,
    xab: XabSettings | None = None,
    root_path: str = "",
    detectors: Sequence[Detector] = (),
) -> FastAPI:
    """Everything that one process serves.

    Args:
        clips: folder of the gallery's sample clips.
        checkpoints: folder of the models.
        results: folder for visitors' results; a temporary one that goes when the app ends if None.
        xab: where the XAB test keeps its things; None serves the demo alone.
        detectors: shown beside those of the registry; the first is the one that is chosen when nobody chose.
        root_path: "/anna" where a proxy serves this below /anna and takes that away, "" elsewhere.

    Raises:
        StoreError: the database of the XAB test cannot be opened.
    """
    root = results or Path(tempfile.mkdtemp(prefix="pushpull-"))
    context = DemoContext(
        detectors=DetectorCache(checkpoints, given=detectors), store=ResultStore(root=root), clips=clips
    )

    @asynccontextmanager
    async def lifespan(_app):
        context.detectors.warm()
        yield
        if results is None:
            shutil.rmtree(root, ignore_errors=True)

    app = FastAPI(title="pushpull", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    app.mount("/demo-static", StaticFiles(directory=STATIC), name="demo-static")

    @app.get("/results/{token}/{name}")
    def result(token: str, name: str, download: bool = False):
        path = context.store.find(token, name)
        if path is None:
            return PlainTextResponse("These results are no longer kept. Run the attack again.", status_code=404)
        headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return FileResponse(path, headers=headers, filename=name if download else None)

    links: dict[str, str] = {}
    if xab is not None:
        mount_xab(app, xab)
        links["XAB test"] = "xab/lab"
    # Pages with a longer path are mounted above this line: the demo's, at "/", takes every address.
    page = build_page(context, links)
    app = gr.mount_gradio_app(app, page, path="/", theme=theme(), root_path=root_path or None, **MOUNT)
    # gradio refuses files that nobody uploaded only in apps that it has launched itself. In a mounted one, a request
    # could name any file of this machine and have it read.
    page.has_launched = True
    return app


def port_number(text: str) -> int:
    """The port that ``--port`` means."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a whole number from 1 to 65535, got {text}")
    return int(text)


def bind(host: str, port: int) -> socket.socket:
    """The socket to serve at, taken before anything slow: nobody is answered yet.

    Raises:
        OSError: there is no such address here, it is taken, or this user may not have it.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family)
    try:
        if os.name == "posix":  # elsewhere it would share a port that is taken
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python app.py", description="Serve the browser demo and the XAB test.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets others in")
    parser.add_argument("--port", type=port_number, default=7860, help="1 to 65535 (7860)")
    parser.add_argument("--clips", type=Path, default=ASSETS, metavar="FOLDER", help="sample clips for the gallery")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS, metavar="FOLDER", help="models to choose from")
    parser.add_argument("--model", action="append", default=[], metavar="PATH", help=MODEL_HELP)
    parser.add_argument("--root-path", default="", metavar="/PATH", help="below which a proxy serves all of this")
    options = parser.parse_args(arguments)
    if options.root_path and not re.fullmatch(r"(/[\w.~-]+)+", options.root_path):
        parser.error(f"--root-path is like /anna or /people/anna, without a slash at the end, got {options.root_path}")
    for folder in (options.clips, options.checkpoints):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    try:
        listener = bind(options.host, options.port)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        parser.error(f"cannot listen on {options.host}, port {options.port}: {why}. Give another --host or --port")
    try:
        app = build_app(
            clips=options.clips,
            checkpoints=options.checkpoints,
            xab=XabSettings.from_env(),
            root_path=options.root_path,
            detectors=[open_detector(path) for path in options.model],
        )
    except (CheckpointError, ValueError) as error:
        listener.close()
        parser.error(str(error))
    except StoreError as error:
        listener.close()
        print(f"The XAB test's database cannot be opened: {error}", file=sys.stderr)
        return 1
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"pushpull: http://{host}:{options.port} (Ctrl+C ends it)", flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3))
    with contextlib.suppress(KeyboardInterrupt):  # raised again once everything has been shut down
        server.run(sockets=[listener])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
