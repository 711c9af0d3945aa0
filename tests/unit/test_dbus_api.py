"""The D-Bus API on a real bus, called by other processes: what it tells, does and refuses."""

from __future__ import annotations

import json
import os
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from command_world import CommandWorld
from dbus_world import (
    CALLER,
    ME,
    OTHER_UUID,
    UUID,
    Answer,
    DbusWorld,
    FakePolkit,
    dbus_world,
)
from fake_bus import Bus
from jeepney import (  # type: ignore[import-untyped]  # it carries no types
    DBusAddress,
    HeaderFields,
    MatchRule,
    MessageType,
    new_method_call,
)
from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]
from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

from guestwake.application import Application
from guestwake.edges.dbus_api import NameTaken
from guestwake.edges.dbus_words import (
    MANAGER,
    MANAGER_OBJECT,
    MANAGER_PATH,
    SERVICE,
    WORKSPACE,
    WORKSPACE_OBJECT,
    path_of,
    uuid_of,
)
from guestwake.hosts.memory import MemoryHost
from guestwake.locks import held
from guestwake.paths import Paths
from guestwake.policy.restart import MarkedReason, RestartMark
from guestwake.policy.run import Kind, Phase, Prior, WakeRun, Why
from guestwake.policy.window import Opening
from guestwake.wishes import Wishes

ROOT = Path(__file__).resolve().parents[2]
PATH = path_of(UUID)


@pytest.fixture
def world() -> Iterator[DbusWorld]:
    with dbus_world() as made:
        yield made


def _hours(count: float) -> timedelta:
    return timedelta(hours=count)


# what it tells


