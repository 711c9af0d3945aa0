"""Machines without an operating system: firmware, and at most one sector to boot.

    guest = hibernated_bare_guest(lab, "web01")

For faults of the hypervisor, its images and its host, where what is in the guest does not matter:
it starts, is saved and comes back in a third of a second each, and its image has less than a MiB.
It has no agent, hears no ACPI button, and idles once its firmware has found nothing to boot.
"""

from __future__ import annotations

import os
import uuid as uuids

from lab.guests import Guest, Place

MEMORY = 48  # MiB
SECTOR = 512
DISK_BYTES = 1 << 20

DOMAIN = """\
<domain type='{domain_type}'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type></os>
  <features><acpi/></features>
  <on_crash>{on_crash}</on_crash>
  <devices>
    {disk}
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <panic model='isa'/>
  </devices>
</domain>
"""
DISK = """\
<disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{disk}'/>
      <target dev='hda' bus='ide'/>
    </disk>"""

# A boot sector: count down from 100 million, then write 1, "panicked", to the port of QEMU's panic
# device, as a kernel does.
PANICS = bytes.fromhex(
    "66b900e1f505"  # mov ecx, 100000000
    "6649"  # again: dec ecx
    "75fc"  # jnz again
    "ba0505b001eef4"  # mov dx, 0x505; mov al, 1; out dx, al; hlt
)

# Another: count down likewise, write a sector of its disk, 16 KiB from the start, and stop.
WRITES = bytes.fromhex(
    "66b900e1f505664975fc"
    "31c08ec0bb007c"  # es:bx = 0:0x7c00
    "b80103b92100ba8000"  # ax = write one, cx = the 33rd of the first track, dx = the first disk
    "cd13f4ebfd"  # int 0x13; hlt; jmp to the hlt
)


def bare_guest(
    lab: Place,
    name: str,
    *,
    memory: int = MEMORY,
    machine: str = "pc",
    boots: bytes | None = None,
    on_crash: str = "destroy",
) -> Guest:
    """Off. `memory` in MiB; `boots`: code of a boot sector, None: it finds no disk; `on_crash`:
    libvirt's word for what becomes of it when its guest panics."""
    guest = Guest(lab, name, str(uuids.uuid4()))
    if boots is not None:
        sector = boots.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"
        guest.disk.write_bytes(sector)
        os.truncate(guest.disk, DISK_BYTES)  # it has no room of its own yet
    xml = DOMAIN.format(
        domain_type=lab.domain_type,
        name=name,
        uuid=guest.uuid,
        memory=memory,
        machine=machine,
        on_crash=on_crash,
        disk="" if boots is None else DISK.format(disk=lab.inside(guest.disk)),
    )
    guest.definition.write_text(xml)
    lab.virsh("define", str(lab.inside(guest.definition)))
    return guest


def hibernated_bare_guest(
    lab: Place, name: str, *, memory: int = MEMORY, machine: str = "pc"
) -> Guest:
    guest = bare_guest(lab, name, memory=memory, machine=machine)
    guest.start()
    guest.hibernate()
    return guest
