"""libvirt: QEMU, and whatever else libvirt reaches, by any URI.

The only file that imports libvirt. It makes one call and translates the outcome; it keeps no
state of a VM. Refuses to force a boot over a saved image, to remove one, and to reset a guest.

Embedded URIs (`qemu:///embed?root=DIR`) need no daemon; one process at a time may have DIR open.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import libvirt
import libvirt_qemu

from guestwake.hypervisors import libvirt_xml
from guestwake.hypervisors.api import (
    AgentSilent,
    HypervisorError,
    ImageUnusable,
    InUseByAnotherProcess,
    PowerState,
    Unreachable,
    Vm,
    VmBusy,
    VmNotFound,
    VmTraits,
)
from guestwake.hypervisors.libvirt_local import QemuProcesses
from guestwake.policy.words import Power, Start, StoppedBy, Verb

log = logging.getLogger(__name__)

AGENT_SECONDS: Final = 5
AGENT_ANSWER_BYTES_MAX: Final = 1 << 20
_KEEPALIVE_SECONDS: Final = 10

_POWER = {
    libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: Power.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: Power.CHANGING,
    # The guest has ended and QEMU is about to, or libvirt is about to start the guest again:
    # neither can be asked anything now.
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.CHANGING,
    libvirt.VIR_DOMAIN_SHUTOFF: Power.OFF,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.SUSPENDED,
}
_POWER_BY_REASON = {
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY): Power.CHANGING,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER): Power.PAUSED,
    # So QEMU shows a VM whose image was saved paused, for as long as nobody resumes it. While it
    # really migrates there is a job.
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION): Power.PAUSED,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): Power.CRASHED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED): Power.ELSEWHERE,
}
_STOPPED_BY = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: StoppedBy.GUEST,
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: StoppedBy.HOST,
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: StoppedBy.HOST,
    libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT: StoppedBy.HOST,
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: StoppedBy.CRASH,
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: StoppedBy.CRASH,
    libvirt.VIR_DOMAIN_SHUTOFF_DAEMON: StoppedBy.CRASH,
    libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: StoppedBy.MIGRATION,
}
_AT_REST = frozenset({Power.OFF, Power.SAVED, Power.ELSEWHERE})

_VERBS: dict[Power, frozenset[Verb]] = {
    Power.OFF: frozenset({Verb.START}),
    Power.SAVED: frozenset({Verb.START}),
    Power.RUNNING: frozenset(
        {
            *(Verb.PAUSE, Verb.SUSPEND, Verb.SAVE, Verb.SAVE_PAUSED, Verb.SHUT_DOWN),
            *(Verb.PRESS_POWER_BUTTON, Verb.POWER_OFF, Verb.RESTART),
        }
    ),
    Power.PAUSED: frozenset({Verb.RESUME, Verb.SAVE, Verb.SAVE_PAUSED, Verb.POWER_OFF}),
    Power.SUSPENDED: frozenset({Verb.WAKE_UP, Verb.POWER_OFF}),
}
# What only QEMU's driver can be asked, of those that libvirt reaches.
_QEMU_ONLY = frozenset({Verb.SUSPEND, Verb.WAKE_UP, Verb.SAVE_PAUSED, Verb.PRESS_POWER_BUTTON})
_AGENT_VERBS = frozenset({Verb.SUSPEND, Verb.SHUT_DOWN})

_ERRORS: dict[int, type[HypervisorError]] = {
    libvirt.VIR_ERR_NO_DOMAIN: VmNotFound,
    libvirt.VIR_ERR_OPERATION_INVALID: VmBusy,
    libvirt.VIR_ERR_OPERATION_TIMEOUT: VmBusy,
    libvirt.VIR_ERR_RESOURCE_BUSY: VmBusy,
    libvirt.VIR_ERR_OPERATION_ABORTED: VmBusy,
    libvirt.VIR_ERR_NO_CONNECT: Unreachable,
    libvirt.VIR_ERR_INVALID_CONN: Unreachable,
    libvirt.VIR_ERR_RPC: Unreachable,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE: AgentSilent,
    libvirt.VIR_ERR_AGENT_UNSYNCED: AgentSilent,
}


class Libvirt:
    """One connection, opened at the first question and again after it was lost.

    A lost connection raises Unreachable once; the next call connects anew. A VM whose definition
    has no agent channel raises AgentSilent where the agent is asked.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._connection: libvirt.virConnect | None = None
        self._changed: Callable[[], None] | None = None
        self._processes = QemuProcesses() if _is_local_qemu(uri) else None

    def vms(self) -> Iterable[Vm]:
        with self._translated("list the VMs"):
            domains = self._connected().listAllDomains()
            return tuple(Vm(domain.UUIDString(), domain.name()) for domain in domains)

    def find(self, name_or_uuid: str) -> Vm:
        with self._translated(f"find '{name_or_uuid}'"):
            connection = self._connected()
            if _is_uuid(name_or_uuid):
                with contextlib.suppress(libvirt.libvirtError):  # then it may be a name
                    domain = connection.lookupByUUIDString(name_or_uuid)
                    return Vm(domain.UUIDString(), domain.name())
            domain = connection.lookupByName(name_or_uuid)
            return Vm(domain.UUIDString(), domain.name())

    def state(self, vm: Vm) -> PowerState:
        try:
            with self._asked(vm, "look at") as domain:
                return self._look(domain)
        except VmNotFound:
            return PowerState(Power.GONE)

    def traits(self, vm: Vm) -> VmTraits:
        with self._asked(vm, "look at") as domain:
            xml = domain.XMLDesc()
            why_not = libvirt_xml.why_not_saved(xml)
            if not domain.isPersistent():
                why_not = "it is transient: it has no definition to come back to"
            return VmTraits(
                memory_mib=domain.maxMemory() // 1024,
                can_be_saved=why_not is None,
                why_not=why_not,
                has_guest_agent=libvirt_xml.has_agent(xml),
                image_folder=image_folder(self.uri),
            )

    def verbs(self, vm: Vm) -> frozenset[Verb]:
        try:
            with self._asked(vm, "look at") as domain:
                return self._verbs(domain, self._look(domain).power)
        except VmNotFound:
            return frozenset()

    def apply(self, vm: Vm, verb: Verb) -> None:
        with self._asked(vm, verb.value, verb) as domain:
            match verb:
                case Verb.START:
                    self._start(vm, domain)
                case Verb.SAVE | Verb.SAVE_PAUSED:
                    self._save(vm, domain, verb)
                case Verb.SHUT_DOWN:
                    self._shut_down(domain)
                case Verb.RESTART:
                    _limit_agent(domain)
                    domain.reboot()  # the agent, and where that fails the ACPI button
                case _:
                    _CALLS[verb](domain)

    def saved_image_ok(self, vm: Vm) -> bool | None:
        with self._asked(vm, "read the saved image of") as domain:
            if not domain.hasManagedSaveImage():
                return None
            try:
                self._read_image(vm, domain)
            except ImageUnusable:
                return False
            return True

    def set_guest_clock(self, vm: Vm, wall: datetime) -> None:
        moment = wall.timestamp()
        time = {"seconds": int(moment), "nseconds": int(moment % 1 * 1e9)}
        with self._asked(vm, "set the guest's clock of", agent=True) as domain:
            _limit_agent(domain)
            domain.setTime(time)

    def ask_agent(self, vm: Vm, command: str, arguments: dict[str, Any] | None = None) -> Any:
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        with self._asked(vm, "ask the agent of", agent=True) as domain:
            answer = libvirt_qemu.qemuAgentCommand(domain, json.dumps(request), AGENT_SECONDS, 0)
        return _agent_value(vm, answer)

    def viewers(self, vm: Vm) -> frozenset[str] | None:
        with self._asked(vm, "look at") as domain:
            displays = libvirt_xml.displays(domain.XMLDesc()) if domain.isActive() else ()
            if not displays:
                return frozenset()
            if self._processes is None:
                return None
            return self._processes.viewers(vm.uuid, displays)

    def mark(self, vm: Vm, text: str) -> None:
        with self._asked(vm, "mark") as domain:
            _set_mark(domain, libvirt_xml.mark_element(text))

    def marked(self, vm: Vm) -> str | None:
        """None also for a VM at rest: the mark lies in its saved image, and comes back with it."""
        with self._asked(vm, "read the mark of") as domain, _no_mark_is_none():
            return libvirt_xml.mark_text(
                domain.metadata(
                    libvirt.VIR_DOMAIN_METADATA_ELEMENT,
                    libvirt_xml.MARK_NAMESPACE,
                    libvirt.VIR_DOMAIN_AFFECT_LIVE,
                )
            )
        return None

    def unmark(self, vm: Vm) -> None:
        with self._asked(vm, "unmark") as domain, _no_mark_is_none():
            _set_mark(domain, None)

    def on_change(self, call: Callable[[], None]) -> None:
        """Also when the connection is lost: the next look opens it again, and then events come
        again. `call` runs on libvirt's event thread and must be quick."""
        run_event_loop()
        self.close()  # a connection opened without the loop would never tell
        self._changed = call

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    # -- the connection

    def _connected(self) -> libvirt.virConnect:
        if self._connection is not None and not self._connection.isAlive():
            self.close()
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> libvirt.virConnect:
        libvirt.registerErrorHandler(_ignore, None)  # it would print on stderr
        if _is_embedded(self.uri):
            run_event_loop()
        try:
            connection = libvirt.open(self.uri)
        except libvirt.libvirtError as err:
            raise _cannot_open(self.uri, err) from err
        if self._changed is not None:
            self._listen(connection, self._changed)
        return connection

    def _listen(self, connection: libvirt.virConnect, changed: Callable[[], None]) -> None:
        def tell(*_: object) -> None:
            changed()

        for event in _EVENTS:
            with contextlib.suppress(libvirt.libvirtError):  # a driver need not have them all
                connection.domainEventRegisterAny(None, event, tell, None)
        with contextlib.suppress(libvirt.libvirtError):  # only a daemon can be lost
            connection.setKeepAlive(_KEEPALIVE_SECONDS, 3)
            connection.registerCloseCallback(tell, None)

    @contextlib.contextmanager
    def _asked(
        self, vm: Vm, what: str, verb: Verb | None = None, *, agent: bool = False
    ) -> Iterator[libvirt.virDomain]:
        with self._translated(f"{what} '{vm.name}'", vm, verb, agent=agent):
            yield self._connected().lookupByUUIDString(vm.uuid)

    @contextlib.contextmanager
    def _translated(
        self, what: str, vm: Vm | None = None, verb: Verb | None = None, *, agent: bool = False
    ) -> Iterator[None]:
        try:
            yield
        except libvirt.libvirtError as err:
            kind = self._kind(err, agent=agent)
            if kind is VmBusy and vm and verb and self._would_allow(vm, verb):
                kind = HypervisorError  # nothing changed meanwhile: it simply will not
            if kind is Unreachable:
                self.close()
            raise kind(f"cannot {what} on {self.uri}: {err}") from err

    def _kind(self, err: libvirt.libvirtError, *, agent: bool) -> type[HypervisorError]:
        if err.get_error_domain() == libvirt.VIR_FROM_RPC or not self._alive():
            return Unreachable
        code = err.get_error_code()
        if agent and code in (libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, _AGENT_COMMAND_TIMEOUT):
            return AgentSilent
        return _ERRORS.get(code, HypervisorError)

    def _alive(self) -> bool:
        try:
            return self._connection is not None and bool(self._connection.isAlive())
        except libvirt.libvirtError:
            return False

    def _would_allow(self, vm: Vm, verb: Verb) -> bool:
        # The error code is the same for "not in this state" and for "not this VM, ever", and the
        # text may be in any language.
        try:
            return verb in self.verbs(vm)
        except HypervisorError:
            return False

    # -- looking

    def _look(self, domain: libvirt.virDomain) -> PowerState:
        state, reason = domain.state()
        power = power_of(state, reason)
        if power not in _AT_REST:
            if power is not Power.CRASHED and _has_job(domain):
                power = Power.CHANGING
            return PowerState(power, self._start_of(domain))
        if power is Power.OFF and domain.hasManagedSaveImage():
            return PowerState(Power.SAVED, stopped_by=StoppedBy.HOST)
        return PowerState(power, stopped_by=_STOPPED_BY.get(reason))

    def _start_of(self, domain: libvirt.virDomain) -> Start | None:
        if self._processes is not None:
            start = self._processes.start(domain.UUIDString())
            if start is not None:
                return start
        number = domain.ID()
        return Start(f"id/{number}", None) if number >= 0 else None

    def _verbs(self, domain: libvirt.virDomain, power: Power) -> frozenset[Verb]:
        verbs = _VERBS.get(power, frozenset())
        if not self._is_qemu():
            return verbs - _QEMU_ONLY
        if power is Power.RUNNING:
            xml = domain.XMLDesc()
            if not libvirt_xml.agent_connected(xml):
                return verbs - _AGENT_VERBS
            if not libvirt_xml.may_suspend(xml):
                return verbs - {Verb.SUSPEND}
        return verbs

    def _is_qemu(self) -> bool:
        return bool(self._connected().getType() == "QEMU")

    # -- acting

    def _start(self, vm: Vm, domain: libvirt.virDomain) -> None:
        power = self._look(domain).power
        if power not in (Power.OFF, Power.SAVED):
            raise VmBusy(f"cannot start '{vm.name}': it is {power}")
        if power is Power.SAVED:
            self._read_image(vm, domain)
        try:
            domain.create()
        except libvirt.libvirtError as err:
            if power is Power.SAVED and "load of migration failed" in str(err):
                raise _image_unusable(vm, err) from err
            raise

    def _read_image(self, vm: Vm, domain: libvirt.virDomain) -> None:
        # libvirt would throw an image away that it finds too short or partial, and boot cold.
        try:
            domain.managedSaveGetXMLDesc()
        except libvirt.libvirtError as err:
            if err.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
                return
            if self._kind(err, agent=False) is Unreachable:
                raise
            raise _image_unusable(vm, err) from err

    def _save(self, vm: Vm, domain: libvirt.virDomain, verb: Verb) -> None:
        paused = verb is Verb.SAVE_PAUSED
        domain.managedSave(
            libvirt.VIR_DOMAIN_SAVE_PAUSED if paused else libvirt.VIR_DOMAIN_SAVE_RUNNING
        )
        self._read_image(vm, domain)
        folder = image_folder(self.uri)
        if folder is not None:
            _put_on_disk(Path(folder) / f"{domain.name()}.save")

    def _shut_down(self, domain: libvirt.virDomain) -> None:
        if not self._is_qemu():
            domain.shutdown()
            return
        _limit_agent(domain)
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)


