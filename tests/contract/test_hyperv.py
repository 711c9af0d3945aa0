"""The Hyper-V driver beside what all drivers promise: its script, its double, its refusals.

No Hyper-V and no PowerShell run here: hyperv_double.py answers in their place, and the script's
syntax is checked by a parser of its language.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import hyperv_double
import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from guestwake.application import _open_hypervisor
from guestwake.channels.api import HV_SERVICE
from guestwake.hypervisors import hyperv
from guestwake.hypervisors.api import (
    AgentSilent,
    HypervisorError,
    NoChannel,
    NotAllowed,
    Unreachable,
    Vm,
    VmBusy,
)
from guestwake.hypervisors.hyperv import URI, HyperV
from guestwake.hypervisors.hyperv_shell import PowerShell
from guestwake.hypervisors.hyperv_tables import STOPPED_BY
from guestwake.policy.words import Autostart, Power, StoppedBy, Verb

SCRIPT = Path(hyperv.__file__).with_name("hyperv.ps1")
NASTY = 'it\'s "$(Remove-VM *)"; `$x # ${env:PATH} \u2018\u2019 ĳ 😀 %n | & ..'


class Scene:
    def __init__(self, folder: Path) -> None:
        self.state = folder / "hyperv.json"
        self.state.write_text("{}")
        command = (sys.executable, hyperv_double.__file__, str(self.state))
        self.driver = HyperV(URI, PowerShell(command))

    def add(self, name: str = "web01", **values: Any) -> Vm:
        uuid = str(uuid4())
        with hyperv_double.shared(self.state) as machines:
            machines[uuid] = hyperv_double.new(name) | values
        return Vm(uuid, name)

    def change(self, vm: Vm, **values: Any) -> None:
        with hyperv_double.shared(self.state) as machines:
            machines[vm.uuid] |= values

    def power(self, vm: Vm) -> Power:
        return self.driver.state(vm).power


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.driver.close()


# -- the script


def tree() -> Node:
    parser = Parser(Language(tree_sitter_powershell.language()))
    return parser.parse(SCRIPT.read_bytes()).root_node


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def test_the_script_is_powershell() -> None:
    wrong = [node for node in nodes(tree()) if node.type == "ERROR" or node.is_missing]
    assert [(node.start_point.row + 1, node.text) for node in wrong] == []


def test_the_parser_would_see_what_is_none() -> None:
    parser = Parser(Language(tree_sitter_powershell.language()))
    assert parser.parse(b"if ($x -eq { 'start' ").root_node.has_error


def test_the_script_runs_nothing_that_it_is_told_and_discards_no_image() -> None:
    commands = {node.text.decode().lower() for node in nodes(tree()) if node.type == "command_name"}
    assert "get-vm" in commands
    assert "save-vm" in commands
    # & and . run what a value names.
    operators = [node for node in nodes(tree()) if node.type == "command_invokation_operator"]
    assert operators == []
    parameters = {
        node.text.decode().lower() for node in nodes(tree()) if node.type == "command_parameter"
    }
    assert "-turnoff" in parameters
    assert "-force" not in parameters
    never = ("invoke-expression", "iex", "remove-vmsavedstate", "remove-vm", "restart-vm")
    assert commands.isdisjoint((*never, "add-type", "start-process", "invoke-command"))


def test_the_script_is_ascii() -> None:
    """Windows PowerShell reads one without a byte order mark in the code page of the host."""
    assert SCRIPT.read_bytes().isascii()


def numbers(name: str) -> set[int]:
    """Those that the script gives a variable."""
    line = next(each for each in SCRIPT.read_text().splitlines() if each.startswith(f"${name} ="))
    return {int(number) for number in line.partition("=")[2].split(",")}


def test_the_script_asks_for_each_end_that_is_known_and_for_the_beginning() -> None:
    assert numbers("Turns") == STOPPED_BY.keys() | {18500}


def test_the_script_never_answers_with_what_is_neither_a_value_nor_null() -> None:
    """5.1's ConvertTo-Json writes what a function without any output gives as {}: so each that is
    put into an answer ends with something."""
    functions = [node for node in nodes(tree()) if node.type == "function_statement"]
    last = {node.text.decode().split("(")[0].split()[1]: node.text.decode() for node in functions}
    ending = [line.strip() for line in last["Get-LastTurn"].splitlines()[-3:]]
    assert ending == ["if ($null -eq $last) { return $null }", "$last.Id", "}"]


@pytest.mark.parametrize("command", ["Start-VM", "Resume-VM"])
def test_a_warning_of_what_begins_a_start_is_an_error(command: str) -> None:
    """They only warn where the VM runs already: somebody else was quicker."""
    text = SCRIPT.read_text()
    called = f"{command} -VM $machine -WarningVariable said\n"
    assert text.count(f"{command} -VM") == 1
    assert text.split(called)[1].lstrip().startswith("Assert-NoWarning $said\n")


# -- names


def test_any_name_is_a_value_and_nothing_else(scene: Scene) -> None:
    vm, other = scene.add(NASTY), scene.add("other")
    assert scene.driver.find(NASTY) == vm
    scene.driver.apply(vm, Verb.START)
    assert scene.power(vm) is Power.RUNNING
    assert scene.power(other) is Power.OFF


def test_a_name_of_several_vms_is_asked_back(scene: Scene) -> None:
    first, second = scene.add("web01"), scene.add("web01")
    with pytest.raises(HypervisorError, match=f"{first.uuid}, {second.uuid}"):
        scene.driver.find("web01")
    assert scene.driver.find(second.uuid.upper()) == second


# -- states


@pytest.mark.parametrize("status", sorted(hyperv.JOBS))
def test_a_job_makes_it_changing(scene: Scene, status: str) -> None:
    vm = scene.add(state="Running", status=["Ok", status], worker="17/1")
    assert scene.power(vm) is Power.CHANGING
    assert scene.driver.verbs(vm) == frozenset()


@pytest.mark.parametrize("state", ["Saving", "PausedCritical", "SavedCritical", "Reset", "new"])
def test_a_state_in_between_is_looked_at_again(scene: Scene, state: str) -> None:
    assert scene.power(scene.add(state=state)) is Power.CHANGING


@pytest.mark.parametrize("state", ["Running", "Paused"])
def test_one_whose_worker_has_just_ended_is_looked_at_again(scene: Scene, state: str) -> None:
    """The state is told late; without a start it would be somebody else's."""
    vm = scene.add(state=state, worker=None)
    assert scene.power(vm) is Power.CHANGING
    assert scene.driver.verbs(vm) == frozenset()


