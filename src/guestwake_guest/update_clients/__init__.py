"""The programs that update this guest: busy or not, what they last installed, how they are asked
to look now. None is ever started as a child of this service.

Each has `NAME`, `is_here(view)`, `client(view)` and `wanted_units(view)`. To add one: write the
file, add its line here.
"""

from __future__ import annotations

from guestwake_guest.update_clients import apt, dnf, zypper

CLIENTS = (apt, dnf, zypper)
