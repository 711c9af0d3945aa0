"""The D-Bus API for tests: a real bus with our own bus policy, the service on it in a thread, and
a polkit that answers by our own policy file. Callers are real: other processes, other users.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import subprocess
import tempfile
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from command_world import MovedClock
from fake_bus import FakeService, bus_daemon

from guestwake.application import Application
from guestwake.edges.dbus_api import Exported, export
from guestwake.edges.dbus_guard import Polkit
from guestwake.edges.dbus_words import MANAGER_PATH, SERVICE, WORKSPACE, path_of
from guestwake.hosts.memory import MemoryHost
from guestwake.hosts.message_bus import connected
from guestwake.hypervisors.api import Hypervisor
from guestwake.paths import Paths
from guestwake.workspaces import Workspace

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
OTHER_UUID = "0c5f6f86-2f0a-4d3e-9c0b-3b1d1f3d7a11"
HOST_FILES = Path(__file__).resolve().parents[2] / "src/guestwake/host_files/usr/share"
POLKIT = "org.freedesktop.PolicyKit1"
ME = pwd.getpwuid(os.geteuid()).pw_name
# Root asks as an ordinary user, whom polkit is asked about; anybody else is one.
CALLER = "nobody" if os.geteuid() == 0 else ME

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <allow send_destination="{polkit}"/>
  </policy>
  <policy user="{me}">
    <allow own="{polkit}"/>
    <allow own="{service}"/>
  </policy>
  <include>{policy}</include>
</busconfig>
"""


@dataclass
class FakePolkit:
    """Decides by the defaults of our own policy file, as polkit does, for callers who sit at
    `place`. `knows_password`: what comes of asking a person."""

    place: str = "allow_any"  # allow_inactive, allow_active
    knows_password: bool = False
    asked: list[tuple[str, dict[str, str], int]] = field(default_factory=list)

    def service(self) -> FakeService:
        at = ("/org/freedesktop/PolicyKit1/Authority", f"{POLKIT}.Authority")
        methods = {
            (*at, "CheckAuthorization"): self._check,
            (*at, "CancelCheckAuthorization"): lambda _: ("", ()),
        }
        return FakeService(POLKIT, *at, {}, methods=dict(methods))

    def _check(self, body: tuple[Any, ...]) -> tuple[str, tuple[object, ...]] | str:
        (kind, subject), action, details, flags, _ = body
        assert kind == "system-bus-name"
        assert subject["name"][1].startswith(":")
        self.asked.append((action, details, flags))
        says = _defaults().get(action, {}).get(self.place)
        if says is None:
            return f"{POLKIT}.Error.Failed"
        if says in ("yes", "no"):
            return "(bba{ss})", ((says == "yes", False, {}),)
        yes = bool(flags & 1) and self.knows_password
        return "(bba{ss})", ((yes, not yes, {}),)


def _defaults() -> dict[str, dict[str, str]]:
    tree = ElementTree.parse(HOST_FILES / "polkit-1/actions/org.guestwake.policy")
    return {
        action.attrib["id"]: {one.tag: str(one.text) for one in action.iterfind("defaults/*")}
        for action in tree.iterfind("action")
    }


def untouched(uri: str) -> Hypervisor:
    """What reads and wishes must never come to."""
    raise AssertionError(f"{uri} was opened")


@dataclass
class Service:
    """Exported on that bus by a thread of its own."""

    address: str
    application: Application
    on_system_bus: bool = True
    patience: tuple[float, float] = (10.0, 10.0)
    woken: list[tuple[str, timedelta | None]] = field(default_factory=list)
    changes: int = 0

    def __post_init__(self) -> None:
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.exported: Exported | None = None
        self.error: Exception | None = None

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(20)
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)

    def refresh(self) -> None:
        """As the service's pass does."""
        assert self.exported is not None
        asyncio.run_coroutine_threadsafe(self.exported.refresh(), self._loop).result(20)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        async with connected(self.address) as bus:
            try:
                self.exported = await export(
                    bus,
                    self.application,
                    self._wake,
                    on_system_bus=self.on_system_bus,
                    changed=self._changed,
                    guard=Polkit(bus, self.application, patience=self.patience)
                    if self.on_system_bus
                    else None,
                )
            except Exception as err:
                self.error = err
            self._ready.set()
            if self.exported is not None:
                await self._over.wait()
                self.exported.close()

    def _wake(self, workspace: Workspace, length: timedelta | None) -> None:
        self.woken.append((workspace.name, length))

    def _changed(self) -> None:
        self.changes += 1


