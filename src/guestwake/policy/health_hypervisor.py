"""The checks of one hypervisor: does it answer, can it be fast, what does it do by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from guestwake.policy.health_facts import HypervisorSeen, Kvm, Reach, Seen
from guestwake.policy.health_words import Says, as_root, note, ok, problem, warning

_INSTALL = "apt install qemu-system-x86 libvirt-daemon-system"


def reach(seen: Seen, hypervisor: HypervisorSeen) -> Iterator[Says]:
    host = seen.host
    match hypervisor.reach:
        case Reach.OPEN:
            yield ok("It answers.")
        case Reach.NO_ANSWER:
            yield problem(
                "It does not answer; no VM of it can be woken or put back. VMs outlive a restart "
                "of libvirt's daemon.",
                _daemon(seen, hypervisor, "restart"),
            )
        case Reach.NOT_THERE if hypervisor.daemon is None and hypervisor.is_local_qemu:
            yield problem(
                "libvirt or QEMU is not installed; on Debian and Ubuntu this installs both.",
                as_root(host, _INSTALL),
            )
        case Reach.NOT_THERE:
            said = hypervisor.trouble or "it cannot be reached"
            yield problem(f"{said[0].upper()}{said[1:]}.", _daemon(seen, hypervisor, "start"))
        case Reach.NO_LIBRARY:
            yield problem(
                "Python knows no libvirt here. Where Guestwake lies in a virtual environment, that "
                "must have been made with --system-site-packages.",
                as_root(host, "apt install python3-libvirt"),
            )
        case Reach.REFUSED:
            who = host.user or "guestwake"
            then = " After the command log off and on again." if host.user is not None else ""
            yield problem(
                f"It does not let this user change VMs.{then}",
                as_root(host, f"usermod -aG libvirt {who}"),
            )
        case Reach.TAKEN:
            yield note("Another process has it open now; this one could not look at its VMs.")
        case _:
            assert_never(hypervisor.reach)


def _daemon(seen: Seen, hypervisor: HypervisorSeen, verb: str) -> str | None:
    """None: that of a session is no unit, and ends with its last client; nor is one elsewhere."""
    if hypervisor.daemon is None or not hypervisor.is_local_qemu or hypervisor.is_session:
        return None
    return as_root(seen.host, f"systemctl {verb} {hypervisor.daemon}")


def kvm(seen: Seen, hypervisor: HypervisorSeen) -> Iterator[Says]:
    match hypervisor.kvm:
        case Kvm.USABLE:
            yield ok("VMs run with the processor's own virtualization (KVM).")
        case Kvm.FORBIDDEN:
            yield warning(
                "This user may not use /dev/kvm: VMs run many times slower, or not at all. After "
                "the command log off and on again.",
                as_root(seen.host, f"usermod -aG kvm {seen.host.user or 'guestwake'}"),
            )
        case Kvm.MISSING:
            yield note(
                "There is no /dev/kvm: VMs run many times slower, and windows must be longer. Is "
                "virtualization switched on in the firmware?"
            )


def host_shutdown(seen: Seen, hypervisor: HypervisorSeen) -> Iterator[Says]:
    """libvirt 11.2 and later, of a user's own first of all."""
    if hypervisor.restores_at_start:
        where = "~/.config/libvirt" if hypervisor.is_session else "/etc/libvirt"
        as_whom = "tee" if hypervisor.is_session else as_root(seen.host, "tee")
        yield note(
            "libvirt itself saves the VMs that run when the host goes down or you log off, and "
            "starts them again with it: one may then run although nobody wants it to. The command "
            "has it only save them.",
            f"echo 'auto_shutdown_restore = 0' | {as_whom} -a {where}/qemu.conf",
        )
    elif hypervisor.saves_at_shutdown:
        yield ok("libvirt itself saves the VMs that run when the host goes down.")
