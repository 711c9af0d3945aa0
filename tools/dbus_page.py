"""docs/dbus.md, made from edges/dbus_words.py."""

from __future__ import annotations

from collections.abc import Iterator

from guestwake.edges.dbus_words import (
    ERROR_PREFIX,
    MANAGER,
    PROBLEMS,
    WORKSPACE,
    Argument,
    Interface,
    introspection,
)

_HEAD = """\
# The D-Bus API

<!-- Generated from src/guestwake/edges/dbus_words.py by `make docs`: change it there, or the
     sentences around it in tools/dbus_page.py. -->

The resident service (`guestwake serve`) answers to `org.guestwake.Manager1`, on the system bus for
the host's workspaces, on a user's session bus for that user's own. The first call starts it.

- `/org/guestwake/Manager1` has the interface `org.guestwake.Manager1`, and
  `org.freedesktop.DBus.ObjectManager` for the workspaces below it.
- `/org/guestwake/Manager1/workspace/UUID`, the dashes of the UUID written as underscores, has the
  interface `org.guestwake.Workspace1`.

It tells what is recorded: no call asks a hypervisor or a guest, so it answers while one hangs. What
the service starts, it does not wait for; the properties tell how it goes. Properties are looked up
when they are asked for. Their changes are signalled (`PropertiesChanged`, `InterfacesAdded`,
`InterfacesRemoved`) within one pass of the service, at once where they were made over the bus.

Instants are seconds since 1970-01-01 00:00 UTC. What comes from a guest is escaped. A workspace
that is given by its name may also be given by its UUID; an empty one stands for all.

## Try it

```
busctl tree org.guestwake.Manager1
busctl introspect org.guestwake.Manager1 /org/guestwake/Manager1
busctl call org.guestwake.Manager1 /org/guestwake/Manager1 \\
    org.guestwake.Manager1 Show ss status ""
busctl call org.guestwake.Manager1 \\
    /org/guestwake/Manager1/workspace/6695eb01_f6a4_8304_79aa_97f2502e193f \\
    org.guestwake.Workspace1 Hold ts $(date -d "+2 hours" +%s) "a demo"
busctl get-property org.guestwake.Manager1 \\
    /org/guestwake/Manager1/workspace/6695eb01_f6a4_8304_79aa_97f2502e193f \\
    org.guestwake.Workspace1 Phase
busctl call org.guestwake.Manager1 /org/guestwake/Manager1 \\
    org.guestwake.Manager1 SetSetting sss web01 GuestUpdateTime 03:30
busctl monitor --match "type='signal',sender='org.guestwake.Manager1'"
```

With `--user` after `busctl` it is the user's own service. The command line goes the same way: for
an ordinary user `guestwake status`, `plan`, `history`, `applications` and `events --happened` tell
of the host's workspaces beside the user's own, and `hold`, `skip`, `pause`, `resume`, `wake`,
`restart`, `postpone`, `publish`, `unpublish`, `open`, `settings set` and `settings clear` reach a
workspace of the host's when the user has none of that name. Where no service runs, or it says
nothing for a second, the command line goes without.

## Who may do what

On a session bus: that user, and root. On the system bus root may do everything; all others what
polkit says of these actions, whose defaults are in `/usr/share/polkit-1/actions`:

| action | default | for |
|---|---|---|
| `org.guestwake.read` | everybody | reports and properties |
| `org.guestwake.act-own` | yes | acting on a workspace that the caller owns |
| `org.guestwake.act` | an administrator's password | acting on one of others or of the system |
| `org.guestwake.settings` | an administrator's password | changing the machine's settings |

- The owner of a workspace is the host user it was added for (`workspace add --owner`). The bus
  tells who calls; where they sit makes no difference, so it works over ssh and in cron.
- With MultiUserEnabled 1 in its settings, every user who is logged on may open a workspace's
  applications, and close their own, as its owner may (`Open`, `Show`, `Close`). With 0, `Wake`,
  `Release`, `RestartNow` and these are refused to all but root while another user, its owner, is
  logged on, whatever polkit would say.
- A process that is named must be the caller's user's, and what is open is closed by who opened it.
- A password is asked for by the agent of the caller's desktop, only where the call allows it
  (`busctl --allow-interactive-authorization=yes`, the default there and in `guestwake`), and counts
  for a few minutes. The call waits for two; without it the error is `NeedsAuthentication`.
- polkit is told `workspace`, `uuid` and `owner`, for rules of your own. This one, in
  `/etc/polkit-1/rules.d/40-operators.rules`, gives the group `operators` all but one workspace:

```
polkit.addRule(function (action, subject) {
    if (action.id == "org.guestwake.act" && action.lookup("workspace") != "db01" &&
        subject.isInGroup("operators")) {
        return polkit.Result.YES;
    }
});
```

- Who takes `org.guestwake.read` away from somebody should also keep them from the signals, which
  carry the properties: `<deny receive_sender="org.guestwake.Manager1"/>` in the bus's own policy.
- Without polkit all may read, owners act on their own workspaces, and the rest is for root. A
  polkit that is there and silent for ten seconds lets nobody but root do anything: nobody can tell
  what the administrator has restricted.
- What is set over the system bus is the machine's, in `/etc/guestwake/guestwake.toml`. The policy,
  which is stronger, is changed by root alone, and a setting that is a command likewise; a user's
  own settings are changed over the session bus. Who sits at the machine is asked for the password
  once for a few minutes, all others each time. polkit is told `setting`, as the caller spells it,
  and `workspace`, `uuid` and `owner` where it is of one.

A connection may have eight calls open at once, and a user sixteen over all their connections.

## Errors

Each carries a sentence that says what to do. Beside those of D-Bus itself:

| name | when |
|---|---|
"""


def dbus_page() -> str:
    errors = [f"| `{ERROR_PREFIX}{one.name}` | {one.about} |" for one in PROBLEMS]
    lines = [*errors, "", *_interface(MANAGER), *_interface(WORKSPACE)]
    return _HEAD + "\n".join(lines).rstrip("\n") + "\n"


def _interface(interface: Interface) -> Iterator[str]:
    yield f"## {interface.name}"
    yield ""
    yield "| method | takes | gives | action |"
    yield "|---|---|---|---|"
    for method in interface.methods:
        cells = (f"`{method.name}`", _said(method.takes), _said(method.gives), f"`{method.action}`")
        yield f"| {' | '.join(cells)} |"
    yield ""
    for method in interface.methods:
        yield f"- `{method.name}`: {method.about}"
    yield ""
    yield "| property | type | what |"
    yield "|---|---|---|"
    for one in interface.properties:
        yield f"| `{one.name}` | `{one.signature}` | {one.about} |"
    yield ""
    yield "```xml"
    xml = introspection((interface,))
    yield from xml[xml.index("  <interface") : xml.index("</node>")].rstrip().split("\n")
    yield "```"
    yield ""


def _said(arguments: tuple[Argument, ...]) -> str:
    return ", ".join(f"`{one.name}` {one.signature}" for one in arguments) or "–"