@dataclass(frozen=True)
class Answer:
    """Of busctl. `data`: the body as its JSON has it."""

    code: int
    data: Any
    error: str


@dataclass
class DbusWorld:
    folder: Path
    address: str
    cleanup: ExitStack
    polkit: FakePolkit = field(default_factory=FakePolkit)
    # What runs on a bus has the machine's own clock, so this one begins where that is.
    clock: MovedClock = field(default_factory=lambda: MovedClock(datetime.now(UTC)))

    def __post_init__(self) -> None:
        self.paths = Paths.under(self.folder / "host", 0)
        self.application = Application(
            self.paths, clock=self.clock, host=MemoryHost(), open_hypervisor=untouched
        )
        with self.application.journal():
            pass  # begun

    def workspace(
        self,
        name: str = "web01",
        uuid: str = UUID,
        *,
        owner: str | None = None,
        age: timedelta = timedelta(days=30),
    ) -> Workspace:
        added = self.clock.now().wall - age
        made = Workspace(name, uuid, "qemu:///system", owner, added, 512, None)
        self.application.workspaces.write(made)
        return made

    def serve(self, *, polkit: bool = True, **how: Any) -> Service:
        if polkit:
            self.fake(self.polkit.service())
        service = Service(self.address, self.application, **how)
        service.start()
        self.cleanup.callback(service.stop)
        return service

    def fake(self, service: FakeService) -> FakeService:
        service.serve(self.address)
        self.cleanup.callback(service.stop)
        return service

    def busctl(self, *words: str, user: str | None = None, json_: bool = True) -> Answer:
        """`user`: who calls; None: who runs the tests."""
        command = ["busctl", f"--address={self.address}", "--timeout=20"]
        command += ["--json=short"] if json_ else []
        other = user if user not in (None, ME) else None
        done = subprocess.run(
            [*command, *words], capture_output=True, text=True, timeout=60, user=other, cwd="/"
        )
        data = json.loads(done.stdout)["data"] if json_ and done.stdout.strip() else done.stdout
        return Answer(done.returncode, data, done.stderr)

    def call(self, *words: str, user: str | None = None, options: Sequence[str] = ()) -> Answer:
        """A method of Manager1."""
        return self.busctl(*options, "call", SERVICE, MANAGER_PATH, SERVICE, *words, user=user)

    def act(
        self, *words: str, user: str | None = CALLER, uuid: str = UUID, asks: bool = False
    ) -> Answer:
        """A method of Workspace1, by an ordinary user. `asks`: a person may be asked."""
        allow = f"--allow-interactive-authorization={'yes' if asks else 'no'}"
        at = (SERVICE, path_of(uuid), WORKSPACE.name)
        return self.busctl(allow, "call", *at, *words, user=user)

    def property(self, name: str, uuid: str = UUID) -> Any:
        at = (SERVICE, path_of(uuid), WORKSPACE.name)
        answer = self.busctl("get-property", *at, name, user=CALLER)
        assert answer.code == 0, answer.error
        return answer.data


@contextmanager
def dbus_world() -> Iterator[DbusWorld]:
    # Not below pytest's own folder, which other users may not enter.
    with tempfile.TemporaryDirectory(prefix="guestwake-bus-") as made, ExitStack() as cleanup:
        folder = Path(made)
        folder.chmod(0o755)
        yield DbusWorld(folder, cleanup.enter_context(system_bus(folder)), cleanup)


@contextmanager
def system_bus(folder: Path) -> Iterator[str]:
    """The address of a bus in `folder`, with our own policy."""
    policy = HOST_FILES / f"dbus-1/system.d/{SERVICE}.conf"
    config = folder / "bus.conf"
    config.write_text(
        CONFIG.format(folder=folder, me=ME, polkit=POLKIT, service=SERVICE, policy=policy)
    )
    with bus_daemon(config) as (_, address):
        yield address
