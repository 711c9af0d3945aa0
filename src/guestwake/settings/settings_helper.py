"""`guestwake-settings`: what of Guestwake is root on a host, to write the machine's settings.

An errand (`errand.py`). It accepts nothing but

    {"set": NAME, "value": TEXT, "workspace": SECTION or null}
    {"clear": NAME, "workspace": SECTION or null}

for names that the table of settings has and values that it allows, and writes them in the table's
own spelling into /etc/guestwake/guestwake.toml alone. SECTION is the UUID of a workspace, or a
section that the file has already: no other text of who asks is ever written. A setting whose value
is text of one's own, such as a command that users then run, is not for this one.
"""

from __future__ import annotations

import sys
from functools import partial

from guestwake import errand
from guestwake.errand import RefusedError
from guestwake.paths import Paths
from guestwake.settings.source import Edit, Layer, NotWritten, is_uuid
from guestwake.settings.table import (
    BY_NAME,
    BadValue,
    Choice,
    Days,
    Number,
    Setting,
    Switch,
    TimeOfDay,
    Zone,
)
from guestwake.settings.toml_writer import TomlWriter

KINDS = (Number, Switch, Choice, TimeOfDay, Days, Zone)


def main() -> int:
    return errand.served(partial(do, paths=Paths.system()), NotWritten)


def do(asked: object, paths: Paths) -> None:
    """Raises RefusedError, NotWritten."""
    match asked:
        case {"set": str(name), "value": str(text), "workspace": str() | None as section, **rest}:
            setting = _known(name, rest)
            value = _good(setting, text)
        case {"clear": str(name), "workspace": str() | None as section, **rest}:
            setting, value = _known(name, rest), None
        case _:
            raise RefusedError("nothing that is done here")
    writer = TomlWriter(paths, Layer.MACHINE)
    if section is not None and not is_uuid(section) and section not in writer.sections():
        raise RefusedError("not a UUID, and no section of the file")
    writer.write([Edit(section, setting, value)])


def _known(name: str, rest: dict[object, object]) -> Setting:
    if rest or name not in BY_NAME:
        raise RefusedError("not a setting, or more than one asks for")
    if not isinstance(BY_NAME[name].kind, KINDS):
        raise RefusedError(f"{name} is for root alone")
    return BY_NAME[name]


def _good(setting: Setting, text: str) -> object:
    try:
        return setting.kind.plain(setting.kind.parse(setting.kind.from_text(text)))
    except BadValue as err:
        raise RefusedError(f"{setting.name}: {err}") from err


if __name__ == "__main__":
    sys.exit(main())
