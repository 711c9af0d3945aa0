"""MED-V's own way to call the Guest Update Manager."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_world import CommandWorld

from guestwake.edges import medv_call
from guestwake.edges.exit_codes import Exit
from guestwake.edges.parser import UsageError, parse


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandWorld:
    return CommandWorld(tmp_path, capsys)


CALLS = [
    (["/GuestWakeup", "/d:30", "/v:Windows 7"], ["wake", "--duration", "30", "--", "Windows 7"]),
    (["/guestwakeup", "/V:web01"], ["wake", "--duration", "240", "--", "web01"]),
    (["/GUESTWAKEUP", '/v:"a b"', "/D:1"], ["wake", "--duration", "1", "--", "a b"]),
    (["/GuestWakeup", "/v:--json"], ["wake", "--duration", "240", "--", "--json"]),
    (["/GuestWakeup", "/v:a:b;$(x)"], ["wake", "--duration", "240", "--", "a:b;$(x)"]),
    (
        ["--root", "/r", "/GuestWakeup", "/v:web01"],
        ["--root", "/r", "wake", "--duration", "240", "--", "web01"],
    ),
]


@pytest.mark.parametrize(("words", "ours"), CALLS)
def test_it_is_the_same_call_in_our_words(words: list[str], ours: list[str]) -> None:
    assert medv_call.translated(words) == ours
    found = parse(ours)
    assert (found.command, found.workspace) == ("wake", ours[-1])


@pytest.mark.parametrize("words", [[], ["wake", "/GuestWakeup"], ["status"], ["--version"]])
def test_any_other_call_is_left_as_it_is(words: list[str]) -> None:
    assert medv_call.translated(words) == words


WRONG = [
    [],
    ["/d:30"],
    ["/v:"],
    ["/v:a", "/v:b"],
    ["/x:1", "/v:a"],
    ["web01"],
    ["/v:a", "--json"],
]


@pytest.mark.parametrize("rest", WRONG)
def test_a_wrong_one_is_told_its_usage(rest: list[str]) -> None:
    with pytest.raises(UsageError, match="/v:"):
        medv_call.translated(["/GuestWakeup", *rest])


@pytest.mark.parametrize("rest", [["/d:soon", "/v:web01"], ["/d:30"], ["/d:2000", "/v:web01"]])
def test_a_wrong_one_is_event_11001(world: CommandWorld, rest: list[str]) -> None:
    assert world.run("/GuestWakeup", *rest) == Exit.USAGE
    (event,) = world.json("events", "--happened")
    assert event["event"] == 11001


def test_it_wakes(world: CommandWorld) -> None:
    world.vm("Windows 7")
    assert world.run("/GuestWakeup", "/d:1", '/v:"Windows 7"') == Exit.DONE
    (run,) = world.json("history")
    assert (run["workspace"], run["why"]) == ("Windows 7", "put-back")
