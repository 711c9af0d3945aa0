"""The lab's host: a Debian with systemd, logind, polkit and libvirt, built once for `lab.host`.

    python -m lab.host_image      build it if it is not there (about a minute), print where it is

Kept unpacked in `.cache/lab`, as the lower half of overlays; nothing ever writes to it. Python and
the libraries in it are Debian's own, so that the product is also tried with those. The name is a
hash of what goes into it. Only root can unpack and boot it: for others there is none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lab.image import CACHE, LEFT_OUT, RELEASE, apt_proxies, debian_sources
from lab.steps import StepFailed, Steps

RECIPE = Path(__file__).parent / "host_root"
PACKAGES = (
    "systemd,systemd-sysv,dbus,dbus-user-session,polkitd,libpam-systemd,login,passwd,"
    "libvirt-daemon-system,libvirt-clients,qemu-system-x86,qemu-utils,"
    "python3,python3-libvirt,python3-jeepney,python3-dbus-fast,python3-tabulate,python3-tomlkit,"
    "python3-cryptography,python3-watchdog,"
    "pipx,"
    "iproute2,procps,util-linux,tzdata"
)

STEPS = Steps("host image", CACHE / "host-image.log")


def host_image() -> Path:
    """The host's root folder, built now if it is not there. Raises StepFailed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "host-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = CACHE / f"host-{recipe_hash()}"
        if not built.exists():
            build(built)
    return built / "root"


def recipe_hash() -> str:
    digest = hashlib.sha256(f"{RELEASE} {PACKAGES} {LEFT_OUT}".encode())
    for path in sorted(RECIPE.rglob("*")):
        if path.is_file():
            digest.update(f"\n{path.relative_to(RECIPE)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def build(built: Path) -> None:
    """In a folder beside it, renamed when whole: a half-built one is never seen."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as name:
        work = Path(name)
        STEPS.run("making a small Debian host", bootstrap_command(work), folder=RECIPE)
        STEPS.run("unpacking it", unpack_command(work))
        (work / "result").rename(built)


def bootstrap_command(work: Path) -> list[str]:
    left_out = (f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT)
    return [
        *("mmdebstrap", "--variant=apt", f"--include={PACKAGES}", *left_out, *apt_proxies()),
        "--customize-hook=copy-in etc usr finish /",
        '--customize-hook=chroot "$1" /finish',
        '--customize-hook=rm "$1/finish"',
        *(RELEASE, str(work / "root.tar"), *debian_sources()),
    ]


def unpack_command(work: Path) -> list[str]:
    """Without devices: the container brings its own."""
    script = """
        mkdir -p "$1/result/root"
        chmod 755 "$1/result"
        tar --extract --file "$1/root.tar" --directory "$1/result/root" --exclude './dev/*'
        rm "$1/root.tar"
    """
    return ["sh", "-ec", script, "unpack", str(work)]


def main(arguments: Iterable[str]) -> int:
    if list(arguments):
        print("usage: python -m lab.host_image", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("host image: only root can boot a host; its tests will be skipped")
        return 0
    try:
        print(f"host image: {host_image()}")
    except StepFailed as failure:
        print(f"host image: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
