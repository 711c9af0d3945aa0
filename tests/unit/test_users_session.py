"""What is called without a session's environment finds the session that is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guestwake.edges.users_session import join

NOBODYS = 4_000_000


@pytest.fixture
def me(tmp_path: Path) -> int:
    """An ordinary user who is logged on."""
    folder = tmp_path / f"run/user/{NOBODYS}"
    folder.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(folder, NOBODYS, NOBODYS)
        return NOBODYS
    folder.rename(folder.with_name(str(os.geteuid())))
    return os.geteuid()


def test_the_session_that_is_there_is_joined(me: int, tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    join(environ, me, tmp_path)
    assert environ == {"XDG_RUNTIME_DIR": f"{tmp_path}/run/user/{me}"}


def test_what_is_said_counts(me: int, tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": "/elsewhere"}
    join(environ, me, tmp_path)
    assert environ == {"XDG_RUNTIME_DIR": "/elsewhere"}


def test_somebody_elses_folder_is_not_joined(me: int, tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    (tmp_path / "run/user/12").symlink_to(tmp_path / f"run/user/{me}")
    join(environ, 12, tmp_path)
    assert environ == {}


@pytest.mark.parametrize("euid", [0, NOBODYS + 1])
def test_root_and_who_is_not_logged_on_have_none(euid: int, tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    join(environ, euid, tmp_path)
    assert environ == {}
