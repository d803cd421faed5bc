"""Fetching published detectors, from a server of the test's own that misbehaves as servers do."""

import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from asd_support import batch, largest, randomised

from pushpull.detectors import CheckpointError, FetchError, catalogue, fetch, load_detector, save_detector
from pushpull.detectors.__main__ import main

NAME = "lr-asd-ava"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        server.ranges.append(start)
        if server.status:
            return self.send_error(server.status)
        start = start if server.resumes else 0
        if start >= len(server.content):
            return self.send_error(416)
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else None
        self.wfile.write(body[:cut])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def detector():
    return randomised("lr-asd")


@pytest.fixture(scope="module")
def content(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "file.model"
    torch.save(detector.state_dict(), path)
    return path.read_bytes()


@pytest.fixture
def server(content, monkeypatch, tmp_path):
    """Serves ``content`` as the published file; what it does wrong is set by a test."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.ranges, server.cuts, server.resumes, server.status = content, [], [], True, 0
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    published = replace(
        catalogue.PUBLISHED[NAME],
        url=f"http://127.0.0.1:{server.server_port}/file.model",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
    monkeypatch.setitem(catalogue.PUBLISHED, NAME, published)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("PUSHPULL_DETECTORS", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def test_it_comes_is_converted_and_found_by_name(server, detector, content, tmp_path):
    told = []
    path = fetch(NAME, progress=lambda so_far, total: told.append((so_far, total)))
    assert path == tmp_path / "cache" / "pushpull" / "detectors" / f"{NAME}.safetensors"
    assert told[-1] == (len(content), len(content)) and told == sorted(told)
    assert sorted(file.name for file in path.parent.iterdir()) == [f"{NAME}.json", f"{NAME}.safetensors"]
    loaded = load_detector(NAME, "cpu")
    published = catalogue.PUBLISHED[NAME]
    facts = {"licence": published.licence, "source": published.url, "source_sha256": published.sha256}
    assert loaded.card.items() >= {**facts, "crop": "face_box", "trained_on": "AVA-ActiveSpeaker"}.items()
    with torch.no_grad():
        assert largest(loaded(batch()), detector(batch())) == 0
    assert fetch(NAME) == path and len(server.ranges) == 1, "what is there is not fetched again"


def test_a_broken_connection_is_taken_up_again(server, content, tmp_path):
    server.cuts = [100_000, 50_000]
    assert fetch(NAME, folder=tmp_path / "here").is_file()
    assert server.ranges == [0, 100_000, 150_000]


def test_the_next_call_goes_on_where_one_gave_up(server, tmp_path):
    server.cuts = [100_000, 1000, 1000]
    with pytest.raises(FetchError, match="ended after 102000|IncompleteRead"):
        fetch(NAME)
    assert fetch(NAME).is_file() and server.ranges == [0, 100_000, 101_000, 102_000]


def test_a_server_that_does_not_resume_sends_it_all(server, content):
    server.resumes, server.cuts = False, [100_000]
    assert fetch(NAME).is_file() and server.ranges == [0, 100_000]


@pytest.mark.parametrize("change", [lambda c: c[:-1] + b"?", lambda c: c + b"more", lambda c: b"<html>" + c])
def test_another_file_is_refused_and_leaves_nothing(server, content, change, tmp_path):
    server.content = change(content)
    with pytest.raises(FetchError, match="not the file that was expected"):
        fetch(NAME)
    assert list((tmp_path / "cache" / "pushpull" / "detectors").iterdir()) == []
    server.content = content
    assert fetch(NAME).is_file()


def test_remains_of_another_file_are_started_anew(server, content, tmp_path):
    partial = tmp_path / f"{NAME}.model.partial"
    for remains in (b"x" * (len(content) + 1), b"x" * 10):
        partial.write_bytes(remains)
        if len(remains) == 10:
            with pytest.raises(FetchError, match="not the file that was expected"):
                fetch(NAME, folder=tmp_path)
        assert fetch(NAME, folder=tmp_path).is_file() and not partial.exists()
        (tmp_path / f"{NAME}.safetensors").unlink()


def test_a_shorter_file_than_what_is_there_ends_in_words(server, content, tmp_path):
    (tmp_path / f"{NAME}.model.partial").write_bytes(content[:2000])
    server.content = content[:1000]
    with pytest.raises(FetchError, match=f"cannot fetch {NAME}"):
        fetch(NAME, folder=tmp_path)


@pytest.mark.parametrize("status", [404, 503])
def test_a_refusal_says_where_to_put_the_file_by_hand(server, status, tmp_path):
    server.status = status
    with pytest.raises(FetchError, match=rf"(?s){status}.*file.model elsewhere and put it at .*{NAME}.model"):
        fetch(NAME)


def test_offline_it_says_where_to_put_the_file_which_then_works(server, content, monkeypatch, tmp_path, capsys):
    gone = replace(catalogue.PUBLISHED[NAME], url="http://127.0.0.1:9/file.model")
    monkeypatch.setitem(catalogue.PUBLISHED, NAME, gone)
    place = tmp_path / "cache" / "pushpull" / "detectors" / f"{NAME}.model"
    assert main(["fetch", NAME, "--quiet"]) == 1
    told = capsys.readouterr().err
    assert str(place) in told and gone.url in told and "PUSHPULL_DETECTORS" in told
    place.write_bytes(content)
    assert load_detector(NAME, "cpu").card["licence"] == gone.licence
    assert main(["fetch", NAME, "--quiet"]) == 0
    assert str(place.with_suffix(".safetensors")) in capsys.readouterr().out and place.is_file()


def test_a_file_in_the_users_folder_is_taken_and_left_there(server, content, monkeypatch, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / f"{NAME}.model").write_bytes(content)
    monkeypatch.setenv("PUSHPULL_DETECTORS", str(own))
    assert fetch(NAME).parent != own
    assert server.ranges == [] and [file.name for file in own.iterdir()] == [f"{NAME}.model"]


def test_another_file_of_that_name_is_told_and_left_there(server, tmp_path):
    (tmp_path / f"{NAME}.model").write_bytes(b"mine")
    with pytest.raises(CheckpointError, match="is not the published lr-asd-ava"):
        fetch(NAME, folder=tmp_path)
    assert (tmp_path / f"{NAME}.model").read_bytes() == b"mine"


def test_a_damaged_conversion_is_made_again_and_anothers_is_left(server, tmp_path):
    path = fetch(NAME, folder=tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    assert load_detector(fetch(NAME, folder=tmp_path), "cpu").card["name"] == NAME
    save_detector(path, randomised("lr-asd", seed=1))
    with pytest.raises(CheckpointError, match="is another detector"):
        fetch(NAME, folder=tmp_path)


def test_where_nothing_can_be_written(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match="cannot write to"):
        fetch(NAME, folder=tmp_path / "file" / "folder")


def test_the_shell(server, capsys):
    assert main(["fetch", "nothing"]) == 1
    assert "no published detector is called 'nothing'; there are: light-asd-ava" in capsys.readouterr().err
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert f"fetch {NAME}" in listed and "talknet-lite" in listed
    assert main(["fetch", NAME]) == 0 and main(["list"]) == 0
    assert f"fetch {NAME}" not in capsys.readouterr().out
