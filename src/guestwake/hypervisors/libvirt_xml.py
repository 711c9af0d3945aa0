"""What a libvirt domain's definition tells: disks, displays, agent, what forbids a save.

Pure reading of text that libvirt gave. Each function takes the XML of a domain; nothing here asks
libvirt or the machine. The definition is the administrator's, not the guest's.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address

from guestwake.channels.api import PORT_NAME

AGENT_CHANNEL = "org.qemu.guest_agent.0"
MARK_NAMESPACE = "https://guestwake.org/xmlns/wake/1"
MARK_PREFIX = "guestwake"
_BOXES = "gnome-boxes"


@dataclass(frozen=True, slots=True)
class Display:
    """Where one display listens. Neither ports nor socket: nobody outside QEMU can tell."""

    ports: tuple[int, ...]
    socket: str | None
    ipv4_only: bool = False


# Of each path, the sentence that tells why libvirt or QEMU refuses to save such a VM: the checks
# of libvirt's qemuMigrationSrcIsAllowed and QEMU's own migration blockers. USB host devices are
# not among them: both let them through.
_BLOCKERS = {
    "devices/hostdev[@type='pci']": "it has a PCI device of the host",
    "devices/hostdev[@type='mdev']": "it has a mediated device of the host",
    "devices/hostdev[@type='scsi']": "it has a SCSI device of the host",
    "devices/hostdev[@type='scsi_host']": "it has a SCSI controller of the host",
    "devices/hostdev[@mode='capabilities']": "it has a device of the host",
    "devices/interface[@type='hostdev']": "it has a network card of the host",
    "devices/interface[@type='vdpa']": "it has a vDPA network card",
    "devices/filesystem/driver[@type='virtiofs']": "it shares a folder through virtiofs",
    "devices/filesystem[@type='mount']": "it shares a folder of the host",
    "devices/shmem/model[@type='ivshmem']": "it shares memory with other VMs (ivshmem)",
    "devices/shmem/model[@type='ivshmem-plain']": "it shares memory with other VMs (ivshmem)",
    "devices/tpm/backend[@type='passthrough']": "it uses the host's own TPM",
    "devices/video/model/acceleration[@accel3d='yes']": "its display is accelerated (3D)",
    "launchSecurity": "its memory is encrypted (launch security)",
    "cpu/feature[@name='invtsc'][@policy='require']": "it has the CPU feature invtsc",
}


def why_not_saved(xml: str) -> str | None:
    """A sentence, or None where nothing in the definition forbids it. The proof is the save."""
    domain = _parsed(xml)
    for path, sentence in _BLOCKERS.items():
        if domain.find(path) is not None:
            return sentence
    return None


def has_agent(xml: str) -> bool:
    return _agent(xml) is not None


def agent_connected(xml: str) -> bool:
    """Somebody in the guest holds the agent's port open, by the live definition."""
    target = _agent(xml)
    return target is not None and target.get("state") == "connected"


def has_channel(xml: str) -> bool:
    """The Guest Update Service's port, or a vsock device instead."""
    return has_port(xml) or _parsed(xml).find("devices/vsock") is not None


def has_port(xml: str) -> bool:
    return port(xml) is not None


def port(xml: str) -> str | None:
    """The Guest Update Service's, as its definition has it."""
    channels = _parsed(xml).iterfind("devices/channel")
    ours = (one for one in channels if one.find(f"target[@name='{PORT_NAME}']") is not None)
    return next((ET.tostring(one, encoding="unicode") for one in ours), None)


def vsock_cid(xml: str) -> int | None:
    """Of a VM that runs, by its live definition; None: it has no such device."""
    cid = _parsed(xml).find("devices/vsock/cid")
    address = "" if cid is None else cid.get("address", "")
    return int(address) if address.isdecimal() else None


def may_suspend(xml: str) -> bool:
    setting = _parsed(xml).find("pm/suspend-to-mem")
    return setting is None or setting.get("enabled") != "no"


def restarts_on_crash(xml: str) -> bool:
    """Whether libvirt is to restart its guest when that panics."""
    return (_parsed(xml).findtext("on_crash") or "") in ("restart", "coredump-restart")


def kept_by(xml: str) -> str | None:
    """The program that made the VM and starts and stops it too. virt-manager leaves no trace, as
    it starts nothing by itself."""
    domain = _parsed(xml)
    if (domain.findtext("description") or "").strip().endswith("/Vagrantfile"):
        return "Vagrant"
    metadata = domain.find("metadata")
    marks = () if metadata is None else (each.tag for each in metadata)
    return "GNOME Boxes" if any(_BOXES in tag for tag in marks) else None


def disks(xml: str) -> tuple[str, ...]:
    return tuple(target.get("dev", "") for target in _parsed(xml).iterfind("devices/disk/target"))


def displays(xml: str) -> tuple[Display, ...]:
    """Of VNC and SPICE. A window on the host's own screen (SDL, D-Bus) is none."""
    graphics = _parsed(xml).iterfind("devices/graphics")
    return tuple(_display(g) for g in graphics if g.get("type") in ("vnc", "spice"))


def mark_element(text: str) -> str:
    element = ET.Element("wake")
    element.text = text
    return ET.tostring(element, encoding="unicode")


def mark_text(element: str) -> str:
    return _parsed(element).text or ""


@lru_cache(maxsize=64)
def _parsed(xml: str) -> ET.Element:
    # One look asks several of these functions about the same text, and so does the next look.
    return ET.fromstring(xml)


def _agent(xml: str) -> ET.Element | None:
    return _parsed(xml).find(f"devices/channel/target[@name='{AGENT_CHANNEL}']")


def _display(graphics: ET.Element) -> Display:
    listen = graphics.find("listen[@type='socket']")
    socket = graphics.get("socket") or (None if listen is None else listen.get("socket"))
    named = (graphics.get(name) for name in ("port", "tlsPort", "websocket"))
    ports = tuple(int(port) for port in named if port and int(port) > 0)
    return Display(ports, socket, ipv4_only=_is_ipv4(graphics.get("listen", "")))


def _is_ipv4(address: str) -> bool:
    try:
        IPv4Address(address)
    except ValueError:
        return False
    return True
