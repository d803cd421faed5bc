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


@pytest.mark.parametrize(
    "url, used",
    [
        ("sqlite:///xab.sqlite", "sqlite:///{here}/xab.sqlite"),
        ("sqlite:///sub/xab.sqlite?mode=rw", "sqlite:///{here}/sub/xab.sqlite?mode=rw"),
        ("sqlite:////srv/xab.sqlite", "sqlite:////srv/xab.sqlite"),
        ("postgresql://u:p@host/name", "postgresql://u:p@host/name"),
        ("", ""),
    ],
)
def test_the_process_that_makes_stimuli_opens_the_same_files(tmp_path, monkeypatch, url, used):
    """It runs in the package's folder, wherever the server was started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUSHPULL_DATABASE_URL", url)
    monkeypatch.setenv("PUSHPULL_DETECTORS", "mine")
    told = Settings.from_env().environment()
    assert told["PUSHPULL_DATABASE_URL"] == used.format(here=tmp_path)
    assert told["PUSHPULL_DETECTORS"] == str(tmp_path / "mine")


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_used_is_named_with_the_way_out(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="PUSHPULL_XAB_DATA") as caught:
        Settings(data=tmp_path / place).prepare()
    assert str(tmp_path / place) in str(caught.value)
