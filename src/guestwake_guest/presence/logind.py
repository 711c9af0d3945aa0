"""Sessions as logind knows them.

Its files in /run/systemd/sessions are private data, so they say only when to ask.
`loginctl show-session` tells all sessions in one go, where the bus would need a call for each.
"""

from __future__ import annotations

from guestwake_guest.presence.terminals import Terminals
from guestwake_guest.questions import Question
from guestwake_guest.times import unix_seconds
from guestwake_guest.view import View
from guestwake_wire.messages import NAME_MAX, Session, SessionKind, clean

_FOLDER = "/run/systemd/sessions"
_LOGINCTL = "/usr/bin/loginctl"
# One option each: unlike systemctl, loginctl takes no list.
_PROPERTIES = tuple(
    f"--property={name}"
    for name in (
        *("Id", "Name", "Class", "Type", "Remote", "State", "TTY"),
        *("Timestamp", "TimestampMonotonic", "IdleHint", "IdleSinceHintMonotonic"),
    )
)
_NOBODY_KNOWS = "?"
_GRAPHICAL = ("x11", "wayland", "mir")
_SESSIONS_MAX = 64
# What a desktop says of its idleness changes without any file's changing.
_AGAIN = 60.0
_MICROSECONDS = 1_000_000

Properties = dict[str, str]


def is_here(view: View) -> bool:
    return view.system.exists(_FOLDER)


def sessions(view: View, terminals: Terminals) -> list[Session] | None:
    """None: there are some, and logind does not say of any who it is."""
    names = _names(view)
    told = _told(view, names)
    if names and not told:
        return None
    terminals.forget_all_but(set(told))
    people = [_session(view, one, terminals) for one in told.values() if _is_a_person(one)]
    return people + [_unknown(view, name) for name in names if name not in told]


def unknown(view: View) -> list[Session]:
    """Those that there are, where nobody says who they are."""
    return [_unknown(view, name) for name in _names(view)]


def _unknown(view: View, name: str) -> Session:
    """Who it is cannot be told: that is never nobody."""
    since = view.system.age(f"{_FOLDER}/{name}")
    return Session(_NOBODY_KNOWS, SessionKind.TEXT, since or 0, None)


def _names(view: View) -> list[str]:
    return [name for name in view.system.names(_FOLDER) if "." not in name]


def _told(view: View, names: list[str]) -> dict[str, Properties]:
    """What logind says of each that it knows: loginctl ends at the first that is gone, and says
    nothing of those after it. While there are none, nobody is asked."""
    if not names:
        return {}
    asked = names[:_SESSIONS_MAX]
    mark = tuple((name, view.system.identity(f"{_FOLDER}/{name}")) for name in asked)
    command = (_LOGINCTL, "show-session", *_PROPERTIES, *asked)
    answer = view.questions.ask(Question("sessions", command), mark, again_after=_AGAIN)
    blocks = answer.text.split("\n\n") if answer else []
    told = {one.get("Id", ""): one for one in map(_properties, blocks)}
    return {name: told[name] for name in names if name in told}


def _properties(block: str) -> Properties:
    pairs = (line.partition("=") for line in block.splitlines())
    return {name: value for name, _, value in pairs}


def _is_a_person(one: Properties) -> bool:
    """Greeters, lingering managers and cron have other classes; what has neither a display nor a
    terminal has nobody sitting at it. Since systemd 256 root's class is `user-early`, and there
    are more that begin so (pam_systemd(8))."""
    is_seen = one.get("Type") in (*_GRAPHICAL, "tty", "web") or bool(one.get("TTY"))
    is_user = one.get("Class", "").partition("-")[0] == "user"
    return is_user and one.get("State") != "closing" and is_seen


def _session(view: View, one: Properties, terminals: Terminals) -> Session:
    now = view.system.elapsed()
    since = max(0, int(now - _seconds(one.get("TimestampMonotonic"))))
    user = clean(one.get("Name", ""), NAME_MAX)
    return Session(user, _kind(one), since, _input(view, one, terminals, since))


def _kind(one: Properties) -> SessionKind:
    if one.get("Remote") == "yes" or one.get("Type") == "web":
        return SessionKind.REMOTE
    return SessionKind.GRAPHICAL if one.get("Type") in _GRAPHICAL else SessionKind.TEXT


def _input(view: View, one: Properties, terminals: Terminals, since: int) -> int | None:
    if one.get("Type") in _GRAPHICAL:
        return _of_desktop(view, one, since)
    # By the wall clock of then, as the terminal has it: the clock may have been set since.
    began = unix_seconds(one.get("Timestamp", "").partition(" ")[2])
    if began is None:
        began = int(view.system.wall()) - since
    return terminals.input(view.system, one["Id"], one.get("TTY", ""), began)


def _of_desktop(view: View, one: Properties, since: int) -> int | None:
    """From its idle hint, where it has ever given one. Not idle is input just now: desktops say
    idle after some minutes."""
    changed = _seconds(one.get("IdleSinceHintMonotonic"))
    if not changed:
        return None
    if one.get("IdleHint") != "yes":
        return 0
    idle = max(0, int(view.system.elapsed() - changed))
    return idle if idle < since else -1


def _seconds(microseconds: str | None) -> float:
    return int(microseconds) / _MICROSECONDS if microseconds and microseconds.isdigit() else 0.0