@pytest.mark.parametrize(
    ("end", "by"),
    [
        (18502, StoppedBy.HOST),
        (18504, StoppedBy.HOST),
        (18508, StoppedBy.GUEST),
        (18608, StoppedBy.GUEST),
        (14070, StoppedBy.CRASH),
        (18500, None),  # it was started, and no end of that was written down
        (None, None),
    ],
)
def test_who_stopped_it_is_read_from_windows_log(
    scene: Scene, end: int | None, by: StoppedBy | None
) -> None:
    assert scene.driver.state(scene.add(end=end)).stopped_by is by


# -- the guest


def test_a_guest_without_the_shutdown_service_is_asked_nothing(scene: Scene) -> None:
    vm = scene.add(state="Running", worker="17/1", shutdown=False)
    assert scene.driver.verbs(vm) == {Verb.PAUSE, Verb.SAVE, Verb.POWER_OFF}


@pytest.mark.parametrize("verb", [Verb.SHUT_DOWN, Verb.RESTART])
@pytest.mark.parametrize(
    ("says", "error", "why"),
    [(32781, HypervisorError, "locked"), (32780, VmBusy, "not ready"), (4711, HypervisorError, "")],
)
def test_a_guest_that_will_not_is_told_and_runs_on(
    scene: Scene, verb: Verb, says: int, error: type[Exception], why: str
) -> None:
    vm = scene.add(state="Running", worker="17/1", says=says)
    with pytest.raises(error, match=f"cannot {verb} 'web01': .*{why}"):
        scene.driver.apply(vm, verb)
    assert scene.power(vm) is Power.RUNNING


