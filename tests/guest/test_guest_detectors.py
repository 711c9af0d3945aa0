"""Who says that a restart is required, and who must not."""

from __future__ import annotations

from types import ModuleType

import pytest
from guest_scene import BOOT, KERNEL, Guest

from guestwake_guest.detectors import (
    DETECTORS,
    dnf,
    esd,
    install_on_shutdown,
    needrestart,
    offline_update,
    reboot_required,
    running_kernel,
    zypper,
)
from guestwake_guest.look import Looker
from guestwake_guest.view import Finding, Unclear
from guestwake_wire.messages import NAME_MAX, Reason, Strength


def found(guest: Guest, detector: ModuleType) -> Finding:
    """What it says once its command, if it asks one, has answered."""
    detector.find(guest.view())
    guest.hears_answers()
    finding: Finding = detector.find(guest.view())
    return finding


def test_sources_are_stable_words_that_fit() -> None:
    sources = [detector.SOURCE for detector in DETECTORS]
    assert sources == [
        *("reboot-required", "offline-update", "dnf", "zypper", "needrestart"),
        *("running-kernel", "installs-on-shutdown", "esd-signal"),
    ]
    assert all(len(source) <= NAME_MAX for source in sources)


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_plain_guest_needs_nothing(guest: Guest, detector: ModuleType) -> None:
    assert found(guest, detector) is None


# --- Debian's file ---


def test_a_package_asks_for_a_restart(guest: Guest) -> None:
    guest.write("/run/reboot-required", "*** System restart required ***\n", age=60)
    guest.write("/run/reboot-required.pkgs", "linux-image-amd64\nlibc6\nlibc6\n")
    text = "asked for by linux-image-amd64, libc6"
    assert found(guest, reboot_required) == Reason("reboot-required", Strength.STRONG, 60, text)


def test_a_file_is_no_older_than_the_boot(guest: Guest) -> None:
    guest.write("/run/reboot-required", age=60)
    guest.clock_is_set(86400)
    reason = found(guest, reboot_required)
    assert isinstance(reason, Reason)
    assert reason.since == int(guest.elapsed)


def test_a_prepared_offline_update_waits_for_a_restart(guest: Guest) -> None:
    guest.path("/system-update").symlink_to("var/lib/not-there")
    reason = found(guest, offline_update)
    assert isinstance(reason, Reason)
    assert reason.strength is Strength.STRONG


# --- dnf ---


def test_dnf_says_yes(guest: Guest) -> None:
    guest.says("/usr/bin/dnf", "dnf-yes.txt", code=1)
    text = "newer than the boot: glibc, kernel, kernel-core"
    assert found(guest, dnf) == Reason("dnf", Strength.STRONG, None, text)


@pytest.mark.parametrize(
    ("recorded", "code"), [("dnf-no.txt", 0), ("dnf-no-plugin.txt", 1), ("dnf-yes.txt", 0)]
)
def test_dnf_says_no_yes(guest: Guest, recorded: str, code: int) -> None:
    guest.says("/usr/bin/dnf", recorded, code)
    assert found(guest, dnf) is Unclear.CANNOT_TELL


def test_dnf_is_asked_again_only_when_packages_have_changed(guest: Guest) -> None:
    guest.says("/usr/bin/dnf", "dnf-no.txt")
    guest.write("/var/lib/rpm/rpmdb.sqlite", "packages")
    found(guest, dnf)
    guest.passes(86400)
    found(guest, dnf)
    assert len(guest.calls("/usr/bin/dnf")) == 1
    guest.write("/var/lib/rpm/rpmdb.sqlite", "other packages")
    found(guest, dnf)
    assert len(guest.calls("/usr/bin/dnf")) == 2


def test_dnf_is_not_asked_while_packages_change(guest: Guest) -> None:
    guest.says("/usr/bin/dnf", "dnf-yes.txt", code=1)
    guest.questions.busy = True
    assert found(guest, dnf) is Unclear.CANNOT_TELL
    assert guest.calls("/usr/bin/dnf") == []


def test_dnf_does_not_take_its_yes_back_when_the_clock_is_set(guest: Guest) -> None:
    """It reckons the time of the boot by the wall clock."""
    looker = Looker(guest.system, guest.children)
    guest.says("/usr/bin/dnf", "dnf-yes.txt", code=1)
    looker.look()
    guest.hears_answers()
    guest.says("/usr/bin/dnf", "dnf-no.txt")
    guest.write("/var/lib/rpm/rpmdb.sqlite", "other packages")
    guest.passes(3600)
    looker.look()
    guest.hears_answers()
    assert [reason.source for reason in looker.look().restart] == ["dnf"]


# --- zypper, needrestart ---


@pytest.mark.parametrize(("recorded", "code"), [("zypper-yes.txt", 102), ("zypper-no.txt", 0)])
def test_zypper_says_it_by_its_exit_code(guest: Guest, recorded: str, code: int) -> None:
    guest.says("/usr/bin/zypper", recorded, code)
    assert isinstance(found(guest, zypper), Reason) == (code == 102)


def test_zypper_that_fails_cannot_tell(guest: Guest) -> None:
    guest.says("/usr/bin/zypper", "zypper-no.txt", code=7)  # ZYPPER_EXIT_ZYPP_LOCKED
    assert found(guest, zypper) is Unclear.CANNOT_TELL


