"""The D-Bus API as one table: objects, methods, properties, errors.

What is exported, its introspection and docs/dbus.md are all made from it. A method or property
never changes its meaning; a new one is added at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

SERVICE = "org.guestwake.Manager1"
MANAGER_PATH = "/org/guestwake/Manager1"
ERROR_PREFIX = "org.guestwake.Error."
WAKE_MINUTES_MAX = 1440
REASON_MAX = 200  # characters
WAYS = ("linux", "windows")
VALUE_MAX = 500  # characters
HISTORY_MAX = 1000  # rows
REPORTS = ("status", "plan", "history", "events", "applications")


class Action(StrEnum):
    """What polkit is asked for. For ACT on a caller's own workspace it is ACT_OWN."""

    READ = "org.guestwake.read"
    ACT_OWN = "org.guestwake.act-own"
    ACT = "org.guestwake.act"
    SETTINGS = "org.guestwake.settings"


# With MultiUserEnabled 1 every logged-on user may do these as its owner may; with 0 nobody else
# may do what disturbs an owner who is logged on (contract, section 8).
SHARED = frozenset({"Open", "Show", "Close"})
DISTURBS = SHARED | {"Wake", "Release", "RestartNow"}


class Argument(NamedTuple):
    name: str
    signature: str


class Method(NamedTuple):
    """`about`: whole sentences, for the documentation."""

    name: str
    takes: tuple[Argument, ...]
    gives: tuple[Argument, ...]
    action: Action | None  # None: a standard one, which looks after itself
    about: str

    @property
    def signature(self) -> str:
        return "".join(one.signature for one in self.takes)

    @property
    def answer(self) -> str:
        return "".join(one.signature for one in self.gives)


class Property(NamedTuple):
    name: str
    signature: str
    about: str
    changes: bool = True


class Signal(NamedTuple):
    name: str
    carries: tuple[Argument, ...]


class Interface(NamedTuple):
    name: str
    methods: tuple[Method, ...]
    properties: tuple[Property, ...] = ()
    signals: tuple[Signal, ...] = ()


class Problem(NamedTuple):
    """An error of ours; its name goes after ERROR_PREFIX."""

    name: str
    about: str


NO_SUCH_WORKSPACE = Problem("NoSuchWorkspace", "No workspace has that name or UUID.")
NOT_POSSIBLE = Problem(
    "NotPossible", "The workspace is not in a state for it; such as: it needs no restart."
)
ALREADY_RUNNING = Problem("AlreadyRunning", "Another process has the workspace's run.")
BAD_ARGUMENT = Problem("BadArgument", "An argument is out of range.")
DENIED = Problem("Denied", "polkit says no, or it is absent and the caller is not the owner.")
NEEDS_AUTHENTICATION = Problem(
    "NeedsAuthentication",
    "polkit would allow it after an authentication, which this call does not allow for.",
)
UNDECIDED = Problem("Undecided", "Nobody could tell in time whether the caller may do it.")
TOO_MANY_CALLS = Problem("TooManyCalls", "The caller has too many calls open.")
STATE = Problem("State", "The journal or another state file cannot be read or written.")
SETTINGS = Problem("Settings", "The settings cannot be told, or not be written.")
SCHEDULER = Problem("Scheduler", "The run could not be started.")
UNEXPECTED = Problem("Unexpected", "Something that nobody foresaw: please report it.")
PROBLEMS = (
    NO_SUCH_WORKSPACE,
    NOT_POSSIBLE,
    ALREADY_RUNNING,
    BAD_ARGUMENT,
    DENIED,
    NEEDS_AUTHENTICATION,
    UNDECIDED,
    TOO_MANY_CALLS,
    STATE,
    SETTINGS,
    SCHEDULER,
    UNEXPECTED,
)

