"""`guestwake doctor`: what is wrong and what mends it, the worst first, as text or JSON."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence

from guestwake.application import Application
from guestwake.doctor import Doctor
from guestwake.edges.exit_codes import Exit
from guestwake.edges.live import Live
from guestwake.edges.text import loud, printable, say, say_json
from guestwake.policy.health import checkup, grouped, is_wrong
from guestwake.policy.health_facts import Finding, Level, Seen

_SIGNS = {
    Level.PROBLEM: "!!",
    Level.WARNING: "! ",
    Level.UNKNOWN: "? ",
    Level.NOTE: "- ",
    Level.OK: "ok",
}
_BELOW = " " * 6


def run(arguments: Namespace, application: Application) -> Exit:
    """Raises UnknownWorkspace."""
    root, live = logging.getLogger("guestwake"), Live()
    level = root.level
    # What a back end warns of is found as well, and said once, with its remedy.
    root.setLevel((arguments.log_level or "error").upper())
    root.addHandler(live)
    try:
        seen = Doctor(application, progress=live.wait_for).look(arguments.workspace)
    finally:
        live.end()
        root.removeHandler(live)
        root.setLevel(level)
    findings = checkup(seen)
    if arguments.json:
        say_json(as_json(findings))
    else:
        for line in as_text(findings, seen):
            say(loud(line) if line.startswith(f"  {_SIGNS[Level.PROBLEM]}") else line)
    return Exit.ATTENTION if is_wrong(findings) else Exit.DONE


def as_json(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """`about` null: the host."""
    return [
        {
            "about": each.about,
            "check": each.check,
            "level": each.level.value,
            "sentence": each.sentence,
            "remedy": each.remedy,
        }
        for each in findings
    ]


def as_text(findings: Sequence[Finding], seen: Seen) -> Iterator[str]:
    """One line a finding; below what is wrong the command that mends it."""
    uris = {each.uri for each in seen.hypervisors}
    for about, found in grouped(findings):
        yield _heading(about, is_uri=about in uris)
        for each in found:
            yield f"  {_SIGNS[each.level]}  {printable(each.sentence)}"
            if each.remedy is not None:
                yield f"{_BELOW}    {printable(each.remedy)}"
        yield ""
    yield _summary(findings)


def _heading(about: str | None, *, is_uri: bool) -> str:
    if about is None:
        return "This host"
    return printable(about) if is_uri else f"'{printable(about)}'"


def _summary(findings: Sequence[Finding]) -> str:
    problems = sum(each.level is Level.PROBLEM for each in findings)
    warnings = sum(each.level is Level.WARNING for each in findings)
    if not problems and not warnings:
        return "Nothing is wrong."
    counts = [
        f"{count} {noun}{'' if count == 1 else 's'}"
        for count, noun in ((problems, "problem"), (warnings, "warning"))
        if count
    ]
    return f"{' and '.join(counts)}. Each command above mends one; then call this again."
