"""What the app serves beside the page: its scripts and the files of results."""

from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from pushpull.demo.example import Example
from pushpull.demo.storage import ResultStore
from pushpull.demo.theme import STATIC

GONE = "These results are no longer on the server. Run the attack again."


def serve_files(app: FastAPI, store: ResultStore, example: Example) -> None:
    """Serve /demo-static, /results of ``store`` and /example; nothing else of the disk."""
    app.mount("/demo-static", StaticFiles(directory=STATIC), name="demo-static")

    @app.get("/results/{token}/{name}")
    def result(token: str, name: str, download: bool = False):
        path = store.find(token, name)
        if path is None:
            return PlainTextResponse(GONE, status_code=404)
        headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return FileResponse(path, headers=headers, filename=name if download else None)

    @app.get("/example/{name}")
    def first_sight(name: str):
        path = example.find(name)
        if path is None:
            return PlainTextResponse(GONE, status_code=404)
        # Asked again each time: a new detector brings a new example at the same address.
        return FileResponse(path, headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})
