"""Reports kept in the journal and understood again: fresh, old, of another start, of nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guestwake.guest_report import Word, keep, keep_installed, nothing_left, understood
from guestwake.journal import INSTALLED_MAX, Journal
from guestwake.policy.in_use import Reporter
from guestwake.policy.run import Restart
from guestwake.policy.words import Now, Start
from guestwake.said import FRESH_FOR
from guestwake_wire.messages import INSTALLED_MAX as INSTALLED_EACH
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

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOW = Now(NOON, 10_000.0, "host-1")
FIRST, SECOND = Start("start-1", 9_000.0), Start("start-2", 9_900.0)
PLAIN = Report(1, 1_000, "boot-1", "test 1", "Test OS", "6.1", busy=False)


def later(seconds: float, boot_id: str = "host-1") -> Now:
    return Now(NOON + timedelta(seconds=seconds), 10_000.0 + seconds, boot_id)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


def word(journal: Journal, start: Start | None, now: Now) -> Word:
    return understood(journal.said("web01"), journal.restart_mark("web01"), start, now)


def test_nobody_ever_reported(journal: Journal) -> None:
    assert word(journal, FIRST, NOW) == Word(None, Reporter.NEVER, (), None)


def test_a_fresh_report_is_the_guests_word(journal: Journal) -> None:
    keep(journal, "web01", PLAIN, FIRST, NOW, by="service")
    now = word(journal, FIRST, later(60))
    assert now.reporter is Reporter.FRESH
    assert now.guest is not None
    assert (now.guest.boot_id, now.guest.busy) == ("boot-1", False)
    assert now.guest.restart is Restart.NOT_REQUIRED


@pytest.mark.parametrize(
    ("start", "seconds"),
    [(FIRST, FRESH_FOR.total_seconds() + 1), (SECOND, 1), (None, 1)],
    ids=["old", "of another start", "at rest"],
)
def test_any_other_is_unknown_and_its_reporter_silent(
    journal: Journal, start: Start | None, seconds: float
) -> None:
    keep(journal, "web01", PLAIN, FIRST, NOW, by="service")
    now = word(journal, start, later(seconds))
    assert (now.guest, now.reporter) == (None, Reporter.SILENT)


def test_the_boot_id_before_the_rest_is_that_of_the_last_start(journal: Journal) -> None:
    keep(journal, "web01", PLAIN, FIRST, NOW, by="service")
    assert word(journal, SECOND, later(1)).boot_id_before_rest == "boot-1"
    for second in (2, 3):  # also once it has reported again, and again
        again = PLAIN._replace(boot_id="boot-2")
        keep(journal, "web01", again, SECOND, later(second), by="service")
        assert word(journal, SECOND, later(second)).boot_id_before_rest == "boot-1"


def test_ages_become_instants_and_stay_where_they_are(journal: Journal) -> None:
    people = (
        Session("anna", SessionKind.GRAPHICAL, 600, 30),
        Session("auto", SessionKind.GRAPHICAL, 20, -1),
        Session("kiosk", SessionKind.GRAPHICAL, 20, None),
    )
    keep(journal, "web01", PLAIN._replace(sessions=people), FIRST, NOW, by="service")
    anna, auto, kiosk = word(journal, FIRST, later(100)).sessions
    assert (anna.since, anna.input) == (9_400.0, 9_970.0)
    assert (auto.input, auto.input_known) == (None, True)
    assert (kiosk.input, kiosk.input_known) == (None, False)
    # The host was off for a while: its elapsed clock has begun anew, and wall time tells.
    restarted = replace(later(3600, "host-2"), elapsed=40.0)
    assert word(journal, None, restarted).sessions[0].since == pytest.approx(40 - 3600 - 600)


def test_a_weak_sign_marks_nothing_and_a_strong_one_does(journal: Journal) -> None:
    weak = Reason("pending-renames", Strength.WEAK, None, "")
    keep(journal, "web01", PLAIN._replace(restart=(weak,)), FIRST, NOW, by="service")
    assert journal.restart_mark("web01") is None
    strong = Reason("reboot-required", Strength.STRONG, 5, "linux-image")
    keep(journal, "web01", PLAIN._replace(restart=(weak, strong)), FIRST, NOW, by="service")
    mark = journal.restart_mark("web01")
    assert mark is not None
    assert [reason.source for reason in mark.reasons] == ["reboot-required"]
    now = word(journal, FIRST, NOW).guest
    assert now is not None
    assert now.restart is Restart.REQUIRED


@pytest.mark.parametrize(
    ("states", "answer"),
    [
        ([], None),
        ([ClientState.NOTHING_LEFT], True),
        ([ClientState.NOTHING_LEFT, ClientState.NOTHING_LEFT], True),
        ([ClientState.NOTHING_LEFT, ClientState.IDLE], False),
        ([ClientState.NOTHING_LEFT, ClientState.UNKNOWN], None),
        ([ClientState.BUSY], False),
    ],
)
def test_nothing_is_left_once_every_client_says_so(
    states: list[ClientState], answer: bool | None
) -> None:
    clients = tuple(Client(f"client-{number}", state) for number, state in enumerate(states))
    assert nothing_left(PLAIN._replace(clients=clients)) is answer


def test_only_what_was_installed_while_it_was_awake_is_of_the_run(journal: Journal) -> None:
    client = Client(
        "apt",
        ClientState.IDLE,
        (Installed("new", "2", 990), Installed("first", "1", 950), Installed("before", "1", 500)),
    )
    said = PLAIN._replace(clients=(client,))
    for token in ("run-1", "run-2"):  # the second hears of the same again
        keep_installed(journal, "web01", token, said, timedelta(seconds=100))
    assert [row.name for row in journal.installed("run-1")] == ["first", "new"]
    assert journal.installed("run-2") == []


def test_a_guest_that_makes_up_new_packages_for_ever_fills_no_disk(journal: Journal) -> None:
    for number in range(INSTALLED_MAX // INSTALLED_EACH + 3):
        names = [f"{number}.{each}" for each in range(INSTALLED_EACH)]
        client = Client("apt", ClientState.IDLE, tuple(Installed(name, "", 990) for name in names))
        said = PLAIN._replace(clients=(client,))
        keep_installed(journal, "web01", "run-1", said, timedelta(seconds=100))
    assert len(journal.installed("run-1")) == INSTALLED_MAX
    keep_installed(journal, "web01", "run-2", said, timedelta(seconds=100))
    assert journal.installed("run-2")  # each run has room for its own


def test_what_cannot_be_understood_any_more_is_silence(journal: Journal) -> None:
    keep(journal, "web01", PLAIN, FIRST, NOW, by="service")
    said = journal.said("web01")
    assert said is not None
    journal.hear("web01", said._replace(text="{}"))
    assert word(journal, FIRST, NOW) == Word(None, Reporter.SILENT, (), None)