def test_status_is_what_the_command_prints(
    world: DbusWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.workspace(owner=CALLER)
    world.workspace("db01", OTHER_UUID)
    world.serve()
    answer = world.call("Status", user=CALLER)
    assert (answer.code, answer.error) == (0, "")
    command = CommandWorld(world.paths.root or Path(), capsys)
    assert json.loads(answer.data[0]) == command.json("status")
    assert [each["workspace"] for each in command.json("status")] == ["db01", "web01"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("Plan", "s", ""), ("plan",)),
        (("Plan", "s", "web01"), ("plan", "web01")),
        (("History", "su", "", "0"), ("history",)),
        (("Events", "s", ""), ("events", "--happened")),
    ],
)
def test_so_are_the_other_reports(
    world: DbusWorld,
    capsys: pytest.CaptureFixture[str],
    call: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    # New, so that no window was missed: one that is caught up opens now, whenever that is.
    workspace = world.workspace(age=timedelta(0))
    world.workspace("db01", OTHER_UUID, age=timedelta(0))
    run = _run(world, Phase.HOLDING)
    with world.application.journal() as journal:
        journal.tell(workspace.uuid, run.token, Why.PUT_BACK, world.clock.now().wall)
        journal.finish(workspace.uuid, run, Why.PUT_BACK, world.clock.now().wall)
    world.serve()
    answer = world.call(*call, user=CALLER)
    command = CommandWorld(world.paths.root or Path(), capsys)
    assert json.loads(answer.data[0]) == command.json(*words) != []


def test_reports_for_people(world: DbusWorld, capsys: pytest.CaptureFixture[str]) -> None:
    world.workspace()
    world.serve()
    command = CommandWorld(world.paths.root or Path(), capsys)
    for report in ("status", "plan", "history"):
        answer = world.call("Show", "ss", report, "web01", user=CALLER)
        assert command.run(report, "web01") == 0
        assert answer.data[0] + "\n" == command.out


def test_a_workspace_is_an_object_with_typed_properties(world: DbusWorld) -> None:
    workspace = world.workspace(owner="anna")
    now = world.clock.now().wall
    run = _run(world, Phase.HOLDING)
    mark = _mark(world, "linux\x1b[31m")
    with world.application.journal() as journal:
        journal.save(UUID, run, memory=512)
        journal.mark_restart(UUID, mark)
        journal.stand(UUID, Why.NOT_PUT_BACK_REFUSED, now, "disk full")
    service = world.serve()
    answer = world.busctl(
        "call", SERVICE, PATH, "org.freedesktop.DBus.Properties", "GetAll", "s", WORKSPACE.name
    )
    (values,) = answer.data
    assert {name: one["type"] for name, one in values.items()} == {
        one.name: one.signature for one in WORKSPACE.properties
    }
    found = {name: one["data"] for name, one in values.items()}
    assert found["Name"] == "web01"
    assert (found["Uuid"], found["Owner"]) == (UUID, "anna")
    assert (found["Phase"], found["Why"]) == ("holding", "holds")
    assert "disk full" in found["Standing"]
    assert "\x1b" not in str(found)
    assert found["RestartRequired"] is True
    assert found["RestartReasons"] == ["apt: linux\\x1b[31m"]
    assert found["Ends"] == int(run.ends.wall.timestamp())
    assert found["NextOpens"] > now.timestamp()
    assert (found["LastWindow"], found["Paused"]) == (0, False)
    assert world.busctl("get-property", SERVICE, MANAGER_PATH, MANAGER.name, "Workspaces").data == [
        path_of(workspace.uuid)
    ]
    assert service.woken == []


def test_a_running_manager_of_another_process_hinders_no_report(world: DbusWorld) -> None:
    """It may hang at its guest: neither its lock nor its open write holds a reader up."""
    world.workspace()
    world.serve()
    with world.application.journal() as journal, held(world.application.locks / f"{UUID}.lock"):
        journal.save(UUID, _run(world, Phase.HOLDING), memory=512)
        with journal.turn():
            journal.hold(UUID, world.clock.now().wall + _hours(1), "not yet written")
            answer = world.call("Status", user=CALLER)
            assert json.loads(answer.data[0])[0]["run"]["manager_lives"] is True
            assert world.property("Phase") == "holding"


def test_a_property_is_as_it_is_now_and_not_as_it_was_at_the_last_pass(world: DbusWorld) -> None:
    workspace = world.workspace()
    world.serve()
    assert world.property("Paused") is False
    Wishes(world.application).pause(workspace, world.clock.now().wall + _hours(1))
    assert world.property("Paused") is True


def test_introspection_is_the_table(world: DbusWorld) -> None:
    world.workspace()
    world.serve()
    for path, interfaces in ((MANAGER_PATH, MANAGER_OBJECT), (PATH, WORKSPACE_OBJECT)):
        found = {}
        tree = ElementTree.fromstring(_introspect(world, path))
        for interface in tree.iterfind("interface"):
            found[interface.attrib["name"]] = {
                member.attrib["name"]: member.tag for member in interface
            }
        assert found == {
            one.name: {
                **{method.name: "method" for method in one.methods},
                **{signal.name: "signal" for signal in one.signals},
                **{each.name: "property" for each in one.properties},
            }
            for one in interfaces
        }


def test_the_page_shows_the_real_introspection(world: DbusWorld) -> None:
    world.workspace()
    world.serve()
    page = (ROOT / "docs/dbus.md").read_text(encoding="utf-8")
    for path, name in ((MANAGER_PATH, MANAGER.name), (PATH, WORKSPACE.name)):
        xml = _introspect(world, path)
        begin = xml.index(f'  <interface name="{name}">')
        ours = xml[begin : xml.index("  </interface>", begin)]
        assert ours in page


def test_the_tree_is_found_from_its_root(world: DbusWorld) -> None:
    world.workspace()
    world.serve()
    tree = world.busctl("tree", "--list", SERVICE, json_=False).data.split()
    assert {"/", "/org/guestwake", MANAGER_PATH, PATH} <= set(tree)


def test_every_method_is_documented_with_its_action() -> None:
    page = (ROOT / "docs/dbus.md").read_text(encoding="utf-8")
    for interface in (MANAGER, WORKSPACE):
        for method in interface.methods:
            assert method.about in page
            assert method.action is not None
            assert method.action.value in page


@pytest.mark.parametrize("uuid", [UUID, OTHER_UUID])
def test_a_path_tells_its_uuid(uuid: str) -> None:
    assert uuid_of(path_of(uuid)) == uuid
    assert uuid_of(MANAGER_PATH) is None
    assert uuid_of(f"{path_of(uuid)}/more") is None


# what it signals


def test_changes_are_signalled_once(world: DbusWorld) -> None:
    workspace = world.workspace()
    service = world.serve()
    with _Ear(world.address) as ear:
        service.refresh()
        Wishes(world.application).pause(workspace, world.clock.now().wall + _hours(1))
        service.refresh()
        service.refresh()
        world.workspace("db01", OTHER_UUID)
        service.refresh()
        world.application.workspaces.forget(workspace)
        service.refresh()
        heard = ear.heard(until=("InterfacesRemoved", MANAGER_PATH))
    paths = [path_of(OTHER_UUID), PATH]
    changed, added, more, removed = heard[:4]
    assert changed[:2] == ("PropertiesChanged", PATH)
    assert changed[2][0] == WORKSPACE.name
    assert changed[2][1]["Paused"] == ("b", True)
    assert added[0] == "InterfacesAdded"
    assert added[2][0] == path_of(OTHER_UUID)
    assert added[2][1][WORKSPACE.name]["Name"] == ("s", "db01")
    assert more == (
        "PropertiesChanged",
        MANAGER_PATH,
        (MANAGER.name, {"Workspaces": ("ao", paths)}, []),
    )
    assert removed == ("InterfacesRemoved", MANAGER_PATH, (PATH, [WORKSPACE.name]))


def test_a_workspace_whose_file_is_damaged_hides_no_other(world: DbusWorld) -> None:
    world.workspace()
    folder = world.paths.state / "workspaces"
    (folder / f"{OTHER_UUID}.json").write_text("{")
    world.serve()
    assert world.property("Name") == "web01"


# what it does


def test_what_an_owner_wishes_is_done_and_the_service_looks_soon(world: DbusWorld) -> None:
    workspace = world.workspace(owner=CALLER)
    service = world.serve()
    until = str(int((world.clock.now().wall + _hours(2)).timestamp()))
    assert world.act("Hold", "ts", until, "a demo").code == 0
    (status,) = _status(world)
    assert [hold["reason"] for hold in status["holds"]] == ["a demo"]
    assert world.act("Release").data == [1]
    assert world.act("Pause", "t", "0").code == 0
    assert world.property("Paused") is True
    assert world.act("Resume").data == [True]
    assert world.act("Resume").data == [False]
    day, opens, ends = world.act("Skip").data
    assert ends - opens == 240 * 60
    (status,) = _status(world)
    assert status["skipped"] == [day]
    assert world.act("Unskip").data == [day, opens, ends]
    assert world.act("Unskip").data == ["", 0, 0]
    assert world.act("Wake", "u", "0").code == 0
    assert world.act("Wake", "u", "90").code == 0
    assert service.woken == [(workspace.name, None), (workspace.name, _hours(1.5))]
    assert service.changes == 10


def test_a_restart_is_agreed_to_and_postponed(world: DbusWorld) -> None:
    world.workspace(owner=CALLER)
    world.serve()
    refused = world.act("Postpone")
    assert "needs no restart" in refused.error
    now = world.clock.now().wall
    with world.application.journal() as journal:
        journal.mark_restart(UUID, _mark(world))
    (until,) = world.act("Postpone").data
    assert until == pytest.approx(now.timestamp() + 86400, abs=2)
    assert world.act("RestartNow").code == 0
    with world.application.journal(readonly=True) as journal:
        prompt = journal.prompt(UUID)
    assert prompt is not None
    assert prompt.postponed is not None
    assert prompt.agreed is not None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("Wake", "u", "1441"), "out of range"),
        (("Hold", "ts", "1", ""), "has passed"),
        (("Hold", "ts", str(2**64 - 1), ""), "year 9999"),
        (("Hold", "ts", "4102444800", "x" * 201), "200 characters"),
        (("Pause", "t", "1"), "has passed"),
        (("Pause", "s", "1"), "takes 't', not 's'"),
        (("Vanish",), "There is no org.guestwake.Workspace1.Vanish here"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    world: DbusWorld, words: tuple[str, ...], sentence: str
) -> None:
    world.workspace(owner=CALLER)
    service = world.serve()
    answer = world.act(*words)
    assert answer.code != 0
    assert sentence in answer.error
    assert service.changes == 0


