"""ssh into a guest of the lab, with keys that are made for one test: the image has none."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from shlex import quote

from lab.guests import Guest, LabError

# The guest asks nobody for its address: it is the one that NETWORK in guests.py names.
SERVE = """\
set -e
id -u {user} >/dev/null 2>&1 || useradd --create-home --shell /bin/sh {user}
cd /etc/ssh
(umask 077 && printf %s {host_key} >ssh_host_ed25519_key)
printf %s {client_key} >authorized
echo 'AuthorizedKeysFile /etc/ssh/authorized' >sshd_config.d/lab.conf
echo 'PasswordAuthentication no' >>sshd_config.d/lab.conf
for card in /sys/class/net/e*; do
    ip link set "${{card##*/}}" up
    ip address add 10.0.2.15/24 dev "${{card##*/}}"
done
systemctl start ssh.service
"""


def free_port() -> int:
    """Of 127.0.0.1; nobody else has it now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def serve_ssh(guest: Guest, port: int, folder: Path, user: str) -> list[str]:
    """The options of an ssh that logs on there as `user`, who is made where there is none.
    `port`: what the guest was defined with. The keys lie in `folder`. Raises LabError."""
    folder.mkdir()
    host_key, client_key, known = folder / "host", folder / "client", folder / "known_hosts"
    for key in (host_key, client_key):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key.name, "-f", str(key)]
        subprocess.run(words, check=True)
    known.write_text(f"[127.0.0.1]:{port} {public(host_key)}")
    done = guest.run(
        SERVE.format(
            user=quote(user),
            host_key=quote(host_key.read_text()),
            client_key=quote(public(client_key)),
        )
    )
    if done.code:
        raise LabError(done.stderr)
    trust = ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
    return ["-F", "none", "-p", str(port), "-i", str(client_key), "-o", "BatchMode=yes", *trust]


def public(key: Path) -> str:
    return key.with_suffix(".pub").read_text()