_WORKSPACE = Argument("workspace", "s")
_JSON = (Argument("json", "s"),)
MANAGER = Interface(
    "org.guestwake.Manager1",
    (
        Method(
            "Status",
            (),
            _JSON,
            Action.READ,
            "What `guestwake status --json` prints.",
        ),
        Method(
            "History",
            (_WORKSPACE, Argument("most", "u")),
            _JSON,
            Action.READ,
            "What `guestwake history --json` prints: the last `most` runs that are over, 1 to "
            f"{HISTORY_MAX}; 0: 50.",
        ),
        Method(
            "Plan",
            (_WORKSPACE,),
            _JSON,
            Action.READ,
            "What `guestwake plan --json` prints: the windows of the next seven days.",
        ),
        Method(
            "Events",
            (_WORKSPACE,),
            _JSON,
            Action.READ,
            "What `guestwake events --happened --json` prints.",
        ),
        Method(
            "Show",
            (Argument("report", "s"), _WORKSPACE),
            (Argument("text", "s"),),
            Action.READ,
            f"The same as text for people; `report` is {', '.join(REPORTS[:-1])} or {REPORTS[-1]}. "
            "Times are in each workspace's own zone.",
        ),
        Method(
            "SetSetting",
            (_WORKSPACE, Argument("name", "s"), Argument("value", "s")),
            _JSON,
            Action.SETTINGS,
            "Writes it into the machine's settings, on a session bus into that user's own, as "
            "`guestwake settings set --json` does and with that answer. `workspace` empty: the "
            "value for all that have none of their own. `name` in either spelling.",
        ),
        Method(
            "ClearSetting",
            (_WORKSPACE, Argument("name", "s")),
            _JSON,
            Action.SETTINGS,
            "Takes it out of there, as `guestwake settings clear --json` does.",
        ),
        Method(
            "Applications",
            (_WORKSPACE,),
            _JSON,
            Action.READ,
            "What `guestwake applications --json` prints: those that are published.",
        ),
    ),
    (
        Property("Version", "s", "Of Guestwake.", changes=False),
        Property("Workspaces", "ao", "The objects of all workspaces, by name."),
    ),
)
_UNTIL = Argument("until", "t")
_OPENED = Argument("opened", "t")
WORKSPACE = Interface(
    "org.guestwake.Workspace1",
    (
        Method(
            "Wake",
            (Argument("minutes", "u"),),
            (),
            Action.ACT,
            "Starts a wake run and does not wait for it: an extra one of that many minutes, up to "
            f"{WAKE_MINUTES_MAX}; 0: GuestUpdateDuration. A run that is under way is left alone.",
        ),
        Method(
            "Hold",
            (_UNTIL, Argument("reason", "s")),
            (),
            Action.ACT,
            "The VM is in use until then: if Guestwake woke it, it stays up. It wakes nothing. "
            f"`reason`: up to {REASON_MAX} characters, may be empty.",
        ),
        Method(
            "Release",
            (),
            (Argument("ended", "u"),),
            Action.ACT,
            "Ends all holds; how many there were.",
        ),
        Method(
            "Skip",
            (),
            (Argument("date", "s"), Argument("opens", "t"), Argument("ends", "t")),
            Action.ACT,
            "Leaves out the next window that has not begun, and says which; an empty date: there "
            "is none to come. A second time changes nothing.",
        ),
        Method(
            "Unskip",
            (),
            (Argument("date", "s"), Argument("opens", "t"), Argument("ends", "t")),
            Action.ACT,
            "Lets it open after all; an empty date: none was left out.",
        ),
        Method(
            "Pause",
            (_UNTIL,),
            (),
            Action.ACT,
            "No windows until then; 0: until resumed. A run that is under way goes on.",
        ),
        Method(
            "Resume",
            (),
            (Argument("was_paused", "b"),),
            Action.ACT,
            "Ends a pause.",
        ),
        Method(
            "RestartNow",
            (),
            (),
            Action.ACT,
            "Agrees to the restart that updates need: it is done now, over whatever is going on "
            "in the guest. Does not wait for it.",
        ),
        Method(
            "Postpone",
            (),
            (_UNTIL,),
            Action.ACT,
            "Puts that restart off; `until`: the latest that it can be put off to.",
        ),
        Method(
            "PromptSeen",
            (),
            (),
            Action.ACT,
            "Its owner sees now that they are asked about that restart; from the first time on it "
            "can be put off for RebootAbsoluteDelayTimeout. For programs that show prompts.",
        ),
        Method(
            "Icon",
            (Argument("id", "s"),),
            (Argument("icon", "ay"),),
            Action.READ,
            "The icon of a published application, a PNG or SVG file of up to 256 KiB as whoever "
            "published it gave it; empty: it has none, or there is no such application.",
        ),
        Method(
            "Publish",
            (
                *(Argument(name, "s") for name in ("id", "name", "command", "how")),
                Argument("icon", "ay"),
            ),
            (),
            Action.ACT,
            "Publishes an application of the guest, or changes it: its title, the command that the "
            f"guest runs, and `{WAYS[0]}` or `{WAYS[1]}`. `icon` empty: it keeps the one it has.",
        ),
        Method("Unpublish", (Argument("id", "s"),), (), Action.ACT, "Takes it off again."),
        Method(
            "Open",
            (Argument("application", "s"), Argument("pid", "u")),
            (_OPENED,),
            Action.ACT,
            "Somebody wants it open; `application` empty: the whole desktop. The VM is started "
            "where need be, and in use while that process lives, or one that `Show` adds. The "
            "process must be one of the caller's user. Does not wait: ask `Opening`.",
        ),
        Method(
            "Opening",
            (_OPENED,),
            (Argument("open", "b"), Argument("ready", "b"), Argument("sentence", "s")),
            Action.READ,
            "How far it is. `ready`: its guest is, so show it now. Not `open`: it was closed, or "
            "nothing will make it ready. `sentence`: what is going on, or why not.",
        ),
        Method(
            "Show",
            (_OPENED, Argument("pid", "u")),
            (Argument("open", "b"),),
            Action.ACT,
            "It is on the screen now, and that process has it open too. False: it counts as closed "
            "already. For who opened it.",
        ),
        Method(
            "Close",
            (_OPENED,),
            (),
            Action.ACT,
            "It is not open any more, whatever processes live. For who opened it.",
        ),
    ),
    (
        Property("Name", "s", "Of the VM, when it was added.", changes=False),
        Property("Uuid", "s", "Of the VM.", changes=False),
        Property("Owner", "s", "A host user; empty: the system."),
        Property(
            "Phase",
            "s",
            "Of the open run: waiting, watching, waking, holding, restarting, lent, restoring; "
            "empty: none is open.",
        ),
        Property("Why", "s", "The last answer of the open run, as in docs/policy.md; or empty."),
        Property(
            "Standing", "s", "What needs attention until it has ended, with its remedy; or empty."
        ),
        Property("NextOpens", "t", "When the next window opens; 0: none in the next two weeks."),
        Property("Ends", "t", "When the window of the open run ends; 0: no run is open."),
        Property("RestartRequired", "b", "Whether updates in the guest need a restart of it."),
        Property("RestartReasons", "as", "What needs it, in the guest's words, escaped."),
        Property(
            "InUseBy", "as", "Who keeps the open run's VM awake; what the guest says is escaped."
        ),
        Property(
            "LastWindow", "t", "When the last window ended in which the VM was available; 0: never."
        ),
        Property("Paused", "b", "Whether no window opens for now."),
        Property(
            "RestartPrompt",
            "s",
            "What its owner, where logged on, is to be shown: `ask`, whether it is to be restarted "
            "now or later; `notice`, that it will be; or empty.",
        ),
        Property(
            "RestartAt",
            "t",
            "With `ask`, until when it can be put off, 0 before anybody has seen the prompt; with "
            "`notice`, when it is restarted; else 0.",
        ),
        Property(
            "Applications", "a(ss)", "The published applications, by title: an id and a title each."
        ),
        Property("Icons", "a(st)", "Those that have an icon: an id, and how many bytes it has."),
    ),
)