def test_an_owner_cannot_fill_the_disk_with_holds(world: DbusWorld) -> None:
    workspace = world.workspace(owner=CALLER)
    now = world.clock.now().wall
    for _ in range(32):
        Wishes(world.application).hold(workspace, now + _hours(1), "")
    world.serve()
    until = str(int((now + _hours(3)).timestamp()))
    assert "32 holds already" in world.act("Hold", "ts", until, "").error
    world.clock.move(_hours(2))
    assert world.act("Hold", "ts", until, "").code == 0
    assert world.act("Release").data == [1]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (("Plan", "s", "nobody"), "NoSuchWorkspace"),
        (("History", "su", "", "1001"), "BadArgument"),
        (("Show", "ss", "secrets", ""), "BadArgument"),
        (("SetSetting", "sss", "", "GuestUpdateTim", "x"), "BadArgument"),
        (("SetSetting", "sss", "nobody", "GuestUpdateTime", "3:30"), "NoSuchWorkspace"),
        (("ClearSetting", "ss", "", "Tim"), "BadArgument"),
    ],
)
def test_an_error_has_a_name(world: DbusWorld, call: tuple[str, ...], name: str) -> None:
    world.workspace()
    world.serve()
    with open_dbus_connection(world.address) as client:
        at = DBusAddress(MANAGER_PATH, bus_name=SERVICE, interface=MANAGER.name)
        method, signature, *body = call
        values = tuple(int(one) if one.isdigit() else one for one in body)
        reply = client.send_and_get_reply(
            new_method_call(at, method, signature, values), timeout=20
        )
    assert f"org.guestwake.Error.{name}" in reply.header.fields.values()