def test_the_guests_clock_is_hyper_vs_own_to_set(scene: Scene) -> None:
    vm = scene.add(state="Running", clock={"enabled": True, "answers": False})
    with pytest.raises(AgentSilent):
        scene.driver.set_guest_clock(vm, None)
    scene.change(vm, clock={"enabled": True, "answers": True})
    scene.driver.set_guest_clock(vm, None)
    scene.change(vm, clock={"enabled": False, "answers": False})
    with pytest.raises(HypervisorError, match="integration services"):
        scene.driver.set_guest_clock(vm, None)


# -- what it is


def test_a_vm_with_a_device_of_the_host_cannot_be_saved(scene: Scene) -> None:
    traits = scene.driver.traits(scene.add(devices=[r"PCIROOT(0)#PCI(0300)"]))
    assert not traits.can_be_saved
    assert traits.why_not is not None
    assert "PCIROOT" in traits.why_not


def test_a_vm_that_comes_back_with_the_host_starts_once(scene: Scene) -> None:
    assert scene.driver.autostart(scene.add(autostart="StartIfRunning")) is Autostart.ONCE


def test_another_host_is_refused() -> None:
    with pytest.raises(HypervisorError, match="hyperv:///"):
        _open_hypervisor("hyperv://elsewhere/")
    assert isinstance(_open_hypervisor(URI), HyperV)


# -- answers that are none


def answers(folder: Path, body: str) -> HyperV:
    """A driver whose PowerShell is this Python."""
    program = folder / "powershell.py"
    program.write_text(f"import json, sys, time\n{body}\n")
    return HyperV(URI, PowerShell((sys.executable, str(program))))


def error(folder: Path, body: str) -> HypervisorError:
    driver = answers(folder, body)
    with pytest.raises(HypervisorError) as raised:
        tuple(driver.vms())
    driver.close()
    return raised.value


def test_nothing_said_and_a_good_exit_code_is_no_answer(tmp_path: Path) -> None:
    """As Wine's powershell.exe does."""
    assert isinstance(error(tmp_path, "sys.exit(0)"), Unreachable)


def test_what_it_says_when_it_cannot_run_is_told(tmp_path: Path) -> None:
    told = error(tmp_path, "sys.exit('running scripts is disabled on this system')")
    assert isinstance(told, Unreachable)
    assert "running scripts is disabled" in str(told)


NONE = (
    "print('Windows PowerShell')",
    "print('[]')",
    "print(json.dumps({'number': 99, 'value': {'vms': []}}))",
    "print(json.dumps({'number': 1, 'value': None}))",
    "print('[' * 100000)",
    "print('x' * 3000000)",
    "print('{\"number\": 1')",
)


@pytest.mark.parametrize("body", NONE)
def test_something_else_is_no_answer(tmp_path: Path, body: str) -> None:
    told = error(tmp_path, f"sys.stdin.readline()\n{body}")
    assert isinstance(told, Unreachable)
    assert len(str(told)) < 1000


def test_one_that_does_not_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = answers(tmp_path, "time.sleep(60)")
    with pytest.raises(Unreachable, match="within"):
        driver._asked("list the VMs", "vms", 0.2)


def test_the_next_question_after_it_died_starts_it_again(scene: Scene) -> None:
    vm = scene.add()
    assert scene.power(vm) is Power.OFF
    scene.driver._shell._running._process.kill()  # type: ignore[union-attr]
    with pytest.raises(Unreachable):
        scene.driver.state(vm)
    assert scene.power(vm) is Power.OFF


def test_no_powershell_is_told(tmp_path: Path) -> None:
    driver = HyperV(URI, PowerShell((str(tmp_path / "powershell.exe"),)))
    with pytest.raises(Unreachable, match=r"powershell\.exe"):
        tuple(driver.vms())


def test_modules_of_another_powershell_are_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSModulePath", "of version 7")
    monkeypatch.setenv("GUESTWAKE_SEEN", "yes")
    told = error(
        tmp_path, "import os\nsys.exit(repr({'PSModulePath', 'GUESTWAKE_SEEN'} & {*os.environ}))"
    )
    assert "{'GUESTWAKE_SEEN'}" in str(told)


