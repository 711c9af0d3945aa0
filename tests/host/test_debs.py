"""The Debian packages in a real host: installed, upgraded, removed and purged around real VMs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from served import (
    NO_WINDOWS,
    OF_THE_LAB,
    history,
    looked_after,
    outcomes,
    phase,
    run_unit,
    set_,
    timer_unit,
    wakes,
)

from guestwake_wire import __version__
from lab.guests import Guest
from lab.host import SOURCES, Host
from lab.image import PROJECT

pytestmark = pytest.mark.host

NEXT = "99.0"
STOPPED = 15  # docs/commands.md
HOST_FILES = PROJECT / "src" / "guestwake" / "host_files"
UNITS = "/etc/systemd/system"
AGENTS = "/etc/systemd/user/graphical-session.target.wants"


@pytest.fixture(scope="session")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of this checkout, and of the same one day later."""
    folder = tmp_path_factory.mktemp("debs")
    for words in ([], ["--version", NEXT]):
        command = [sys.executable, str(PROJECT / "tools/deb"), *words, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "tools/bootstrap --deb" in done.stderr:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def bare_host(lab_host_of_session: Host) -> Iterator[Host]:
    """Freshly booted, and nothing of ours in it."""
    host = lab_host_of_session
    if not host.is_on:
        host.renew()
    host.run("umount", str(SOURCES))
    for unit in ("guestwake.service", "guestwake-wake@.service"):
        host.put(f"{UNITS}/{unit}.d/lab.conf", OF_THE_LAB)
    set_(host, *NO_WINDOWS)
    yield host
    host.crash()


def install(host: Host, debs: Path, package: str, version: str = __version__) -> None:
    name = f"{package}_{version}_all.deb"
    command = host.entering("sh", "-c", f"cat >/tmp/{name}")
    with (debs / name).open("rb") as deb:
        subprocess.run(command, stdin=deb, check=True, timeout=60)
    dpkg(host, "--install", f"/tmp/{name}")


def dpkg(host: Host, *words: str) -> str:
    """What it said."""
    words = ("DEBIAN_FRONTEND=noninteractive", "dpkg", *words)
    return host.run("sh", "-ec", 'exec env "$@" 2>&1', "dpkg", *words, timeout=300)


def awake(host: Host, guest: Guest, seconds: float) -> Guest:
    looked_after(host, guest)
    wakes(host, guest, seconds)
    host.wait_until(lambda: phase(host, guest) == "holding")
    return guest


def pid(host: Host, unit: str) -> str:
    return host.run("systemctl", "show", "--value", "--property=MainPID", unit).strip()


def is_active(host: Host, unit: str) -> bool:
    return host.run("systemctl", "is-active", unit, check=False).strip() == "active"


def test_all_of_the_host_is_in_its_package(debs: Path) -> None:
    deb = debs / f"guestwake_{__version__}_all.deb"
    told = subprocess.run(
        ["dpkg-deb", "--contents", deb], capture_output=True, text=True, check=True
    )
    packed = {line.split()[5].lstrip(".") for line in told.stdout.splitlines()}
    files = (one for one in HOST_FILES.rglob("*") if one.is_file())
    wanted = {f"/{one.relative_to(HOST_FILES)}" for one in files}
    wanted = {one.replace("/usr/lib/systemd/system/", "/lib/systemd/system/") for one in wanted}
    wanted |= {
        "/usr/bin/guestwake",
        "/usr/share/man/man1/guestwake.1.gz",
        "/usr/share/bash-completion/completions/guestwake",
        "/usr/share/zsh/vendor-completions/_guestwake",
        "/usr/share/fish/vendor_completions.d/guestwake.fish",
    }
    assert wanted - packed == set()


def test_it_is_upgraded_over_a_window_and_the_run_ends_as_ever(bare_host: Host, debs: Path) -> None:
    guest = bare_host.hibernated_guest("web01")
    install(bare_host, debs, "guestwake")
    for unit in ("guestwake.service", "guestwake-timers.socket"):
        assert is_active(bare_host, unit)
        assert bare_host.run("systemctl", "is-enabled", unit) == "enabled\n"
    assert "libvirt" in bare_host.run("id", "--name", "--groups", "guestwake")
    assert "guestwake-agent" in bare_host.run(
        "ls", "/etc/systemd/user/graphical-session.target.wants"
    )
    assert __version__ in bare_host.run("guestwake", "--version")

    awake(bare_host, guest, 60)
    manager, service = pid(bare_host, run_unit(guest)), pid(bare_host, "guestwake.service")
    install(bare_host, debs, "guestwake", NEXT)
    assert NEXT in bare_host.run("guestwake", "--version")
    assert pid(bare_host, run_unit(guest)) == manager
    assert pid(bare_host, "guestwake.service") not in (service, "0")
    assert phase(bare_host, guest) == "holding"
    assert guest.state() == "running"

    bare_host.wait_until(lambda: outcomes(bare_host, guest) == ["put-back"], seconds=150)
    assert guest.state() == "saved"
    assert bare_host.run("systemctl", "show", "--value", "-pNRestarts", run_unit(guest)) == "0\n"


def test_what_it_woke_is_put_back_before_it_goes(bare_host: Host, debs: Path) -> None:
    hour = f"{datetime.now(UTC) + timedelta(hours=5):%H:%M}"
    set_(bare_host, f'guest_update_time = "{hour}"')
    install(bare_host, debs, "guestwake")
    guests = [bare_host.hibernated_guest(name) for name in ("web01", "web02", "web03")]
    for guest in guests[:2]:
        awake(bare_host, guest, 600)
    looked_after(bare_host, guests[2])
    somebodys = bare_host.begin("guestwake", "wake", "web03", "--duration", "60")
    bare_host.wait_until(lambda: phase(bare_host, guests[2]) == "holding")
    for guest in guests:
        assert bare_host.exists(f"{UNITS}/{timer_unit(guest)}")
    lost = run_unit(guests[1])
    bare_host.run("systemctl", "stop", "guestwake.service")  # or it would start it again
    bare_host.run("sh", "-ec", f"systemctl kill --signal=KILL {lost}; systemctl stop {lost}")
    assert {guest.state() for guest in guests} == {"running"}

    said = dpkg(bare_host, "--remove", "guestwake")
    assert {guest.state() for guest in guests} == {"saved"}, said + bare_host.journal()
    assert somebodys.wait(30) == STOPPED
    assert bare_host.run("sh", "-c", f"find {UNITS} -name '*guestwake-[tw]*.timer'") == ""
    assert bare_host.run("systemctl", "list-units", "--quiet", *ALIVE, "guestwake-[tw]*") == ""

    install(bare_host, debs, "guestwake")  # it is all as it was
    assert is_active(bare_host, "guestwake.service")
    assert [len(history(bare_host, guest)) for guest in guests] == [1, 1, 1]

    policy = "/etc/guestwake/policy.d/company.toml"
    bare_host.put(policy, "guest_update_duration = 30\n")
    dpkg(bare_host, "--purge", "guestwake")
    assert bare_host.run("find", "/etc/guestwake", "-type", "f") == f"{policy}\n"
    bare_host.run("rm", "-r", "/etc/guestwake")
    left = bare_host.run("sh", "-c", LEFT).split()
    assert [path for path in left if not path.startswith(MINE)] == []
    assert {guest.state() for guest in guests} == {"saved"}
    assert all(guest.saved_image.exists() for guest in guests)


ALIVE = ("--state=active,activating,deactivating,failed",)
# What a test or the lab has put there, as an administrator would.
MINE = (
    f"{UNITS}/guestwake.service.d",
    f"{UNITS}/guestwake-wake@.service.d",
)
LEFT = """
find / -xdev -name '*guestwake*' ! -name '*guestwake-lab*' ! -path '/tmp/*' ! -path '/proc/*' \
    ! -path '/var/log/*' ! -path '/usr/lib/guestwake'
find /run -name '*guestwake*' ! -name '*guestwake-lab*' ! -path '/run/systemd/*'
"""


def test_the_guests_package_runs_its_service_also_beside_the_hosts(
    bare_host: Host, debs: Path
) -> None:
    """A VM may have VMs of its own."""
    install(bare_host, debs, "guestwake")
    service, fifo = "guestwake-guest.service", "/run/guestwake/restart-required"
    no_vm = f"[Unit]\nConditionVirtualization=\n{OF_THE_LAB}ProtectProc=default\n"
    bare_host.put(f"{UNITS}/{service}.d/lab.conf", no_vm)
    install(bare_host, debs, "guestwake-guest")
    assert is_active(bare_host, service)
    bare_host.run("sh", "-c", f"echo 'agent 7.2' >{fifo}", user="bert")
    bare_host.wait_until(lambda: "agent 7.2" in asked(bare_host))

    first = pid(bare_host, service)
    install(bare_host, debs, "guestwake-guest", NEXT)
    assert is_active(bare_host, service)
    assert pid(bare_host, service) not in (first, "0")
    assert "agent 7.2" in asked(bare_host)

    dpkg(bare_host, "--purge", "guestwake-guest")
    assert not is_active(bare_host, service)
    assert not bare_host.exists("/usr/bin/guestwake-guest")
    assert not bare_host.exists("/run/guestwake")
    assert is_active(bare_host, "guestwake.service")
    folders = ("/run/guestwake-host", "/var/lib/guestwake")
    told = bare_host.run("stat", "--format=%U %a", *folders)
    assert told == "guestwake 700\n" * 2


def asked(host: Host) -> str:
    """Of the guest's service; that a restart is required is an exit code of its own."""
    return host.run("guestwake-guest", "status", check=False)