def test_there_is_no_object_for_what_is_no_workspace(world: DbusWorld) -> None:
    world.workspace()
    world.serve()
    assert "There is no object" in world.act("Release", uuid=OTHER_UUID).error


# who may


def test_a_stranger_may_read_but_not_act_without_a_password(world: DbusWorld) -> None:
    world.workspace(owner="anna")
    service = world.serve()
    assert world.call("Status", user=CALLER).code == 0
    for asks in (False, True):
        answer = world.act("Pause", "t", "0", asks=asks)
        assert answer.code != 0
    assert world.property("Paused") is False
    assert service.changes == 0
    assert [(one, flags) for one, _, flags in world.polkit.asked if "act" in one] == [
        ("org.guestwake.act", 0),
        ("org.guestwake.act", 1),
    ]
    world.polkit.knows_password = True
    assert "needs an authentication" in world.act("Pause", "t", "0").error
    assert world.act("Pause", "t", "0", asks=True).code == 0


def test_the_systems_workspaces_are_nobodys_own(world: DbusWorld) -> None:
    world.workspace(owner=None)
    world.serve()
    assert world.act("Release").code != 0
    assert world.polkit.asked[-1] == (
        "org.guestwake.act",
        {"workspace": "web01", "uuid": UUID, "owner": ""},
        0,
    )


@pytest.mark.skipif(ME != "root", reason="only root can be root")
def test_root_is_not_asked_about(world: DbusWorld) -> None:
    world.workspace(owner="anna")
    world.serve()
    assert world.act("Release", user=None).code == 0
    assert world.polkit.asked == []


def test_without_polkit_the_owner_acts_and_all_read(world: DbusWorld) -> None:
    world.workspace(owner=CALLER)
    world.workspace("db01", OTHER_UUID, owner="anna")
    world.serve(polkit=False)
    assert world.call("Status", user=CALLER).code == 0
    assert world.act("Release").code == 0
    assert "polkit does not run" in world.act("Release", uuid=OTHER_UUID).error


# settings


def _set(world: DbusWorld, *words: str, asks: bool = False, user: str | None = CALLER) -> Answer:
    allow = f"--allow-interactive-authorization={'yes' if asks else 'no'}"
    return world.call("SetSetting", "sss", *words, user=user, options=[allow])


def test_a_setting_is_changed_for_who_is_an_administrator(world: DbusWorld) -> None:
    world.workspace(owner=CALLER)  # which makes no difference: the machine's settings are root's
    service = world.serve()
    file = world.paths.config / "guestwake.toml"
    words = ("web01", "guest_update_time", "3:30")
    assert "needs an authentication" in _set(world, *words).error
    assert "refuses 'org.guestwake.settings'" in _set(world, *words, asks=True).error
    assert not file.exists()
    assert service.changes == 0
    details = {"setting": "guest_update_time", "workspace": "web01", "uuid": UUID, "owner": CALLER}
    assert world.polkit.asked[0] == ("org.guestwake.settings", details, 0)

    world.polkit.knows_password = True
    answer = _set(world, *words, asks=True)
    assert answer.code == 0, answer.error
    (told,) = json.loads(answer.data[0])
    assert file.read_text() == '[workspace.web01]\nguest_update_time = "03:30"\n'
    assert (told["name"], told["value"], told["place"]) == ("GuestUpdateTime", "03:30", f"{file}:2")
    assert service.changes == 1  # the next pass is soon
    options = ["--allow-interactive-authorization=yes"]
    cleared = world.call("ClearSetting", "ss", *words[:2], user=CALLER, options=options)
    (told,) = json.loads(cleared.data[0])
    assert (told["before"], told["written"], file.read_text()) == ("03:30", None, "")


