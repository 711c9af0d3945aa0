"""The command line: commands, options, what they mean, and what is wrong with a wrong one.

The one table of commands feeds the parser, docs/commands.md, the man page and the completions. A
usage error names the mistake and what was probably meant, and never prints the manual.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn

SHELLS = ("bash", "zsh", "fish")
LOG_LEVELS = ("error", "warning", "info", "debug")
_WHEN = "08:30, '2026-11-24 08:30', 2h, 3d, tomorrow, or ISO 8601 with a zone"


class UsageError(Exception):
    """A sentence that names the mistake."""


class Command(NamedTuple):
    """`name`: one word, or more below a group of GROUPS. `about`: whole sentences, for the
    documentation."""

    name: str
    help: str
    about: str
    arguments: Callable[[argparse.ArgumentParser], None]


class Format(argparse.HelpFormatter):
    """argparse makes one for each argument, and imports much to learn how wide a terminal is."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=_width())


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of printing its usage. Options are never abbreviated, so that a
    mistyped one is not taken for another."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": Format, **rest})

    def error(self, message: str) -> NoReturn:
        raise UsageError(_plain(message))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        known = list(action.choices or ())
        if known and value not in known:
            name = action.option_strings[-1] if action.option_strings else action.metavar
            what = "command" if action.dest in ("command", "verb") else f"{name}"
            raise UsageError(f"there is no {what} '{value}'.{_meant(value, known)}")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Raises UsageError; SystemExit(0) after --help."""
    words_named = named(words)
    before = words[: words.index(words_named[0])] if words_named else ()
    asks_for_all = not words_named or "-h" in before or "--help" in before
    parser = parser_of(None if asks_for_all else words_named[0])
    try:
        found, left_over = parser.parse_known_args(words)
    except UsageError:
        _refuse_unknown(words, parser)
        raise
    if left_over:
        _refuse_unknown(words, parser)
        raise UsageError(f"'{left_over[0]}' is one argument too many.")
    if found.command is None and not found.version:
        raise UsageError("a command is missing; a new user begins with 'guestwake setup'.")
    return found


def parser_of(only: str | None = None) -> Parser:
    """`only`: fill in this command alone, as filling all takes longer than most commands run. A
    name that is no command fills in all."""
    parser = Parser(
        prog="guestwake",
        description="Keeps virtual machines that mostly sleep up to date: wakes each at its hour, "
        "lets its own update clients work, and puts it back as it was.",
        epilog="New here? Call 'guestwake setup'. Is something wrong? Call 'guestwake doctor'. "
        "'guestwake COMMAND --help' tells more of each command.",
    )
    _common(parser, None)
    parser.add_argument("--version", action="store_true", help="print the version and end")
    # With `prog` argparse need not format its usage now, for which it would import much.
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", prog="guestwake"
    )
    meant = [one for one in COMMANDS if only == one.name.partition(" ")[0]]
    groups: dict[str, Any] = {"": commands}
    for command in meant or COMMANDS:
        group, _, word = command.name.rpartition(" ")
        made = _group(groups, group).add_parser(word, help=command.help, description=command.about)
        _fill(made, command)
    return parser


def _group(groups: dict[str, Any], name: str) -> Any:
    """What takes the commands of the group `name`, made now with all above it if need be."""
    if name not in groups:
        above, _, word = name.rpartition(" ")
        made = _group(groups, above).add_parser(word, help=GROUPS[name], description=GROUPS[name])
        _common(made, argparse.SUPPRESS)
        groups[name] = made.add_subparsers(
            dest="verb", metavar="VERB", required=True, prog=f"guestwake {name}"
        )
    return groups[name]


def _fill(parser: argparse.ArgumentParser, command: Command) -> None:
    parser.set_defaults(command=command.name)
    command.arguments(parser)
    _common(parser, argparse.SUPPRESS)


def named(words: Sequence[str]) -> list[str]:
    """The words that are no options: the command first, as far as one can tell before parsing."""
    found = []
    for before, word in zip(("", *words), words, strict=False):
        if not word.startswith("-") and before not in ("--root", "--log-level"):
            found.append(word)
    return found


def root_of(words: Sequence[str]) -> str | None:
    """What --root says in a call that is wrong otherwise. Raises UsageError where that is wrong."""
    parser = Parser(add_help=False)
    parser.add_argument("--root")
    root: str | None = parser.parse_known_args(words)[0].root
    return root


def _common(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Options that are understood before and after the command."""
    parser.add_argument(
        "--root",
        metavar="DIR",
        default=default,
        help="keep configuration, state and runtime files under DIR (else GUESTWAKE_ROOT)",
    )
    parser.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default=default,
        help="how much is said on stderr (default: warning; where stderr is no terminal, info for "
        "wake and remove)",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        dest="log_level",
        action="store_const",
        const="debug",
        default=default,
        help="the same as --log-level debug",
    )


