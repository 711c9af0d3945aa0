"""libvirt: QEMU, and whatever else libvirt reaches, by any URI.

The driver makes one call and translates the outcome; it keeps no state of a VM. It refuses to
force a boot over a saved image, to remove one, and to reset a guest.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID
from weakref import WeakSet

from guestwake.channels.api import Channel
from guestwake.channels.socket import SocketChannel
from guestwake.hypervisors import libvirt_port, libvirt_xml
from guestwake.hypervisors.api import (
    ChannelIs,
    HypervisorError,
    ImageUnusable,
    NoChannel,
    PowerState,
    Unreachable,
    Vm,
    VmBusy,
    VmNotFound,
    VmTraits,
)
from guestwake.hypervisors.libvirt_channel import StreamChannel, open_port, open_vsock
from guestwake.hypervisors.libvirt_connection import Connection, image_folder, is_local_qemu
from guestwake.hypervisors.libvirt_library import libvirt, libvirt_qemu
from guestwake.hypervisors.libvirt_local import QemuProcesses
from guestwake.hypervisors.libvirt_tables import (
    AGENT_VERBS,
    AT_REST,
    QEMU_ONLY,
    STOPPED_BY,
    VERBS,
    power_of,
)
from guestwake.policy.words import Autostart, Power, Start, StoppedBy, Verb

log = logging.getLogger(__name__)

AGENT_SECONDS: Final = 5
AGENT_ANSWER_CHARACTERS_MAX: Final = 1 << 20


class Libvirt:
    """One connection, opened at the first question and again after it was lost.

    A lost connection raises Unreachable once; the next call connects anew. A VM whose definition
    has no agent channel raises AgentSilent where the agent is asked.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._connection = Connection(uri)
        self._connection.on_lost = self._tell_channels
        self._channels: WeakSet[StreamChannel | SocketChannel] = WeakSet()
        self._processes = QemuProcesses() if is_local_qemu(uri) else None

    def version(self) -> tuple[int, int, int]:
        with self._connection.translated("ask the version"):
            number = self._connection.get().getLibVersion()
            return number // 1_000_000, number // 1000 % 1000, number % 1000

    def vms(self) -> Iterable[Vm]:
        with self._connection.translated("list the VMs"):
            domains = self._connection.get().listAllDomains()
            return tuple(Vm(domain.UUIDString(), domain.name()) for domain in domains)

    def find(self, name_or_uuid: str) -> Vm:
        with self._connection.translated(f"find '{name_or_uuid}'"):
            connection = self._connection.get()
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
            xml, folder = domain.XMLDesc(), image_folder(self.uri)
            why_not = libvirt_xml.why_not_saved(xml)
            if not domain.isPersistent():
                why_not = "it is transient: it has no definition to come back to"
            return VmTraits(
                memory_mib=domain.maxMemory() // 1024,
                can_be_saved=why_not is None,
                why_not=why_not,
                has_guest_agent=libvirt_xml.has_agent(xml),
                has_channel=libvirt_xml.has_channel(
                    domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
                ),
                image_folder=None if folder is None else str(folder),
            )

    def verbs(self, vm: Vm) -> frozenset[Verb]:
        try:
            with self._asked(vm, "look at") as domain:
                return self._verbs(domain, self._look(domain).power)
        except VmNotFound:
            return frozenset()

    def apply(self, vm: Vm, verb: Verb) -> None:
        with self._asked(vm, verb.value, verb) as domain:
            power = self._allowing(vm, domain, verb)
            match verb:
                case Verb.START:
                    self._start(vm, domain, saved=power is Power.SAVED)
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

    def open_channel(self, vm: Vm, on_ready: Callable[[], None]) -> Channel:
        """`on_ready` runs on libvirt's event thread and must be quick. Waits for up to three
        seconds where QEMU does not take the connection."""
        self._connection.hear()
        with self._asked(vm, "open the channel of") as domain:
            channel = self._opened(vm, domain, on_ready)
            self._channels.add(channel)
            return channel

    def channel(self, vm: Vm) -> ChannelIs:
        with self._asked(vm, "look at") as domain:
            return self._where_channel(vm, domain)

    def add_channel(self, vm: Vm) -> ChannelIs:
        with self._asked(vm, "add the channel to") as domain:
            libvirt_port.add(domain)
            return self._where_channel(vm, domain)

    def remove_channel(self, vm: Vm) -> ChannelIs:
        with self._asked(vm, "remove the channel from") as domain:
            libvirt_port.remove(domain)
            return self._where_channel(vm, domain)

    def viewers(self, vm: Vm) -> frozenset[str] | None:
        with self._asked(vm, "look at") as domain:
            displays = libvirt_xml.displays(domain.XMLDesc()) if domain.isActive() else ()
            if not displays:
                return frozenset()
            if self._processes is None:
                return None
            return self._processes.viewers(vm.uuid, displays)

    def autostart(self, vm: Vm) -> Autostart:
        with self._asked(vm, "look at") as domain:
            if domain.autostart():
                return Autostart.ALWAYS
            return Autostart.ONCE if _autostarts_once(domain) else Autostart.NEVER

    def kept_by(self, vm: Vm) -> str | None:
        """Vagrant and GNOME Boxes leave their traces in the definitions that they make."""
        with self._asked(vm, "look at") as domain:
            return libvirt_xml.kept_by(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))

    def addresses(self, vm: Vm) -> frozenset[str]:
        """From the leases of libvirt's own networks and the host's ARP table. Empty where neither
        knows it."""
        with self._asked(vm, "look at") as domain:
            return frozenset(
                address for source in _ADDRESSES for address in self._told_by(source, domain)
            )

    def _told_by(self, source: int, domain: libvirt.virDomain) -> list[str]:
        """Raises libvirtError where the connection is lost."""
        try:
            interfaces = domain.interfaceAddresses(source)
        except libvirt.libvirtError as err:  # not running, or not a question for this driver
            if self._connection.kind(err) is Unreachable:
                raise
            log.debug("no addresses: %s", err)
            return []
        addresses = (entry for each in interfaces.values() for entry in each["addrs"] or ())
        return [entry["addr"] for entry in addresses]

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
        self._connection.on_change(call)

    def close(self) -> None:
        for channel in tuple(self._channels):  # each would hold the connection open
            channel.close()
        self._connection.close()

    @contextlib.contextmanager
    def _asked(
        self, vm: Vm, what: str, verb: Verb | None = None, *, agent: bool = False
    ) -> Iterator[libvirt.virDomain]:
        try:
            with self._connection.translated(f"{what} '{vm.name}'", agent=agent):
                yield self._connection.get().lookupByUUIDString(vm.uuid)
        except VmBusy as busy:
            if verb is not None and self._would_never(vm, verb, busy):
                raise HypervisorError(str(busy)) from busy.__cause__
            raise

    def _would_never(self, vm: Vm, verb: Verb, busy: VmBusy) -> bool:
        # libvirt has one code for "not in this state" and "never with this VM", and its text may
        # be in any language. If the state allows the verb, it is the VM.
        err = busy.__cause__
        if not isinstance(err, libvirt.libvirtError):
            return False
        if err.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            return False
        try:
            return verb in self.verbs(vm)
        except HypervisorError:
            return False

    # -- looking

    def _look(self, domain: libvirt.virDomain) -> PowerState:
        state, reason = domain.state()
        power = power_of(state, reason)
        if power not in AT_REST:
            if _has_job(domain) or (power is Power.CRASHED and _crash_passes(domain)):
                power = Power.CHANGING
            return PowerState(power, self._start_of(domain))
        if power is Power.OFF and domain.hasManagedSaveImage():
            return PowerState(Power.SAVED, stopped_by=StoppedBy.HOST)
        return PowerState(power, stopped_by=STOPPED_BY.get(reason))

    def _start_of(self, domain: libvirt.virDomain) -> Start | None:
        if self._processes is not None:
            start = self._processes.start(domain.UUIDString())
            if start is not None:
                return start
        number = domain.ID()
        return Start(f"id/{number}", None) if number >= 0 else None

    def _verbs(self, domain: libvirt.virDomain, power: Power) -> frozenset[Verb]:
        verbs = VERBS.get(power, frozenset())
        if not self._connection.is_qemu():
            return verbs - QEMU_ONLY
        if power is Power.RUNNING:
            xml = domain.XMLDesc()
            if not libvirt_xml.agent_connected(xml):
                return verbs - AGENT_VERBS
            if not libvirt_xml.may_suspend(xml):
                return verbs - {Verb.SUSPEND}
        return verbs

    # -- the channel

    def _opened(
        self, vm: Vm, domain: libvirt.virDomain, on_ready: Callable[[], None]
    ) -> StreamChannel | SocketChannel:
        if not domain.isActive():
            raise VmBusy(f"cannot open the channel of '{vm.name}': it does not run")
        xml = domain.XMLDesc()
        if libvirt_xml.has_port(xml):
            stream = self._connection.get().newStream(libvirt.VIR_STREAM_NONBLOCK)
            return open_port(domain, stream, on_ready)
        cid = libvirt_xml.vsock_cid(xml)
        if cid is None or not is_local_qemu(self.uri):  # vsock ends at the host below
            raise NoChannel(f"'{vm.name}' on {self.uri}, as it runs now, has no channel")
        return open_vsock(vm.name, cid, on_ready)

    def _where_channel(self, vm: Vm, domain: libvirt.virDomain) -> ChannelIs:
        saved = domain.hasManagedSaveImage() and not domain.isActive()
        return libvirt_port.where(domain, self._read_image(vm, domain) if saved else None)

    def _tell_channels(self) -> None:
        for channel in tuple(self._channels):
            if isinstance(channel, StreamChannel):
                channel.hear()

    # -- acting

    def _allowing(self, vm: Vm, domain: libvirt.virDomain, verb: Verb) -> Power:
        # libvirt itself would, for instance, restart what is paused.
        if verb in QEMU_ONLY and not self._connection.is_qemu():
            raise HypervisorError(f"cannot {verb} '{vm.name}' on {self.uri}: only QEMU can")
        power = self._look(domain).power
        if verb not in VERBS.get(power, ()):
            raise VmBusy(f"cannot {verb} '{vm.name}': it is {power}")
        return power

    def _start(self, vm: Vm, domain: libvirt.virDomain, *, saved: bool) -> None:
        if saved:
            self._read_image(vm, domain)
        try:
            domain.create()
        except libvirt.libvirtError as err:
            if saved and "load of migration failed" in str(err):
                raise _image_unusable(vm, err) from err
            raise

    def _read_image(self, vm: Vm, domain: libvirt.virDomain) -> str | None:
        """The definition in it; None: it cannot be asked for. Raises ImageUnusable."""
        # libvirt would throw an image away that it finds too short or partial, and boot cold.
        try:
            return str(domain.managedSaveGetXMLDesc())
        except libvirt.libvirtError as err:
            if err.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
                return None
            if self._connection.kind(err) is Unreachable:
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
            _put_on_disk(folder / f"{domain.name()}.save")

    def _shut_down(self, domain: libvirt.virDomain) -> None:
        if not self._connection.is_qemu():
            domain.shutdown()
            return
        _limit_agent(domain)
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)