def test_a_setting_that_will_not_do_is_refused_whole(world: DbusWorld) -> None:
    world.polkit.knows_password = True
    world.serve()
    file = world.paths.config / "guestwake.toml"
    assert "from 00:00 to 23:59" in _set(world, "", "GuestUpdateTime", "24:00", asks=True).error
    assert "write GuestUpdateTime" in _set(world, "", "GuestUpdateTme", "3:30", asks=True).error
    assert "500 characters" in _set(world, "", "GuestUpdateTime", "3" * 501, asks=True).error
    assert not file.exists()
    file.parent.mkdir(parents=True)
    file.write_text("splay = = 1\n")
    assert "not valid TOML" in _set(world, "", "GuestUpdateTime", "3:30", asks=True).error
    assert file.read_text() == "splay = = 1\n"


def test_without_polkit_settings_are_roots(world: DbusWorld) -> None:
    world.workspace(owner=CALLER)
    world.serve(polkit=False)
    assert "only root may change" in _set(world, "web01", "Splay", "5").error
    if ME == "root":
        assert _set(world, "", "Splay", "5", user=None).code == 0
        assert (world.paths.config / "guestwake.toml").read_text() == "splay = 5\n"


def test_on_a_session_bus_a_setting_is_the_users_own(
    bus: Bus, world: DbusWorld, tmp_path: Path
) -> None:
    folders = (tmp_path / name for name in ("etc", "state", "run"))
    paths = Paths(*folders, os.geteuid(), user=ME, own_config=tmp_path / "own")
    application = Application(paths, clock=world.clock, host=MemoryHost())
    with application.journal():
        pass  # begun
    world.address, world.application = bus.address, application
    world.serve(polkit=False, on_system_bus=False)
    answer = world.call("SetSetting", "sss", "", "GuestUpdateTime", "3:30")
    assert answer.code == 0, answer.error
    assert (tmp_path / "own/guestwake.toml").read_text() == 'guest_update_time = "03:30"\n'
    assert json.loads(answer.data[0])[0]["layer"] == "user"
    assert not paths.config.exists()


def test_a_polkit_that_hangs_delays_no_other_caller(world: DbusWorld) -> None:
    world.workspace(owner="anna")
    fake = FakePolkit().service()
    fake.hangs = True
    world.fake(fake)
    world.serve(polkit=False, patience=(3.0, 3.0))
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(world.act("Release").error))
    slow.start()
    while not fake.asked:
        time.sleep(0.01)
    if ME == "root":
        assert world.call("Status", user=None).code == 0
    assert _introspect(world, MANAGER_PATH)
    assert answers == []
    slow.join()
    assert "polkit did not answer in time" in answers[0]


def test_on_a_session_bus_polkit_is_not_asked(bus: Bus, world: DbusWorld) -> None:
    world.workspace(owner="anna")
    world.address = bus.address
    world.serve(polkit=False, on_system_bus=False)
    assert world.act("Release", user=None).code == 0


def test_who_floods_is_refused(world: DbusWorld) -> None:
    world.workspace(owner="anna")
    fake = FakePolkit().service()
    fake.hangs = True
    world.fake(fake)
    world.serve(polkit=False, patience=(2.0, 2.0))
    with open_dbus_connection(world.address) as client:
        at = DBusAddress(PATH, bus_name=SERVICE, interface=WORKSPACE.name)
        if ME == "root":  # never waits for polkit, so it waits for the disk
            with world.application.journal() as journal, journal.turn():
                _flood(client, at)
        else:
            _flood(client, at)


@pytest.mark.parametrize("flags", [3, 5, 6, 7, 8, 0x80, 0xFF])
def test_no_flags_put_the_service_off_the_bus(world: DbusWorld, flags: int) -> None:
    world.workspace()
    world.serve()
    at = DBusAddress(MANAGER_PATH, bus_name=SERVICE, interface=MANAGER.name)
    _say(world, bytearray(new_method_call(at, "Status").serialise(9)), flags=flags)
    assert world.call("Status", user=CALLER).code == 0


def test_no_unknown_kind_of_message_does(world: DbusWorld) -> None:
    world.workspace()
    world.serve()
    at = DBusAddress(MANAGER_PATH, bus_name=SERVICE, interface=MANAGER.name)
    _say(world, bytearray(new_method_call(at, "Status").serialise(9)), kind=9)
    assert world.call("Status", user=CALLER).code == 0