def _width() -> int:
    try:
        return int(os.environ["COLUMNS"]) - 2
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size().columns - 2
    except (OSError, ValueError):  # no terminal; a service of Windows' has no output at all
        return 78


# arguments of each command


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-bus",
        action="store_true",
        help="neither answer on D-Bus nor listen to it: for trying it out",
    )


def _agent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--once",
        action="store_true",
        help="print what is asked, bring the menu up to date, and end: for a terminal without a "
        "desktop",
    )


def _service_install(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--linger",
        action="store_true",
        help="of an ordinary user: have systemd run it also while the user is logged off",
    )
    _json(parser)


def _workspace(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    parser.add_argument(
        "workspace",
        metavar="WORKSPACE",
        nargs="?" if optional else None,
        help="name or UUID of a workspace" + ("; without it, all of them" if optional else ""),
    )


def _add_channel(parser: argparse.ArgumentParser) -> None:
    _workspace(parser)
    parser.add_argument(
        "--tcp",
        metavar="ADDRESS:PORT",
        help="pair the guest for the network: an address of this host that it reaches, and a port "
        "that is free, one for each workspace",
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for machines; times in UTC")


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name or UUID of the VM")
    parser.add_argument(
        "--uri",
        metavar="URI",
        help="libvirt's connection URI (default: qemu:///system for root, else qemu:///session)",
    )
    owner = parser.add_mutually_exclusive_group()
    owner.add_argument(
        "--owner",
        metavar="USER",
        help="the host user whose settings count (default: who calls; for root, the system)",
    )
    owner.add_argument("--system", action="store_true", help="the workspace belongs to no user")


def _wake(parser: argparse.ArgumentParser) -> None:
    _workspace(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--duration",
        metavar="MIN",
        type=_minutes,
        help="how long, in minutes up to 1440, such as 90 or 0.5 (default: GuestUpdateDuration)",
    )
    how.add_argument(
        "--scheduled",
        action="store_true",
        help="as a timer calls it: does nothing unless a window is open or is to be caught up",
    )


def _skip(parser: argparse.ArgumentParser) -> None:
    _workspace(parser)
    parser.add_argument("--undo", action="store_true", help="let the window open after all")


def _pause(parser: argparse.ArgumentParser) -> None:
    _workspace(parser)
    parser.add_argument("--until", metavar="WHEN", help=f"{_WHEN}; without it, until resumed")


def _hold(parser: argparse.ArgumentParser) -> None:
    _workspace(parser)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--for", dest="until", metavar="TIME", help=f"how long, or until when: {_WHEN}"
    )
    how.add_argument("--release", action="store_true", help="end all holds of the workspace")
    parser.add_argument(
        "--reason", metavar="TEXT", default="", help="shown where somebody asks who keeps it awake"
    )


def _publish(parser: argparse.ArgumentParser) -> None:
    _unpublish(parser)
    parser.add_argument(
        "--name", metavar="TITLE", help="as it is shown to people (default: APPLICATION)"
    )
    parser.add_argument(
        "--command",
        dest="runs",
        metavar="COMMAND",
        help="what the guest runs (default: APPLICATION)",
    )
    parser.add_argument("--icon", metavar="FILE", help="a PNG or SVG file, 256 KiB at most")
    parser.add_argument(
        "--guest",
        choices=("linux", "windows"),
        help="linux or windows; which setting opens it (default: as the guest itself reports)",
    )


def _unpublish(parser: argparse.ArgumentParser) -> None:
    _workspace(parser)
    parser.add_argument(
        "application",
        metavar="APPLICATION",
        help="its short name: small letters, digits, '.', '_' and '-'",
    )


def _open(parser: argparse.ArgumentParser) -> None:
    _workspace(parser)
    parser.add_argument(
        "application",
        metavar="APPLICATION",
        nargs="?",
        default="",
        help="one that was published; without it, the desktop of the guest",
    )


def _plan(parser: argparse.ArgumentParser) -> None:
    _workspace(parser, optional=True)
    parser.add_argument("--from", dest="start", metavar="WHEN", help=f"{_WHEN}; default: now")
    parser.add_argument(
        "--days", metavar="N", type=_days, default=7, help="how far, 1 to 3660 (default: 7)"
    )
    parser.add_argument(
        "--set",
        dest="assignments",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="what if this setting were so; may be given several times",
    )
    _json(parser)


def _status(parser: argparse.ArgumentParser) -> None:
    _workspace(parser, optional=True)
    parser.add_argument("--check", action="store_true", help="end with 14 if something is wrong")
    _json(parser)


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "workspace",
        metavar="WORKSPACE",
        nargs="?",
        help="name or UUID of a workspace; without it, the host and all of them",
    )
    _json(parser)


