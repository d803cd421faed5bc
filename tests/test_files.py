"""Files that are whole or not there."""

import hashlib

import pytest

from pushpull.files import PARTIAL, replacing, sha256


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