def power_of(state: int, reason: int) -> Power:
    """A state and a reason of libvirt's, both new ones too; a saved image and jobs aside."""
    return _POWER_BY_REASON.get((state, reason)) or _POWER.get(state, Power.CHANGING)


def image_folder(uri: str) -> str | None:
    """Where libvirt keeps the images of managed save. None: not on this machine."""
    parts = urlsplit(uri)
    if not _is_local_qemu(uri):
        return None
    if _is_embedded(uri):
        roots = parse_qs(parts.query).get("root", [])
        return f"{roots[0].rstrip('/')}/lib/qemu/save" if roots else None
    if parts.path == "/session":
        configuration = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return f"{configuration}/libvirt/qemu/save"
    return "/var/lib/libvirt/qemu/save"


_loop_lock = threading.Lock()
_loop: threading.Thread | None = None


def run_event_loop() -> None:
    """One daemon thread for the whole process, started before the connection that needs it."""
    global _loop
    with _loop_lock:
        if _loop is None:
            libvirt.registerErrorHandler(_ignore, None)
            libvirt.virEventRegisterDefaultImpl()
            _loop = threading.Thread(target=_turn, name="libvirt-events", daemon=True)
            _loop.start()


def _turn() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _ignore(*_: object) -> None:
    pass


def _is_local_qemu(uri: str) -> bool:
    parts = urlsplit(uri)
    return parts.scheme.partition("+")[0] == "qemu" and not parts.netloc


