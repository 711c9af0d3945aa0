"""The page docs/settings.md, made from the table."""

from __future__ import annotations

from collections.abc import Iterator

from guestwake.settings.source import BYTES_MAX, USER_BYTES_MAX
from guestwake.settings.table import SETTINGS, Setting
from guestwake.settings.toml_text import LINE_CHARS_MAX

_ABOUT = f"""\
# Settings

<!-- Generated from src/guestwake/settings/table.py by `make docs`: change it there. -->

Most machines need none: the defaults give every workspace a window of four hours at midnight.

## Where a value is looked for

The first of these that has a good value wins, for each value by itself:

| layer | files | written by |
|---|---|---|
| machine policy | `/etc/guestwake/policy.d/*.toml` | root |
| user policy | `/etc/guestwake/policy.d/users/NAME/*.toml` | root |
| machine | `/etc/guestwake/guestwake.toml`, `/etc/guestwake/guestwake.toml.d/*.toml` | root |
| user | `~/.config/guestwake/guestwake.toml`, `~/.config/guestwake/guestwake.toml.d/*.toml` | \
the owner of the workspace |
| default | the table below | |

An administrator enforces a value by putting it into the machine policy. The two user layers are
those of the workspace's owner; a workspace of the system has none. Inside a layer files are read
in the order in which they stand above, those of a folder in lexical order, and a later one wins.
Hidden files and other endings are left alone.

With `GUESTWAKE_ROOT=DIR` or `--root DIR` all of this lies under DIR: `DIR/etc/guestwake`, and the
users' files under `DIR/home/NAME`. An ordinary user's own `guestwake` honours XDG_CONFIG_HOME.

`guestwake settings show` names the file and line that each value came from, `guestwake settings
check` lists all that is wrong, and a change counts at the next look, without a restart.

## How a value is set

With an editor, or with a command that keeps comments and layout as they are:

```
guestwake settings set GuestUpdateTime=03:30 GuestUpdateDays=Mon,Thu
guestwake settings set GuestUpdateDuration=0 --workspace web01
guestwake settings clear GuestUpdateDuration --workspace web01
```

| who calls | where it is written |
|---|---|
| root | `/etc/guestwake/guestwake.toml`; with `--policy` \
`/etc/guestwake/policy.d/50-settings.toml` |
| an ordinary user | `~/.config/guestwake/guestwake.toml`, also for a workspace of the host's that \
is theirs |
| an ordinary user with `--machine`, or for a workspace of the host's that is somebody else's | \
`/etc/guestwake/guestwake.toml`, by the host's service, once an administrator's password was given |

A name counts in either spelling. Where one name or value is wrong all mistakes are told and
nothing is written. A value of a workspace goes into the section that it has in that file, or a new
one. What counts afterwards is told, with its file and line, as another layer may be stronger; and
the command that undoes it. A file that would not be read (below) is not written either. Programs
do the same over D-Bus ([dbus.md](dbus.md)).

## How a file is written

Values at the top are for all workspaces. Values for one stand in a section with the name or the
UUID of its VM, at the end of the file; inside the same layer they beat the general ones, and a
section by UUID beats one by name.

```toml
guest_update_time = "03:30"
guest_update_duration = 120
guest_update_days = ["Monday", "Thu"]

[workspace.web01]
guest_update_time = "04:00"

[workspace."db.example"]       # a name with a dot needs quotes
guest_update_duration = 0
```

Numbers are written without quotes. A switch is `0` or `1`, or `false` or `true`. Words count in any
case. A time of day is text (`"7:05"` is as good as `"07:05"`) or TOML's own `07:05:00`.

## In Windows' registry

On Windows settings are in the registry instead, where MED-V had them. Each layer is one key with
all below it:

| layer | key | written by |
|---|---|---|
| machine policy | `HKLM\\SOFTWARE\\Policies\\Microsoft\\MEDV\\v2` | Group Policy |
| user policy | `HKCU\\SOFTWARE\\Policies\\Microsoft\\MEDV\\v2` | Group Policy |
| machine | `HKLM\\SOFTWARE\\Microsoft\\MEDV\\v2` | an administrator |
| user | `HKCU\\SOFTWARE\\Microsoft\\MEDV\\v2` | the owner of the workspace |

General values stand in the keys `VM`, `UserExperience` and `Diagnostics` there, under the names and
with the types that the list below gives. Those of one workspace stand in a subkey of these with the
name or the UUID of its VM. All names count in any case; it is the 64-bit view that is read.

```
reg add HKLM\\SOFTWARE\\Microsoft\\MEDV\\v2\\VM /v GuestUpdateTime /t REG_SZ /d 03:30
reg add HKLM\\SOFTWARE\\Microsoft\\MEDV\\v2\\VM /v GuestUpdateDuration /t REG_DWORD /d 120
reg add HKLM\\SOFTWARE\\Microsoft\\MEDV\\v2\\VM\\web01 /v GuestUpdateDuration /t REG_DWORD /d 0
```

`guestwake settings set` and `clear` write there too: an administrator the machine's values (or with
`--policy` the policy's), anybody else their own. A REG_MULTI_SZ has one day a line, or `all`. What
a user has set counts also while they are not logged on, as it was last seen. The Group Policy
template is `packaging/windows/policy` ([windows.md](windows.md#group-policy)).

## When something is wrong

A value of the wrong type, out of range, or under an unknown name changes nothing in silence: it is
reported with its file and line, or with its key and name in the registry.

- In the **machine policy** the last good value of that layer holds, else the default; never the
  value of a lower layer. Where a whole file cannot be read, all that it last said holds. The
  last good values are kept in `policy-last-good.json` in the state folder. What is taken out of
  the policy is gone.
- In the **other layers** a bad value counts as if it were not there, and so does a whole file, or
  key, that cannot be read.

In the registry a value of another type than the table's is bad, as is text that goes on after a
NUL. A key cannot be read as a whole when this process may not read it, when it is a link, or when
with it the keys of its layer hold more than the files of one may.

A file cannot be read as a whole when

- it is not valid TOML (which includes a name given twice), or not UTF-8;
- it is not a plain file: a symbolic link, a folder, a pipe;
- it has a line of more than {LINE_CHARS_MAX} characters;
- with it the files of its layer hold more than {BYTES_MAX // 1024} KiB
  ({USER_BYTES_MAX // 1024} KiB for a user's own);
- it, or a folder that it lies in, belongs to somebody else than root or can be written by group or
  others (under `GUESTWAKE_ROOT` the owner and the group of that folder count as root);
- it is a user's own and does not belong to that user.

## All settings

The name in files is given; in the registry, on the command line and in `guestwake settings show`
the other spelling.

EarlyFinish, MinAwake, RestartInWindow, MaxExtension and GuestUseLimit need a guest that reports
([guest.md](guest.md)).

"""


def settings_page() -> str:
    return _ABOUT + "\n\n".join(map(_entry, SETTINGS)) + "\n"


def _entry(setting: Setting) -> str:
    return "\n".join(_lines(setting))


def _lines(setting: Setting) -> Iterator[str]:
    default = setting.kind.text(setting.default)
    yield f"### {setting.name}\n"
    yield f"{setting.help}\n"
    yield f"- In files: `{setting.toml}`. In the registry: {setting.key}, {setting.kind.registry}."
    yield f"- Must be {setting.kind.expects()}. Default: {default}."
