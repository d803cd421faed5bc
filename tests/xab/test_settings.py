"""Where the test keeps its things on each system, and that what was there before is found."""

from pathlib import Path

import platformdirs
import pytest

from xab.settings import Settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder whose system keeps data in "Application Support", as a Mac does."""
    for name in ("XDG_DATA_HOME", "PUSHPULL_XAB_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name, **_: tmp_path / "Application Support" / name)
    return tmp_path


@pytest.mark.parametrize(
    "there, used",
    [
        ((), "Application Support/pushpull/xab"),
        ((".local/share/pushpull/xab",), ".local/share/pushpull/xab"),
        ((".local/share/pushpull",), "Application Support/pushpull/xab"),
        ((".local/share/pushpull/xab", "Application Support/pushpull/xab"), "Application Support/pushpull/xab"),
    ],
)
def test_the_systems_own_folder_unless_there_is_one_from_before(home, there, used):
    for folder in there:
        (home / folder).mkdir(parents=True)
    assert Settings.from_env().data == home / used


def test_a_folder_from_before_where_xdg_said(home, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "elsewhere"))
    (home / "elsewhere/pushpull/xab").mkdir(parents=True)
    assert Settings.from_env().data == home / "elsewhere/pushpull/xab"


def test_a_folder_that_is_named_wins(home, monkeypatch):
    (home / ".local/share/pushpull/xab").mkdir(parents=True)
    monkeypatch.setenv("PUSHPULL_XAB_DATA", str(home / "named"))
    assert Settings.from_env().data == home / "named"