def _setup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--vm",
        dest="vms",
        metavar="NAME",
        nargs="+",
        action="extend",
        default=[],
        help="name or UUID of a VM to look after; without it you are asked",
    )
    parser.add_argument(
        "--time", metavar="HH:MM", help="when their window opens each day (GuestUpdateTime)"
    )
    parser.add_argument(
        "--duration",
        metavar="MIN",
        help="how long it is at the most, in minutes (GuestUpdateDuration)",
    )
    parser.add_argument(
        "--wake-host",
        action="store_true",
        help="wake the host itself from sleep for it (WakeHost)",
    )
    parser.add_argument(
        "--uri",
        metavar="URI",
        help="libvirt's connection URI (default: qemu:///system for root, else qemu:///session)",
    )
    parser.add_argument(
        "--no-service", action="store_true", help="do not have systemd run the resident service"
    )
    parser.add_argument(
        "--linger",
        action="store_true",
        help="of an ordinary user: have systemd run it also while the user is logged off",
    )
    parser.add_argument("--yes", action="store_true", help="do it without asking")
    _json(parser)


def _of_all(parser: argparse.ArgumentParser) -> None:
    _workspace(parser, optional=True)
    _json(parser)


def _settings_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "assignments",
        metavar="NAME=VALUE",
        nargs="+",
        help="a setting and its value, such as GuestUpdateTime=03:30 or guest_update_days=Mon,Thu",
    )
    _where(parser)


def _settings_clear(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="+", help="a setting, in either spelling")
    _where(parser)


def _where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workspace",
        metavar="WORKSPACE",
        help="name or UUID of a workspace; without it, the value for all that have none of their "
        "own",
    )
    layer = parser.add_mutually_exclusive_group()
    layer.add_argument(
        "--machine",
        action="store_true",
        help="of an ordinary user: in the machine's settings instead of one's own; the host's "
        "service writes them, once an administrator's password was given",
    )
    layer.add_argument(
        "--policy",
        action="store_true",
        help="in the machine policy, which nobody's own settings beat; for root",
    )
    _json(parser)


def _events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--happened",
        metavar="WORKSPACE",
        nargs="?",
        const="",
        help="what happened, of one workspace or all, instead of what there can be",
    )
    _json(parser)


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


