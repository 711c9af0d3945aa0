"""The port of the Guest Update Service in a libvirt domain: where it stands, adding, removing.

It touches no device but the port of our own name. Where a definition has no controller for such
ports, libvirt adds one by itself; a VM that runs cannot be given one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from guestwake.channels.api import PORT_NAME
from guestwake.hypervisors import libvirt_xml
from guestwake.hypervisors.api import ChannelIs
from guestwake.hypervisors.libvirt_library import libvirt

log = logging.getLogger(__name__)

_PORT: Final = f"<channel type='unix'><target type='virtio' name='{PORT_NAME}'/></channel>"
_LIVE: Final = libvirt.VIR_DOMAIN_AFFECT_LIVE
_DEFINED: Final = libvirt.VIR_DOMAIN_AFFECT_CONFIG


def where(domain: libvirt.virDomain, image: str | None) -> ChannelIs:
    """`image`: the definition in its saved image, where it has one that tells."""
    there = image if image is not None else _live(domain)
    # What a transient VM runs with is all that it has.
    definition = _definition(domain) if domain.isPersistent() else there or ""
    defined = libvirt_xml.has_port(definition)
    return ChannelIs.of(
        defined=defined, there=defined if there is None else libvirt_xml.has_port(there)
    )


def add(domain: libvirt.virDomain) -> None:
    """Whatever is there already stays untouched. Raises libvirtError where the definition cannot
    be changed; a VM that runs and cannot be given the port has it at its next boot."""
    if domain.isPersistent() and not libvirt_xml.has_port(_definition(domain)):
        domain.attachDeviceFlags(_PORT, _DEFINED)
    live = _live(domain)
    # A second port of that name is refused, but libvirt removes the socket of the first.
    if live is not None and not libvirt_xml.has_port(live):
        _now_or_later(domain, lambda: domain.attachDeviceFlags(_PORT, _LIVE))


def remove(domain: libvirt.virDomain) -> None:
    """Raises as `add`. What is to be removed is told in full: libvirt compares all of it."""
    defined = libvirt_xml.port(_definition(domain))
    if domain.isPersistent() and defined is not None:
        domain.detachDeviceFlags(defined, _DEFINED)
    live = _live(domain)
    port = None if live is None else libvirt_xml.port(live)
    if port is not None:
        _now_or_later(domain, lambda: domain.detachDeviceFlags(port, _LIVE))


def _now_or_later(domain: libvirt.virDomain, change: Callable[[], object]) -> None:
    try:
        change()
    except libvirt.libvirtError as err:
        if not domain.isPersistent() or not domain.connect().isAlive():
            raise
        log.debug("'%s' changes at its next boot: %s", domain.name(), err)


def _definition(domain: libvirt.virDomain) -> str:
    return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))


def _live(domain: libvirt.virDomain) -> str | None:
    return str(domain.XMLDesc()) if domain.isActive() else None
