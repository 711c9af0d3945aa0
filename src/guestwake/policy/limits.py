"""The settings as the policy reads them: typed, with their defaults (contract, section 2).

Names are those of the files in snake_case. Ranges, registry keys and help are in
`settings/table.py`, which fills this; a house test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time, timedelta
from enum import IntEnum, StrEnum
from zoneinfo import ZoneInfo


class CloseAction(StrEnum):
    HIBERNATE = "HIBERNATE"
    SHUTDOWN = "SHUTDOWN"
    TURN_OFF = "TURN-OFF"


class ReturnState(StrEnum):
    PREVIOUS = "previous"
    HIBERNATE = "hibernate"
    SHUTDOWN = "shutdown"


class RestartInWindow(IntEnum):
    NEVER = 0
    NOBODY_SIGNED_IN = 1
    OVER_IDLE_SESSIONS = 2  # the administrator answers for their work


class CatchUp(StrEnum):
    NEVER = "never"
    NEXT_START = "next-start"
    STALE = "stale"


EVERY_DAY = frozenset(range(7))  # Monday is 0, as date.weekday() has it


@dataclass(frozen=True, slots=True)
class Limits:
    """All settings of one workspace, resolved. `time_zone` None: the host's."""

    guest_update_time: time = time(0, 0)
    guest_update_duration: timedelta = timedelta(minutes=240)
    close_action: CloseAction = CloseAction.HIBERNATE
    task_timeout: timedelta = timedelta(seconds=600)
    multi_user_enabled: bool = False
    logon_start_enabled: bool = True
    reboot_absolute_delay_timeout: timedelta = timedelta(minutes=1440)
    desktop_command: str = "virt-viewer --connect {uri} --attach --wait --uuid {uuid}"
    linux_application_command: str = "ssh -X -- {user}@{address} {application}"
    windows_application_command: str = (
        "xfreerdp /v:{address} /u:{user} /app:{application} /cert:tofu"
    )
    event_log_level: int = 3
    guest_update_days: frozenset[int] = EVERY_DAY
    return_state: ReturnState = ReturnState.PREVIOUS
    max_extension: timedelta = timedelta(minutes=60)
    early_finish: bool = False
    min_awake: timedelta = timedelta(minutes=10)
    restart_in_window: RestartInWindow = RestartInWindow.NOBODY_SIGNED_IN
    nudge_update_clients: bool = True
    ask_guest_agent: bool = True
    require_network: bool = True
    require_ac_power: bool = True
    allow_metered: bool = False
    time_zone: ZoneInfo | None = None
    splay: timedelta = timedelta(0)
    max_concurrent_starts: int = 2
    max_awake: int = 0  # 0: as many as memory allows
    memory_reserve: int = 1024  # MiB
    disk_reserve: int = 2048  # MiB
    guest_use_limit: timedelta = timedelta(minutes=1440)
    wake_host: bool = False
    catch_up: CatchUp = CatchUp.STALE
    catch_up_days: int = 7
