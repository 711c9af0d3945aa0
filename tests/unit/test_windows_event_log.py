"""What Windows' event log is given. Windows' own calls are a double here; tests/windows makes them
under Wine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from guestwake import event_log
from guestwake.edges.windows_event_log import SOURCE, WindowsEventLog
from guestwake.events import RESTART_ASKED, USAGE, Event, Level


class Api:
    """A double of pywin32's win32evtlog. `trouble`: what it raises."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.reported: list[tuple[Any, ...]] = []
        self.trouble: Exception | None = None

    def RegisterEventSource(self, server: None, source: str) -> str:
        self.sources.append(source)
        return source

    def ReportEvent(self, source: str, *said: Any) -> None:
        if self.trouble:
            raise self.trouble
        self.reported.append(said)


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    handler, log = WindowsEventLog(made), logging.getLogger("guestwake")
    log.addHandler(handler)
    yield made
    log.removeHandler(handler)


def test_an_event_is_its_id_and_two_strings(api: Api) -> None:
    event_log.write(USAGE, detail="'x' is none")
    assert api.reported == [(1, 0, 0xC0000000 | 11001, None, ["", "'x' is none"], None)]
    assert api.sources == [SOURCE]


def test_one_that_is_not_recorded_and_other_words_are_no_events(api: Api) -> None:
    event_log.write(USAGE, recorded=False)
    logging.getLogger("guestwake").error("something else")
    assert api.reported == []


def test_what_a_guest_said_is_harmless_and_cut(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    event_log.write(USAGE, name="a\nb", detail="\x1b[2J" + "x" * 100_000)
    (reported,) = api.reported
    name, detail = reported[4]
    assert "\n" not in name
    assert "\x1b" not in detail
    assert len(detail) <= 4000


def test_what_somebody_said_is_not_taken_for_a_place_to_put_more(api: Api) -> None:
    event_log.write(USAGE, name="%1", detail="99% of %2%%3 on fe80::1%4, 5 %")
    assert api.reported[0][4] == ["% 1", "99% of % 2%% 3 on fe80::1% 4, 5 %"]


LEVELS = [(Level.ERROR, 1, 3), (Level.WARNING, 2, 2), (Level.INFORMATION, 4, 1)]


@pytest.mark.parametrize(("level", "kind", "severity"), LEVELS)
def test_severity_stands_in_the_id_as_in_the_message_file(
    api: Api, level: Level, kind: int, severity: int
) -> None:
    logging.getLogger("guestwake").setLevel(logging.DEBUG)
    event_log.write(Event(12345, level, "It is so.", "", ""))
    assert [said[:3] for said in api.reported] == [(kind, 0, severity << 30 | 12345)]


def test_a_log_that_refuses_does_not_end_the_run(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    api.trouble = OSError("the log is full")
    event_log.write(RESTART_ASKED)
    event_log.write(USAGE)
    assert "the log is full" in capsys.readouterr().err
