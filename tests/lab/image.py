"""The lab's guest: a small Debian with one pending update, built once and kept in `.cache/lab`.

    python -m lab.image      build it if it is not there (about two minutes), print where it is

Inside: systemd, the guest agent, unattended-upgrades, the Guest Update Service as this checkout
has it, and the package `guestwake-example` at 1.0
with 2.0 in a repository of its own, so that nothing ever needs a network. The repository beside
it (`/srv/guestwake-lab/restart`) holds 2.1, which asks for a restart as real packages do.

The name of the built image is a hash of everything that goes into it; a change builds anew. What
Debian gives is kept apart (`base-…`), so that a change of the service takes seconds. Two builders
wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.steps import StepFailed, Steps

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".cache" / "lab"
RECIPE = Path(__file__).parent / "guest"
SERVICE = CACHE / "guestwake-guest.pyz"

RELEASE = "bookworm"
PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,kmod,libpam-systemd,login,iproute2,linux-image-cloud-amd64,"
    "initramfs-tools,qemu-guest-agent,python3-minimal,unattended-upgrades,"
    # An application with a window of its own, and how it comes to another screen.
    "9menu,openssh-server,xauth"
)
LEFT_OUT = ("doc", "man", "info", "locale")
DISK = "1200M"

EXAMPLE = "guestwake-example"
ASKS_FOR_A_RESTART = f"""\
#!/bin/sh
set -e
echo '*** System restart required ***' >/run/reboot-required
echo {EXAMPLE} >>/run/reboot-required.pkgs
"""


STEPS = Steps("image", CACHE / "image.log")


@dataclass(frozen=True, slots=True)
class Image:
    """A guest to boot directly: its disk is only ever a base of overlays."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "root.qcow2"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"


def image() -> Image:
    """The image, built now if it is not there. Raises StepFailed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        output(sys.executable, str(PROJECT / "tools" / "guest"), str(SERVICE))
        base = CACHE / f"base-{recipe_hash()}"
        service = hashlib.sha256(base.name.encode() + SERVICE.read_bytes()).hexdigest()[:12]
        built = CACHE / f"image-{service}"
        if not built.exists():
            if not base.exists():
                build_base(base)
            build(built, base)
    return Image(built)


def recipe_hash() -> str:
    """Of all but the service."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(RECIPE.rglob("*")):
        if path.is_file():
            digest.update(f"\n{path.relative_to(RECIPE)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def build_base(base: Path) -> None:
    """In a folder beside it, renamed when whole: a half-built one is never seen."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as name:
        work = Path(name)
        (work / "result").mkdir()
        prepare_files(work / "files")
        STEPS.run("making a small Debian guest", bootstrap_command(work), folder=work / "files")
        (work / "root.tar").rename(work / "result" / "root.tar")
        (work / "result").rename(base)


def build(built: Path, base: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as name:
        work = Path(name)
        (work / "result").mkdir()
        STEPS.run("putting it on a disk", disk_command(work, base / "root.tar"))
        (work / "result").rename(built)


def bootstrap_command(work: Path) -> list[str]:
    left_out = (f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT)
    # The hooks run in the folder `files`, so that no path with a space comes near them.
    return [
        *("mmdebstrap", "--variant=apt", f"--include={PACKAGES}", *left_out, *apt_proxies()),
        "--essential-hook=copy-in etc /",
        "--customize-hook=copy-in srv finish /",
        '--customize-hook=chroot "$1" /finish',
        '--customize-hook=rm "$1/finish"',
        *(RELEASE, str(work / "root.tar"), *debian_sources()),
    ]


def disk_command(work: Path, base: Path) -> list[str]:
    """Unpacks as root, or as something like it: files of many owners go onto the disk. Without
    devices, which only the real root can make; the kernel brings its own. The service is put in
    as into any system that does not run."""
    script = """
        cd "$1"
        trap 'rm -rf root disk.raw' EXIT
        mkdir root
        tar --extract --file "$3" --directory root --exclude './dev/*'
        "$4" -IS "$5" install --root root --no-start
        mke2fs -q -t ext4 -d root -E lazy_itable_init=0,lazy_journal_init=0 disk.raw "$2"
        qemu-img convert -O qcow2 disk.raw result/root.qcow2
        cp -L root/vmlinuz root/initrd.img result/
    """
    as_root = [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--map-auto"]
    words = ["disk", str(work), DISK, str(base), sys.executable, str(SERVICE)]
    return [*as_root, "sh", "-ec", script, *words]


# --- where Debian comes from: what this machine's apt is set up for ---


def debian_sources() -> list[str]:
    """Nothing where this machine has no Debian of that release: then mmdebstrap's own."""
    form = "$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(COMPONENT)"
    lines = output("apt-get", "indextargets", "--format", form, "Created-By: Packages").splitlines()
    sources = {
        f"deb {uri} {codename} {component}"
        for origin, codename, uri, component in (line.split("|") for line in lines)
        if origin == "Debian" and codename.startswith(RELEASE)
    }
    return sorted(sources)


def apt_proxies() -> list[str]:
    proxies = output("apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy")
    return [f"--aptopt={line}" for line in proxies.splitlines() if '""' not in line]


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# --- the package with a pending update ---


def prepare_files(files: Path) -> None:
    shutil.copytree(RECIPE, files)
    lab = files / "srv" / "guestwake-lab"
    example_package(lab / "installed", "1.0")
    example_package(lab / "updates", "2.0")
    example_package(lab / "restart", "2.1", postinst=ASKS_FOR_A_RESTART)
    for repository in ("updates", "restart"):
        index(lab / repository)


def example_package(folder: Path, version: str, postinst: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        write(root / "usr/share" / EXAMPLE / "version", f"{version}\n")
        write(
            root / "DEBIAN/control",
            f"Package: {EXAMPLE}\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: Guestwake <guestwake@localhost>\n"
            "Description: something that has a newer version\n",
        )
        if postinst:
            write(root / "DEBIAN/postinst", postinst)
            (root / "DEBIAN/postinst").chmod(0o755)
        folder.mkdir(parents=True, exist_ok=True)
        output("dpkg-deb", "--root-owner-group", "--build", name, str(folder))


def index(repository: Path) -> None:
    """What makes a folder of packages a repository, with the origin that is trusted inside."""
    script = """
        apt-ftparchive packages . >Packages
        apt-ftparchive -o APT::FTPArchive::Release::Origin='Guestwake Lab' release . >../Release
        mv ../Release .
    """
    subprocess.run(["sh", "-ec", script], cwd=repository, check=True)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main(arguments: Iterable[str]) -> int:
    if list(arguments):
        print("usage: python -m lab.image", file=sys.stderr)
        return 2
    try:
        print(f"image: {image().folder}")
    except StepFailed as failure:
        print(f"image: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
