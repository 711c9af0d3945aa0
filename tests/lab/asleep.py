"""One guest that was booted and hibernated once, kept beside its image, to make copies of.

A saved image holds the definition of its VM as text before the memory. A copy is that file with
the definition of another VM, the same but for name, UUID and paths: libvirt restores it as that.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.image import CACHE, Image

# libvirt's src/qemu/qemu_saveimage.h: magic, version, room for both texts, was running, format,
# offset of the second text ("cookie": what the processor could do), fourteen unused words.
HEADER = struct.Struct("<16s5I56x")


@dataclass(frozen=True, slots=True)
class Sleeper:
    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def memory(self) -> Path:
        return self.folder / "memory.save"

    def write_memory(self, copy: Path, definition: str) -> None:
        """`definition`: of a VM defined just like this one, as `virsh dumpxml --migratable`
        gives it."""
        shutil.copyfile(self.memory, copy)
        with copy.open("r+b") as file:
            magic, version, room, running, form, at = HEADER.unpack(file.read(HEADER.size))
            cookie = file.read(room)[at:].rstrip(b"\0")
            text = definition.encode() + b"\0"
            file.seek(0)
            file.write(HEADER.pack(magic, version, room, running, form, len(text)))
            file.write((text + cookie).ljust(room, b"\0"))
            assert file.tell() == HEADER.size + room, "the definition does not fit"


def sleeper(image: Image, kind: str, make: Callable[[Path], None]) -> Sleeper:
    """The cached one; `make` fills a folder with `disk.qcow2` and `memory.save` if there is none.
    `kind`: whatever a definition depends on; the versions of QEMU and libvirt are added."""
    key = hashlib.sha256(kind.encode() + versions()).hexdigest()[:12]
    # Its disk is an overlay of the image's: the two go together.
    folder = image.folder / f"asleep-{key}"
    if not folder.exists():
        with (CACHE / "asleep.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                with tempfile.TemporaryDirectory(dir=image.folder, prefix="building-") as name:
                    work = Path(name) / "result"
                    work.mkdir()
                    make(work)
                    work.rename(folder)
    return Sleeper(folder)


def versions() -> bytes:
    commands = ["qemu-system-x86_64", "--version"], ["virsh", "--version"]
    return b"".join(subprocess.check_output(command) for command in commands)
