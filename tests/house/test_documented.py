"""Every command, option, setting, event and exit code is documented, and the pages are fresh."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestwake import events
from guestwake.edges.exit_codes import Exit, codes
from guestwake.edges.parser import COMMANDS, SHELLS, parser_of
from guestwake.events import OF_WHY, Event
from guestwake.policy.run import Why
from guestwake.reports import catalogue
from guestwake.settings.table import SETTINGS

ROOT = Path(__file__).resolve().parents[2]


def _page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _parsers(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield parser.prog, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _parsers(below)


PARSERS = dict(_parsers(parser_of()))
OPTIONS = [
    (prog, name)
    for prog, parser in PARSERS.items()
    for action in parser._actions
    for name in action.option_strings
]


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/docs", "--check"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_is_documented(command: str) -> None:
    assert f"## guestwake {command}\n" in _page("docs/commands.md")
    assert f"\n.SS guestwake {command} " in _page("man/guestwake.1")


@pytest.mark.parametrize(("prog", "option"), OPTIONS)
def test_every_option_is_documented(prog: str, option: str) -> None:
    pages = _section(_page("docs/commands.md"), f"## {prog}\n", "\n## ")
    general = _section(_page("docs/commands.md"), "## Options of every command", "\n## ")
    assert re.search(rf"`[^`]*{re.escape(option)}\b", pages + general)
    assert option.replace("-", "\\-") in _page("man/guestwake.1")


@pytest.mark.parametrize("prog", PARSERS)
def test_every_argument_says_what_it_is_for(prog: str) -> None:
    silent = [
        action.dest
        for action in PARSERS[prog]._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert silent == []


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_every_command_and_option(shell: str) -> None:
    script = _page(f"src/guestwake/edges/completions/guestwake.{shell}")
    words = {word for command in COMMANDS for word in command.name.split()}
    words |= {option.lstrip("-") for _, option in OPTIONS if option.startswith("--")}
    assert [word for word in sorted(words) if word not in script] == []


@pytest.mark.parametrize("setting", [setting.name for setting in SETTINGS])
def test_every_setting_is_documented(setting: str) -> None:
    assert re.search(rf"\b{setting}\b", _page("docs/settings.md"))


@pytest.mark.parametrize("code", Exit)
def test_every_exit_code_is_documented(code: Exit) -> None:
    assert f"| {int(code)} | {code.meaning} |" in _page("docs/commands.md")
    assert f"\n.B {int(code)}\n" in _page("man/guestwake.1")


@pytest.mark.parametrize("why", Why)
def test_every_why_has_an_event(why: Why) -> None:
    event = OF_WHY[why]
    page = _section(_page("docs/events.md"), f"## {event.id}: ", "\n## ")
    assert f"`{why}`" in page


def test_event_ids_are_unique() -> None:
    known = [value for value in vars(events).values() if isinstance(value, Event)]
    for event in (*OF_WHY.values(), *known):
        assert [one for one in catalogue() if one.id == event.id] == [event]


def test_an_event_says_what_to_do() -> None:
    short = [one.id for one in catalogue() if not (one.sentence and one.cause and one.remedy)]
    assert short == []


def test_every_end_of_a_run_has_an_exit_code() -> None:
    whys = list(Why)
    over = set(whys[whys.index(Why.WATCHED) :])  # the enumeration says so: "over"
    assert over <= set(codes())
    assert set(codes()) - over == {Why.NOT_PUT_BACK_REFUSED}


def _section(page: str, begin: str, end: str) -> str:
    at = page.find(begin)
    if at < 0:
        return ""
    until = page.find(end, at + len(begin))
    return page[at:until] if until >= 0 else page[at:]
