"""The timer unit of one workspace, as text: rendered first, compared as text, written second.

Pure. The openings stand in it as instants in UTC, because systemd skips local times that do not
exist. Its first line holds a hash of all others: by it a unit of ours, be it an older one, is told
from one that somebody has edited.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256

from guestwake.policy.words import Timer

TEMPLATE = "guestwake-wake@"
TARGET = "timers.target"  # where a timer is enabled
TEXT_BYTES_MAX = 64 * 1024  # longer than any that we write
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASH = "# Guestwake sha256:"

_TEXT = """\
# Guestwake has written this for a workspace, and writes it anew whenever it was changed, disabled,
# masked or deleted. When its window opens is a setting: guest_update_time and others, in
# /etc/guestwake/guestwake.toml or ~/.config/guestwake/guestwake.toml. 'guestwake skip' leaves one
# window out, 'guestwake pause' all of them.

[Unit]
Description=Openings of the window of a workspace of Guestwake
Documentation=man:guestwake(1)

[Timer]
{openings}
AccuracySec=1s
Persistent=yes
{wakes}Unit={service}

[Install]
WantedBy={target}
"""


def is_uuid(text: str) -> bool:
    """In the one way in which it is written here: it becomes a part of file names."""
    return _UUID.fullmatch(text) is not None


def timer_name(workspace: str) -> str:
    """Of the unit, which is the name of its file. `workspace`: a UUID."""
    return f"{_instance(workspace)}.timer"


def service_name(workspace: str) -> str:
    """Of what the timer starts: an instance of a template that was installed."""
    return f"{_instance(workspace)}.service"


def workspace_of(name: str) -> str | None:
    """The inverse of `timer_name`. None: that is no timer of ours."""
    uuid = name.removeprefix(TEMPLATE).removesuffix(".timer")
    return uuid if is_uuid(uuid) and name == timer_name(uuid) else None


def rendered(timer: Timer) -> str:
    """The whole file."""
    rest = _TEXT.format(
        openings="\n".join(f"OnCalendar={_utc(instant)}" for instant in timer.instants),
        wakes="WakeSystem=yes\n" if timer.wakes_host else "",
        service=service_name(timer.workspace),
        target=TARGET,
    )
    return f"{_HASH}{_hash(rest)}\n{rest}"


def is_as_written(text: str) -> bool:
    """Some timer that we wrote, as we wrote it."""
    first, _, rest = text.partition("\n")
    return first == f"{_HASH}{_hash(rest)}"


def _instance(workspace: str) -> str:
    if not is_uuid(workspace):
        raise ValueError(f"{workspace!a} is not a UUID")
    return f"{TEMPLATE}{workspace}"


def _utc(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _hash(rest: str) -> str:
    return sha256(rest.encode("utf-8", "surrogateescape")).hexdigest()
