"""Faults that others had where a host listens to its guests, each as a test that bears its number.

Those of libvirt are about its agent and its monitor; ours are the channel of the Guest Update
Service, its reader process, and qemu-guest-agent, which is asked through libvirt. The sentence
below a name says what went wrong there.
"""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guestwake import application
from guestwake.channels.api import CHUNK_BYTES_MAX
from guestwake.channels.parser import Parser
from guestwake.channels.reading import ReaderProcess
from guestwake.edges.call import REPORTING
from guestwake.edges.cli import main
from guestwake.edges.live import Live
from guestwake.edges.text import complain, printable, table
from guestwake.hypervisors.api import HypervisorError, Vm
from guestwake.hypervisors.memory import Guest
from guestwake.paths import Paths
from guestwake.policy.words import Power
from guestwake_wire.framing import FRAME_BYTES_MAX
from guestwake_wire.messages import BadMessage, Report, clean, decode, encode
from unit.command_world import CommandWorld

VM = Vm("6695eb01-f6a4-8304-79aa-97f2502e193f", "web01")
HONEST = Report(1, 1795575600, "boot", "agent", "os", "kernel", busy=True)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandWorld:
    return CommandWorld(tmp_path, capsys)


# -- the channel


def test_cve_2018_1064_an_endless_line_takes_no_memory() -> None:
    """libvirt read from the agent until a line feed came, and none did."""
    parser = Parser()
    tracemalloc.start()
    try:
        for begin in (b"", b"\x1e", b'\x1e{"type":"report","os":"'):
            parser.feed(begin)
            for _ in range(500):
                parser.feed(b"x" * CHUNK_BYTES_MAX)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < CHUNK_BYTES_MAX + 4 * FRAME_BYTES_MAX
    assert parser.feed(encode(HONEST)).report == HONEST


def test_cve_2019_20485_a_silent_guest_holds_nobody_up() -> None:
    """libvirt held a lock while it waited for the agent's answer."""
    reader = ReaderProcess()
    try:
        for silent in range(50):
            reader.parse(silent, encode(HONEST)[:40])  # and never the rest
        heard = reader.parse(99, encode(HONEST))
    finally:
        reader.close()
    assert heard.report == HONEST


def test_cve_2019_20485_a_run_goes_on_beside_an_agent_that_is_silent(world: CommandWorld) -> None:
    world.vm("web01")
    world.vm("web02")
    guest_of(world, "web01").agent = False
    assert world.run("wake", "web01", "--duration", "30") == 0
    assert world.run("wake", "web02", "--duration", "30") == 0
    assert world.power("web01") is world.power("web02") is Power.SAVED


# -- the agent's answers


def guest_of(world: CommandWorld, name: str) -> Guest:
    (it,) = (it for it in world.machine.all() if it.name == name)
    return it.guest


def without_agent(guest: Guest) -> None:
    guest.agent = False


def without_an_answer(guest: Guest) -> None:
    guest.answers.clear()


@pytest.mark.parametrize("how", [without_agent, without_an_answer])
def test_cve_2019_3840_and_cve_2013_4154_no_agent_and_no_reply(
    how: Callable[[Guest], None], world: CommandWorld
) -> None:
    """libvirt followed a pointer to an agent, and to a reply, that was not there."""
    world.vm("web01")
    how(guest_of(world, "web01"))
    assert world.run("wake", "web01", "--duration", "30") == 0
    assert world.power("web01") is Power.SAVED


MALFORMED = [
    *("", " ", "nonsense", "null", "true", "1", '"return"', "[]", '["return"]', "{}"),
    *('{"return"', '{"error":{}}', '{"Return":1}', "{'return': 1}", '{"return":1}}', "\0", "\x1e"),
    *("[" * 100_000, '{"return":' * 50_000, '{"return":' + "9" * 5000 + "}", "x" * (2 << 20)),
]


@pytest.mark.parametrize("answer", MALFORMED, ids=range(len(MALFORMED)))
def test_cve_2013_4153_a_malformed_reply_is_an_error_of_ours(answer: str) -> None:
    """libvirt freed memory that a reply of the wrong shape had never had."""
    libvirt = pytest.importorskip("guestwake.hypervisors.libvirt")
    with pytest.raises(HypervisorError) as caught:
        libvirt._agent_value(VM, answer)
    assert len(str(caught.value)) < 200


def test_cve_2013_4153_a_reply_that_is_no_text_is_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """libvirt's binding decodes as UTF-8 whatever it is given."""
    libvirt = pytest.importorskip("guestwake.hypervisors.libvirt")
    monkeypatch.setattr(libvirt.libvirt_qemu, "qemuAgentCommand", lambda *_: b"\xff".decode())
    driver = libvirt.connect("test:///default")
    with pytest.raises(HypervisorError, match="no text"):
        driver.ask_agent(driver.find("test"), "guest-info")
    driver.close()


