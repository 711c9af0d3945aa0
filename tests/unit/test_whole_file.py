"""Small files that are there whole or as they were before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from guestwake.whole_file import write_whole


def test_it_is_there_whole_and_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_whole(file, b"one\n")
    write_whole(file, b"two\r\n")
    assert file.read_bytes() == b"two\r\n"
    assert list(tmp_path.iterdir()) == [file]


def test_one_for_its_owner_alone_is_so_from_the_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen = tmp_path / "key", []
    monkeypatch.setattr(os, "fsync", lambda opened: seen.append(os.fstat(opened).st_mode & 0o777))
    write_whole(file, b"secret", 0o600)
    assert (seen, file.stat().st_mode & 0o777) == ([0o600], 0o600)


def test_where_the_disk_fails_the_old_one_stands_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(opened: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "a.json"
    write_whole(file, b"one")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"two")
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


def test_what_died_long_ago_is_swept_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    old, new, others = (tmp_path / name for name in (".a.json.1", ".a.json.2", ".b.json.1"))
    for left in (old, new, others):
        left.write_bytes(b"half")
    os.utime(old, (0, 0))
    os.utime(others, (0, 0))
    write_whole(file, b"one")
    assert sorted(tmp_path.iterdir()) == sorted([file, new, others])


def test_another_that_is_done_just_now_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listdir", lambda folder: [".a.json.2"])  # renamed since
    write_whole(tmp_path / "a.json", b"one")
    assert (tmp_path / "a.json").read_bytes() == b"one"


def test_what_a_dead_process_of_this_number_left_is_in_nobodys_way(tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "a.json", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"not ours")
    (tmp_path / f".a.json.{os.getpid()}").symlink_to(elsewhere)
    write_whole(file, b"one")
    assert (file.read_bytes(), elsewhere.read_bytes()) == (b"one", b"not ours")
