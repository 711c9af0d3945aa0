"""A systemctl that is none: it remembers what it was told, and says what a test has it say."""

from __future__ import annotations

from dataclasses import dataclass, field

from guestwake.schedulers.api import SchedulerError
from guestwake.schedulers.systemd_text import timer_name


@dataclass
class FakeSystemctl:
    """Timers are active once started. `outdated`: has files that it has not read. `trouble`: what
    each call raises; None: nothing."""

    version: str = "systemd 252 (252.39-1~deb12u2)"
    calls: list[tuple[str, ...]] = field(default_factory=list)
    active: set[str] = field(default_factory=set)
    outdated: set[str] = field(default_factory=set)
    trouble: str | None = None

    def __call__(self, *words: str, fails: bool = True) -> str:
        self.calls.append(words)
        if self.trouble is not None and fails:
            raise SchedulerError(self.trouble)
        match words:
            case ("show", *_):
                return "\n".join(self._shown(name) for name in sorted(self.active))
            case ("restart", name):
                self.active.add(name)
            case ("stop", name):
                self.active.discard(name)
            case ("--version",):
                return f"{self.version}\n+PAM +AUDIT\n"
        return ""

    def _shown(self, name: str) -> str:
        outdated = "yes" if name in self.outdated else "no"
        return f"Id={name}\nActiveState=active\nNeedDaemonReload={outdated}\n"

    def stop(self, workspace: str) -> None:
        self.active.discard(timer_name(workspace))
