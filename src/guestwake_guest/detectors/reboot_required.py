"""`/run/reboot-required`: what Debian's and Ubuntu's packages write when they ask for a restart.

`.pkgs` beside it names them, one a line, often several times.
"""

from __future__ import annotations

from guestwake_guest.view import Finding, View
from guestwake_wire.messages import Reason, Strength

SOURCE = "reboot-required"
_FILE = "/run/reboot-required"
_PACKAGES = f"{_FILE}.pkgs"


def find(view: View) -> Finding:
    if not view.system.exists(_FILE):
        return None
    names = dict.fromkeys((view.system.text(_PACKAGES) or "").split())
    text = f"asked for by {', '.join(names)}" if names else "asked for by a package"
    return Reason(SOURCE, Strength.STRONG, view.system.age(_FILE), text)
