"""The command that serves: what it refuses, before anything slow."""

import socket

import pytest

import app

REFUSED = {
    "a port too high": (["--port", "70000"], "a port is a whole number from 1 to 65535, got 70000"),
    "no port": (["--port", "0"], "from 1 to 65535, got 0"),
    "a negative port": (["--port", "-5"], "from 1 to 65535, got -5"),
    "half a port": (["--port", "80.5"], "from 1 to 65535, got 80.5"),
    "a port in words": (["--port", "http"], "from 1 to 65535, got http"),
    "a port that is taken": (["--port", "TAKEN"], "Address already in use. Give another --host or --port"),
    "somebody else's address": (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1, port 7860"),
    "no such host": (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
    "no host at all": (["--host", "a" * 70], "cannot listen on"),
    "an address for a host": (["--host", "http://127.0.0.1"], "cannot listen on http://127.0.0.1"),
    "no folder of clips": (["--clips", "absent"], "absent is not a folder"),
    "no folder of checkpoints": (["--checkpoints", "absent"], "absent is not a folder"),
    "no folder of noises": (["--noises", "absent"], "absent is not a folder"),
    "half a path": (["--root-path", "anna/"], "a root path is like /anna"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_said_at_once(case, monkeypatch, capsys):
    arguments, message = REFUSED[case]
    monkeypatch.setattr(app, "build_app", lambda **_: pytest.fail("built although it cannot be served"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit) as ended:
            app.main([port if word == "TAKEN" else word for word in arguments])
    assert ended.value.code == 2 and message in capsys.readouterr().err
