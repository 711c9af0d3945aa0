"""Which guest may speak over TCP, and how it knows this host: pairings, one for a workspace.

A pairing is made once, by a person who carries a token from here into the guest: a secret of that
one guest, and the fingerprint of this host's certificate. The secret is the guest's identity
(contract, section 11); here only its hash is kept. The host's own key is made with the first
pairing and is the one secret that Guestwake keeps: a file that its user alone can read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple

from guestwake.channels.api import PairingError
from guestwake.whole_file import write_whole

SECRET_BYTES: Final = 32
TOKEN_BEGINS: Final = "guestwake1:"
_HOST_FILE = "host.pem"
_FIRST_UNPRIVILEGED = 1024
_OWNER_ALONE = 0o600


class Pairing(NamedTuple):
    """`address`, `port`: where the host listens. `secret_hash`: SHA-256, in hex."""

    address: str
    port: int
    secret_hash: str

    def is_of(self, secret: bytes) -> bool:
        return hmac.compare_digest(_hash(secret), self.secret_hash)


class Pairings:
    """In `folder`, which only its owner can read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def host_file(self) -> Path:
        """Key and certificate, as ssl.SSLContext.load_cert_chain reads them."""
        return self._folder / _HOST_FILE

    def find(self, workspace: str) -> Pairing | None:
        """None: it is not paired. Raises PairingError."""
        path = self._path(workspace)
        try:
            return _pairing_of(json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            ArithmeticError,
            RecursionError,
        ) as err:
            raise PairingError(
                f"{path}: cannot be read as a pairing: {err}. Pair the guest again: 'guestwake "
                "workspace channel add WORKSPACE --tcp ADDRESS:PORT'."
            ) from err

    def make(self, workspace: str, address: str, port: int) -> str:
        """The token for the guest; who was paired before is not heard any more. Raises
        PairingError where another workspace has that place, OSError."""
        place = _place(address, port)
        for other in self._folder.glob("*.json") if self._folder.is_dir() else ():
            taken = None if other.stem == workspace else self.find(other.stem)
            if taken is not None and _place(taken.address, taken.port) == place:
                raise PairingError(
                    f"another workspace's guest is paired at {place}: give this one another port"
                )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fingerprint = self._fingerprint()
        secret = secrets.token_bytes(SECRET_BYTES)
        pairing = Pairing(str(ip_address(address)), port, _hash(secret))
        stored = json.dumps(pairing._asdict()).encode()
        write_whole(self._path(workspace), stored, _OWNER_ALONE)
        text = base64.urlsafe_b64encode(secret + fingerprint).decode().rstrip("=")
        return f"{TOKEN_BEGINS}{text}@{place}"

    def remove(self, workspace: str) -> bool:
        """Whether there was one."""
        try:
            self._path(workspace).unlink()
        except FileNotFoundError:
            return False
        return True

    def _path(self, workspace: str) -> Path:
        return self._folder / f"{workspace}.json"

    def _fingerprint(self) -> bytes:
        """Of this host's certificate, which is made now if there is none."""
        import ssl

        if not self.host_file.exists():
            write_whole(self.host_file, _made_identity(), _OWNER_ALONE)
        certificate = self.host_file.read_text().partition("-----BEGIN CERTIFICATE-----")
        der = ssl.PEM_cert_to_DER_cert("".join(certificate[1:]))
        return hashlib.sha256(der).digest()


def place_of(text: str) -> tuple[str, int]:
    """ "192.0.2.1:26487" or "[2001:db8::1]:26487". Raises PairingError."""
    address, colon, port = text.rpartition(":")
    wrong = f"'{text}' is not ADDRESS:PORT: an IP address of this host that the guest reaches, and"
    wrong += f" a port from {_FIRST_UNPRIVILEGED} to 65535"
    try:
        ip = ip_address(address.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError:
        raise PairingError(wrong) from None
    if not colon or not _FIRST_UNPRIVILEGED <= number <= 65535:
        raise PairingError(wrong)
    if ip.is_unspecified or ip.is_multicast:
        raise PairingError(
            f"'{text}' is no address of one network: name the one of this host on the guest's"
        )
    return str(ip), number


def _pairing_of(told: Any) -> Pairing:
    """Raises ValueError, KeyError, TypeError where it is none that could be listened for."""
    pairing = Pairing(str(ip_address(told["address"])), int(told["port"]), told["secret_hash"])
    if not _FIRST_UNPRIVILEGED <= pairing.port <= 65535:
        raise ValueError(f"a port of {pairing.port}")
    if len(bytes.fromhex(pairing.secret_hash)) != hashlib.sha256().digest_size:
        raise ValueError("a hash of another length")
    return pairing


def _place(address: str, port: int) -> str:
    ip = ip_address(address)
    return f"[{ip}]:{port}" if isinstance(ip, IPv6Address) else f"{ip}:{port}"


def _hash(secret: bytes) -> str:
    """It is as long as the hash and random: nothing slower is needed."""
    return hashlib.sha256(secret).hexdigest()


def _made_identity() -> bytes:
    """A key, and a certificate that it has signed itself: guests know it by its fingerprint, and
    by nothing that it says."""
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Guestwake")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
