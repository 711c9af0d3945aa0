"""What `doctor` says of what was seen: every line of every check is reached, with what mends it."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from types import ModuleType
from typing import Any

import pytest

from guestwake.policy import health_host, health_hypervisor, health_workspace
from guestwake.policy.health import (
    OF_HOST,
    OF_HYPERVISOR,
    OF_WORKSPACE,
    checkup,
    grouped,
    is_wrong,
)
from guestwake.policy.health_facts import (
    ChannelSeen,
    Finding,
    GuestSeen,
    GuestsServiceSeen,
    HostSeen,
    HypervisorSeen,
    Kvm,
    Level,
    Reach,
    Seen,
    ServiceSeen,
    TimerSeen,
    UnitSeen,
    VmSeen,
    WindowsSeen,
    WorkspaceSeen,
)
from guestwake.policy.health_words import JOURNAL, SETTINGS, STATE, WORKSPACES
from guestwake.policy.limits import CatchUp, Limits, ReturnState
from guestwake.policy.restart import MarkedReason, RestartMark
from guestwake.policy.words import Autostart, Drift, HostFacts, Network, Now, Power

NOW = Now(datetime(2026, 11, 24, 12, 0, tzinfo=UTC), 1000.0, "boot-1")
URI = "qemu:///system"
RUNS = UnitSeen(is_there=True, active="active", enabled="enabled")
SERVICE = ServiceSeen(
    systemd_runs=True,
    units={
        "guestwake.service": RUNS,
        "guestwake-timers.socket": RUNS,
        "guestwake-settings.socket": RUNS,
    },
    on_bus=True,
)
HOST = HostSeen(
    user=None,
    is_apart=False,
    now=NOW,
    zone="Europe/Berlin",
    facts=HostFacts(Network.UP, on_ac_power=True, memory_available=8000),
    has_battery=False,
    state_folder="/var/lib/guestwake",
    service=SERVICE,
    cpus=4,
)
HYPERVISOR = HypervisorSeen(
    URI, Reach.OPEN, is_local_qemu=True, kvm=Kvm.USABLE, daemon="libvirtd", saves_at_shutdown=True
)
VM = VmSeen(
    power=Power.SAVED,
    name="web 1",
    memory=1000,
    has_agent=True,
    channel=ChannelSeen.THERE,
    autostarts=Autostart.NEVER,
    disk_available=50_000,
)
GUEST = GuestSeen("service", timedelta(hours=9), clients=("apt",))
WORKSPACE = WorkspaceSeen(
    name="web 1",
    word="'web 1'",
    uuid="u",
    uri=URI,
    owner=None,
    limits=Limits(guest_update_time=time(3), guest_update_duration=timedelta(minutes=60)),
    without_window=timedelta(hours=9),
    windows=WindowsSeen(passed=10, missed=1),
    timer=TimerSeen(is_wanted=True, is_there=True),
    guest=GUEST,
    vm=VM,
)
WELL = Seen(HOST, (HYPERVISOR,), (WORKSPACE,))
MARK = RestartMark((MarkedReason("needrestart", "a newer kernel"),), NOW.wall, "b")
IN_VAIN = replace(MARK, reasons=(MarkedReason("dnf", "core libraries", survived=3),))


def host(**other: Any) -> Seen:
    return replace(WELL, host=replace(HOST, **other))


def service(**other: Any) -> Seen:
    return host(service=replace(SERVICE, **other))


def unit(name: str = "guestwake.service", **other: Any) -> Seen:
    return service(units={**(SERVICE.units or {}), name: replace(RUNS, **other)})


def users(seen: Seen) -> Seen:
    return replace(seen, host=replace(seen.host, user="anna"))


def hypervisor(**other: Any) -> Seen:
    return replace(WELL, hypervisors=(replace(HYPERVISOR, **other),))


def workspace(**other: Any) -> Seen:
    return replace(WELL, workspaces=(replace(WORKSPACE, **other),))


def vm(**other: Any) -> Seen:
    return workspace(vm=replace(VM, **other))


def limits(**other: Any) -> Seen:
    return workspace(limits=replace(WORKSPACE.limits, **other))


def missed(why: dict[str, int] | None = None, times: int = 10, **other: Any) -> Seen:
    found = WindowsSeen(passed=10, missed=times, for_lack_of=why or {})
    return workspace(windows=found, limits=replace(WORKSPACE.limits, **other))


def two(**other: Any) -> Seen:
    """Two workspaces."""
    each = replace(WORKSPACE, limits=replace(WORKSPACE.limits, **other))
    return replace(WELL, workspaces=(each, replace(each, name="db", word="db")))


def facts(**other: Any) -> HostFacts:
    return replace(HOST.facts or HostFacts(), **other)


def of(seen: Seen, check: str) -> list[Finding]:
    return [each for each in checkup(seen) if each.check == check]


P, W, U, N, O = Level.PROBLEM, Level.WARNING, Level.UNKNOWN, Level.NOTE, Level.OK  # noqa: E741
Case = tuple[Seen, str, Level, str, str | None]
CASES: tuple[Case, ...] = (
    # the host
    (replace(WELL, late=(URI,)), "answers", P, "no answer about qemu:///system", None),
    (host(is_apart=True), "service", N, "guestwake serve", None),
    (service(systemd_runs=False), "service", W, "No systemd runs here", None),
    (service(systemd_runs=False, waits_for_logon=True), "service", W, "log on", None),
    (service(units=None), "service", U, "does not tell", None),
    (unit(is_there=False), "service", P, "not installed", "guestwake service install"),
    (
        *(unit(enabled="masked"), "service", P, "is masked"),
        "systemctl unmask guestwake.service && systemctl enable --now guestwake.service",
    ),
    (
        *(unit(enabled="masked-runtime"), "service", P, "is masked"),
        "systemctl unmask --runtime guestwake.service && ",
    ),
    (
        *(unit(active="failed"), "service", P, "does not run (it is failed)"),
        "systemctl enable --now guestwake.service",
    ),
    (
        *(users(unit(active="failed")), "service", P, "does not run"),
        "systemctl --user enable --now guestwake.service",
    ),
    (
        *(unit(enabled="disabled"), "service", W, "not after the next boot"),
        "systemctl enable guestwake.service",
    ),
    (WELL, "service", O, "guestwake.service runs", None),
    (
        *(
            unit("guestwake-timers.socket", active="failed"),
            "helpers",
            P,
            "no timer can be written",
        ),
        "systemctl enable --now guestwake-timers.socket",
    ),
    (  # as docs/security.md advises who wants that
        *(unit("guestwake-settings.socket", enabled="masked"), "helpers", N, "is masked"),
        "systemctl unmask guestwake-settings.socket && ",
    ),
    (service(on_bus=None), "bus", U, "cannot be told", None),
    (service(on_bus=False), "bus", W, "not on D-Bus", "systemctl restart guestwake.service"),
    (WELL, "bus", O, "answers on D-Bus", None),
    (
        *(users(service(lingers=False)), "lingering", N, "only while you are logged on"),
        "guestwake service install --linger",
    ),
    (users(service(lingers=True)), "lingering", O, "also while you are logged off", None),
    (
        *(host(why_not_written="'/v' is not yours."), "state-folder", P, "is not woken"),
        "systemd-tmpfiles --create guestwake.conf",
    ),
    (
        *(users(host(why_not_written="'/v' is not yours.")), "state-folder", P, "'/v'"),
        "sudo chown -R anna '/var/lib/guestwake' && chmod -R u+rwX '/var/lib/guestwake'",
    ),
    (
        users(host(why_not_written="'/v' is not yours.", has_state_folder=False)),
        *("state-folder", P, "'/v'", "sudo install -d -m 700 -o anna '/var/lib/guestwake'"),
    ),
    (
        host(why_not_written="'/v' is not yours.", is_apart=True, state_folder="/an's"),
        *("state-folder", P, "'/v'"),
        """chmod -R u+rwX '/an'"'"'s'""",
    ),
    (WELL, "state-folder", O, "can be written", None),
    (host(journal_trouble="it is damaged."), "journal", P, "it is damaged.", None),
    (WELL, "journal", O, "can be read", None),
    (host(workspace_troubles=("x.json: no",)), "workspaces", P, "x.json", None),
    (replace(WELL, workspaces=()), "workspaces", N, "No VM", "guestwake setup"),
    (
        *(host(settings_problems=("a: no", "b: no")), "settings", P, "a: no (and 1 more)"),
        "guestwake settings check",
    ),
    (host(strangers=("wbe",)), "settings", N, "section for 'wbe'", None),
    (WELL, "settings", O, "in order", None),
    (
        *(host(now=replace(NOW, wall=datetime(1970, 1, 2, tzinfo=UTC))), "clock", P, "1970"),
        "timedatectl set-ntp true",
    ),
    (
        *(host(latest=NOW.wall + timedelta(days=2)), "clock", W, "it was put back"),
        "timedatectl set-ntp true",
    ),
    (
        *(users(host(clock_synchronized=False)), "clock", N, "Nobody keeps"),
        "sudo timedatectl set-ntp true",
    ),
    (WELL, "clock", O, "plausible", None),
    (host(has_zones=False), "time-zone", P, "no time zone data", "apt install tzdata"),
    (host(zone_told=False), "time-zone", W, "by UTC", "timedatectl set-timezone"),
    (WELL, "time-zone", O, "Europe/Berlin", None),
    (host(facts=facts(network=None)), "network", U, "cannot be told", None),
    (host(facts=facts(network=Network.DOWN)), "network", N, "no network now", None),
    (host(facts=facts(network=Network.METERED)), "network", N, "metered", None),
    (WELL, "network", O, "has a network", None),
    (host(facts=facts(on_ac_power=None)), "power", U, "cannot be told", None),
    (host(facts=facts(on_ac_power=False)), "power", N, "on battery now", None),
    (WELL, "power", O, "AC power", None),
    (
        replace(
            limits(wake_host=True), host=replace(HOST, service=replace(SERVICE, why_no_wake="no"))
        ),
        *("wake-alarm", W, "WakeHost is 1 and has no effect: no.", None),
    ),
    (limits(wake_host=True), "wake-alarm", O, "can wake it", None),
    (
        replace(limits(wake_host=True), host=replace(HOST, lid_closed_sleeps=True)),
        *("lid", N, "HandleLidSwitchExternalPower", None),
    ),
    (
        replace(two(max_concurrent_starts=3), host=replace(HOST, cpus=1)),
        *("boot-storm", W, "lets 3 VMs wake at once, on 1 processor", None),
    ),
    (
        replace(two(), host=replace(HOST, facts=facts(memory_available=2500))),
        *("boot-storm", N, "All 2 windows open at once"),
        "guestwake settings set GuestUpdateTime=05:00 --workspace db",
    ),
    (
        host(guests_service=GuestsServiceSeen(enabled=True, on_shutdown="shutdown")),
        *("libvirt-guests", N, "shuts down the VMs that run when the host goes down and starts"),
        None,
    ),
    # the hypervisor
    (WELL, "hypervisor", O, "answers", None),
    (
        *(hypervisor(reach=Reach.NO_ANSWER), "hypervisor", P, "does not answer"),
        "systemctl restart libvirtd",
    ),
    (
        *(users(hypervisor(reach=Reach.NOT_THERE, daemon=None)), "hypervisor", P, "not installed"),
        "sudo apt install qemu-system-x86 libvirt-daemon-system",
    ),
    (
        hypervisor(reach=Reach.NOT_THERE, trouble="cannot reach it", daemon="virtqemud"),
        *("hypervisor", P, "Cannot reach it.", "systemctl start virtqemud"),
    ),
    (
        *(hypervisor(reach=Reach.NO_LIBRARY), "hypervisor", P, "Python knows no libvirt"),
        "apt install python3-libvirt",
    ),
    (
        *(users(hypervisor(reach=Reach.REFUSED)), "hypervisor", P, "does not let this user"),
        "sudo usermod -aG libvirt anna",
    ),
    (hypervisor(reach=Reach.TAKEN), "hypervisor", N, "Another process", None),
    (WELL, "kvm", O, "KVM", None),
    (
        *(users(hypervisor(kvm=Kvm.FORBIDDEN)), "kvm", W, "may not use /dev/kvm"),
        "sudo usermod -aG kvm anna",
    ),
    (hypervisor(kvm=Kvm.MISSING), "kvm", N, "no /dev/kvm", None),
    (
        users(hypervisor(restores_at_start=True, is_session=True)),
        *("host-shutdown", N, "starts them again"),
        "echo 'auto_shutdown_restore = 0' | tee -a ~/.config/libvirt/qemu.conf",
    ),
    (WELL, "host-shutdown", O, "saves the VMs", None),
    # a workspace
    (workspace(trouble="it is damaged"), "record", P, "it is damaged", None),
    (
        *(workspace(vm=None, why_no_vm="gone"), "vm", P, "not there: gone"),
        "guestwake workspace remove 'web 1'",
    ),
    (vm(trouble="no answer"), "vm", U, "no answer", None),
    (vm(power=Power.ELSEWHERE), "vm", P, "another host", None),
    (vm(power=Power.CRASHED), "vm", P, "crashed", None),
    (vm(name="www"), "vm", N, "'www' now", None),
    (WELL, "vm", O, "is there (saved)", None),
    (
        *(workspace(owner="bob", owner_known=False), "owner", P, "'bob' is no user"),
        "guestwake workspace remove 'web 1'",
    ),
    (
        *(workspace(is_removing=True), "removing", W, "still is to be"),
        "guestwake workspace remove 'web 1'",
    ),
    (workspace(is_orphaned=True), "run", W, "nobody minds it", "guestwake wake 'web 1'"),
    (workspace(standing="It stays up."), "standing", P, "It stays up.", None),
    (
        workspace(timer=TimerSeen(True, is_there=False, trouble="no answer")),
        *("timer", U, "no answer", None),
    ),
    (
        workspace(timer=TimerSeen(False, is_there=True)),
        *("timer", W, "although no window", "systemctl reload guestwake.service"),
    ),
    (
        workspace(timer=TimerSeen(True, is_there=False)),
        *("timer", P, "has no timer", "systemctl reload guestwake.service"),
    ),
    (
        workspace(timer=TimerSeen(True, is_there=True, drifts=(Drift.MASKED,))),
        *("timer", W, "masked", "systemctl reload guestwake.service"),
    ),
    (
        workspace(timer=TimerSeen(True, is_there=True, is_as_wanted=False)),
        *("timer", W, "out of date", "systemctl reload guestwake.service"),
    ),
    (WELL, "timer", O, "as the settings want it", None),
    (limits(guest_update_duration=timedelta(0)), "windows", N, "it has no windows", None),
    (workspace(is_paused=True), "windows", N, "paused", "guestwake resume 'web 1'"),
    (
        *(missed(), "windows", P, "off or asleep at 03:00: let it be woken"),
        "guestwake settings set WakeHost=1 --workspace 'web 1'",
    ),
    (
        *(missed(wake_host=True, catch_up=CatchUp.NEVER), "windows", P, "CatchUp is never"),
        "guestwake settings set CatchUp=next-start --workspace 'web 1'",
    ),
    (
        *(missed(wake_host=True), "windows", P, "choose an hour"),
        "guestwake settings set GuestUpdateTime=12:30 --workspace 'web 1'",
    ),
    (
        *(missed({"no-ac-power": 9}), "windows", P, "as the host ran on battery"),
        "guestwake settings set RequireACPower=0 --workspace 'web 1'",
    ),
    (
        *(missed({"no-network": 9}), "windows", P, "no network"),
        "guestwake history 'web 1'",
    ),
    (
        *(missed({"no-memory": 9}), "windows", P, "for lack of room (no-memory)"),
        "guestwake events --happened 'web 1'",
    ),
    (
        *(missed({"wake-refused": 9}), "windows", P, "because of 'wake-refused'"),
        "guestwake events --happened 'web 1'",
    ),
    (
        *(missed(times=8), "windows", W, "8 of its last 10 windows were missed"),
        "guestwake settings set WakeHost=1 --workspace 'web 1'",
    ),
    (  # a host that no timer can wake
        replace(missed(times=8), host=replace(HOST, service=replace(SERVICE, why_no_wake="no"))),
        *("windows", W, "8 of its last 10 windows were missed"),
        "guestwake settings set GuestUpdateTime=12:30 --workspace 'web 1'",
    ),
    (
        workspace(is_stale=True, without_window=timedelta(days=9)),
        *("windows", P, "no window for 9 days; CatchUpDays is 7", "guestwake history 'web 1'"),
    ),
    (
        replace(workspace(windows=WindowsSeen()), host=replace(HOST, has_battery=True)),
        *("windows", N, "made up once the last one is 7 days ago"),
        "guestwake settings set WakeHost=1 --workspace 'web 1'",
    ),
    (
        replace(
            workspace(windows=WindowsSeen()),
            host=replace(HOST, has_battery=True, service=replace(SERVICE, why_no_wake="no")),
        ),
        *("windows", N, "made up once the last one is 7 days ago"),
        "guestwake settings set GuestUpdateTime=12:30 --workspace 'web 1'",
    ),
    (
        replace(
            missed(catch_up=CatchUp.NEVER),
            host=replace(HOST, has_battery=True),
            workspaces=(
                replace(
                    WORKSPACE,
                    windows=WindowsSeen(),
                    limits=replace(WORKSPACE.limits, catch_up=CatchUp.NEVER),
                ),
            ),
        ),
        *("windows", W, "and CatchUp is never"),
        "guestwake settings set WakeHost=1 --workspace 'web 1'",
    ),
    (workspace(windows=WindowsSeen()), "windows", O, "No window of it has passed", None),
    (WELL, "windows", O, "9 of its last 10 windows", None),
    (
        *(vm(autostarts=Autostart.ALWAYS), "autostart", W, "starts it by itself"),
        "virsh --connect 'qemu:///system' autostart --disable 'web 1'",
    ),
    (
        *(vm(autostarts=Autostart.ONCE), "autostart", N, "the next time"),
        "virsh --connect 'qemu:///system' autostart --once --disable 'web 1'",
    ),
    (
        workspace(uri="qemu+ssh://h/system?a=';b", vm=replace(VM, autostarts=Autostart.ALWAYS)),
        *("autostart", W, "starts it by itself"),
        """virsh --connect 'qemu+ssh://h/system?a='"'"';b' autostart --disable 'web 1'""",
    ),
    (WELL, "autostart", O, "by itself", None),
    (vm(kept_by="Vagrant"), "other-program", N, "Vagrant made it", None),
    (vm(image_ok=False), "saved-image", P, "cannot be read", None),
    (vm(why_not_saved="it has a PCI device of the host"), "can-be-saved", W, "PCI", None),
    (WELL, "can-be-saved", O, "Nothing in its definition", None),
    (vm(power=Power.OFF, disk_available=2000), "disk", P, "no room", None),
    (vm(power=Power.OFF), "disk", O, "is room", None),
    (vm(memory=7500), "memory", W, "could not be woken now", None),
    (WELL, "memory", O, "memory to wake it", None),
    (WELL, "guest-agent", O, "has the channel", None),
    (vm(has_agent=False), "guest-agent", N, "no channel for qemu-guest-agent", "virt-xml"),
    (
        *(vm(channel=ChannelSeen.MISSING), "channel", N, "no channel"),
        "guestwake workspace channel add 'web 1'",
    ),
    (vm(channel=ChannelSeen.AT_NEXT_BOOT), "channel", N, "next boot", None),
    (WELL, "channel", O, "has the channel", None),
    (workspace(guest=None), "guest", N, "nobody in the guest has ever", "guestwake-guest install"),
    (
        workspace(guest=None, vm=replace(VM, channel=ChannelSeen.MISSING)),
        *("guest", N, "'availability only'", None),
    ),
    (
        workspace(guest=replace(GUEST, refused=3)),
        *("guest", W, "3 messages", "journalctl -u 'guestwake*'"),
    ),
    (
        users(workspace(guest=replace(GUEST, refused=1))),
        *("guest", W, "1 message ", "journalctl --user -u 'guestwake*'"),
    ),
    (
        workspace(guest=replace(GUEST, ago=timedelta(days=3))),
        *("guest", W, "reported 3 days ago", "systemctl status guestwake-guest"),
    ),
    (
        workspace(guest=replace(GUEST, by="agent", ago=timedelta(days=3))),
        *("guest", W, "said nothing", "systemctl status qemu-guest-agent"),
    ),
    (WELL, "guest", O, "reported 9 hours ago", None),
    (workspace(guest=replace(GUEST, ago=timedelta(minutes=1))), "guest", O, "1 minute ago", None),
    (WELL, "update-clients", O, "apt", None),
    (
        workspace(guest=replace(GUEST, clients=())),
        *("update-clients", W, "nothing is installed", "apt install unattended-upgrades"),
    ),
    (
        workspace(guest=replace(GUEST, weak_signs=("installs-on-shutdown",))),
        *("installs-on-shutdown", W, "nothing is ever installed"),
        "guestwake settings set ReturnState=shutdown --workspace 'web 1'",
    ),
    (
        workspace(
            guest=replace(GUEST, weak_signs=("installs-on-shutdown",)),
            limits=replace(WORKSPACE.limits, return_state=ReturnState.SHUTDOWN),
        ),
        *("installs-on-shutdown", O, "ReturnState shuts it down", None),
    ),
    (workspace(mark=MARK), "restart", N, "needs a restart", "guestwake restart 'web 1'"),
    (workspace(mark=IN_VAIN), "restart", W, "still does after 3 restarts", None),
)


@pytest.mark.parametrize(
    ("seen", "check", "level", "sentence", "remedy"),
    CASES,
    ids=[f"{check}-{level}-{sentence[:20]}" for _, check, level, sentence, _ in CASES],
)
def test_what_is_found(
    seen: Seen, check: str, level: Level, sentence: str, remedy: str | None
) -> None:
    found = [each for each in of(seen, check) if sentence in each.sentence]
    assert [each.level for each in found] == [level], of(seen, check)
    if remedy is None:
        assert found[0].remedy is None
    else:
        assert (found[0].remedy or "").startswith(remedy)


def test_where_all_is_well_nothing_is_wrong() -> None:
    assert not is_wrong(checkup(WELL))
    assert {each.level for each in checkup(WELL)} == {Level.OK}


@pytest.mark.parametrize(
    ("question", "silent"),
    [
        (WORKSPACES, {"workspaces"}),
        (STATE, {"state-folder"}),
        (JOURNAL, {"journal"}),
        (SETTINGS, {"settings", "network", "power", "disk", "memory", "boot-storm"}),
    ],
)
def test_what_was_not_answered_is_not_taken_for_well(question: str, silent: set[str]) -> None:
    seen = replace(two(max_concurrent_starts=99), late=(question,))
    if question == WORKSPACES:
        seen = replace(seen, workspaces=())
    found = {each.check for each in checkup(seen)}
    assert found & silent == set()
    assert "answers" in found


def test_of_what_cannot_be_read_nothing_is_said() -> None:
    seen = workspace(is_recorded=False, guest=None, windows=WindowsSeen())
    assert of(seen, "windows") == of(seen, "guest") == []


def test_unknown_and_notes_are_not_wrong() -> None:
    assert not is_wrong(checkup(service(units=None)))
    assert not is_wrong(checkup(replace(WELL, workspaces=())))
    assert is_wrong(checkup(vm(autostarts=Autostart.ALWAYS)))


def test_every_check_is_tried() -> None:
    tried = {check for _, check, _, _, _ in CASES}
    assert tried == {*OF_HOST, *OF_HYPERVISOR, *OF_WORKSPACE}


def test_the_host_comes_first_and_in_each_group_the_worst() -> None:
    seen = replace(vm(autostarts=Autostart.ALWAYS, has_agent=False), late=(URI,))
    groups = grouped(checkup(seen))
    assert [each.about for each in groups] == [None, URI, "web 1"]
    order = list(Level)
    for group in groups:
        levels = [order.index(each.level) for each in group.findings]
        assert levels == sorted(levels)


@pytest.mark.parametrize("module", [health_host, health_hypervisor, health_workspace])
def test_every_sentence_of_the_checks_is_reached(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: set[int] = set()

    def watched(function: Callable[..., object]) -> Callable[..., object]:
        def call(*words: object) -> object:
            reached.add(sys._getframe(1).f_lineno)
            return function(*words)

        return call

    names = [
        name for name in ("ok", "note", "warning", "problem", "unknown") if name in vars(module)
    ]
    for name in names:
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    for seen, *_ in CASES:
        checkup(seen)
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ]
    assert calls
    missed = [
        ast.unparse(node)
        for node in calls
        if not reached & set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    ]
    assert missed == []
