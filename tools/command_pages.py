"""docs/commands.md, man/guestwake.1 and the completions, all made from the parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import shtab

from guestwake.edges.exit_codes import Exit
from guestwake.edges.parser import COMMANDS, Command, Parser, parser_of

_COMMON = ("--root", "--log-level", "--verbose", "--help")

_TIMES = """\
Where a command takes a time: `08:30` (the next time the clock shows it), `2026-11-24 08:30`,
`2026-11-24`, `90m`, `2h`, `3d`, `1w` (from now), `today`, `tomorrow` (midnight), or ISO 8601 with
a zone, such as `2026-11-24T08:30:00+01:00`. A time without a zone is meant in the workspace's own,
which is also the one that is shown; with `--json` all times are ISO 8601 in UTC."""

_OUTPUT = """\
Results go to stdout, talk to stderr. On a terminal `wake` shows one live line with what is going
on, why, and the time left; without one it says one line for each change. Names are shown with
control characters escaped."""


def commands_page() -> str:
    parts = [
        "# Commands",
        "<!-- Generated from src/guestwake/edges/parser.py by `make docs`: change it there. -->",
        _OUTPUT,
        _TIMES,
        "## Options of every command",
        _table(_arguments(parser_of(), common=True)),
        *(part for command in COMMANDS for part in _command(command)),
        "## Exit codes",
        _table((str(int(code)), code.meaning) for code in Exit),
    ]
    return "\n\n".join(parts) + "\n"


def _command(command: Command) -> Iterator[str]:
    parser = _parser_of(command)
    yield f"## guestwake {command.name}"
    yield f"```\n{_usage(parser)}\n```"
    yield command.about
    yield _table(_arguments(parser, common=False))


def _parser_of(command: Command) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parser_of()
    for word in command.name.split():
        (below,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
        parser = below.choices[word]
    return parser


def _usage(parser: argparse.ArgumentParser) -> str:
    """Without what every command has, and without the word "usage"."""
    own = [one for one in parser._actions if not _is_common(one)]
    formatter = argparse.HelpFormatter(parser.prog, width=90)
    formatter.add_usage(None, own, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help().strip()


def _is_common(action: argparse.Action) -> bool:
    return any(name in _COMMON for name in action.option_strings)


def _arguments(parser: argparse.ArgumentParser, *, common: bool) -> Iterator[tuple[str, str]]:
    """`common`: those of every command, and --version; else those of this command alone."""
    for action in parser._actions:
        general = _is_common(action) or action.option_strings == ["--version"]
        if general is common and not isinstance(action, argparse._SubParsersAction):
            yield f"`{_spelled(action)}`", f"{action.help}"


def _spelled(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    value = str(action.metavar or "|".join(map(str, action.choices or ())))
    value = f"[{value}]" if action.nargs == "?" else value
    return f"{names} {value}".strip()


def _table(rows: Iterator[tuple[str, str]]) -> str:
    lines = [f"| {left.replace('|', chr(92) + '|')} | {right} |" for left, right in rows]
    return "\n".join(["| | |", "|---|---|", *lines])


# the man page


def man_page() -> str:
    parser = parser_of()
    lines = [
        '.\\" Generated from src/guestwake/edges/parser.py by "make docs": change it there.',
        '.TH GUESTWAKE 1 "" "Guestwake" "User commands"',
        ".SH NAME",
        "guestwake \\- wakes virtual machines for their updates, and puts them back",
        ".SH SYNOPSIS",
        ".B guestwake",
        "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        _roff(parser.description or ""),
        ".PP",
        _roff(_OUTPUT),
        ".PP",
        _roff(_TIMES),
        ".SH OPTIONS",
        *_man_arguments(parser, common=True),
        ".SH COMMANDS",
        *(line for command in COMMANDS for line in _man_command(command)),
        ".SH EXIT STATUS",
        *(line for code in Exit for line in (".TP", f".B {int(code)}", _roff(code.meaning))),
        ".SH ENVIRONMENT",
        ".TP",
        ".B GUESTWAKE_ROOT",
        "As \\-\\-root, which beats it.",
        ".TP",
        ".B NO_COLOR",
        "Nothing is coloured where it is set.",
        ".SH FILES",
        ".TP",
        ".I /etc/guestwake/",
        "Settings; see docs/settings.md.",
        ".TP",
        ".I /var/lib/guestwake/",
        "Workspaces and the journal; for an ordinary user ~/.local/state/guestwake.",
    ]
    return "\n".join(lines) + "\n"


def _man_command(command: Command) -> Iterator[str]:
    parser = _parser_of(command)
    yield f".SS {_roff(_usage(parser))}"
    yield _roff(command.about)
    yield from _man_arguments(parser, common=False)


def _man_arguments(parser: argparse.ArgumentParser, *, common: bool) -> Iterator[str]:
    for spelled, text in _arguments(parser, common=common):
        yield from (".TP", f".B {_roff(spelled.strip('`'))}", _roff(text))


def _roff(text: str) -> str:
    """On one line, so that nothing at a line's beginning is taken for a request."""
    line = re.sub(r"\s+", " ", text).replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return f"\\&{line}" if line[:1] in (".", "'") else line


# completions


def completion_script(shell: str) -> str:
    return shtab.complete(_complete_parser(), shell=shell).rstrip("\n") + "\n"


def _complete_parser() -> Parser:
    """Folders are completed as folders."""
    parser = parser_of()
    for each in _all_parsers(parser):
        for action in each._actions:
            if "--root" in action.option_strings:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # shtab's own way
    return parser


def _all_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _all_parsers(below)
