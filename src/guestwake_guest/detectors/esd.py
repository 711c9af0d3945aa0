"""The ESD signal: whatever else installs software here has asked for a restart, through the FIFO
or `guestwake-guest require-restart` (contract, section 7)."""

from __future__ import annotations

from guestwake_guest.esd_signal import state
from guestwake_guest.view import Finding, View
from guestwake_wire.messages import Reason, Strength

SOURCE = "esd-signal"


def find(view: View) -> Finding:
    signal = state.read(view.system)
    if signal is None:
        return None
    since = max(0, int(view.system.elapsed() - signal.at))
    return Reason(SOURCE, Strength.STRONG, since, signal.text or "asked for without a reason")
