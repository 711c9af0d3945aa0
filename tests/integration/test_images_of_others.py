"""A saved image that is not of this VM, or not of this hypervisor: kept, and told (contract, 4.2).

On machines without an operating system, whose images are small; what is changed in them is what
another libvirt, another QEMU or another host would have written there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from stories import Host, diary_of

from lab.asleep import HEADER
from lab.bare import hibernated_bare_guest
from lab.guests import Guest, Lab

VERSION, FORMAT = 1, 4  # of the header's fields
NEWER = 99


def header(image: Path, field: int, value: int) -> None:
    with image.open("r+b") as file:
        fields = list(HEADER.unpack(file.read(HEADER.size)))
        fields[field] = value
        file.seek(0)
        file.write(HEADER.pack(*fields))


def definition(image: Path, pattern: str, by: str) -> None:
    """In its definition, at the same length as before."""
    text = image.read_bytes()
    room = HEADER.size + HEADER.unpack(text[: HEADER.size])[2]
    found = re.search(pattern.encode(), text[:room])
    assert found is not None, f"no {pattern} in its definition"
    image.write_bytes(text.replace(found[0], by.encode().ljust(len(found[0])), 1))


def machine_of(image: Path) -> bytes:
    found = re.search(rb"machine='([\w.-]+)'", image.read_bytes())
    assert found is not None
    return found[1]


def memory(image: Path) -> bytes:
    text = image.read_bytes()
    return text[HEADER.size + HEADER.unpack(text[: HEADER.size])[2] :]


def with_memory_of(image: Path, other: Guest) -> None:
    """Under its own definition."""
    text = image.read_bytes()
    image.write_bytes(text[: -len(memory(image))] + memory(other.saved_image))


def of_a_newer_libvirt(lab: Lab, guest: Guest) -> None:
    header(guest.saved_image, VERSION, NEWER)


def packed_by_an_unknown_program(lab: Lab, guest: Guest) -> None:
    header(guest.saved_image, FORMAT, NEWER)


def of_another_vm(lab: Lab, guest: Guest) -> None:
    other = hibernated_bare_guest(lab, "other")
    guest.saved_image.write_bytes(other.saved_image.read_bytes())


def of_a_newer_qemu(lab: Lab, guest: Guest) -> None:
    """Which names the machine that it was at the head of the memory too."""
    text, name = guest.saved_image.read_bytes(), machine_of(guest.saved_image)
    at = text.rindex(name, 0, text.index(b"QEVM") + 200)
    newer = name[:-1] + b"9"
    guest.saved_image.write_bytes(text[:at] + newer + text[at + len(name) :])


def of_another_machine_type(lab: Lab, guest: Guest) -> None:
    with_memory_of(guest.saved_image, hibernated_bare_guest(lab, "other", machine="q35"))


def of_more_memory(lab: Lab, guest: Guest) -> None:
    with_memory_of(guest.saved_image, hibernated_bare_guest(lab, "other", memory=96))


def of_a_machine_that_is_unknown_here(lab: Lab, guest: Guest) -> None:
    name = machine_of(guest.saved_image).decode()
    definition(guest.saved_image, f"machine='{name}'", f"machine='{name[:-1]}9'")


def of_a_processor_that_is_not_here(lab: Lab, guest: Guest) -> None:
    pattern = "<feature policy='require' name='hypervisor'/>"
    definition(guest.saved_image, pattern, "<feature policy='require' name='amx-int8'/>")


UNUSABLE = ("image-unusable", 10)
# What libvirt will not even try it tells in its own words, and another host may be set up for it.
REFUSED = ("wake-refused", 11)
full = partial(pytest.param, marks=pytest.mark.full)


@pytest.mark.parametrize(
    ("put", "outcome"),
    [
        (of_a_newer_qemu, UNUSABLE),
        (of_a_machine_that_is_unknown_here, REFUSED),
        full(of_a_newer_libvirt, UNUSABLE),
        full(of_another_machine_type, UNUSABLE),
        full(of_more_memory, UNUSABLE),
        full(packed_by_an_unknown_program, REFUSED),
        full(of_another_vm, REFUSED),
        full(of_a_processor_that_is_not_here, REFUSED),
    ],
)
def test_it_is_kept_byte_for_byte_and_nothing_is_booted(
    lab: Lab, host: Host, put: Callable[[Lab, Guest], None], outcome: tuple[str, int]
) -> None:
    guest = hibernated_bare_guest(lab, "web01")
    host.looks_after(guest)
    put(lab, guest)
    found = guest.saved_image.read_bytes()
    why, code = outcome
    with diary_of(guest) as diary:
        host.wakes(guest, window=2, code=code)
        assert "Started Booted" not in diary()
    assert guest.state() == "saved"
    assert guest.saved_image.read_bytes() == found
    assert host.outcomes(guest) == [why]
    assert host.phase(guest) is None
