"""packaging/windows/guestwake-events.mc, made from events.py: the texts of Windows' event log.

Windows keeps an event as an id with what is put into its text, and shows the text from a message
file, a DLL that `tools/windows_messages` builds from this. The id that is logged carries its
severity in its upper bits; what the event log shows is the lower ones, the id of docs/events.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestwake.events import Event, Level
from guestwake.reports import catalogue

_SEVERITIES = {
    Level.ERROR: "Error",
    Level.WARNING: "Warning",
    Level.INFORMATION: "Informational",
    Level.DEBUG: "Informational",
}
_HEAD = """\
; // Generated from src/guestwake/events.py by `make docs`: change it there.
MessageIdTypedef=DWORD
SeverityNames=(Success=0x0 Informational=0x1 Warning=0x2 Error=0x3)
FacilityNames=(Application=0x0)
LanguageNames=(English=0x409:MSG00409)
"""


def message_file() -> str:
    return "\n".join([_HEAD, *(line for event in catalogue() for line in _lines(event))])


def _lines(event: Event) -> Iterator[str]:
    yield f"MessageId={event.id}"
    yield f"Severity={_SEVERITIES[event.level]}"
    yield "Facility=Application"
    yield f"SymbolicName=GUESTWAKE_{event.id}"
    yield "Language=English"
    yield _text(event.sentence)
    yield "%2"
    yield f"Cause: {_text(event.cause)}"
    yield f"Remedy: {_text(event.remedy)}"
    yield "."
    yield ""


def _text(text: str) -> str:
    """`%1` is the workspace; each other percent sign is one."""
    return text.replace("%", "%%").replace("{name}", "'%1'").replace("NAME", "'%1'")
