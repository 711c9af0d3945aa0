"""What is read from a domain's definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestwake.hypervisors.libvirt_xml import (
    Display,
    agent_connected,
    disks,
    displays,
    has_agent,
    kept_by,
    mark_element,
    mark_text,
    may_suspend,
    restarts_on_crash,
    why_not_saved,
)


def domain(devices: str = "", rest: str = "") -> str:
    return f"<domain type='kvm'>{rest}<devices>{devices}</devices></domain>"


def test_an_ordinary_vm_can_be_saved() -> None:
    devices = """
      <disk type='file' device='disk'><target dev='vda' bus='virtio'/></disk>
      <interface type='network'><model type='virtio'/></interface>
      <hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>
      <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
      <video><model type='virtio'><acceleration accel3d='no'/></model></video>
      <shmem name='s'><model type='ivshmem-doorbell'/></shmem>
    """
    assert (
        why_not_saved(domain(devices, "<cpu><feature policy='disable' name='invtsc'/></cpu>"))
        is None
    )


@pytest.mark.parametrize(
    ("devices", "says"),
    [
        ("<hostdev mode='subsystem' type='pci'/>", "PCI device"),
        ("<hostdev mode='subsystem' type='mdev'/>", "mediated"),
        ("<interface type='hostdev'/>", "network card"),
        ("<filesystem type='mount'><driver type='virtiofs'/></filesystem>", "virtiofs"),
        ("<filesystem type='mount'/>", "folder"),
        ("<tpm><backend type='passthrough'/></tpm>", "TPM"),
        ("<video><model type='virtio'><acceleration accel3d='yes'/></model></video>", "3D"),
    ],
)
def test_a_device_that_forbids_it_is_named(devices: str, says: str) -> None:
    assert says in (why_not_saved(domain(devices)) or "")


def test_what_forbids_it_may_lie_outside_the_devices() -> None:
    assert "encrypted" in (why_not_saved(domain(rest="<launchSecurity type='sev'/>")) or "")
    cpu = "<cpu><feature policy='require' name='invtsc'/></cpu>"
    assert "invtsc" in (why_not_saved(domain(rest=cpu)) or "")


def test_the_agents_channel_and_whether_somebody_holds_it() -> None:
    def channel(name: str, state: str = "") -> str:
        return domain(
            f"<channel type='unix'><target type='virtio' name='{name}'{state}/></channel>"
        )

    agent = "org.qemu.guest_agent.0"
    assert not has_agent(domain())
    assert not has_agent(channel("com.redhat.spice.0", " state='connected'"))
    assert has_agent(channel(agent))
    assert not agent_connected(channel(agent))
    assert not agent_connected(channel(agent, " state='disconnected'"))
    assert agent_connected(channel(agent, " state='connected'"))


def test_displays_by_port_by_socket_and_neither() -> None:
    graphics = """
      <graphics type='vnc' port='5901' websocket='5701' listen='127.0.0.1'/>
      <graphics type='spice' port='5902' tlsPort='5903' listen='::'/>
      <graphics type='vnc' port='-1' autoport='yes'/>
      <graphics type='vnc' socket='/a'><listen type='socket' socket='/a'/></graphics>
      <graphics type='spice'><listen type='socket' socket='/b'/></graphics>
      <graphics type='spice'><listen type='none'/></graphics>
      <graphics type='sdl'/><graphics type='egl-headless'/>
    """
    assert displays(domain(graphics)) == (
        Display((5901, 5701), None, ipv4_only=True),
        Display((5902, 5903), None),
        Display((), None),
        Display((), "/a"),
        Display((), "/b"),
        Display((), None),
    )


def test_disks_and_sleep() -> None:
    two = "<disk><target dev='vda'/></disk><disk><target dev='sdb'/></disk>"
    assert disks(domain(two)) == ("vda", "sdb")
    assert may_suspend(domain())
    assert may_suspend(domain(rest="<pm><suspend-to-mem enabled='yes'/></pm>"))
    assert not may_suspend(domain(rest="<pm><suspend-to-mem enabled='no'/></pm>"))


def test_what_becomes_of_one_that_panics() -> None:
    assert not restarts_on_crash(domain())
    assert not restarts_on_crash(domain(rest="<on_crash>preserve</on_crash>"))
    assert not restarts_on_crash(domain(rest="<on_crash>coredump-destroy</on_crash>"))
    assert restarts_on_crash(domain(rest="<on_crash>restart</on_crash>"))
    assert restarts_on_crash(domain(rest="<on_crash>coredump-restart</on_crash>"))


# What XML cannot hold at all (control characters, lone surrogates) and what its readers fold
# (carriage returns) no mark of ours has.
texts = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"))


@given(texts)
def test_a_mark_is_read_back_as_it_was_written(text: str) -> None:
    assert mark_text(mark_element(text)) == text


@pytest.mark.parametrize(
    ("inside", "program"),
    [
        ("", None),
        ("<description>a web server</description>", None),
        ("<description>Source: /srv/project/Vagrantfile</description>", "Vagrant"),
        (
            '<metadata><boxes:gnome-boxes xmlns:boxes="https://wiki.gnome.org/Apps/Boxes">'
            "<os-state>installed</os-state></boxes:gnome-boxes></metadata>",
            "GNOME Boxes",
        ),
        ('<metadata><other:thing xmlns:other="urn:x"/></metadata>', None),
    ],
)
def test_another_program_that_keeps_a_vm_is_known_by_its_traces(
    inside: str, program: str | None
) -> None:
    assert kept_by(f"<domain>{inside}</domain>") == program
