"""Serve the browser demo and the XAB test.

Usage:
    python app.py                          http://127.0.0.1:7860
    python app.py --host 0.0.0.0 --port 8000
    python app.py --clips FOLDER           show other sample clips
    python app.py --noises FOLDER          offer other noises, as pushpull.universal fit writes them
    python app.py --model mine.safetensors a detector of your own, or a .py file that makes one
    python app.py --root-path /anna        behind a proxy that serves it at https://HOST/anna

GRADIO_SERVER_NAME, GRADIO_SERVER_PORT and GRADIO_ROOT_PATH say the same where no flag does. Hosts of gradio apps find
``demo`` here, whose ``launch`` serves all of it (docs/hosting.md).
"""

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from pushpull.config import Parser
from pushpull.files import shipped_folder

# What takes seconds to import (torch, gradio) is imported where it is needed: a wrong flag is answered at once.

ASSETS = shipped_folder("assets")
CHECKPOINTS = shipped_folder("checkpoints")
NOISES = ASSETS / "noises"
HOST, PORT, ROOT_PATH = "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_ROOT_PATH"
START_SECONDS = 60.0
MODEL_HELP = "a detector of your own: a weights file, or a .py file that sets `detector`; again for more"


def build_app(
    *,
    clips: Path = ASSETS,
    checkpoints: Path = CHECKPOINTS,
    noises: Path = NOISES,
    results: Path | None = None,
    xab=None,
    root_path: str = "",
    detectors: Sequence = (),
    example: bool = True,
):
    """Everything that one process serves, as a FastAPI application.

    Args:
        clips: folder of the gallery's sample clips.
        checkpoints: folder of the models.
        noises: folder of the noises for every clip.
        results: folder for visitors' results; a temporary one that goes when the app ends if None.
        xab: an ``xab.settings.Settings``, where the XAB test keeps its things; None serves the demo alone.
        root_path: "/anna" where a proxy serves this below /anna and takes that away, or the whole address
            ("https://lab.example/anna"); "" elsewhere.
        detectors: shown beside those of the registry; the first is the one that is chosen when nobody chose.
        example: whether a first visit sees a finished attack; one is made after the start where none is shipped of this
            sample and detector.

    Raises:
        StoreError: the database of the XAB test cannot be opened.
    """
    from fastapi import FastAPI

    from pushpull.demo.context import DemoContext
    from pushpull.demo.example import SHIPPED, Example
    from pushpull.demo.health import add_health
    from pushpull.demo.live_tab import add_live
    from pushpull.demo.loaded import DetectorCache
    from pushpull.demo.page import build_page, mount_page
    from pushpull.demo.serving import serve_files, tidy
    from pushpull.demo.storage import ResultStore

    root = results or Path(tempfile.mkdtemp(prefix="pushpull-"))
    shown = DetectorCache(checkpoints, given=detectors)
    context = DemoContext(detectors=shown, store=ResultStore(root=root), clips=clips, noises=noises)
    first_sight = Example(context, SHIPPED if example else None)

    @asynccontextmanager
    async def lifespan(_app):
        context.detectors.warm()
        if example:
            first_sight.prepare()
        tidying = asyncio.create_task(tidy(context.store.sweep, live.tidy))
        yield
        tidying.cancel()
        first_sight.close()
        live.close()
        if results is None:
            shutil.rmtree(root, ignore_errors=True)

    app = FastAPI(title="pushpull", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    serve_files(app, context.store, first_sight)
    live = add_live(app, context)
    links, database = {}, None
    if xab is not None:
        from xab.pages import mount as mount_xab

        database = mount_xab(app, xab).state.context.store.reachable
        links["Perception test"] = "xab"
    add_health(app, context, database)
    app.state.page = build_page(context, first_sight, links)
    # Pages with a longer path are mounted above this line: the demo's, at "/", takes every address.
    return mount_page(app, app.state.page, root_path)


@cache
def page_for_hosts():
    """The page, as gradio Blocks, whose ``launch`` serves everything that ``python app.py`` serves."""
    from xab.settings import Settings

    app = build_app(xab=Settings.from_env(), root_path=_root_path(os.environ.get(ROOT_PATH, "")))
    app.state.page.launch = lambda *given, **named: launch(app, *given, **named)
    return app.state.page


def __getattr__(name: str):
    # Not built before a host asks for it: importing this module takes neither torch nor a database.
    if name == "demo":
        return page_for_hosts()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def launch(
    app,
    *,
    server_name: str | None = None,
    server_port: int | None = None,
    root_path: str | None = None,
    prevent_thread_lock: bool = False,
    **others,
) -> tuple:
    """Serve ``app`` as ``gr.Blocks.launch`` does, with this app's own settings; ``others`` are named and left out.

    Returns:
        tuple: the application, its address here, and None, for it is never shared through another host.

    Raises:
        OSError: it cannot listen there.
    """
    if others:
        print(f"demo.launch: left out, the app sets it itself: {', '.join(sorted(others))}", file=sys.stderr)
    host = server_name or os.environ.get(HOST) or "127.0.0.1"
    listener = bind(host, port_number(str(server_port or os.environ.get(PORT) or 7860)))
    if root_path is not None:
        app.state.page.root_path = _root_path(root_path)
    server, address = server_of(app), address_of(host, listener)
    print(f"pushpull: {address} (Ctrl+C ends it)", flush=True)
    if not prevent_thread_lock:
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
        return app, address, None
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True, name="server")
    serving.start()

    def close(**_others) -> None:
        server.should_exit = True
        serving.join(START_SECONDS)

    app.state.page.close = close
    limit = time.monotonic() + START_SECONDS
    while not server.started and time.monotonic() < limit:
        time.sleep(0.02)
    return app, address, None