REFUSALS: list[tuple[str, type[HypervisorError]]] = [
    ("AccessDenied,Microsoft.HyperV.PowerShell.Commands.GetVMHost", NotAllowed),
    ("Unspecified,Microsoft.HyperV.PowerShell.Commands.GetVMHost", Unreachable),
    ("HRESULT 0x8004100e,Microsoft.Management.Infrastructure.CimCmdlets.X", Unreachable),
    ("HRESULT 0x80041003,Microsoft.Management.Infrastructure.CimCmdlets.X", NotAllowed),
    ("OutOfMemory,Microsoft.HyperV.PowerShell.Commands.StartVM", HypervisorError),
    ("ObjectInUse,Microsoft.HyperV.PowerShell.Commands.SaveVM", VmBusy),
]


@pytest.mark.parametrize(("identifier", "kind"), REFUSALS)
def test_a_refusal_is_translated_by_its_identifier(
    scene: Scene, identifier: str, kind: Callable[[str], HypervisorError]
) -> None:
    vm = scene.add(refuses=[identifier, "Nicht genügend\r\nArbeitsspeicher"])
    with pytest.raises(HypervisorError, match="'web01': Nicht genügend Arbeitsspeicher") as raised:
        scene.driver.traits(vm)
    assert type(raised.value) is kind


def test_what_is_asked_is_one_line_of_ascii(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    driver = answers(tmp_path, f"open({str(heard)!r}, 'wb').write(sys.stdin.buffer.readline())")
    with pytest.raises(Unreachable):
        driver._asked("try", "look", vm=f"{NASTY}\r\n")
    line = heard.read_bytes()
    assert line.isascii()
    assert json.loads(line)["vm"] == f"{NASTY}\r\n"


# -- the channel


def test_a_python_without_its_sockets_says_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "AF_HYPERV", raising=False)
    with pytest.raises(NoChannel, match=r"3\.12"):
        scene.driver.open_channel(scene.add(), lambda: None)


def test_a_windows_without_its_sockets_says_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: int) -> None:
        raise OSError("address family not supported")

    vm = scene.add()
    monkeypatch.setattr(socket, "AF_HYPERV", 34, raising=False)
    monkeypatch.setattr(socket, "HV_PROTOCOL_RAW", 1, raising=False)
    monkeypatch.setattr(socket, "socket", refuses)
    with pytest.raises(NoChannel, match="not supported"):
        scene.driver.open_channel(vm, lambda: None)


def test_the_page_names_the_service_that_the_host_must_know() -> None:
    page = Path(__file__).parents[2] / "docs" / "windows.md"
    assert rf"GuestCommunicationServices\{HV_SERVICE}" in page.read_text()


class Dialled:
    """A double of a socket of Hyper-V's: one of another kind, that notes whom it was to reach."""

    def __init__(self) -> None:
        self.ours, self.guest = socket.socketpair()
        self.reached: tuple[str, str] | None = None

    def __call__(self, family: int, kind: int, protocol: int) -> Dialled:
        assert (family, protocol) == (34, 1)
        return self

    def connect(self, address: tuple[str, str]) -> None:
        if self.reached == address:
            raise ConnectionRefusedError("nobody")
        self.reached = address

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ours, name)


def test_the_guest_is_reached_by_its_own_identifier(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm, dialled = scene.add(), Dialled()
    monkeypatch.setattr(socket, "AF_HYPERV", 34, raising=False)
    monkeypatch.setattr(socket, "HV_PROTOCOL_RAW", 1, raising=False)
    monkeypatch.setattr(socket, "socket", dialled)
    monkeypatch.setattr("guestwake.channels.socket.ThreadWatch", Watched)
    channel = scene.driver.open_channel(vm, lambda: None)
    assert dialled.reached == (vm.uuid, "00006777-facb-11e6-bd58-64006a7986d3")
    dialled.guest.sendall(b"hello")
    assert channel.receive(10) == b"hello"
    with pytest.raises(VmBusy, match="web01"):
        scene.driver.open_channel(vm, lambda: None)


class Watched:
    """A double of a thread that watches."""

    def __init__(self, connected: object, on_ready: object) -> None: ...
    def arm(self) -> None: ...
    def end(self) -> None: ...
