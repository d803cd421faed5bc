"""Serving the app for others: where it listens, what gradio's hosts find, and whether it is well."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from browser_support import Served

import app
from pushpull.demo.health import report
from xab.store import Store

ROOT = Path(__file__).parents[2]


def ask(address, method="GET"):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=30) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- where it listens ---

PLACES = {
    "nothing is said": ({}, [], ("127.0.0.1", 7860, "")),
    "the environment says": (
        {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "8123", "GRADIO_ROOT_PATH": "/anna/"},
        [],
        ("0.0.0.0", 8123, "/anna"),
    ),
    "flags win": (
        {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "8123", "GRADIO_ROOT_PATH": "/anna"},
        ["--host", "127.0.0.2", "--port", "9000", "--root-path", "/ben"],
        ("127.0.0.2", 9000, "/ben"),
    ),
    "an empty variable says nothing": ({"GRADIO_SERVER_PORT": "", "GRADIO_ROOT_PATH": ""}, [], ("127.0.0.1", 7860, "")),
    "a whole address": ({"GRADIO_ROOT_PATH": "https://lab.example/anna"}, [], ("127.0.0.1", 7860, "https://lab.example/anna")),
    "an empty flag wins": ({"GRADIO_ROOT_PATH": "/anna"}, ["--root-path", ""], ("127.0.0.1", 7860, "")),
}  # fmt: skip


@pytest.mark.parametrize("case", PLACES)
def test_flags_and_environment_say_where_it_listens(case, monkeypatch):
    environment, arguments, expected = PLACES[case]
    for name in ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_ROOT_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asked = []
    monkeypatch.setattr(app, "bind", lambda host, port: asked.append((host, port)))
    options, *_ = app.read_arguments(arguments)
    assert (*asked[0], options.root_path) == expected


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GRADIO_SERVER_PORT", "http", "GRADIO_SERVER_PORT: a port is a whole number from 1 to 65535, got http"),
        ("GRADIO_ROOT_PATH", "anna", "GRADIO_ROOT_PATH: a root path is like /anna"),
    ],
)
def test_a_wrong_variable_is_named(variable, value, message, monkeypatch, capsys):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit):
        app.main([])
    assert message in capsys.readouterr().err


# --- gradio's hosts ---


def test_importing_the_app_starts_nothing(tmp_path):
    """A host that looks for ``demo`` imports the module first; so does every tool that only looks."""
    code = "import sys, app; print('torch' in sys.modules, 'gradio' in sys.modules, hasattr(app, 'absent'))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PUSHPULL_XAB_DATA": str(tmp_path / "xab")}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert found.stdout.split() == ["False", "False", "False"], found.stderr
    assert not (tmp_path / "xab").exists()


def test_launching_what_hosts_look_for_serves_everything(tmp_path, monkeypatch, capsys):
    import gradio as gr

    monkeypatch.setenv("PUSHPULL_XAB_DATA", str(tmp_path / "xab"))
    monkeypatch.setenv("GRADIO_SERVER_PORT", str(free_port()))
    app.page_for_hosts.cache_clear()
    page = app.demo
    assert isinstance(page, gr.Blocks) and app.demo is page
    _, address, shared = page.launch(prevent_thread_lock=True, share=True)
    assert shared is None and "left out, the app sets it itself: share" in capsys.readouterr().err
    assert json.loads(ask(f"{address}/healthz")[1])["database"] == "reachable"
    assert [ask(f"{address}{path}")[0] for path in ("/", "/demo-static/player.js", "/xab")] == [200, 200, 200]
    page.close()
    with pytest.raises(urllib.error.URLError):
        ask(f"{address}/healthz")


# --- the image ---


def test_what_the_image_copies_is_enough_to_start_and_no_more(tmp_path):
    """As far as it goes without docker: the files that the Dockerfile names, alone, are an app that can be built."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [words.split()[1:-1] for words in text.splitlines() if words.startswith("COPY ") and "--from" not in words]
    names = {name for names in copied for name in names}
    assert names == let_in
    for name in names:
        (tmp_path / name).symlink_to(ROOT / name)
    code = "import app, xab.cli; print(len(app.demo.fns) > 5, app.__file__)"
    environment = {**os.environ, "PUSHPULL_XAB_DATA": str(tmp_path / "data")}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert found.stdout.split()[-2:] == ["True", str(tmp_path / "app.py")], found.stderr
    variables = dict(re.findall(r"^\s*(?:ENV )?([A-Z_]+)=(\S+)", text, flags=re.M))
    assert (variables["GRADIO_SERVER_NAME"], variables["GRADIO_SERVER_PORT"]) == ("0.0.0.0", "7860")
    assert "USER pushpull" in text


# --- health ---


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("app"), example=False)
    yield served
    served.stop()


def test_health_says_what_is_loaded_and_who_waits(served):
    status, body = ask(f"{served.base}/healthz")
    found = json.loads(body)
    assert status == 200 and found["status"] == "ok" and found["database"] == "none"
    assert found["version"] and found["detector"]["default"] == "talknet-lite"
    assert set(found["queue"].values()) == {0}
    assert ask(f"{served.base}/healthz", "HEAD") == (200, b"")


def test_a_database_that_is_away_is_unwell(served):
    assert report(served.context, lambda: False)["status"] == "unwell"


def test_the_database_of_the_test_is_asked(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'xab.sqlite'}")
    assert store.reachable()
    store.close()
    for file in tmp_path.iterdir():
        file.unlink()
    assert not store.reachable()