PROPERTIES = Interface(
    "org.freedesktop.DBus.Properties",
    (
        Method(
            "Get",
            (Argument("interface", "s"), Argument("name", "s")),
            (Argument("value", "v"),),
            None,
            "",
        ),
        Method("GetAll", (Argument("interface", "s"),), (Argument("values", "a{sv}"),), None, ""),
        Method(
            "Set",
            (Argument("interface", "s"), Argument("name", "s"), Argument("value", "v")),
            (),
            None,
            "",
        ),
    ),
    signals=(
        Signal(
            "PropertiesChanged",
            (
                Argument("interface", "s"),
                Argument("changed", "a{sv}"),
                Argument("invalidated", "as"),
            ),
        ),
    ),
)
INTROSPECTABLE = Interface(
    "org.freedesktop.DBus.Introspectable",
    (Method("Introspect", (), (Argument("xml", "s"),), None, ""),),
)
PEER = Interface(
    "org.freedesktop.DBus.Peer",
    (
        Method("Ping", (), (), None, ""),
        Method("GetMachineId", (), (Argument("machine", "s"),), None, ""),
    ),
)
OBJECT_MANAGER = Interface(
    "org.freedesktop.DBus.ObjectManager",
    (Method("GetManagedObjects", (), (Argument("objects", "a{oa{sa{sv}}}"),), None, ""),),
    signals=(
        Signal("InterfacesAdded", (Argument("object", "o"), Argument("interfaces", "a{sa{sv}}"))),
        Signal("InterfacesRemoved", (Argument("object", "o"), Argument("interfaces", "as"))),
    ),
)
_STANDARD = (INTROSPECTABLE, PEER, PROPERTIES)
MANAGER_OBJECT = (MANAGER, OBJECT_MANAGER, *_STANDARD)
WORKSPACE_OBJECT = (WORKSPACE, *_STANDARD)

