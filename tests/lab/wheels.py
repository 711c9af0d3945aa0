"""What pip fetches for Guestwake's host program, kept in `.cache/lab` for hosts without a network.

    python -m lab.wheels      fetch it if it is not there, print where it is

Not the binding of libvirt: each distribution has its own, and of it there is no wheel.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from lab.image import CACHE, PROJECT
from lab.steps import StepFailed, Steps

PYTHON = "3.11"  # of the lab's hosts
NEEDED_BY_THOSE = ("cffi", "pycparser")
PIPX_WANTS = ("pip", "setuptools", "wheel")
THERE = ("libvirt-python",)

STEPS = Steps("wheels", CACHE / "wheels.log")


def built_wheel(folder: Path) -> Path:
    """Of this checkout, as `make wheel` builds it. Raises StepFailed."""
    STEPS.run("building ours", [sys.executable, str(PROJECT / "tools" / "wheel"), str(folder)])
    (wheel,) = folder.glob("guestwake-*.whl")
    return wheel


def fetched_wheels() -> Path:
    """The folder of them. Raises StepFailed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "wheels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        versions = PROJECT / "constraints.txt"
        digest = hashlib.sha256(f"{PYTHON} {needed()}".encode() + versions.read_bytes())
        fetched = CACHE / f"wheels-{digest.hexdigest()[:12]}"
        if not fetched.exists():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as name:
                folder = Path(name) / "wheels"
                fetch(folder, versions)
                folder.rename(fetched)
    return fetched


def needed() -> list[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    here = [each for each in project["dependencies"] if "win32" not in each]
    asked = [each.partition(";")[0].strip() for each in here]
    mine = [each for each in asked if re.split(r"[<>=]", each)[0] not in THERE]
    return [*mine, *NEEDED_BY_THOSE, *PIPX_WANTS]


def fetch(folder: Path, versions: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--dest", str(folder), "-c", str(versions)]
    for_hosts = ["--only-binary=:all:", "--no-deps", "--python-version", PYTHON]
    STEPS.run("fetching what pip installs with it", [*pip, *for_hosts, *needed()])


def main() -> int:
    try:
        print(f"wheels: {fetched_wheels()}")
    except (StepFailed, subprocess.SubprocessError) as failure:
        print(f"wheels: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
