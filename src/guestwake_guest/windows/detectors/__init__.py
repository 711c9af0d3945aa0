"""Who says that this Windows needs a restart: one source a file (contract, section 6).

Each has a `SOURCE`, a stable word, `find(view)`, which returns a Reason or None, and the keys of
the registry whose change is worth a look, `WATCHED`. To add one: write the file, add its line here.
"""

from __future__ import annotations

from guestwake_guest.windows.detectors import (
    computer_name,
    config_manager,
    esd,
    pending_renames,
    servicing,
    update_exe,
    windows_update,
)

DETECTORS = (
    windows_update,
    servicing,
    update_exe,
    computer_name,
    config_manager,
    pending_renames,
    esd,
)
