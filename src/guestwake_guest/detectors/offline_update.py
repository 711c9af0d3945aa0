"""An update that was prepared and waits for the next boot: `/system-update`, a link that
systemd.offline-updates(7) describes and that is removed once it was followed."""

from __future__ import annotations

from guestwake_guest.view import Finding, View
from guestwake_wire.messages import Reason, Strength

SOURCE = "offline-update"
_LINKS = ("/system-update", "/etc/system-update")


def find(view: View) -> Finding:
    link = next((link for link in _LINKS if view.system.exists(link)), None)
    if link is None:
        return None
    text = "an update is prepared and waits for the next boot"
    return Reason(SOURCE, Strength.STRONG, view.system.age(link), text)
