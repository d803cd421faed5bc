"""Files that are whole or not there."""

import hashlib
import os
from pathlib import Path

import pytest

from pushpull.files import PARTIAL, check_file, check_folder, replacing, sha256, shown


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "data.bin"
    with replacing(path) as handle:
        handle.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new" and not list(tmp_path.glob(f"*{PARTIAL}"))


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), replacing(path, "w") as handle:
        handle.write("half")
        raise OSError("the disk is full")
    assert path.read_text() == "old" and not list(tmp_path.glob(f"*{PARTIAL}"))


def test_text_is_utf8_with_its_own_line_ends(tmp_path):
    with replacing(tmp_path / "a.csv", "w") as handle:
        handle.write("ε\r\n")
    assert (tmp_path / "a.csv").read_bytes() == "ε\r\n".encode()


def test_checksum_of_more_than_one_block(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(data)
    assert sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()


REFUSED = {
    "a file": (check_folder, "text", "text is no folder"),
    "below a file": (check_folder, "text/a/b", "text is no folder"),
    "a name too long": (check_folder, "x" * 300, "File name too long"),
    "a link to nothing": (check_folder, "link/a", "link is no folder"),
    "a locked folder": (check_folder, "locked/a", "permission denied"),
    "a folder for a file": (check_file, "locked", "is a folder: name a file in it"),
    "another ending": (check_file, "a.gif", "must end in .png or .svg"),
    "a file below a file": (check_file, "text/a.png", "text is no folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_places_that_cannot_be_written_are_refused_before_the_work(case, tmp_path, monkeypatch):
    check, path, message = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("")
    Path("link").symlink_to("nowhere")
    Path("locked").mkdir(mode=0o500)
    if "locked/" in path and os.access("locked", os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(ValueError, match=message):
        check(Path(path), *([(".png", ".svg")] if check is check_file else []))


@pytest.mark.parametrize("path", ["new/er", "-res", "12:30", ".", "a%d/b"])
def test_places_that_can_be_written_are_left_alone(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_folder(Path(path))
    check_file(Path(path) / "a.PNG", (".png",))
    assert not list(tmp_path.iterdir())


def test_names_as_titles():
    assert shown("two\nlines  of byte\udcff") == "two lines of byte?"