@pytest.mark.parametrize("value", [None, [[]], {"pid": "rm"}])
def test_cve_2013_4153_a_reply_of_the_wrong_type_changes_nothing(
    value: Any, world: CommandWorld
) -> None:
    world.vm("web01")
    for command in ("guest-exec", "guest-exec-status", "guest-info", "guest-get-users"):
        guest_of(world, "web01").answers[command] = value
    assert world.run("wake", "web01", "--duration", "30") == 0
    assert world.power("web01") is Power.SAVED


# -- who only looks

WORDS = [
    *(["status"], ["status", "web01"], ["plan"], ["plan", "web01", "--days", "3"], ["history"]),
    *(["events"], ["workspace", "list"], ["settings", "show"], ["settings", "check"]),
    *(["applications"], ["applications", "web01"]),
]


def exploding(*_: object) -> Any:
    raise AssertionError("who only looks has opened something")


def test_every_command_that_reports_is_tried() -> None:
    tried = {" ".join(words).partition(" web01")[0] for words in WORDS}
    assert tried == set(REPORTING)


def test_cve_2016_10746_and_cve_2019_3886_who_only_looks_reaches_no_guest(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt let read-only callers ask the agent in the guest."""
    world.vm("web01")
    assert world.run("wake", "web01", "--duration", "30") == 0
    monkeypatch.setattr(application, "_open_hypervisor", exploding)
    monkeypatch.setattr(ReaderProcess, "parse", exploding)
    monkeypatch.setattr(world.machine, "check", exploding)  # each question to a driver asks it

    def build(paths: Paths) -> application.Application:
        return application.Application(paths, open_hypervisor=exploding)

    for words in WORDS:
        assert main(["--root", str(world.root), *words], build=build) == 0, words
        assert world.run(*words) == 0, words


def test_cve_2016_10746_who_only_looks_has_not_even_the_code(world: CommandWorld) -> None:
    world.vm("web01")
    program = (
        "import sys\n"
        "from guestwake.edges.cli import main\n"
        f"for words in {WORDS!r}:\n"
        f"    assert main(['--root', {str(world.root)!r}, *words]) == 0\n"
        "loaded = [name for name in sys.modules if name.startswith((\n"
        "    'libvirt', 'guestwake.hypervisors.libvirt', 'guestwake.hypervisors.memory',\n"
        "    'guestwake.channels.read', 'guestwake.channels.lib', 'guestwake.conversation'))]\n"
        "assert loaded == [], loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


# -- what guests say in logs and on terminals

EVIL = {
    "a forged line": "all well\nguestwake: warning: host will be erased",
    "a carriage return": "bad\rgood",
    "colours and a moved cursor": "\x1b[2K\x1b[1Aerased\x1b[31m",
    "a window's title": "\x1b]0;owned\x07",
    "one byte of an escape": "\x9b31m",
    "right to left": "txt.\u202egpj",
    "nothing to be seen": "a\u200b\u2066b\ufeff",
    "other lines": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "lone surrogates": "a\ud800b\udc80",
    "backspaces": "evil\b\b\b\bgood",
}
PERCENT = "%s%s%n %(levelname)s {0} {self}"


def is_one_plain_line(text: str) -> bool:
    return text.isprintable() and len(text.splitlines()) <= 1


@pytest.mark.parametrize("name", EVIL)
def test_qsb_087_a_guests_text_is_cleaned_or_refused(name: str) -> None:
    """Qubes wrote what a guest said into its log as it came."""
    assert is_one_plain_line(clean(EVIL[name]))
    with pytest.raises(BadMessage) as caught:
        decode(encode(HONEST._replace(os=EVIL[name]))[1:-1])
    assert is_one_plain_line(str(caught.value))
    assert encode(HONEST._replace(os=clean(EVIL[name])))


@pytest.mark.parametrize("text", [*EVIL.values(), PERCENT], ids=[*EVIL, "percent signs"])
def test_qsb_087_no_line_of_the_log_is_forged(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_one_plain_line(printable(text))
    out = io.StringIO()
    log, handler = logging.getLogger("guestwake.of.this.test"), Live(out)
    log.propagate = False
    log.addHandler(handler)
    log.warning("guest of '%s' said '%s'", text, text)
    log.removeHandler(handler)
    assert out.getvalue().count("\n") == 1
    assert is_one_plain_line(out.getvalue()[:-1])
    assert out.getvalue().startswith("guestwake: warning: guest of '")
    complain(text)
    assert is_one_plain_line(capsys.readouterr().err[:-1])
    shown = table(["what"], [[text], ["next"]])
    assert len(shown.splitlines()) == 4
    assert all(map(is_one_plain_line, shown.split("\n")))


def test_qsb_087_percent_signs_are_only_that() -> None:
    assert clean(PERCENT) == PERCENT == printable(PERCENT)
    assert decode(encode(HONEST._replace(os=PERCENT))[1:-1]) == HONEST._replace(os=PERCENT)
