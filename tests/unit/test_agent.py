"""The agent in a user's session: our real API on one bus, a notification server on another, and a
person who clicks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from agent_desk import LONG, Desk, quiet, wait_until
from dbus_world import CALLER, ME, OTHER_UUID, UUID, Service, dbus_world
from fake_bus import CONFIG, Bus, bus_daemon
from fake_notifications import DESKTOP, EXPIRED, NAME, PATH, FakeNotifications
from jeepney import (  # type: ignore[import-untyped]  # it carries no types
    DBusAddress,
    HeaderFields,
    MessageFlag,
    new_method_call,
    new_signal,
)
from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

from guestwake.edges.agent import addresses
from guestwake.edges.agent_prompts import Asked, Board, as_text, asked_of, notification
from guestwake.edges.dbus_agent import AgentThere
from guestwake.policy import prompt as prompts
from guestwake.policy.restart import MarkedReason
from guestwake.wishes import Wishes

BOTH = ("restart", "Restart now", "later", "Later")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guestwake.edges.dbus_agent._GATHER", 0.01)
    monkeypatch.setattr("guestwake.edges.dbus_agent._PAUSE", 0.05)


@pytest.fixture
def desk(bus: Bus) -> Iterator[Desk]:
    with dbus_world() as world:
        yield Desk(world, bus)
        bus.cleanup.close()  # the agent first


# asked and answered


def test_an_owner_is_asked_once_and_it_counts_as_seen(desk: Desk) -> None:
    service = desk.begin()
    wait_until(desk.is_shown)
    shown = desk.seen.only()
    assert shown.summary == "Restart 'web01' for its updates?"
    assert "It says: apt: libc6" in shown.body
    assert (shown.actions, shown.urgency, shown.timeout) == (BOTH, 1, 0)
    seen = desk.prompt().seen
    assert seen is not None
    until = datetime.fromtimestamp(int((seen.wall + timedelta(hours=24)).timestamp()), UTC)
    assert f"until {until.astimezone():%a %Y-%m-%d %H:%M}" in shown.body
    for _ in range(3):
        service.refresh()
    quiet(lambda: len(desk.seen.open) == 1)
    assert len(desk.seen.taken) == 2  # with the hour, once that is known
    assert desk.prompt().seen == seen


def test_restart_now_is_agreed_to(desk: Desk) -> None:
    service = desk.begin()
    wait_until(desk.is_shown)
    changes = service.changes
    desk.seen.click("restart")
    wait_until(lambda: desk.prompt().agreed)
    wait_until(lambda: service.changes > changes)  # so that the service passes at once
    quiet(lambda: desk.seen.open == {})


def test_later_puts_it_off_and_it_is_asked_again_in_four_hours(desk: Desk) -> None:
    service = desk.begin()
    wait_until(desk.is_shown)
    desk.seen.click("later")
    wait_until(lambda: desk.prompt().postponed)
    wait_until(desk.running.has_forgotten)
    quiet(lambda: desk.seen.open == {})
    assert desk.prompt().agreed is None
    desk.world.clock.move(prompts.ASK_AGAIN)
    service.refresh()
    wait_until(desk.is_shown)
    assert desk.seen.only().actions == BOTH


@pytest.mark.parametrize("reason", [2, EXPIRED])
def test_one_that_is_closed_without_an_answer_is_none(desk: Desk, reason: int) -> None:
    service = desk.begin()
    wait_until(desk.is_shown)
    before = desk.prompt()
    desk.seen.dismiss(reason)
    service.refresh()
    Wishes(desk.world.application).prompt_seen(desk.world.application.workspaces.find(UUID))
    service.refresh()
    quiet(lambda: desk.seen.open == {})
    assert desk.prompt() == before


def test_the_notice_tells_the_hour_stays_and_cannot_be_put_off(desk: Desk) -> None:
    service = desk.begin()
    wait_until(desk.is_shown)
    desk.seen.dismiss()
    desk.world.clock.move(timedelta(hours=24))
    service.refresh()
    quiet(lambda: desk.seen.open == {})  # the service is about to give it
    now = desk.world.clock.now()
    desk.keep(lambda before: prompts.noticed(before, now))
    service.refresh()
    wait_until(lambda: desk.seen.open)
    notice, at = desk.seen.only(), now.wall + prompts.GRACE
    assert notice.summary == f"'web01' restarts at {at.astimezone():%a %Y-%m-%d %H:%M}"
    assert "cannot be put off any more" in notice.body
    assert notice.actions == ("restart", "Restart now")
    assert (notice.urgency, notice.timeout) == (2, 0)
    desk.world.clock.move(prompts.GRACE)
    service.refresh()
    wait_until(lambda: desk.seen.open == {})  # it is being done


def test_what_was_answered_in_a_terminal_is_asked_no_more(desk: Desk) -> None:
    service = desk.begin()
    wait_until(desk.is_shown)
    Wishes(desk.world.application).agree(desk.world.application.workspaces.find(UUID))
    service.refresh()
    wait_until(lambda: desk.seen.open == {})


def test_what_could_not_be_done_is_said_and_asked_again(desk: Desk) -> None:
    service = desk.begin()
    wait_until(desk.is_shown)
    service.stop()
    desk.seen.click("restart")
    wait_until(lambda: desk.seen.open)
    assert "That did not work" in desk.seen.only().body
    assert desk.prompt().agreed is None
    back = Service(desk.world.address, desk.world.application)
    back.start()
    desk.world.cleanup.callback(back.stop)
    desk.seen.click("restart")
    wait_until(lambda: desk.prompt().agreed)


def test_another_users_workspaces_and_the_systems_are_not_asked_about(desk: Desk) -> None:
    desk.begin(owner="anna")
    desk.world.workspace("db01", OTHER_UUID, owner=None)
    desk.ask(OTHER_UUID)
    quiet(lambda: desk.seen.taken == [])


def test_a_workspace_that_comes_later_is_asked_about(desk: Desk) -> None:
    service = desk.begin()
    wait_until(desk.is_shown)
    desk.world.workspace("db01", OTHER_UUID, owner=ME)
    desk.ask(OTHER_UUID)
    service.refresh()
    wait_until(lambda: len(desk.seen.open) == 2)
    desk.world.application.workspaces.forget(desk.world.application.workspaces.find(UUID))
    service.refresh()
    wait_until(lambda: len(desk.seen.open) == 1)
    assert "db01" in desk.seen.only().summary


# what a guest says


def test_what_a_guest_says_is_text_and_cut(desk: Desk) -> None:
    evil = "<a href='https://example.org'>click</a> & <b>\n\x1b[31m" + "x" * 500
    reasons = tuple(MarkedReason(f"source{count}", evil) for count in range(6))
    desk.begin(reasons=reasons)
    wait_until(desk.is_shown)
    body = desk.seen.only().body
    assert "<" not in body
    assert "\x1b" not in body
    assert "&lt;a href='https://example.org'&gt;click&lt;/a&gt; &amp; &lt;b&gt;" in body
    assert "and 3 more" in body
    assert "source3" not in body
    assert max(map(len, unescape(body).split("\n"))) < 320


def test_a_server_without_markup_gets_plain_text(desk: Desk) -> None:
    desk.seen.can = ("actions", "body")
    desk.begin(reasons=(MarkedReason("apt", "<b>&"),))
    wait_until(desk.is_shown)
    assert "apt: <b>&" in desk.seen.only().body


# the notification server


def test_a_server_without_actions_gets_the_commands(desk: Desk) -> None:
    desk.seen.can = ("body",)
    desk.begin()
    wait_until(desk.is_shown)
    shown = desk.seen.only()
    assert shown.actions == ()
    assert shown.body.endswith("Now: guestwake restart web01\nLater: guestwake postpone web01")


def test_it_is_seen_only_once_the_server_has_taken_it(desk: Desk) -> None:
    desk.seen.may_answer.clear()
    desk.begin()
    assert desk.seen.asked.wait(LONG)
    quiet(lambda: desk.prompt().seen is None)
    desk.seen.may_answer.set()
    wait_until(lambda: desk.prompt().seen)


def test_without_a_server_nobody_has_seen_it_until_there_is_one(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    desk.ask()
    desk.world.serve()
    desk.agent()
    quiet(lambda: desk.prompt().seen is None)
    desk.bus.serve(desk.seen.service)
    wait_until(desk.is_shown)
    assert desk.prompt().seen is not None


def test_a_server_that_refuses_is_asked_again_and_it_is_not_seen_before(desk: Desk) -> None:
    desk.seen.refuses = True
    desk.begin()
    assert desk.seen.asked.wait(LONG)
    quiet(lambda: desk.prompt().seen is None)
    desk.seen.refuses = False
    wait_until(desk.is_shown)


def test_a_server_that_comes_back_is_told_what_still_stands(desk: Desk) -> None:
    desk.begin()
    wait_until(desk.is_shown)
    desk.seen.service.stop()
    again = FakeNotifications()
    desk.bus.serve(again.service)
    wait_until(lambda: again.open)
    assert "put off until" in again.only().body
    again.dismiss()
    quiet(lambda: again.open == {})
    again.service.stop()
    third = FakeNotifications()
    desk.bus.serve(third.service)
    quiet(lambda: third.taken == [])  # its user had closed it


def test_a_click_that_the_server_has_not_told_is_none(desk: Desk) -> None:
    desk.begin()
    wait_until(desk.is_shown)
    (number,) = desk.seen.open
    with open_dbus_connection(desk.bus.address) as stranger:
        emitter = DBusAddress(PATH, interface=NAME)
        stranger.send(new_signal(emitter, "ActionInvoked", "us", (number, "restart")))
        quiet(lambda: desk.prompt().agreed is None)
    for action in ("default", "reboot"):
        desk.seen.service.emit(PATH, NAME, "ActionInvoked", "us", (number, action))
    desk.seen.service.emit(PATH, NAME, "ActionInvoked", "us", (number + 1, "restart"))
    quiet(lambda: desk.prompt().agreed is None)
    assert desk.prompt().postponed is None


# services that come and go


def test_a_service_that_comes_late_or_again_is_heard(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    desk.ask()
    desk.bus.serve(desk.seen.service)
    desk.agent()
    quiet(lambda: desk.seen.taken == [])
    service = desk.world.serve()
    wait_until(desk.is_shown)
    service.stop()
    quiet(lambda: len(desk.seen.open) == 1)
    Wishes(desk.world.application).agree(desk.world.application.workspaces.find(UUID))
    back = Service(desk.world.address, desk.world.application)
    back.start()
    desk.world.cleanup.callback(back.stop)
    wait_until(lambda: desk.seen.open == {})


def test_a_lost_system_bus_is_found_again(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "system"
    (folder / "services").mkdir(parents=True)
    config = folder / "bus.conf"
    config.write_text(CONFIG.format(folder=folder))
    desk.world.workspace(owner=ME)
    desk.ask()
    desk.bus.serve(desk.seen.service)
    desk.world.address = f"unix:path={folder}/bus"
    desk.agent()
    for _ in range(2):
        with bus_daemon(config), ExitStack() as cleanup:
            desk.world.cleanup = cleanup
            desk.world.serve()
            wait_until(desk.is_shown)
            desk.seen.click("later")
            wait_until(lambda: desk.prompt().postponed)
            wait_until(desk.running.has_forgotten)
            quiet(lambda: desk.seen.open == {})
        (folder / "bus").unlink(missing_ok=True)
        desk.world.polkit = type(desk.world.polkit)()
        desk.ask()


def test_a_users_own_service_is_asked_for_on_the_sessions_bus(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    desk.ask()
    own = Service(desk.bus.address, desk.world.application, on_system_bus=False)
    own.start()
    desk.bus.cleanup.callback(own.stop)
    desk.bus.serve(desk.seen.service)
    desk.agent()
    wait_until(desk.is_shown)
    desk.seen.click("later")
    wait_until(lambda: desk.prompt().postponed)


def test_the_service_is_not_started_by_who_only_listens(desk: Desk) -> None:
    folder = desk.bus.folder / "services"
    started = desk.bus.folder / "started"
    (folder / "org.guestwake.Manager1.service").write_text(
        f"[D-BUS Service]\nName=org.guestwake.Manager1\nExec=/usr/bin/touch {started}\n"
    )
    with open_dbus_connection(desk.bus.address) as client:
        daemon = ("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
        reload = new_method_call(DBusAddress(*daemon), "ReloadConfig")
        client.send_and_get_reply(reload, timeout=LONG)
    desk.bus.serve(desk.seen.service)
    desk.agent()
    quiet(lambda: not started.exists())


def test_no_message_of_strangers_puts_it_off_the_bus(desk: Desk) -> None:
    service = desk.begin()
    wait_until(desk.is_shown)
    for address in (desk.bus.address, desk.world.address):
        with open_dbus_connection(address) as stranger:
            emitter = DBusAddress("/org/guestwake/Manager1", interface="org.guestwake.Manager1")
            for number in range(1, 12):
                message = new_signal(emitter, "Changed", "s", ("ä",))
                message.header.flags = MessageFlag(3)
                message.header.fields[HeaderFields.destination] = f":1.{number}"
                stranger.send(message)
    Wishes(desk.world.application).agree(desk.world.application.workspaces.find(UUID))
    service.refresh()
    wait_until(lambda: desk.seen.open == {})


def test_names_are_written_with_all_letters(desk: Desk) -> None:
    desk.world.workspace("büro 日本", owner=ME)
    desk.ask()
    desk.world.serve()
    desk.bus.serve(desk.seen.service)
    desk.agent()
    wait_until(desk.is_shown)
    assert desk.seen.only().summary == "Restart 'büro 日本' for its updates?"


# the agent itself


def test_there_is_one_in_a_session(desk: Desk) -> None:
    desk.begin()
    wait_until(desk.is_shown)
    second = desk.new_agent()
    second.start()
    second.wait()
    assert isinstance(second.error, AgentThere)
    assert len(desk.seen.open) == 1


def test_an_agent_that_ends_takes_its_buttons_with_it(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    desk.ask()
    desk.world.serve()
    desk.bus.serve(desk.seen.service)
    first = desk.agent()
    wait_until(desk.is_shown)
    first.stop()
    wait_until(lambda: desk.seen.open == {})
    desk.agent()
    wait_until(desk.is_shown)


def test_it_ends_with_its_session(desk: Desk) -> None:
    running = desk.agent()
    desk.bus.daemon.kill()
    running.wait()
    assert isinstance(running.error, Exception)  # so that it is started anew with the next


@contextmanager
def _process(
    desk: Desk, *words: str, out: int | None = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    environ = os.environ | {
        "DBUS_SYSTEM_BUS_ADDRESS": desk.world.address,
        "DBUS_SESSION_BUS_ADDRESS": desk.bus.address,
        "XDG_DATA_HOME": str(desk.data),
    }
    command = [sys.executable, "-m", "guestwake.edges.cli", "agent", *words]
    with subprocess.Popen(command, stdout=out, text=True, env=environ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_as_a_process_it_ends_by_a_signal_and_in_order(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    desk.ask()
    desk.world.serve()
    desk.bus.serve(desk.seen.service)
    with _process(desk) as process:
        wait_until(desk.is_shown)
        with _process(desk) as second:
            assert second.wait(LONG) == 4
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 0
    assert desk.seen.open == {}


def test_once_prints_what_is_asked_and_only_a_terminal_counts_as_seen(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    desk.world.serve()
    with _process(desk, "--once") as process:
        assert process.communicate(timeout=LONG)[0] == "Nothing is asked of you.\n"
    desk.ask()
    with _process(desk, "--once") as process:
        said = process.communicate(timeout=LONG)[0]
    assert said.startswith("Restart 'web01' for its updates?\n")
    assert "Later: guestwake postpone web01\n" in said
    assert desk.prompt().seen is None
    ours, theirs = os.openpty()
    with _process(desk, "--once", out=theirs) as process:
        assert process.wait(LONG) == 0
    os.close(theirs)
    assert b"Restart 'web01'" in os.read(ours, 10_000)
    os.close(ours)
    assert desk.prompt().seen is not None


def test_where_there_is_no_session_it_says_so(tmp_path: Path) -> None:
    assert addresses({}) == ("unix:path=/run/dbus/system_bus_socket", None)
    assert addresses({"XDG_RUNTIME_DIR": str(tmp_path)})[1] is None
    (tmp_path / "bus").touch()
    assert addresses({"XDG_RUNTIME_DIR": str(tmp_path)})[1] == f"unix:path={tmp_path}/bus"


# who may say that it was seen


def test_the_owner_says_that_it_was_seen_and_nobody_else(desk: Desk) -> None:
    world = desk.world
    world.workspace(owner=CALLER)
    world.workspace("db01", OTHER_UUID, owner="anna")
    world.serve()
    assert "needs no restart" in world.act("PromptSeen").error
    assert (world.property("RestartPrompt"), world.property("RestartAt")) == ("", 0)
    for uuid in (UUID, OTHER_UUID):
        desk.ask(uuid)
    assert (world.property("RestartPrompt"), world.property("RestartAt")) == ("ask", 0)
    assert world.act("PromptSeen").code == 0
    seen = desk.prompt().seen
    assert seen is not None
    assert world.property("RestartAt") == int(seen.wall.timestamp()) + 86400
    assert "needs an authentication" in world.act("PromptSeen", uuid=OTHER_UUID).error
    assert world.property("RestartAt", OTHER_UUID) == 0


# words

AT = datetime(2026, 11, 26, 9, 5, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
ASKED = Asked("web01", notice=False, at=AT, reasons=("apt: libc6",))
NOTICE = Asked("web 01", notice=True, at=AT, reasons=())


def test_what_is_said_as_text() -> None:
    assert as_text(ASKED, BERLIN) == (
        "Restart 'web01' for its updates?\n"
        "Updates in this virtual machine need a restart of it.\n"
        "Save what is open in it before it restarts.\n"
        "It says: apt: libc6\n"
        "It can be put off until Thu 2026-11-26 10:05.\n"
        "Now: guestwake restart web01\n"
        "Later: guestwake postpone web01"
    )
    assert as_text(NOTICE, BERLIN) == (
        "'web 01' restarts at Thu 2026-11-26 10:05\n"
        "Updates in this virtual machine need it, and it cannot be put off any more.\n"
        "Save what is open in it.\n"
        "At once: guestwake restart 'web 01'"
    )


def test_a_name_is_escaped_and_cut_too() -> None:
    said = notification(Asked("a\x07" * 100, notice=False, at=None, reasons=()), DESKTOP)
    assert said.summary.isprintable()
    assert len(said.summary) < 90


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"Owner": "anna", "RestartPrompt": ""},
        {"Owner": "bert", "RestartPrompt": "ask"},
        {"Owner": "anna", "RestartPrompt": "a word of later versions"},
    ],
)
def test_there_is_nothing_to_see(values: dict[str, object]) -> None:
    assert asked_of(values, "anna") is None


def test_an_hour_that_cannot_be_is_none() -> None:
    values = {"Owner": "anna", "Name": "web01", "RestartPrompt": "ask", "RestartAt": 2**64 - 1}
    assert asked_of(values, "anna") == Asked("web01", notice=False, at=None, reasons=())


def test_a_prompt_that_changes_while_it_is_seen_is_replaced_and_a_notice_is_new() -> None:
    board, key = Board(BERLIN), ("system", "/1")
    board.tell("system", {"/1": ASKED})
    (show,) = board.to_show(DESKTOP)
    board.took(show, 7, ":1.1")
    assert board.to_show(DESKTOP) == []
    later = Asked("web01", notice=False, at=AT + timedelta(hours=1), reasons=())
    board.tell("system", {"/1": later})
    board.tell("session", {})
    assert [(one.key, one.replaces) for one in board.to_show(DESKTOP)] == [(key, 7)]
    board.closed(7, ":1.1")
    assert board.to_show(DESKTOP) == []
    board.tell("system", {"/1": NOTICE})
    (show,) = board.to_show(DESKTOP)
    assert show.replaces == 0
    board.tell("system", {})
    assert board.to_close() == []
    assert board.is_empty
