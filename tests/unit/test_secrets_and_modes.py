"""What is left on the disk: nothing secret, and nothing that others may write, whatever the umask.

The real command, over libvirt's own test driver, whose VM has a password for its display.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from guestwake.schedulers.systemd_install import packaged

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
SECRETS = ("hunter2-display", "hunter2-shell", "hunter2-disk")
DOMAIN = f"""<node><domain type='test'>
  <name>web01</name><uuid>{UUID}</uuid><memory>8388608</memory><os><type>hvm</type></os>
  <devices>
    <disk type='network' device='disk'>
      <source protocol='iscsi' name='iqn.2013-07.com.example:pool/1'>
        <host name='example.com' port='3260'/>
        <auth username='{SECRETS[2]}'><secret type='iscsi' usage='libvirtiscsi'/></auth>
      </source><target dev='vda'/>
    </disk>
    <graphics type='vnc' port='5901' passwd='{SECRETS[0]}'/>
    <graphics type='spice' passwd='{SECRETS[0]}'/>
  </devices>
</domain></node>
"""
WRITES = (
    "workspace add web01 --uri test://{xml} --system",
    "settings set --machine Splay=5",
    "settings set --policy MaxAwake=3",
    "--log-level debug wake web01 --duration 0.02",
)
TELLS = (
    "publish web01 editor --name Editor --command gedit --guest linux",
    "hold web01 --for 1h --reason demo",
    "status",
    "history",
    "events --happened",
    "settings check",
    "doctor",
)


def run_all(folder: Path, umask: int, commands: Iterable[str]) -> str:
    """All that was said, by a root folder of its own."""
    xml = folder / "node.xml"
    xml.write_text(DOMAIN)
    root = folder / "root"
    root.mkdir()
    program = [sys.executable, "-m", "guestwake.edges.cli", "--root", str(root)]
    environ = {**os.environ, "LIBVIRT_PASSWORD": SECRETS[1], "XDG_RUNTIME_DIR": str(folder)}
    said = []
    for command in commands:
        words = [word.format(xml=xml) for word in command.split()]
        done = subprocess.run(
            [*program, *words],
            capture_output=True,
            text=True,
            env=environ,
            umask=umask,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode != 2, (command, done.stderr)  # a usage error does nothing
        said.append(done.stdout + done.stderr)
    return "\n".join(said)


@pytest.mark.parametrize(
    ("umask", "commands"), [(0o000, (*WRITES, *TELLS)), (0o077, WRITES)], ids=["000", "077"]
)
def test_nothing_that_is_made_is_secret_or_for_others_to_write(
    tmp_path: Path, umask: int, commands: Iterable[str]
) -> None:
    said = run_all(tmp_path, umask, commands)
    made = [path for path in (tmp_path / "root").rglob("*") if not path.is_symlink()]
    names = {path.name for path in made}
    assert {"journal.db", f"{UUID}.json", f"{UUID}.lock", "guestwake.toml", "locks"} <= names

    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in made}
    assert {path: mode for path, mode in modes.items() if mode & 0o022} == {}
    settings = [path for path in made if (tmp_path / "root/etc/guestwake") in (path, *path.parents)]
    assert len(settings) >= 4
    for path in settings:  # for all to read: who asks is told what counts
        assert modes[path] == (0o755 if path.is_dir() else 0o644), path

    kept = [said.encode(), *(path.read_bytes() for path in made if path.is_file())]
    assert [one for one in SECRETS if any(one.encode() in text for text in kept)] == []


def test_no_unit_brings_or_hands_on_a_secret() -> None:
    """Whoever may ask systemd reads a unit's environment."""
    words = ("Environment", "PassEnvironment", "LoadCredential", "SetCredential", "EnvironmentFile")
    found = [(name, line) for name, text in packaged() for line in text.splitlines()]
    assert [one for one in found if one[1].partition("=")[0] in words] == []
    assert any(line.startswith("UMask=0077") for _, line in found)
