"""What a guest said, in `status` and `history`: told, bounded, and unable to forge a line."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from command_world import CommandWorld

from guestwake.edges.exit_codes import Exit
from guestwake.guest_report import keep, keep_installed
from guestwake.policy.words import Start
from guestwake_wire.messages import (
    Client,
    ClientState,
    Installed,
    Reason,
    Report,
    Session,
    SessionKind,
    Strength,
)

REPORT = Report(
    *(7, 1_000, "boot-1", "guestwake-guest 0.1.0", "Debian 12", "6.1", True),
    restart=(Reason("reboot-required", Strength.STRONG, 60, "linux-image"),),
    clients=(Client("apt", ClientState.NOTHING_LEFT, (Installed("example", "2.0", 990),)),),
    sessions=(
        Session("anna", SessionKind.GRAPHICAL, 3600, 120),
        Session("auto", SessionKind.TEXT, 60, -1),
        Session("kiosk", SessionKind.REMOTE, 60, None),
    ),
)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandWorld:
    world = CommandWorld(tmp_path, capsys)
    world.vm("web01")
    return world


def says(world: CommandWorld, report: Report, refused: int = 0) -> None:
    application = world.application
    uuid = application.workspaces.find("web01").uuid
    with application.journal() as journal:
        now = world.clock.now()
        keep(journal, uuid, report, Start("start-1", None), now, by="service", refused=refused)


def test_without_a_reporter_it_is_availability_only(world: CommandWorld) -> None:
    assert world.run("status") == Exit.DONE
    assert "  guest nobody reports from it: 'availability only'" in world.out.splitlines()
    (status,) = world.json("status")
    assert (status["guest"], status["restart_required"]) == (None, None)


def test_what_it_said_is_told(world: CommandWorld) -> None:
    says(world, REPORT, refused=3)
    assert world.run("status") == Exit.DONE
    for line in (
        "Debian 12; Guest Update Service (guestwake-guest 0.1.0), ",
        "(reboot-required: linux-image)",
        "updates: apt nothing left",
        "busy installing",
        "signed in: anna (graphical, for 1 h, last input 2 min before)",
        "signed in: auto (text, for 1 min, untouched)",
        "signed in: kiosk (remote, for 1 min, nobody can tell when it was last used)",
        "3 of its messages were none, or too many, and were passed over",
    ):
        assert line in world.out
    (status,) = world.json("status")
    assert status["guest"]["boot_id"] == "boot-1"
    assert [each["input_known"] for each in status["guest"]["sessions"]] == [True, True, False]
    assert status["restart_required"]["reasons"][0]["source"] == "reboot-required"
    assert status["restart_required"]["in_vain"] is False


def test_no_text_of_a_guest_forges_a_line(world: CommandWorld) -> None:
    """Qubes QSB-087. The decoder refuses such texts; an edge must not need it to."""
    evil = "x\n  !!    web02 is broken\x1b[2J\u202e"
    says_raw = REPORT._replace(
        os="evil",
        restart=(Reason("source", Strength.STRONG, 1, "fine"),),
        sessions=(Session("anna", SessionKind.TEXT, 1, 1),),
    )
    says(world, says_raw)
    application = world.application
    uuid = application.workspaces.find("web01").uuid
    with application.journal() as journal:
        said, mark = journal.said(uuid), journal.restart_mark(uuid)
        assert said is not None
        assert mark is not None
        reason = mark.reasons[0]

        journal.mark_restart(uuid, replace(mark, reasons=(replace(reason, text=evil),)))
    assert world.run("status") == Exit.DONE
    assert "\x1b" not in world.out
    assert "\u202e" not in world.out
    assert not any("!!" in line[:8] for line in world.out.splitlines())


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 5000, "null", '{"type": "nudge"}', '{"type": "report"}', "ü"]
)
def test_a_damaged_report_counts_as_none(world: CommandWorld, text: str) -> None:
    says(world, REPORT._replace(restart=()))
    application = world.application
    uuid = application.workspaces.find("web01").uuid
    with application.journal() as journal:
        said = journal.said(uuid)
        assert said is not None
        journal.hear(uuid, said._replace(text=text))
    assert world.run("status") == Exit.DONE
    assert "nobody reports from it" in world.out
    (status,) = world.json("status")
    assert status["guest"] is None


def test_history_names_what_was_installed(world: CommandWorld) -> None:
    assert world.run("wake", "web01", "--duration", "1") == Exit.DONE
    application = world.application
    uuid = application.workspaces.find("web01").uuid
    with application.journal() as journal:
        (row,) = journal.history(uuid)
        many = tuple(Installed(f"package-{number}", "2.0", 990) for number in range(7))
        client = Client("apt", ClientState.IDLE, many)
        report = REPORT._replace(clients=(client,))
        keep_installed(journal, uuid, row.token, report, timedelta(minutes=1))
    assert world.run("history") == Exit.DONE
    assert "package-6 2.0" in world.out
    assert "and 2 more" in world.out
    (past,) = world.json("history")
    assert len(past["installed"]) == 7
