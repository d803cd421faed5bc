"""Folders of results: what is found in them, and when they go."""

import asyncio
import os
import time

import pytest

from pushpull.demo import serving
from pushpull.demo.storage import ResultStore


@pytest.fixture
def store(tmp_path):
    return ResultStore(root=tmp_path / "store")


@pytest.mark.parametrize(
    "token, name",
    [
        ("0" * 32, "view.json"),
        ("..", "view.json"),
        ("OWN", "../view.json"),
        ("OWN", ".hidden"),
        ("OWN", "absent.json"),
        ("OWN", "link.json"),
        ("own/..", "view.json"),
    ],
)
def test_nothing_but_a_folders_own_files_is_found(store, token, name, tmp_path):
    folder = store.open()
    (folder.path / "view.json").write_text("{}")
    (folder.path / ".hidden").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    (folder.path / "link.json").symlink_to(tmp_path / "secret")
    assert store.find(folder.token, "view.json") == folder.path / "view.json"
    assert store.find(token.replace("OWN", folder.token).replace("own", folder.token), name) is None


def test_old_folders_are_swept_and_young_ones_stay(store):
    old, young = store.open(), store.open()
    past = time.time() - store.max_age - 1
    os.utime(old.path, (past, past))
    assert store.sweep() == 1
    assert not old.path.exists() and young.path.exists()


def test_old_folders_go_while_the_app_runs_though_nobody_comes(store, monkeypatch):
    old, looks = store.open(), []
    past = time.time() - store.max_age - 1
    os.utime(old.path, (past, past))

    def failing():
        looks.append(store.root)
        raise OSError("the disk is away")

    async def run():
        task = asyncio.create_task(serving.tidy(failing, store.sweep))
        while old.path.exists() or len(looks) < 2:
            await asyncio.sleep(0.01)
        task.cancel()

    monkeypatch.setattr(serving, "TIDY_SECONDS", 0.01)
    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_shared_file_outlives_its_first_folder(store):
    first, second = store.open(), store.open()
    (first.path / "clip.mp4").write_bytes(b"bits")
    second.share(first.path / "clip.mp4")
    second.share(first.path / "clip.mp4")  # it is there already
    (first.path / "clip.mp4").unlink()
    assert (second.path / "clip.mp4").read_bytes() == b"bits"