_DOCTYPE = (
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
    ' "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">'
)
_CHANGES = "org.freedesktop.DBus.Property.EmitsChangedSignal"


def path_of(uuid: str) -> str:
    return f"{MANAGER_PATH}/workspace/{uuid.replace('-', '_')}"


def uuid_of(path: str) -> str | None:
    """None: it is not the path of a workspace."""
    above, _, name = path.rpartition("/")
    return name.replace("_", "-") if above == f"{MANAGER_PATH}/workspace" else None


def introspection(interfaces: Iterable[Interface], children: Iterable[str] = ()) -> str:
    """The XML of an object. `children`: names of the nodes right below it."""
    from xml.sax.saxutils import quoteattr  # late: it brings all of urllib

    lines = [line for one in interfaces for line in _interface(one)]
    lines += [f"  <node name={quoteattr(child)}/>" for child in children]
    return "\n".join([_DOCTYPE, "<node>", *lines, "</node>", ""])


def _interface(interface: Interface) -> Iterator[str]:
    yield f'  <interface name="{interface.name}">'
    for method in interface.methods:
        arguments = [_argument(one, ' direction="in"') for one in method.takes]
        arguments += [_argument(one, ' direction="out"') for one in method.gives]
        yield from _element("method", method.name, arguments)
    for signal in interface.signals:
        yield from _element("signal", signal.name, [_argument(one) for one in signal.carries])
    for one in interface.properties:
        yield f'    <property name="{one.name}" type="{one.signature}" access="read">'
        yield f'      <annotation name="{_CHANGES}" value="{"true" if one.changes else "const"}"/>'
        yield "    </property>"
    yield "  </interface>"


def _argument(argument: Argument, direction: str = "") -> str:
    return f'      <arg name="{argument.name}" type="{argument.signature}"{direction}/>'


def _element(kind: str, name: str, inside: list[str]) -> Iterator[str]:
    if not inside:
        yield f'    <{kind} name="{name}"/>'
        return
    yield f'    <{kind} name="{name}">'
    yield from inside
    yield f"    </{kind}>"
