"""Who says that this guest needs a restart: one source a file.

Each has a `SOURCE`, a stable word, and `find(view)`, which returns a Reason, None, or that it
cannot tell. To add one: write the file, add its line here.
"""

from __future__ import annotations

from guestwake_guest.detectors import (
    dnf,
    esd,
    install_on_shutdown,
    needrestart,
    offline_update,
    reboot_required,
    running_kernel,
    zypper,
)

DETECTORS = (
    reboot_required,
    offline_update,
    dnf,
    zypper,
    needrestart,
    running_kernel,
    install_on_shutdown,
    esd,
)