@pytest.mark.parametrize("status", ["2", "3"])
def test_needrestart_expects_another_kernel(guest: Guest, status: str) -> None:
    guest.says("/usr/sbin/needrestart", f"needrestart-{status}.txt")
    reason = found(guest, needrestart)
    assert isinstance(reason, Reason)
    assert reason.strength is Strength.STRONG
    assert "6.1.0-4" in reason.text


@pytest.mark.parametrize(
    ("recorded", "finding"),
    [
        ("needrestart-1.txt", None),
        ("needrestart-0.txt", Unclear.CANNOT_TELL),
        ("needrestart-container.txt", Unclear.CANNOT_TELL),
    ],
)
def test_needrestart_expects_none(guest: Guest, recorded: str, finding: Finding) -> None:
    guest.says("/usr/sbin/needrestart", recorded)
    assert found(guest, needrestart) is finding


def test_needrestart_looks_at_the_kernel_alone(guest: Guest) -> None:
    """CVE-2024-48990: its scanner trusts paths that users own."""
    guest.says("/usr/sbin/needrestart", "needrestart-1.txt")
    found(guest, needrestart)
    assert guest.calls("/usr/sbin/needrestart") == ["-b -k -r l"]


def test_costly_commands_have_a_unit_of_their_own(guest: Guest) -> None:
    guest.says("/usr/bin/systemd-run", "dnf-no.txt")
    guest.says("/usr/bin/dnf", "dnf-no.txt")
    found(guest, dnf)
    (call,) = guest.calls("/usr/bin/systemd-run")
    assert "--property=PrivateNetwork=yes" in call
    assert "--property=RuntimeMaxSec=120" in call
    assert call.endswith("needs-restarting --reboothint")


# --- the kernel ---


def modules(guest: Guest, *releases: str, loaded: str = "ext4 1 0 - Live 0x0\n") -> None:
    guest.write("/proc/modules", loaded)
    for release in releases:
        guest.write(f"/lib/modules/{release}/modules.dep")


def test_the_running_kernel_was_replaced(guest: Guest) -> None:
    modules(guest, "6.1.0-41-amd64")
    guest.path(f"/lib/modules/{KERNEL}").mkdir()  # what a removal leaves
    reason = found(guest, running_kernel)
    assert isinstance(reason, Reason)
    assert reason.text == f"the modules of {KERNEL} are gone, 6.1.0-41-amd64 is installed"


def test_its_modules_are_there(guest: Guest) -> None:
    modules(guest, KERNEL, "6.1.0-41-amd64")
    assert found(guest, running_kernel) is None


def test_a_kernel_that_has_loaded_none_does_not_miss_them(guest: Guest) -> None:
    modules(guest, "6.1.0-41-amd64", loaded="")
    assert found(guest, running_kernel) is None


def test_a_guest_that_has_no_modules_at_all(guest: Guest) -> None:
    modules(guest)
    assert found(guest, running_kernel) is None


# --- the ESD signal ---


def signalled(guest: Guest, boot: str) -> None:
    text = f'{{"boot_id": "{boot}", "at": {guest.elapsed - 30}, "text": "the agent says so"}}'
    guest.write("/run/guestwake/restart-signal", text)


def test_other_software_has_asked_for_it(guest: Guest) -> None:
    signalled(guest, BOOT)
    reason = Reason("esd-signal", Strength.STRONG, 30, "the agent says so")
    assert found(guest, esd) == reason


def test_a_signal_of_another_boot_was_answered_by_the_restart(guest: Guest) -> None:
    signalled(guest, "another")
    assert found(guest, esd) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"boot_id": 3}', "[" * 5000])
def test_a_damaged_signal_is_none(guest: Guest, text: str) -> None:
    guest.write("/run/guestwake/restart-signal", text)
    assert found(guest, esd) is None


# --- together ---


def test_an_age_is_by_the_clock_that_nobody_sets(guest: Guest) -> None:
    looker = Looker(guest.system, guest.children)
    guest.write("/run/reboot-required", age=60)
    looker.look()
    guest.clock_is_set(8 * 3600)
    guest.passes(10)
    assert [reason.since for reason in looker.look().restart] == [70]


def test_a_detector_that_fails_silences_no_other(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(view: object) -> Finding:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(reboot_required, "find", fails)
    signalled(guest, BOOT)
    looker = Looker(guest.system, guest.children)
    assert [reason.source for reason in looker.look().restart] == ["esd-signal"]


def test_what_is_over_is_said_no_more(guest: Guest) -> None:
    looker = Looker(guest.system, guest.children)
    guest.write("/run/reboot-required")
    assert looker.look().restart
    guest.remove("/run/reboot-required")
    assert not looker.look().restart


# --- a guest that installs as it is shut down ---


@pytest.mark.parametrize(
    ("answer", "strength"), [("AT='true'", Strength.WEAK), ("AT='false'", None), ("", None)]
)
def test_a_guest_that_installs_only_at_shutdown_says_so_and_is_not_restarted(
    guest: Guest, answer: str, strength: Strength | None
) -> None:
    guest.program("/usr/bin/unattended-upgrade", "exit 0")
    guest.program("/usr/bin/apt-config", f'echo "{answer}"')
    finding = found(guest, install_on_shutdown)
    assert (finding.strength if isinstance(finding, Reason) else None) is strength


def test_without_unattended_upgrades_apt_is_not_asked(guest: Guest) -> None:
    guest.program("/usr/bin/apt-config", "echo \"AT='true'\"")
    assert found(guest, install_on_shutdown) is None
