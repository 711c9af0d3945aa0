"""`guestwake setup`: asks what it must, shows what it would do, asks once, does it.

Nothing is written before the answer to that one question, and nothing after a no, an end of the
input or Ctrl-C. Root becomes the service's user before it adds workspaces, as everywhere.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from shlex import quote
from zoneinfo import ZoneInfo

from guestwake.application import Application, default_uri, user_name
from guestwake.edges import changing
from guestwake.edges.as_service import as_service
from guestwake.edges.exit_codes import Exit
from guestwake.edges.live import Live
from guestwake.edges.parser import UsageError
from guestwake.edges.text import complain, is_terminal, local, printable, say, say_json, utc
from guestwake.paths import Paths
from guestwake.policy.health_facts import HostSeen, Seen
from guestwake.policy.health_hypervisor import reach
from guestwake.policy.limits import Limits
from guestwake.policy.words import Power
from guestwake.settings.change import as_json, as_text, wished
from guestwake.settings.resolve import SettingsError
from guestwake.settings.table import BY_NAME
from guestwake.setup import Candidate, Plan, PlannedVm, Service, Setup, Unreached, Wish, chosen

Build = Callable[[Paths], Application]
Answers = Callable[[str], str]  # a question to what was typed; "" at the end of the input

_NO_SERVICE = (Service.NOT_YET, Service.IMPOSSIBLE)
_TIME, _DURATION, _WAKE_HOST = "GuestUpdateTime", "GuestUpdateDuration", "WakeHost"


class EndOfAnswers(Exception):
    """Nobody answers any more."""


def run(arguments: Namespace, paths: Paths, build: Build, answers: Answers | None = None) -> Exit:
    """`answers` is given by tests alone. Raises whatever the steps raise."""
    application, live = build(paths), Live()
    setup = Setup(application, progress=live.wait_for)
    person = answers or (_asked if _may_ask(arguments) else None)
    uri = arguments.uri or default_uri()
    try:
        candidates = setup.candidates(uri)
    except Unreached as err:
        live.end()
        return _unreached(err, application)
    finally:
        live.end()
    try:
        wish = _wish(arguments, uri, candidates, setup, person)
        plan = setup.plan(wish, _named(candidates, wish.vms))
        if not arguments.json:
            for line in _shown(plan):
                say(line)
        if plan.is_empty or not _agreed(arguments, person):
            return _left(arguments, plan)
    except KeyboardInterrupt:
        say()
        say("Nothing was written.")
        raise
    except EndOfAnswers:
        say()
        say("Nothing was written.")
        return Exit.NOT_CONFIRMED
    return _do(arguments, setup, plan, paths, build)


# asking


def _may_ask(arguments: Namespace) -> bool:
    return not arguments.yes and not arguments.json and is_terminal(sys.stdin)


def _asked(question: str) -> str:
    sys.stdout.write(question)
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        raise EndOfAnswers
    return line.strip()


def _wish(
    arguments: Namespace,
    uri: str,
    candidates: Sequence[Candidate],
    setup: Setup,
    person: Answers | None,
) -> Wish:
    vms = tuple(arguments.vms)
    if not vms and not arguments.json:
        _say_what_there_is(candidates, uri, setup)
        vms = _which(candidates, person) if candidates and person is not None else ()
    given = dict(_given(arguments))
    if given and not vms:
        raise UsageError("say for which VMs that is: --vm NAME.")
    if vms and person is not None:
        present = setup.present(_named(candidates, vms)[0], user_name())
        given |= _when(given, present, setup, person)
    service = not arguments.no_service
    assignments = tuple(f"{name}={value}" for name, value in given.items())
    return Wish(uri, user_name(), vms, assignments, service, arguments.linger)


def _given(arguments: Namespace) -> Iterator[tuple[str, str]]:
    if arguments.time is not None:
        yield _TIME, arguments.time
    if arguments.duration is not None:
        yield _DURATION, arguments.duration
    if arguments.wake_host:
        yield _WAKE_HOST, "1"


def _say_what_there_is(candidates: Sequence[Candidate], uri: str, setup: Setup) -> None:
    if not candidates:
        say(
            f"{printable(uri)} has no VM yet. Make one, such as with virt-manager; then call again."
        )
        return
    say(f"The VMs of {printable(uri)}:")
    there = setup.plan(Wish(uri, user_name()), [each for each in candidates if each.is_workspace])
    windows = {each.vm.uuid: _next_window(each) for each in there.vms}
    for number, each in enumerate(candidates, 1):
        known = f"looked after already, {windows[each.vm.uuid]}" if each.is_workspace else "new"
        say(f"  {number}  {printable(each.vm.name)}  ({_power(each.power)}; {known})")


def _next_window(planned: PlannedVm) -> str:
    if not planned.windows:
        return "without windows"
    return f"next window {local(planned.windows[0].opens, ZoneInfo(planned.zone))}"


def _which(candidates: Sequence[Candidate], person: Answers) -> tuple[str, ...]:
    """Names or UUIDs; none: leave it at what there is."""
    while True:
        said = person("Which of them shall Guestwake look after? Numbers, names, or 'all': ")
        try:
            return _numbered(candidates, said)
        except LookupError as err:
            say(f"There is no '{printable(str(err.args[0]))}' among them.")


def _numbered(candidates: Sequence[Candidate], said: str) -> tuple[str, ...]:
    if said.lower() == "all":
        return tuple(each.vm.uuid for each in candidates)
    by_number = {str(number): each.vm.uuid for number, each in enumerate(candidates, 1)}
    by_name = {each.vm.name for each in candidates}
    words = [said] if said in by_name else said.replace(",", " ").split()
    return tuple(
        each.vm.uuid
        for each in chosen(
            candidates, (word if word in by_name else by_number.get(word, word) for word in words)
        )
    )


def _when(given: dict[str, str], present: Limits, setup: Setup, person: Answers) -> dict[str, str]:
    """What is still to be asked; an empty answer leaves it as it is."""
    found: dict[str, str] = {}
    if _TIME not in given:
        found |= _setting(_TIME, "At what time of day may they be woken? HH:MM", present, person)
    if _DURATION not in given:
        found |= _setting(_DURATION, "For how many minutes at the most?", present, person)
    if _WAKE_HOST not in given and not present.wake_host and setup.can_wake_host():
        question = "May this computer itself be woken from sleep for it? [y/N] "
        if _is_yes(person(question)):
            found[_WAKE_HOST] = "1"
    return found


def _setting(name: str, question: str, present: Limits, person: Answers) -> dict[str, str]:
    setting = BY_NAME[name]
    default = as_text(setting, setting.kind.plain(getattr(present, setting.toml)))
    while True:
        said = person(f"{question} [{default}] ")
        if not said:
            return {}
        try:
            wished([f"{name}={said}"])
        except SettingsError as err:
            say(f"{err.problems[0].sentence}.")
        else:
            return {name: said}


def _is_yes(said: str) -> bool:
    return said.lower() in ("y", "yes")


def _agreed(arguments: Namespace, person: Answers | None) -> bool:
    if arguments.yes:
        return True
    return person is not None and _is_yes(person("Shall I do this? [y/N] "))


def _named(candidates: Sequence[Candidate], names: Sequence[str]) -> list[Candidate]:
    try:
        return chosen(candidates, names)
    except LookupError as err:
        there = ", ".join(each.vm.name for each in candidates) or "none"
        raise UsageError(f"there is no VM '{err.args[0]}'. There are: {there}.") from err


# showing


def _shown(plan: Plan) -> Iterator[str]:
    if plan.is_empty:
        yield (
            "All of that is so already; there is nothing to do."
            if plan.vms
            else "Nothing was asked for: 'guestwake setup --vm NAME' has it look after that VM."
        )
        return
    whom = "the VMs of this host" if plan.wish.owner is None else f"the VMs of {plan.wish.owner}"
    yield f"This would be done, for {printable(whom)}:"
    for each in plan.vms:
        yield from _shown_vm(each, plan)
    yield f"- {_service(plan)}"


def _shown_vm(planned: PlannedVm, plan: Plan) -> Iterator[str]:
    name = f"'{printable(planned.vm.name)}'"
    yield f"- {name} {'is looked after from then on' if planned.is_new else 'is already'}"
    if planned.assignments:
        yield f"    {', '.join(map(printable, planned.assignments))}, into {plan.file}"
    for text in planned.enforced:
        yield f"    not {printable(text)}: an administrator's policy has settled that otherwise"
    if plan.service not in _NO_SERVICE and planned.is_new:
        yield f"    its timer: {planned.timer}"
    zone = ZoneInfo(planned.zone)
    times = "; ".join(f"{local(each.opens, zone)}" for each in planned.windows)
    length = planned.windows[0].ends - planned.windows[0].opens if planned.windows else None
    minutes = "" if length is None else f", {int(length.total_seconds() // 60)} minutes each"
    yield f"    its next windows: {times or 'none'}{minutes}"


def _service(plan: Plan) -> str:
    match plan.service:
        case Service.INSTALLED:
            also = plan.wish.linger and plan.wish.owner is not None
            lingers = ", and runs also while you are logged off" if also else ""
            return (
                f"systemd runs guestwake.service, which opens the windows: it is installed{lingers}"
            )
        case Service.THERE:
            return "guestwake.service runs already, and stays"
        case Service.NOT_YET:
            return "no service yet, as no systemd runs for you: it does once you log on"
        case Service.LEFT_OUT:
            return "no service: no window opens by itself before 'guestwake service install'"
        case _:
            return f"no service, as {plan.why_no_service}: 'guestwake serve' keeps the time"


def _power(power: Power) -> str:
    return {Power.OFF: "off", Power.SAVED: "hibernated"}.get(power, str(power))


# doing


def _do(arguments: Namespace, setup: Setup, plan: Plan, paths: Paths, build: Build) -> Exit:
    done: list[str] = []
    notes: list[str] = []
    try:
        _carry_out(done, notes, setup, plan, paths, build)
    except BaseException:  # what was done until then stays
        for line in done:
            complain(f"done: {line}")
        if done:
            complain("the rest is not; the same command, called again, does what is left.")
        raise
    following = list(_next(plan))
    if arguments.json:
        say_json({"plan": _plan_json(plan), "done": done, "notes": notes, "next": following})
        return Exit.DONE
    say()
    for line in (*done, *notes):
        say(f"- {printable(line)}")
    say()
    say("What next:")
    for line in following:
        say(f"  {printable(line)}")
    return Exit.DONE


def _carry_out(
    done: list[str], notes: list[str], setup: Setup, plan: Plan, paths: Paths, build: Build
) -> None:
    """`done`, `notes`: sentences are added as it goes."""
    umask = os.umask(0o022)  # units and settings are for all to read
    try:
        installed = setup.install(plan)
        done += installed.done
        # What to do then is said afterwards, for this very plan.
        notes += [line for line in installed.next if "workspace add" not in line]
        for each, changes in setup.write_settings(plan):
            done.append(
                f"wrote {', '.join(each.assignments)} for '{each.vm.name}' into {plan.file}"
            )
            notes += [
                changing.done(as_json(one), each.vm.name) for one in changes if not one.counts
            ]
    finally:
        os.umask(umask)
    for added in Setup(build(as_service(paths))).add(plan):
        done.append(f"'{added.workspace.name}' is looked after now")


def _next(plan: Plan) -> Iterator[str]:
    if plan.service is Service.NOT_YET:
        yield "guestwake service install  # after you have logged on, which su and sudo do not do"
    if plan.service is Service.IMPOSSIBLE:
        yield "guestwake serve          # keeps the time while it runs; start it with the host"
    yield "guestwake doctor         # is anything wrong, and what mends it"
    for each in plan.vms:
        if each.is_new:
            yield f"guestwake workspace channel add {quote(each.vm.name)}"
    if any(each.is_new for each in plan.vms):
        yield "guestwake-guest install  # in each guest, as root: then it can report"
    yield "guestwake status         # what is going on"


def _left(arguments: Namespace, plan: Plan) -> Exit:
    """Nothing was agreed to, or nothing is left to do."""
    if arguments.json:
        say_json({"plan": _plan_json(plan), "done": [], "notes": [], "next": []})
    elif not plan.is_empty:
        say("Nothing was written. With --yes it is done without asking.")
    return Exit.DONE if plan.is_empty else Exit.NOT_CONFIRMED


def _plan_json(plan: Plan) -> dict[str, object]:
    return {
        "uri": plan.wish.uri,
        "owner": plan.wish.owner,
        "settings_file": plan.file,
        "service": plan.service.value,
        "vms": [
            {
                "name": each.vm.name,
                "uuid": each.vm.uuid,
                "new": each.is_new,
                "settings": list(each.assignments),
                "enforced_otherwise": list(each.enforced),
                "timer": each.timer,
                "time_zone": each.zone,
                "windows": [
                    {"opens": utc(one.opens), "ends": utc(one.ends)} for one in each.windows
                ],
            }
            for each in plan.vms
        ],
    }


def _unreached(err: Unreached, application: Application) -> Exit:
    host = HostSeen(application.paths.user, is_apart=False, now=application.clock.now(), zone="")
    for says in reach(Seen(host), err.seen):
        complain(f"{err.seen.uri}: {says.sentence}")
        if says.remedy is not None:
            complain(f"    {says.remedy}")
    return Exit.HYPERVISOR