def connect(uri: str) -> Libvirt:
    """Asks nothing yet: a URI that does not answer shows at the first question."""
    return Libvirt(uri)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


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


def _crash_passes(domain: libvirt.virDomain) -> bool:
    """Before libvirt restarts a guest that panicked, it shows it as crashed, in the end without a
    job. One that it destroys or dumps has a job meanwhile, and one that it preserves has none."""
    return libvirt_xml.restarts_on_crash(domain.XMLDesc())


def _autostarts_once(domain: libvirt.virDomain) -> bool:
    """Since libvirt 11.2, where it has saved VMs at the host's shutdown."""
    ask = getattr(domain, "autostartOnce", None)
    if ask is None:
        return False
    try:
        return bool(ask())
    except libvirt.libvirtError as err:  # an older daemon, or another driver
        log.debug("autostart once: %s", err)
        return False


def _limit_agent(domain: libvirt.virDomain) -> None:
    with contextlib.suppress(libvirt.libvirtError):  # not QEMU, or no agent: the call will tell
        domain.agentSetResponseTimeout(AGENT_SECONDS)


def _agent_value(vm: Vm, answer: str) -> Any:
    if len(answer) > AGENT_ANSWER_CHARACTERS_MAX:
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
_ADDRESSES = (
    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
)