def _is_embedded(uri: str) -> bool:
    return urlsplit(uri).path == "/embed"


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _cannot_open(uri: str, err: libvirt.libvirtError) -> Unreachable:
    if _is_embedded(uri) and "driver.pid" in str(err):
        return InUseByAnotherProcess(
            f"another process has {uri} open: embedded libvirt serves one process at a time"
        )
    return Unreachable(f"cannot reach {uri}: {err}")


def _image_unusable(vm: Vm, err: libvirt.libvirtError) -> ImageUnusable:
    return ImageUnusable(f"the saved image of '{vm.name}' cannot be used, it is kept: {err}")


def _has_job(domain: libvirt.virDomain) -> bool:
    """A save, dump, migration, backup, or block job on any disk; also while it cannot be told."""
    try:
        if domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
            return True
        targets = libvirt_xml.disks(domain.XMLDesc())
        return any(domain.blockJobInfo(target) for target in targets)
    except libvirt.libvirtError as err:
        busy = (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_OPERATION_TIMEOUT)
        if err.get_error_code() in busy:  # it migrates in, or ends just now
            return True
        if err.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return False
        raise


def _limit_agent(domain: libvirt.virDomain) -> None:
    with contextlib.suppress(libvirt.libvirtError):  # not QEMU, or no agent: the call will tell
        domain.agentSetResponseTimeout(AGENT_SECONDS)


