"""Did an alarm wake the host from its last sleep, by `/sys/power/pm_wakeup_irq`.

The kernel keeps there the first interrupt that it saw, of those armed for waking, in the last
suspend and resume. Where that is the real-time clock's own, an alarm it was. Most laptops and
servers wake through one interrupt for everything (ACPI's), or resume in their firmware, which
leaves the file empty: there nobody can tell, and so this never says "no".
"""

from __future__ import annotations

from pathlib import Path

from guestwake.hosts.kernel_files import text_of


def woken_by_alarm(root: Path) -> bool | None:
    """True, or None: nobody can tell, or it has not slept."""
    number = text_of(root / "sys/power/pm_wakeup_irq")
    table = text_of(root / "proc/interrupts")
    if not number or table is None:
        return None
    lines = (line.split(":", 1) for line in table.splitlines() if ":" in line)
    names = [rest for label, rest in lines if label.strip() == number]
    return True if any("rtc" in name.lower() for name in names) else None