GROUPS = {
    "workspace": "which VMs Guestwake looks after",
    "workspace channel": "the way to the Guest Update Service inside a VM's guest",
    "service": "the resident service, run by the system",
    "settings": "what counts, where it comes from, and what is wrong with it",
}
COMMANDS = (
    Command(
        "setup",
        "begin here: choose VMs and when they are updated",
        "Asks which VMs to look after, when and for how long, and shows what it would do: which "
        "workspaces, settings, timers and units it would write, and the next windows. Only when "
        "you agree does it do that. What is there already stays as it is, so that it may be called "
        "again. With --yes it asks nothing; without a terminal and without --yes it only shows, "
        "and ends with 21. As root it is for the VMs of the host, as an ordinary user for one's "
        "own.",
        _setup,
    ),
    Command(
        "workspace add",
        "look after a VM from now on",
        "Has Guestwake look after a VM that exists already, and says what it can and cannot do "
        "with it. Only VMs that were added are ever touched. 'guestwake setup' does this, and "
        "chooses the hour too.",
        _add,
    ),
    Command(
        "workspace remove",
        "stop looking after a VM",
        "Takes a workspace off. If Guestwake has woken its VM, that is put back first; where "
        "another process has its run, that one does it, and this command waits. The VM itself and "
        "its history stay.",
        _workspace,
    ),
    Command(
        "workspace list",
        "the VMs that are looked after",
        "Lists the workspaces: the VMs that Guestwake looks after.",
        _json,
    ),
    Command(
        "workspace channel add",
        "give its VM the channel of the Guest Update Service",
        "Adds a virtio-serial port, named org.guestwake.update.0, to the definition of the VM, and "
        "to the VM itself where it runs and can be given one. A hibernated VM has it at its next "
        "boot: its saved image stays as it is. No other device of the VM is touched. With --tcp "
        "the guest speaks over the network instead, where its hypervisor has no such port: this "
        "host listens at the address and port given while the guest is to be heard, and prints a "
        "token, once, by which guest and host know each other ('guestwake-guest pair').",
        _add_channel,
    ),
    Command(
        "workspace channel remove",
        "take that channel away again",
        "Undoes 'workspace channel add': removes the port of that name and nothing else; of a "
        "guest that speaks over TCP, the pairing.",
        _workspace,
    ),
    Command(
        "wake",
        "wake a VM, keep it awake for its updates, put it back",
        "The Guest Update Manager: wakes a VM, gives its update clients the time they need, and "
        "puts it back as it was. Called by a person this is a run of its own, beside the windows. "
        "After a crash, or kill -9, the same command goes on where that one was. Ctrl-C, or "
        "SIGTERM or SIGHUP, puts the VM back at once, by saving it.",
        _wake,
    ),
    Command(
        "restart",
        "restart a guest whose updates need it, now",
        "Restarts a guest that needs it for its updates, over whatever is going on in it: who says "
        "so has saved what is open. A VM that is at rest is woken for it and put back.",
        _workspace,
    ),
    Command(
        "postpone",
        "put off the restart that its updates need",
        "Puts the prompt off for four hours, or until the next logon. That is possible for "
        "RebootAbsoluteDelayTimeout from the first prompt that was seen; then the restart is "
        "announced, and comes ten minutes later.",
        _workspace,
    ),
    Command(
        "skip",
        "leave out the next window",
        "Leaves out the next window that has not begun. Saying it twice leaves out one window.",
        _skip,
    ),
    Command(
        "pause",
        "no windows until further notice",
        "Lets no window open until the time given, or until 'guestwake resume'. A run that is "
        "under way goes on to its end.",
        _pause,
    ),
    Command(
        "resume",
        "let the windows open again",
        "Ends a pause. Windows that passed meanwhile are not caught up; one that is open now is "
        "joined at the next look of the timer.",
        _workspace,
    ),
    Command(
        "hold",
        "keep an awake VM from being put back",
        "Says that a VM is in use: if Guestwake woke it, it stays up until the hold ends. It wakes "
        "nothing.",
        _hold,
    ),
    Command(
        "open",
        "open an application of a guest, or its desktop",
        "Starts the VM where need be, waits until its guest is ready, and shows the application in "
        "a window of this desktop, with the command that the settings name: DesktopCommand, "
        "LinuxApplicationCommand, WindowsApplicationCommand. The VM is in use until that window is "
        "closed, and CloseAction applies once nothing of it is open any more. Where updates need a "
        "restart it asks first, on a terminal.",
        _open,
    ),
    Command(
        "publish",
        "let an application of a guest be opened from this host",
        "Publishes an application that is installed in the guest: 'guestwake open' opens it, and "
        "desktops of this host show it in their menus. Saying it again changes it.",
        _publish,
    ),
    Command(
        "unpublish",
        "take a published application off again",
        "The undo of 'guestwake publish'. What is open stays open.",
        _unpublish,
    ),
    Command(
        "applications",
        "the applications that are published",
        "Lists the published applications, of one workspace or all, and since when they are open.",
        _of_all,
    ),
    Command(
        "plan",
        "what will happen when, and why",
        "Shows the windows to come, and why each is when it is; with --set also what would be if. "
        "Touches nothing and asks no hypervisor.",
        _plan,
    ),
    Command(
        "status",
        "what is going on, and what needs attention",
        "Shows for each workspace what is going on now, its last and its next window, and loudly "
        "what needs attention. It asks no hypervisor: what it tells is what was last recorded. "
        "'guestwake doctor' looks deeper.",
        _status,
    ),
    Command(
        "doctor",
        "what is wrong, and the command that mends it",
        "Checks all that must work together: the service and its timers, the hypervisor, the VM "
        "of each workspace and its guest, and whether anything else starts or stops it or keeps it "
        "from ever being updated. What is wrong comes first, each with the command that mends it. "
        "It asks the hypervisor, and changes nothing. Ends with 14 if something is wrong.",
        _doctor,
    ),
    Command(
        "history",
        "how the last runs went",
        "Lists the last 50 wake runs that are over: how long each was awake, how it ended, and "
        "what the guest says was installed in it.",
        _of_all,
    ),
    Command(
        "settings show",
        "each value and where it comes from",
        "Shows what counts for a workspace, and the file and line of each value. Without a "
        "workspace: the general values.",
        _of_all,
    ),
    Command(
        "settings check",
        "all that is wrong, at once",
        "Lists the problems of all settings files, and ends with 13 if there are any.",
        _json,
    ),
    Command(
        "settings set",
        "write a value into the settings",
        "Writes values into /etc/guestwake/guestwake.toml as root, into one's own "
        "~/.config/guestwake/guestwake.toml as an ordinary user; comments and layout stay as they "
        "are. Where one value is wrong none is written. Says what counts then, from where, and how "
        "to undo it. A workspace of the host's that belongs to somebody else is changed by the "
        "host's service, once an administrator's password was given. The resident service follows "
        "within seconds.",
        _settings_set,
    ),
    Command(
        "settings clear",
        "take a value out of the settings",
        "Takes values out of the file that 'guestwake settings set' would write them into, so that "
        "the next layer counts, or the default.",
        _settings_clear,
    ),
    Command(
        "events",
        "what each event means, and what happened",
        "Shows the catalogue of events, each with its cause and remedy; with --happened the last "
        "100 that were recorded.",
        _events,
    ),
    Command(
        "serve",
        "the resident service: keeps the timers, asks about restarts",
        "The Guest Restart Management Service: keeps a timer for each workspace as the settings "
        "say, finishes runs that were left without their manager, sees to the restarts that "
        "updates need when their owner logs on, and answers on D-Bus. 'guestwake service install' "
        "has systemd run it. Where no systemd runs it keeps the time itself.",
        _serve,
    ),
    Command(
        "agent",
        "asks the user of a desktop about restarts, and keeps their menu",
        "Shows what the resident service asks of this user as notifications of their desktop: "
        "whether a guest whose updates need a restart is restarted now or later, and the notice "
        "when it will be; and keeps an entry in their menu for each published application of their "
        "workspaces. The host's service and the user's own are listened to. One agent runs in each "
        "session, from the user's unit guestwake-agent.service.",
        _agent,
    ),
    Command(
        "service install",
        "have the system run the resident service",
        "As root: writes the units of the host's service, makes the user 'guestwake' that it runs "
        "as, enables and starts it. As an ordinary user: the same for one's own VMs, in one's own "
        "systemd. Files that a package has brought are left as they are, and only enabled. On "
        "Windows, as administrator: a service, and its source in the event log.",
        _service_install,
    ),
    Command(
        "service remove",
        "take the service out of the system again",
        "Ends the service and the runs that are under way, which put back first; removes the "
        "timers, and what 'guestwake service install' has written. Settings, workspaces and their "
        "history stay. On Windows runs that are under way go on to their window's end.",
        _json,
    ),
    Command(
        "completion",
        "have a shell complete Guestwake's commands",
        "Prints a script for the shell named. For bash: guestwake completion bash > "
        "/etc/bash_completion.d/guestwake",
        _completion,
    ),
)


