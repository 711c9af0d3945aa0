"""Settings in a registry: its layers, types and workspaces, on any machine. What Windows' own does
is in tests/windows."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from memory_registry import MemoryRegistry

from guestwake.paths import Paths
from guestwake.policy.limits import EVERY_DAY, CloseAction, Limits
from guestwake.reports import Reports
from guestwake.settings import Layer, Layers, Resolved, load, resolve
from guestwake.settings import kept as kept_module
from guestwake.settings.change import Whose, change, unwished, wished
from guestwake.settings.registry import RegistrySource
from guestwake.settings.registry_keys import NUMBERS, RegKey, RegValue, dword, text, texts
from guestwake.settings.registry_users import FOLDER
from guestwake.settings.registry_writer import RegistryWriter, value
from guestwake.settings.source import NotWritten
from guestwake.settings.table import BY_NAME, SETTINGS, Key, Setting
from guestwake.workspaces import Workspace

UUID = "6f3a2f86-0d7e-4a0e-9d0c-0a1b2c3d4e5f"
WEB01 = ("web01", UUID)
ALICE = "S-1-5-21-1-2-3-1001"

MACHINE_POLICY = r"HKLM\SOFTWARE\Policies\Microsoft\MEDV\v2"
USER_POLICY = rf"HKU\{ALICE}\SOFTWARE\Policies\Microsoft\MEDV\v2"
MACHINE = r"HKLM\SOFTWARE\Microsoft\MEDV\v2"
USER = rf"HKU\{ALICE}\SOFTWARE\Microsoft\MEDV\v2"
FROM_THE_STRONGEST = {
    Layer.MACHINE_POLICY: MACHINE_POLICY,
    Layer.USER_POLICY: USER_POLICY,
    Layer.MACHINE: MACHINE,
    Layer.USER: USER,
}
TIME, DURATION, DAYS = "GuestUpdateTime", "GuestUpdateDuration", "GuestUpdateDays"


class Host:
    """A Windows, as far as settings go."""

    def __init__(self, root: Path) -> None:
        self.registry = MemoryRegistry(alice=ALICE)
        self.paths = Paths.under(root, 0)

    def load(self, owner: str | None = "alice") -> Layers:
        return load(self.paths, owner, RegistrySource(self.paths, owner, self.registry))

    def resolve(self, owner: str | None = "alice") -> Resolved:
        return resolve(self.load(owner), WEB01)

    def time(self) -> str:
        return f"{self.resolve().limits.guest_update_time:%H:%M}"

    def problems(self) -> list[str]:
        return [str(each) for each in self.load().problems]

    def remember(self) -> None:
        assert self.load().remember() == ()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def good(name: str) -> RegValue:
    """The default, written out."""
    setting = BY_NAME[name]
    plain = setting.kind.plain(setting.default)
    return value(setting, "Europe/Berlin" if plain is None else plain)


def test_an_empty_registry_gives_the_defaults(host: Host) -> None:
    resolved = host.resolve()
    assert (resolved.limits, resolved.problems) == (Limits(), ())


def test_the_pages_key_and_values(host: Host) -> None:
    host.registry.write(r"HKLM\Software\Microsoft\MEDV\v2\VM", text(TIME, "03:30"))
    host.registry.write(r"HKLM\Software\Microsoft\MEDV\v2\VM", dword(DURATION, 90))
    resolved = host.resolve()
    assert resolved.limits.guest_update_time == time(3, 30)
    assert resolved.limits.guest_update_duration == timedelta(minutes=90)
    assert str(resolved.origins[TIME]) == r"machine, HKLM\SOFTWARE\Microsoft\MEDV\v2\VM"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_can_stand_in_its_key(host: Host, setting: Setting) -> None:
    host.registry.write(rf"{MACHINE}\{setting.key}", good(setting.name))
    resolved = host.resolve()
    assert resolved.problems == ()
    assert resolved.origins[setting.name].layer is Layer.MACHINE
    value_now = setting.kind.plain(getattr(resolved.limits, setting.toml))
    assert value(setting, value_now) == good(setting.name)


def test_the_first_layer_that_has_it_wins(host: Host) -> None:
    for hour, root in enumerate(reversed(FROM_THE_STRONGEST.values()), 1):
        host.registry.write(rf"{root}\VM", text(TIME, f"{hour:02}:00"))
        assert host.time() == f"{hour:02}:00"
    for layer, root in FROM_THE_STRONGEST.items():
        assert host.resolve().origins[TIME].layer is layer
        host.registry.remove(rf"{root}\VM")
    assert host.resolve().origins[TIME].layer is Layer.DEFAULT


def test_a_systems_workspace_has_no_user_layers(host: Host) -> None:
    host.registry.write(rf"{USER}\VM", text(TIME, "05:00"))
    host.registry.write(rf"{USER_POLICY}\VM", text(TIME, "06:00"))
    assert host.resolve(owner=None).origins[TIME].layer is Layer.DEFAULT


def test_who_calls_has_ones_own_keys(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path, tmp_path, euid=1, user="alice")
    registry = MemoryRegistry()
    registry.write(r"HKCU\SOFTWARE\Microsoft\MEDV\v2\VM", text(TIME, "05:00"))
    resolved = resolve(load(paths, "alice", RegistrySource(paths, "alice", registry)))
    assert resolved.limits.guest_update_time == time(5)


def test_a_workspace_has_a_subkey_by_name_in_any_case_and_by_uuid(host: Host) -> None:
    host.registry.write(rf"{MACHINE}\VM", text(TIME, "01:00"))
    host.registry.write(rf"{MACHINE}\VM\WEB01", text(TIME, "02:00"))
    assert host.time() == "02:00"
    host.registry.write(rf"{MACHINE}\vm\{UUID.upper()}", text("guestupdatetime", "03:00"))
    assert host.time() == "03:00"
    host.registry.write(rf"{MACHINE}\VM\db", text(TIME, "04:00"))
    assert host.time() == "03:00"
    assert host.problems() == []


@pytest.mark.parametrize(
    "name", ['"; rm -rf $HOME; "', "a 'b' $c;d `e`", "wéb ☃ 机", "%TEMP%", "."]
)
def test_names_of_workspaces_are_only_names(host: Host, name: str) -> None:
    host.registry.write(rf"{MACHINE}\VM\{name}", text(TIME, "02:00"))
    resolved = resolve(host.load(), (name, UUID))
    assert resolved.limits.guest_update_time == time(2)
    assert resolve(host.load(), WEB01).limits.guest_update_time == time(0)


def test_settings_for_a_workspace_that_is_not_there_are_named(written: Host) -> None:
    reports = Reports(written.paths)
    reports.workspaces.write(
        Workspace("Web01", UUID, "test:///", None, datetime.now(UTC), 512, None)
    )
    for name in ("WEB01", UUID.upper(), "Db"):
        written.registry.write(rf"{MACHINE}\VM\{name}", text(TIME, "02:00"))
    assert reports.strangers() == ("db",)


# what is wrong


def multi(name: str, characters: str) -> RegValue:
    return RegValue(name, NUMBERS["REG_MULTI_SZ"], characters.encode("utf-16-le"))


def of_type(kind: str, name: str, data: bytes) -> RegValue:
    return RegValue(name, NUMBERS[kind], data)


NUL = "03:30\0evil\0".encode("utf-16-le")
ODD = "03:30".encode("utf-16-le") + b"\0"
SURROGATE = b"\x00\xd8\x00\x00"

BAD = [
    (text(DURATION, "90"), "it is a REG_SZ; it must be a REG_DWORD, a whole number of minutes"),
    (of_type("REG_QWORD", DURATION, b"\x5a" + bytes(7)), "it is a REG_QWORD; it must be a REG_DW"),
    (of_type("REG_BINARY", DURATION, b"\x5a" + bytes(3)), "it is a REG_BINARY; it must be a REG_D"),
    (of_type("REG_DWORD_BIG_ENDIAN", DURATION, bytes(4)), "it is a REG_DWORD_BIG_ENDIAN; it must"),
    (of_type("REG_NONE", DURATION, b""), "it is a REG_NONE; it must be a REG_DWORD"),
    (RegValue(DURATION, 4711, bytes(4)), "it is a value of type 4711; it must be a REG_DWORD"),
    (of_type("REG_DWORD", DURATION, bytes(3)), "it is a REG_DWORD of 3 bytes instead of 4"),
    (of_type("REG_DWORD", DURATION, b""), "it is a REG_DWORD of 0 bytes instead of 4"),
    (dword(DURATION, 1441), "1441 is out of range; it must be a whole number of minutes from 0 to"),
    (dword(DURATION, 0xFFFFFFFF), "4294967295 is out of range"),
    (dword("WakeHost", 2), "2 will not do; it must be 0 or 1"),
    (text(TIME, "24:00"), '"24:00" will not do; it must be a time of day from 00:00 to 23:59'),
    (text(TIME, ""), '"" will not do; it must be a time of day'),
    (of_type("REG_SZ", TIME, b""), '"" will not do; it must be a time of day'),
    (of_type("REG_EXPAND_SZ", TIME, NUL), "it is a REG_EXPAND_SZ; it must be a REG_SZ, a time of"),
    (of_type("REG_MULTI_SZ", TIME, NUL), "it is a REG_MULTI_SZ; it must be a REG_SZ"),
    (of_type("REG_SZ", TIME, NUL), "it goes on after a NUL, where other programs see its end"),
    (of_type("REG_SZ", TIME, ODD), "it is no valid text (UTF-16)"),
    (of_type("REG_SZ", TIME, SURROGATE), "it is no valid text (UTF-16)"),
    (text("CloseAction", "EXPLODE"), '"EXPLODE" will not do; it must be one of HIBERNATE'),
    (text(DAYS, "Monday"), "it is a REG_SZ; it must be a REG_MULTI_SZ"),
    (texts(DAYS, []), "the list is empty"),
    (texts(DAYS, ["Monday", "Someday"]), '"Someday" is no day of the week'),
    (multi(DAYS, "Monday\0\0Tuesday\0\0"), "it goes on after an empty text"),
    (multi(DAYS, "\0Monday\0\0"), "it goes on after an empty text"),
    (text("TimeZone", "Mars/Olympus"), '"Mars/Olympus" will not do; it must be the IANA name'),
]


@pytest.mark.parametrize(("bad", "says"), BAD)
def test_what_will_not_do_is_told_with_its_path_and_the_next_layer_counts(
    host: Host, bad: RegValue, says: str
) -> None:
    host.registry.write(rf"{USER_POLICY}\VM", bad)
    before = host.resolve()
    assert before.problems[0].place == rf"{USER_POLICY}\VM"
    assert before.problems[0].setting == bad.name
    assert before.problems[0].sentence.startswith(says)
    assert before.origins[bad.name].layer is Layer.DEFAULT
    host.registry.write(rf"{MACHINE}\VM", good(bad.name))
    assert host.resolve().origins[bad.name].layer is Layer.MACHINE


@pytest.mark.parametrize(("bad", "says"), BAD)
def test_in_the_machine_policy_it_lets_no_lower_layer_in(
    host: Host, bad: RegValue, says: str
) -> None:
    host.registry.write(rf"{MACHINE}\VM", good(bad.name))
    host.registry.write(rf"{MACHINE_POLICY}\VM", bad)
    resolved = host.resolve()
    assert resolved.origins[bad.name].layer is Layer.DEFAULT
    assert resolved.problems[0].sentence.startswith(says)
    assert resolved.problems[0].sentence.endswith("(until then the default holds)")


def test_a_bad_value_of_the_policy_keeps_the_last_good_one(host: Host) -> None:
    host.registry.write(rf"{MACHINE_POLICY}\VM", dword(DURATION, 90))
    host.registry.write(rf"{MACHINE}\VM", dword(DURATION, 5))
    host.remember()
    host.registry.write(rf"{MACHINE_POLICY}\VM", text(DURATION, "60"))
    resolved = host.resolve()
    assert resolved.limits.guest_update_duration == timedelta(minutes=90)
    assert resolved.origins[DURATION].stands_in
    host.registry.delete(rf"{MACHINE_POLICY}\VM", DURATION)
    assert host.resolve().limits.guest_update_duration == timedelta(minutes=5)


def test_a_policy_that_cannot_be_read_keeps_all_that_it_last_said(host: Host) -> None:
    host.registry.write(rf"{MACHINE_POLICY}\VM", dword(DURATION, 90))
    host.registry.write(rf"{MACHINE_POLICY}\VM\web01", text(TIME, "02:00"))
    host.remember()
    host.registry.write(rf"{MACHINE}\VM", dword(DURATION, 5))
    for path in (rf"{MACHINE_POLICY}\VM", MACHINE_POLICY):
        host.registry.forbid(path)
        resolved = host.resolve()
        assert resolved.limits.guest_update_duration == timedelta(minutes=90), path
        assert resolved.limits.guest_update_time == time(2), path
        assert "not allowed" in str(resolved.problems), path
        host.registry.allow(path)


def test_unknown_names_are_told_wherever_they_stand(host: Host) -> None:
    write = host.registry.write
    write(rf"{MACHINE}\VM", text("GuestUpdateTme", "03:00"))
    write(rf"{MACHINE}\VM", text("guest_update_time", "03:00"))
    write(rf"{MACHINE}\VM", text("", "03:00"))
    write(rf"{MACHINE}\VM", dword("EventLogLevel", 4))
    write(MACHINE, text(TIME, "03:00"))
    write(rf"{MACHINE}\Fts", dword("UpgradeTimeout", 1))
    write(rf"{MACHINE}\VM\web01\deeper", text(TIME, "03:00"))
    write(rf"{MACHINE}\VM\web01", text("line\nbreak\x1b", "03:00"))
    assert host.time() == "00:00"
    assert sorted(host.problems()) == [
        rf"{MACHINE}: Fts: there is no key of this name; values stand in VM, UserExperience, "
        "Diagnostics",
        rf"{MACHINE}: GuestUpdateTime: its place is the key VM",
        rf"{MACHINE}\VM: (Default): there is no setting of this name; `guestwake settings show` "
        "lists them all",
        rf"{MACHINE}\VM: EventLogLevel: its place is the key Diagnostics",
        rf"{MACHINE}\VM: GuestUpdateTme: there is no setting of this name; write GuestUpdateTime",
        rf"{MACHINE}\VM: guest_update_time: there is no setting of this name; write "
        "GuestUpdateTime",
        rf"{MACHINE}\VM\web01: deeper: nothing is read so far below; values of a workspace stand "
        "in its own key",
        rf"{MACHINE}\VM\web01: line\nbreak\x1b: there is no setting of this name; "
        "`guestwake settings show` lists them all",
    ]


# users who come and go


def test_what_a_user_set_counts_also_when_they_are_not_logged_on(host: Host) -> None:
    host.registry.write(rf"{USER}\VM", text(TIME, "05:00"))
    host.registry.write(rf"{USER_POLICY}\VM", text("CloseAction", "SHUTDOWN"))
    host.remember()
    host.registry.away.add(ALICE)
    away = host.resolve()
    assert (away.limits.guest_update_time, away.problems) == (time(5), ())
    assert away.limits.close_action is CloseAction.SHUTDOWN
    host.remember()  # which does not forget
    host.registry.away.clear()
    host.registry.remove(rf"{USER}\VM")
    host.remember()
    host.registry.away.add(ALICE)
    assert host.time() == "00:00"
    assert host.resolve().limits.close_action is CloseAction.SHUTDOWN


def test_a_logoff_while_they_are_read_forgets_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.registry.write(rf"{USER}\VM", text(TIME, "05:00"))
    host.remember()
    whole = host.registry.read

    def leaves(path: str, bytes_max: int) -> RegKey | None:
        host.registry.away.add(ALICE)
        return whole(path, bytes_max)

    monkeypatch.setattr(host.registry, "read", leaves)
    host.remember()
    assert host.time() == "05:00"
    host.registry.away.clear()
    assert host.time() == "05:00"  # they leave in that very reading, too


def test_a_logon_while_they_are_read_forgets_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.registry.write(rf"{USER}\VM", text(TIME, "05:00"))
    host.remember()
    host.registry.away.add(ALICE)
    whole = host.registry.read

    def comes(path: str, bytes_max: int) -> RegKey | None:
        found = whole(path, bytes_max)
        host.registry.away.clear()
        return found

    monkeypatch.setattr(host.registry, "read", comes)
    host.remember()
    host.registry.away.add(ALICE)
    assert host.time() == "05:00"


def test_a_user_who_was_never_seen_has_set_nothing(host: Host) -> None:
    host.registry.write(rf"{USER}\VM", text(TIME, "05:00"))
    host.registry.away.add(ALICE)
    assert (host.time(), host.problems()) == ("00:00", [])


def test_a_logoff_and_a_change_are_seen(host: Host) -> None:
    host.registry.write(rf"{USER}\VM", text(TIME, "05:00"))
    layers = host.load()
    assert not layers.changed()
    host.registry.write(rf"{USER}\VM", text(TIME, "05:01"))
    assert layers.changed()
    layers = host.load()
    host.registry.away.add(ALICE)
    assert layers.changed()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"version": 1, "layers": []}',
        b'{"version": 1, "layers": {"user": [1]}}',
        b'{"version": 1, "layers": {"user": [1, [], [], null]}}',
        b'{"version": 1, "layers": {"user": ["MEDV", [["A", "1", ""]], [], null]}}',
    ],
)
def test_a_damaged_memory_of_a_user_is_made_anew(host: Host, damage: bytes) -> None:
    host.registry.write(rf"{USER}\VM", text(TIME, "05:00"))
    host.remember()
    (file,) = (host.paths.state / FOLDER).iterdir()
    file.write_bytes(damage)
    host.registry.away.add(ALICE)
    assert host.time() == "00:00"
    host.registry.away.clear()
    host.remember()
    host.registry.away.add(ALICE)
    assert host.time() == "05:00"


def test_a_memory_that_cannot_be_kept_is_a_problem_and_no_crash(host: Host) -> None:
    host.paths.state.parent.mkdir(parents=True)
    host.paths.state.write_text("in the way")
    host.registry.write(rf"{USER}\VM", text(TIME, "05:00"))
    (problem,) = host.load().remember()
    assert "cannot be kept" in str(problem)


def test_an_owner_whom_nobody_knows_is_told_of_once(host: Host) -> None:
    layers = host.load(owner="bob")
    assert [str(each) for each in layers.problems] == [
        'owner "bob": this host has no such user; no settings of this user are read'
    ]
    assert layers.remember() == ()
    host.registry.users["bob"] = "S-1-5-21-1-2-3-1002"
    assert layers.changed()


def test_a_silent_domain_is_told_of(host: Host) -> None:
    host.registry.domain_answers = False
    assert host.problems() == [
        'owner "alice": this user cannot be looked up now: the domain is silent'
    ]


# writing


@pytest.fixture
def written(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """`change` finds this registry."""
    registry = host.registry
    monkeypatch.setattr(
        kept_module, "source", lambda paths, owner: RegistrySource(paths, owner, registry)
    )
    monkeypatch.setattr(
        kept_module,
        "writer",
        lambda paths, layer, owner=None: RegistryWriter(paths, layer, owner, registry),
    )
    return host


def test_a_value_is_set_and_cleared_where_it_is_read(written: Host) -> None:
    whose = Whose(Layer.MACHINE, None, WEB01)
    (set_,) = change(written.paths, whose, wished([f"{DURATION}=90"]))
    assert (set_.file, set_.before, set_.counts) == (MACHINE, None, True)
    assert set_.origin.place == rf"{MACHINE}\VM\web01"
    assert set_.now == timedelta(minutes=90)
    (again,) = change(written.paths, whose, wished([f"{DURATION}=91"]))
    assert again.before == 90
    (gone,) = change(written.paths, whose, unwished([DURATION]))
    assert (gone.before, gone.written, gone.counts) == (91, None, False)
    # an empty key of a workspace is nobody's, one of the four is Windows' or the administrator's
    assert written.registry.read(rf"{MACHINE}\VM\web01", 0) is None
    assert written.registry.read(rf"{MACHINE}\VM", 0) is not None


def test_an_existing_key_of_the_workspace_is_used_however_it_is_spelled(written: Host) -> None:
    written.registry.write(rf"{MACHINE}\VM\{UUID.upper()}", dword("Splay", 1))
    whose = Whose(Layer.MACHINE, None, WEB01)
    (changed,) = change(written.paths, whose, wished([f"{TIME}=03:00"]))
    assert changed.origin.place == rf"{MACHINE}\VM\{UUID.upper()}"


def test_a_name_that_cannot_be_a_key_has_a_key_by_uuid(written: Host) -> None:
    whose = Whose(Layer.MACHINE, None, ("dom\\web", UUID))
    (changed,) = change(written.paths, whose, wished([f"{TIME}=03:00"]))
    assert changed.origin.place == rf"{MACHINE}\VM\{UUID}"
    assert changed.counts


def test_the_policy_is_written_where_that_is_asked_for_and_wins(written: Host) -> None:
    change(written.paths, Whose(Layer.MACHINE_POLICY), wished([f"{DAYS}=Mon,Thu"]))
    (lower,) = change(written.paths, Whose(Layer.MACHINE), wished([f"{DAYS}=all"]))
    assert lower.now == frozenset({0, 3})
    assert not lower.counts
    assert lower.origin.place == rf"{MACHINE_POLICY}\VM"
    change(written.paths, Whose(Layer.MACHINE_POLICY), unwished([DAYS]))
    assert resolve(written.load()).limits.guest_update_days == EVERY_DAY


def test_a_bad_value_is_put_right(written: Host) -> None:
    written.registry.write(rf"{MACHINE}\VM", text(DURATION, "90"))
    (changed,) = change(written.paths, Whose(Layer.MACHINE), wished([f"{DURATION}=90"]))
    assert (changed.was_bad, changed.counts) == (True, True)
    assert written.problems() == []


def test_what_would_not_be_read_is_not_written(written: Host) -> None:
    written.registry.write(rf"{MACHINE}\VM", dword(DURATION, 90))
    written.registry.forbid(rf"{MACHINE}\VM")
    with pytest.raises(NotWritten, match=r"not allowed.*nothing was written"):
        change(written.paths, Whose(Layer.MACHINE), wished([f"{DURATION}=60"]))


def test_nobody_writes_another_users_settings(host: Host) -> None:
    with pytest.raises(NotWritten, match="theirs"):
        RegistryWriter(host.paths, Layer.USER, "alice", host.registry)


@pytest.mark.parametrize("key", Key)
def test_each_key_of_the_table_is_read(host: Host, key: Key) -> None:
    assert [each for each in SETTINGS if each.key is key]
    host.registry.write(rf"{MACHINE}\{key}", text("", ""))
    assert rf"{MACHINE}\{key}: (Default)" in host.problems()[0]