def server_of(app):
    """What serves an application."""
    import uvicorn

    return uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3))


def address_of(host: str, listener: socket.socket) -> str:
    """The address to type into a browser on this machine."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def port_number(text: str) -> int:
    """The port that ``--port`` means."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a whole number from 1 to 65535, got {text}")
    return int(text)


def _root_path(text: str) -> str:
    """Below which address a proxy serves this, without a slash at the end."""
    if text and not re.fullmatch(r"(https?://[\w.:\[\]-]+)?(/[\w.~-]+)*", text.rstrip("/")):
        raise argparse.ArgumentTypeError(f"a root path is like /anna or https://lab.example/anna, got {text}")
    return text.rstrip("/")


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


Parsed = tuple[argparse.Namespace, socket.socket, argparse.ArgumentParser]


def read_arguments(arguments: list[str] | None) -> Parsed:
    """The command's options, those of the environment where no flag says otherwise; the socket that they ask for."""
    parser = Parser(prog="python app.py", description="Serve the browser demo and the XAB test.")
    said = "address to listen on; 0.0.0.0 lets others in"
    parser.add_argument("--host", default=None, help=f"{said} ({HOST}, or 127.0.0.1)")
    parser.add_argument("--port", type=port_number, default=None, help=f"1 to 65535 ({PORT}, or 7860)")
    parser.add_argument("--clips", type=Path, default=ASSETS, metavar="FOLDER", help="sample clips for the gallery")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS, metavar="FOLDER", help="models to choose from")
    parser.add_argument("--noises", type=Path, default=NOISES, metavar="FOLDER", help="noises for every clip")
    parser.add_argument("--model", action="append", default=[], metavar="PATH", help=MODEL_HELP)
    said = "below which a proxy serves all of this"
    parser.add_argument("--root-path", type=_root_path, default=None, metavar="/PATH", help=f"{said} ({ROOT_PATH})")
    options = parser.parse_args(arguments)
    for flag, variable, read, otherwise in (
        ("host", HOST, str, "127.0.0.1"),
        ("port", PORT, port_number, 7860),
        ("root_path", ROOT_PATH, _root_path, ""),
    ):
        try:
            if getattr(options, flag) is None:
                setattr(options, flag, read(os.environ[variable]) if os.environ.get(variable) else otherwise)
        except argparse.ArgumentTypeError as error:
            parser.error(f"{variable}: {error}")
    for folder in (options.clips, options.checkpoints, options.noises):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    try:
        return options, bind(options.host, options.port), parser
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        parser.error(f"cannot listen on {options.host}, port {options.port}: {why}. Give another --host or --port")


def main(arguments: list[str] | None = None) -> int:
    options, listener, parser = read_arguments(arguments)
    from pushpull.detectors import CheckpointError, open_detector
    from xab.settings import Settings
    from xab.store import StoreError

    try:
        app = build_app(
            clips=options.clips,
            checkpoints=options.checkpoints,
            noises=options.noises,
            xab=Settings.from_env(),
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
    print(f"pushpull: {address_of(options.host, listener)} (Ctrl+C ends it)", flush=True)
    server = server_of(app)
    with contextlib.suppress(KeyboardInterrupt):  # raised again once everything has been shut down
        server.run(sockets=[listener])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