# values


def _minutes(text: str) -> timedelta:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", text) or not 0 < float(text) <= 1440:
        raise argparse.ArgumentTypeError(f"'{text}' will not do; it must be minutes, up to 1440")
    return timedelta(minutes=float(text))


def _days(text: str) -> int:
    return _number(text, 1, 3660, "days")


def _number(text: str, low: int, high: int, unit: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"'{text}' will not do; it must be {low} to {high} {unit}")
    return int(text)


# mistakes


def _plain(message: str) -> str:
    """argparse's own words, without its jargon."""
    if message.startswith("the following arguments are required: "):
        return f"{message.partition(': ')[2]} is missing."
    return f"{re.sub('^argument ', '', message).removesuffix('.')}."


def _refuse_unknown(words: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Raises UsageError for the first option that this command does not have."""
    known = [
        name for one in _parser_for(parser, named(words))._actions for name in one.option_strings
    ]
    for word in words:
        name = word.partition("=")[0]
        if word == "--":
            return
        if word.startswith("-") and name not in known and not re.match(r"-v+$|-?\d", word):
            raise UsageError(f"there is no option '{name}' here.{_meant(name, known)}")


def _meant(given: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    known = [name for name in known if name not in ("-h", "-v")]
    close = get_close_matches(given[:80], known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" There are: {', '.join(known)}."


def _parser_for(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.ArgumentParser:
    """The innermost parser that these words lead to."""
    for word in words:
        below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        if not below or word not in below[0].choices:
            break
        parser = below[0].choices[word]
    return parser
