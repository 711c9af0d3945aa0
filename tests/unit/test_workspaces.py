"""The VMs that Guestwake has been told to look after, as files."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guestwake.workspaces import UnknownWorkspace, Workspace, WorkspaceError, Workspaces

WEB01 = Workspace(
    name="web01",
    uuid="0f0e",
    uri="qemu:///system",
    owner=None,
    added=datetime(2026, 3, 10, tzinfo=UTC),
    memory=512,
    image_folder="/images",
)


@pytest.fixture
def known(tmp_path: Path) -> Workspaces:
    workspaces = Workspaces(tmp_path / "workspaces")
    workspaces.write(WEB01)
    return workspaces


def test_it_is_found_by_name_and_by_uuid(known: Workspaces) -> None:
    assert known.find("web01") == WEB01
    assert known.find("0f0e") == WEB01
    assert known.all() == [WEB01]


def test_they_are_listed_by_name(known: Workspaces) -> None:
    known.write(replace(WEB01, uuid="00aa", name="zeta"))
    known.write(replace(WEB01, uuid="ffff", name="alpha"))
    assert [each.name for each in known.all()] == ["alpha", "web01", "zeta"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("wbe01", "Did you mean 'web01'?"), ("zzz", "There are: web01.")],
)
def test_an_unknown_name_is_named_with_what_there_is(
    known: Workspaces, name: str, words: str
) -> None:
    with pytest.raises(UnknownWorkspace, match=name) as unknown:
        known.find(name)
    assert words in str(unknown.value)


def test_where_there_is_none_it_says_how_to_add_one(tmp_path: Path) -> None:
    none_yet = Workspaces(tmp_path / "nowhere")
    assert none_yet.all() == []
    with pytest.raises(UnknownWorkspace, match="guestwake workspace add web01"):
        none_yet.find("web01")


def test_removing_is_seen_by_others_and_so_is_a_file_that_is_gone(known: Workspaces) -> None:
    assert not known.is_removing(WEB01)
    known.write(replace(WEB01, removing=True))
    assert known.is_removing(WEB01)
    known.forget(WEB01)
    assert known.is_removing(WEB01)
    known.forget(WEB01)  # a second time is no error


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "web01"}', "null"])
def test_a_damaged_file_is_named_and_never_taken_for_removal(
    known: Workspaces, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "workspaces" / "0f0e.json"
    file.write_text(text)
    with pytest.raises(WorkspaceError, match=r"0f0e\.json"):
        known.all()
    assert not known.is_removing(WEB01)


def test_a_file_that_the_disk_does_not_give_is_never_taken_for_removal(
    known: Workspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "stat", fails)
    assert not known.is_removing(WEB01)


def test_a_damaged_file_keeps_no_other_workspace_from_its_window(
    known: Workspaces, tmp_path: Path
) -> None:
    (tmp_path / "workspaces" / "00aa.json").write_text("{")
    assert known.find("web01") == WEB01
    with pytest.raises(WorkspaceError, match=r"00aa\.json"):
        known.find("web02")


def test_one_that_is_taken_off_while_they_are_listed_is_no_damage(
    known: Workspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = known.all()[0].name
    reads = Path.read_text

    def read(path: Path, *words: Any, **options: Any) -> str:
        path.unlink()
        monkeypatch.setattr(Path, "read_text", reads)
        return reads(path)

    monkeypatch.setattr(Path, "read_text", read)
    assert name not in [each.name for each in known.all()]


def test_it_is_written_whole_or_not_at_all(known: Workspaces, tmp_path: Path) -> None:
    known.write(replace(WEB01, memory=1024))
    assert known.find("web01").memory == 1024
    assert [file.name for file in (tmp_path / "workspaces").iterdir()] == ["0f0e.json"]