def _agent_value(vm: Vm, answer: str) -> Any:
    if len(answer) > AGENT_ANSWER_BYTES_MAX:
        raise HypervisorError(f"the agent of '{vm.name}' answered with {len(answer)} characters")
    try:
        return json.loads(answer)["return"]
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise HypervisorError(f"the agent of '{vm.name}' answered nonsense") from err


def _set_mark(domain: libvirt.virDomain, element: str | None) -> None:
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        element,
        libvirt_xml.MARK_PREFIX,
        libvirt_xml.MARK_NAMESPACE,
        libvirt.VIR_DOMAIN_AFFECT_LIVE,
    )


@contextlib.contextmanager
def _no_mark_is_none() -> Iterator[None]:
    try:
        yield
    except libvirt.libvirtError as err:
        no_mark = (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_OPERATION_INVALID)
        if err.get_error_code() not in no_mark:
            raise


def _put_on_disk(image: Path) -> None:
    """libvirt has written it, though the mark "complete" and the folder may still be in memory
    only. Where the file is not ours to open, libvirt's own care must do."""
    for path in (image, image.parent):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as err:
            log.debug("not ours to flush: %s", err)
            return
        try:
            os.fsync(descriptor)
        except OSError as err:
            raise HypervisorError(f"the saved image '{path}' did not reach the disk") from err
        finally:
            os.close(descriptor)


def _power_off(domain: libvirt.virDomain) -> None:
    try:
        domain.destroyFlags(libvirt.VIR_DOMAIN_DESTROY_GRACEFUL)
    except libvirt.libvirtError:
        if not domain.isActive():
            raise
        domain.destroy()


def _press_power_button(domain: libvirt.virDomain) -> None:
    domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)


def _suspend(domain: libvirt.virDomain) -> None:
    _limit_agent(domain)
    domain.pMSuspendForDuration(libvirt.VIR_NODE_SUSPEND_TARGET_MEM, 0)


_CALLS: dict[Verb, Callable[[libvirt.virDomain], object]] = {
    Verb.RESUME: lambda domain: domain.resume(),
    Verb.WAKE_UP: lambda domain: domain.pMWakeup(),
    Verb.PAUSE: lambda domain: domain.suspend(),
    Verb.SUSPEND: _suspend,
    Verb.PRESS_POWER_BUTTON: _press_power_button,
    Verb.POWER_OFF: _power_off,
}
_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_GRAPHICS,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
)
_AGENT_COMMAND_TIMEOUT = getattr(libvirt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", -1)