def test_no_unknown_header_does(world: DbusWorld) -> None:
    world.workspace()
    world.serve()
    at = DBusAddress(MANAGER_PATH, bus_name=SERVICE, interface=MANAGER.name)
    message = new_method_call(at, "Status")
    message.header.fields[HeaderFields.unix_fds] = 0
    data = bytearray(message.serialise(9))
    data[data.index(bytes([HeaderFields.unix_fds.value, 1, ord("u"), 0]))] = 77
    _say(world, data)
    assert world.call("Status", user=CALLER).code == 0


def test_no_strange_body_does(world: DbusWorld) -> None:
    world.workspace()
    world.serve()
    at = DBusAddress(MANAGER_PATH, bus_name=SERVICE, interface=MANAGER.name)
    deep: Any = ("s", "x")
    for _ in range(30):
        deep = ("v", deep)
    for signature, body in (
        ("v", (deep,)),
        ("a{sv}(ybnqiuxtdog)ah", ({"": ("s", "")}, (1, True, 1, 1, 1, 1, 1, 1, 0.5, "/", "s"), [])),
        ("a" * 31 + "(y)", (_nested(31),)),
        ("s", ("\U0010ffff",)),
    ):
        _say(world, bytearray(new_method_call(at, "Plan", signature, body).serialise(9)))
    assert world.call("Status", user=CALLER).code == 0


def _nested(depth: int) -> list[Any]:
    return [_nested(depth - 1)] if depth > 1 else []


def _say(
    world: DbusWorld, data: bytearray, *, flags: int | None = None, kind: int | None = None
) -> None:
    """The bytes as they are; returns when the bus has passed them on, or has hung up on us."""
    data[1] = data[1] if kind is None else kind
    data[2] = data[2] if flags is None else flags
    with open_dbus_connection(world.address) as client:
        client.sock.sendall(data)
        with suppress(OSError):
            client.send_and_get_reply(message_bus.GetId(), timeout=20)


def _flood(client: Any, at: DBusAddress) -> None:
    for _ in range(9):
        client.send(new_method_call(at, "Release"))
    while (answer := client.receive(timeout=20)).header.message_type is not MessageType.error:
        pass  # the bus says hello
    assert "org.guestwake.Error.TooManyCalls" in answer.header.fields.values()


@pytest.mark.skipif(ME != "root", reason="only root can call as another")
def test_only_the_service_may_have_the_name(world: DbusWorld) -> None:
    at = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
    answer = world.busctl("call", *at, "RequestName", "su", SERVICE, "4", user=CALLER)
    assert "Access denied" in answer.error


def test_a_second_service_is_told_so(world: DbusWorld) -> None:
    world.serve()
    with pytest.raises(NameTaken):
        world.serve(polkit=False)


# below


def _run(world: DbusWorld, phase: Phase) -> WakeRun:
    now = world.clock.now()
    ends = now.after(_hours(1))
    opens = now.wall - _hours(1)
    return WakeRun(
        token="a",
        kind=Kind.SCHEDULED,
        chain=(Opening(opens.date(), opens, ends.wall),),
        length=_hours(2),
        ends=ends,
        phase=phase,
        since=now.after(timedelta(0)),
        why=Why.HOLDS,
        prior=Prior.SAVED,
    )


def _mark(world: DbusWorld, text: str = "") -> RestartMark:
    return RestartMark((MarkedReason("apt", text),), world.clock.now().wall, "boot")


def _introspect(world: DbusWorld, path: str) -> str:
    answer = world.busctl(
        "call", SERVICE, path, "org.freedesktop.DBus.Introspectable", "Introspect"
    )
    assert answer.code == 0, answer.error
    return str(answer.data[0])


def _status(world: DbusWorld) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(world.call("Status", user=CALLER).data[0])
    return found


class _Ear:
    """Hears the service's signals."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> _Ear:
        self._connection = open_dbus_connection(self._address)
        rule = MatchRule(type="signal", sender=SERVICE)
        self._connection.send_and_get_reply(message_bus.AddMatch(rule), timeout=20)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def heard(self, until: tuple[str, str]) -> list[tuple[str, str, Any]]:
        found: list[tuple[str, str, Any]] = []
        while not found or found[-1][:2] != until:
            message = self._connection.receive(timeout=20)
            fields = message.header.fields
            path = fields.get(HeaderFields.path, "")
            if path.startswith(MANAGER_PATH):
                found.append((fields[HeaderFields.member], path, message.body))
        return found
