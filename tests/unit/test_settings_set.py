"""`guestwake settings set` and `clear`: what is written, what stays, what counts then, the undo."""

from __future__ import annotations

import json
import os
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_world import CommandWorld
from hypothesis import given
from hypothesis import strategies as st

from guestwake.edges.exit_codes import Exit
from guestwake.settings import toml_writer
from guestwake.settings.source import BYTES_MAX, Edit, Layer, NotWritten
from guestwake.settings.table import BY_NAME
from guestwake.settings.toml_edit import CannotEdit, edited
from guestwake.settings.toml_text import parse
from guestwake.settings.toml_writer import TomlWriter

TIME, DURATION, DAYS = "GuestUpdateTime", "GuestUpdateDuration", "GuestUpdateDays"

Edits = tuple[tuple[str | None, str, object], ...]


def edit(text: str, *edits: tuple[str | None, str, object]) -> str:
    return edited(text, [Edit(section, BY_NAME[name], value) for section, name, value in edits])


WRITTEN = """\
# of this host
guest_update_time = '02:00'  # before the backup

[workspace.web01]
guest_update_duration=60    # short

# Bob's
[workspace."db.example"]
splay = 5
"""


def test_comments_order_and_layout_stay() -> None:
    assert edit(WRITTEN, (None, TIME, "03:30"), ("web01", DURATION, 90), ("web01", TIME, "01:00"),
                (None, "MaxAwake", 2)) == """\
# of this host
guest_update_time = "03:30"  # before the backup
max_awake = 2

[workspace.web01]
guest_update_duration=90    # short
guest_update_time = "01:00"

# Bob's
[workspace."db.example"]
splay = 5
"""  # fmt: skip


@pytest.mark.parametrize(
    ("before", "edits", "after"),
    [
        ("", ((None, TIME, "03:30"),), 'guest_update_time = "03:30"\n'),
        ("", (("w", TIME, "03:30"),), '[workspace.w]\nguest_update_time = "03:30"\n'),
        ("# a\n", ((None, "Splay", 1),), "# a\nsplay = 1\n"),
        ("# a\n[workspace.w]\nsplay = 1\n", ((None, "Splay", 2),),
         "splay = 2\n\n# a\n[workspace.w]\nsplay = 1\n"),
        ("splay = 1\n\n\n", (("a b", "Splay", 2),),
         'splay = 1\n\n[workspace."a b"]\nsplay = 2\n'),
        ("[workspace.w]", (("w", "Splay", 2),), "[workspace.w]\nsplay = 2\n"),
        ("splay = 1 # x\nmax_awake = 1\n", ((None, "Splay", None),), "max_awake = 1\n"),
        ("splay = 1\n", ((None, "Splay", None),), ""),
        ("[workspace.w]\nsplay = 1\n", (("w", "Splay", None),), ""),
        ("a_b = 1\n\n[workspace.w]\nsplay = 1\n\n[workspace.x]\nsplay = 1\n",
         (("w", "Splay", None),), "a_b = 1\n\n[workspace.x]\nsplay = 1\n"),
        ("[workspace.w] # Bob's\nsplay = 1\n", (("w", "Splay", None),),
         "[workspace.w] # Bob's\n"),
        ("[workspace.w]\n# why\nsplay = 1\n", (("w", "Splay", None),), "[workspace.w]\n# why\n"),
        ("splay = 1\n", ((None, TIME, None), ("w", TIME, None)), "splay = 1\n"),
        ("guest_update_days = [\n 'Mon', # m\n]\n", ((None, DAYS, ["Tuesday"]),),
         'guest_update_days = ["Tuesday"]\n'),
    ],
)  # fmt: skip
def test_one_value_changes(before: str, edits: Edits, after: str) -> None:
    assert edit(before, *edits) == after


@pytest.mark.parametrize(
    "text",
    [
        "workspace.web01.splay = 5\n",
        "[workspace]\nweb01.splay = 5 # c\n",
        "[workspace]\nweb01 = { splay = 5 }\n",
        'workspace = { "web01" = { splay = 5 } }\n',
        "[ workspace . 'web01' ]\n\"splay\" = 5\n",
    ],
)
def test_all_spellings_of_toml_can_be_changed(text: str) -> None:
    for value in (7, None):
        new = edit(text, ("web01", "Splay", value))
        found = parse("file", new.encode())
        assert [one.raw for one in found.entries] == [value] * (value is not None)
        assert not found.broken


@pytest.mark.parametrize(
    "text",
    ["workspace = 5\n", "[[workspace]]\nx = 1\n", "workspace.web01 = 5\n", "workspace = []\n",
     "[[workspace.web01]]\nsplay = 1\n"],
)  # fmt: skip
def test_what_is_no_table_is_for_a_person(world: CommandWorld, text: str) -> None:
    for value in (7, None):
        with pytest.raises(CannotEdit):
            edit(text, ("web01", "Splay", value))
    world.vm("web01")
    file = put(world, text)
    assert world.run("settings", "set", "Splay=5", "--workspace", "web01") == Exit.SETTINGS
    assert "edit the file" in world.err
    assert file.read_text() == text
    assert world.run("settings", "clear", "MaxAwake") == 0


def test_what_would_come_out_wrong_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library makes of it."""
    monkeypatch.setattr("tomlkit.dumps", lambda _: "splay = 1\n")
    with pytest.raises(CannotEdit):
        edit("splay = 1\n", (None, "Splay", 2))


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(
    st.lists(st.tuples(st.none() | _NAMES, st.sampled_from([TIME, "Splay"]), st.booleans())),
)
def test_any_order_of_changes_says_what_was_wanted(changes: list[tuple[str, str, bool]]) -> None:
    text, wanted = WRITTEN, {}
    for section, name, sets in changes:
        value = {TIME: "04:44", "Splay": 44}[name] if sets else None
        text = edit(text, (section, name, value))
        wanted[section, name] = value
    found = {(one.section, one.name): one.raw for one in parse("file", text.encode()).entries}
    assert {spot: found.get(spot) for spot in wanted} == wanted
    assert "# of this host" in text
    assert "# Bob's" in text


# the file


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandWorld:
    return CommandWorld(tmp_path / "host", capsys)


def machine(world: CommandWorld) -> Path:
    return world.root / "etc/guestwake/guestwake.toml"


def put(world: CommandWorld, text: str, file: Path | None = None) -> Path:
    file = file or machine(world)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_a_value_is_set_and_what_counts_is_told(world: CommandWorld) -> None:
    old_umask = os.umask(0o077)
    try:
        assert (
            world.run("settings", "set", "GuestUpdateTime=7:05", "guest_update_days=mon,Thu") == 0
        )
    finally:
        os.umask(old_umask)
    file = machine(world)
    assert file.read_text() == (
        'guest_update_time = "07:05"\nguest_update_days = ["Monday", "Thursday"]\n'
    )
    assert f"GuestUpdateTime is 07:05 now: machine, {file}:1." in world.out
    assert f"Undo: guestwake --root {world.root} settings clear GuestUpdateTime" in world.out
    assert file.stat().st_mode & 0o777 == 0o644  # others read what counts
    assert file.parent.stat().st_mode & 0o777 == 0o755
    assert os.listdir(file.parent) == ["guestwake.toml"]


def test_a_workspace_has_its_own_section(world: CommandWorld) -> None:
    world.vm("web01")
    assert world.run("settings", "set", "splay=5", "--workspace", "web01") == 0
    assert machine(world).read_text() == "[workspace.web01]\nsplay = 5\n"
    assert "Splay is 5 for 'web01' now" in world.out
    uuid = world.application.workspaces.find("web01").uuid
    put(world, f'[workspace.web01]\nmax_awake = 1\n\n[workspace."{uuid.upper()}"]\n')
    assert world.run("settings", "set", "splay=6", "--workspace", uuid) == 0
    assert machine(world).read_text().endswith(f'[workspace."{uuid.upper()}"]\nsplay = 6\n')
    assert world.run("settings", "set", "max_awake=2", "--workspace", "web01") == 0
    assert "[workspace.web01]\nmax_awake = 2\n" in machine(world).read_text()  # where it stood
    assert world.run("settings", "set", "splay=6", "--workspace", "web02") == Exit.NO_WORKSPACE


def test_clearing_takes_it_out_wherever_it_stands(world: CommandWorld) -> None:
    world.vm("web01")
    uuid = world.application.workspaces.find("web01").uuid
    put(world, f'splay = 1\n\n[workspace.web01]\nsplay = 2\n\n[workspace."{uuid}"]\nsplay = 3\n')
    found = world.json("settings", "clear", "Splay", "--workspace", "web01")
    assert machine(world).read_text() == "splay = 1\n"
    assert (found[0]["before"], found[0]["written"], found[0]["value"]) == (3, None, 1)
    assert world.run("settings", "clear", "Splay", "--workspace", "web01") == 0
    assert f"Splay was not in {machine(world)} for 'web01'. What counts is 1: machine" in world.out
    assert "Undo" not in world.out


def test_a_stronger_layer_is_named(world: CommandWorld) -> None:
    policy = put(world, "splay = 9\n", world.root / "etc/guestwake/policy.d/10.toml")
    assert world.run("settings", "set", "Splay=5") == 0
    assert f"But what counts is 9: machine policy, {policy}:1." in world.out
    (found,) = world.json("settings", "set", "Splay=6")
    assert (found["written"], found["counts"], found["value"]) == (6, False, 9)
    drop_in = put(world, "max_awake = 1\n", world.root / "etc/guestwake/guestwake.toml.d/x.toml")
    assert world.run("settings", "set", "MaxAwake=5") == 0
    assert f"But what counts is 1: machine, {drop_in}:1." in world.out


def test_root_writes_the_policy_where_that_is_asked_for(world: CommandWorld) -> None:
    assert world.run("settings", "set", "--policy", "Splay=5") == 0
    file = world.root / "etc/guestwake/policy.d/50-settings.toml"
    assert file.read_text() == "splay = 5\n"
    assert "Splay is 5 now: machine policy" in world.out
    assert "settings clear Splay --policy" in world.out


def test_the_undo_restores_the_file(world: CommandWorld) -> None:
    world.vm("web01")
    before = 'guest_update_days = ["Monday"]\n\n[workspace.web01]\nclose_action = "TURN-OFF"\n'
    put(world, before)
    assert world.run("settings", "set", "GuestUpdateDays=all", "Splay=5") == 0
    undo(world)
    assert machine(world).read_text() == before
    words = ("CloseAction=shutdown", "TimeZone=Europe/Berlin")
    assert world.run("settings", "set", *words, "--workspace", "web01") == 0
    undo(world)
    assert machine(world).read_text() == before
    assert world.run("settings", "clear", "GuestUpdateDays") == 0
    undo(world)
    assert machine(world).read_text() == before


def undo(world: CommandWorld) -> None:
    commands = [line[6:] for line in world.out.splitlines() if line.startswith("Undo: ")]
    assert commands
    for command in commands:
        program, *words = shlex.split(command)
        assert (program, words[:2]) == ("guestwake", ["--root", str(world.root)])
        assert world.run(*words[2:]) == 0, world.err


def test_a_bad_value_that_stood_there_has_no_undo(world: CommandWorld) -> None:
    put(world, 'splay = "much"\n')
    assert world.run("settings", "set", "Splay=5") == 0
    assert machine(world).read_text() == "splay = 5\n"
    assert "Undo" not in world.out


def test_what_is_so_already_is_not_written(world: CommandWorld) -> None:
    file = put(world, "guest_update_time = 07:05:00 # TOML's own\n")
    before = file.stat().st_ino
    assert world.run("settings", "set", "GuestUpdateTime=7:05") == 0
    assert file.stat().st_ino == before


@pytest.mark.parametrize("spelling", ["settings set", "settings clear"])
def test_all_mistakes_at_once_and_nothing_is_written(world: CommandWorld, spelling: str) -> None:
    file = put(world, "splay = 1\n")
    good, twice = ("Splay=2", "MaxAwake=1") if spelling.endswith("set") else ("Splay", "MaxAwake")
    wrong = (
        ("GuestUpdateTim=1", "guest_update_duration=x") if spelling.endswith("set") else ("Tim",)
    )
    assert world.run(*spelling.split(), good, *wrong, twice, twice) == Exit.USAGE
    assert file.read_text() == "splay = 1\n"
    assert "there is no setting of this name" in world.err
    assert "given twice" in world.err
    if spelling.endswith("set"):
        assert "write GuestUpdateTime" in world.err
        assert "whole number of minutes from 0 to 1440" in world.err
    assert world.run("settings", "set", "Splay") == Exit.USAGE
    assert "write Splay=VALUE" in world.err


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda file: file.write_text("splay = 1\nmax_awake = = 2\n"), "guestwake.toml:2: this is"),
        (
            lambda file: file.write_bytes(b"splay = 1\n# \xff\n"),
            "guestwake.toml:2: the file is not",
        ),
        (lambda file: file.symlink_to(file.parent / "elsewhere.toml"), "this is a symbolic link"),
        (lambda file: file.mkdir(), "this must be a plain file"),
        (lambda file: (file.touch(), file.chmod(0o666)), "others than its owner may write"),
        (lambda file: file.parent.chmod(0o777), "others than its owner may write"),
    ],
)
def test_what_would_not_be_read_is_not_written(
    world: CommandWorld, damage: Callable[[Path], object], says: str
) -> None:
    file = machine(world)
    file.parent.mkdir(parents=True)
    damage(file)
    before = file.read_bytes() if file.is_file() else None
    assert world.run("settings", "set", "Splay=5") == Exit.SETTINGS
    assert says in world.err
    assert (file.read_bytes() if file.is_file() else None) == before
    assert not (file.parent / "elsewhere.toml").exists()
    assert not [name for name in os.listdir(file.parent) if name.endswith(".new")]


def test_mode_and_line_ends_are_kept(world: CommandWorld) -> None:
    file = machine(world)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\xef\xbb\xbfsplay = 1\r\n# c\r\n")
    file.chmod(0o640)
    assert world.run("settings", "set", "Splay=5", "MaxAwake=1") == 0
    assert file.read_bytes() == b"\xef\xbb\xbfsplay = 5\r\n# c\r\nmax_awake = 1\r\n"
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has others' files to keep")
def test_the_owner_of_the_folder_keeps_the_file(world: CommandWorld) -> None:
    file = put(world, "splay = 1\n")
    for each in (world.root, *world.root.rglob("*")):
        os.chown(each, 1234, 1234)
    assert world.run("settings", "set", "Splay=5") == 0
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 1234)


def test_a_folder_that_cannot_be_written_is_named(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(world, "splay = 1\n")

    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(toml_writer, "_draft", refused)  # root may write everywhere
    assert world.run("settings", "set", "Splay=5") == Exit.SETTINGS
    assert f"{file}: it cannot be written: Permission denied" in world.err
    assert file.read_text() == "splay = 1\n"


def test_a_full_disk_leaves_the_file_as_it_was(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(world, "splay = 1\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert world.run("settings", "set", "Splay=5") == Exit.SETTINGS
    assert "No space left" in world.err
    assert os.listdir(file.parent) == ["guestwake.toml"]
    assert file.read_text() == "splay = 1\n"


def test_a_file_never_grows_beyond_what_is_read(world: CommandWorld) -> None:
    file = put(world, "# x\n" * (BYTES_MAX // 4))
    assert world.run("settings", "set", "Splay=5") == Exit.SETTINGS
    assert "too large" in world.err
    assert "splay" not in file.read_text()


def test_two_writers_take_turns(world: CommandWorld) -> None:
    paths = world.application.paths
    names = ["Splay", "MaxAwake", "MinAwake", "CatchUpDays", "MemoryReserve", "DiskReserve"]

    def write(name: str) -> None:
        TomlWriter(paths, Layer.MACHINE).write([Edit(None, BY_NAME[name], 5)])

    writers = [threading.Thread(target=write, args=(name,)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = parse("file", machine(world).read_bytes()).entries
    assert sorted(one.name for one in found) == sorted(names)


def test_a_draft_of_one_that_died_is_no_hindrance(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toml_writer, "_PATIENCE", 0.0)
    file = put(world, "splay = 1\n")
    (file.parent / ".guestwake.toml.new").write_text("half")
    assert world.run("settings", "set", "Splay=5") == 0
    assert os.listdir(file.parent) == ["guestwake.toml"]
    assert file.read_text() == "splay = 5\n"


def test_a_writer_that_takes_long_loses_nothing_to_the_next(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one gives up; it neither takes the draft away nor puts its own in its place."""
    file = put(world, "splay = 1\n")
    monkeypatch.setattr(toml_writer, "_PATIENCE", 0.1)
    real, told = toml_writer._edited, list[str]()

    def slow(*words: Any) -> bytes:
        monkeypatch.setattr(toml_writer, "_edited", real)
        with pytest.raises(NotWritten, match="is being written by another"):
            TomlWriter(world.application.paths, Layer.MACHINE).write(
                [Edit(None, BY_NAME["MaxAwake"], 2)]
            )
        told.append("refused")
        return real(*words)

    monkeypatch.setattr(toml_writer, "_edited", slow)
    assert world.run("settings", "set", "Splay=5") == 0
    assert told == ["refused"]
    assert file.read_text() == "splay = 5\n"
    assert os.listdir(file.parent) == ["guestwake.toml"]


def test_an_owner_whom_the_host_does_not_know_has_no_file(world: CommandWorld) -> None:
    paths = world.application.paths
    with pytest.raises(NotWritten, match="such user"):
        TomlWriter(paths, Layer.USER, None)


def test_json_is_for_machines(world: CommandWorld) -> None:
    (found,) = world.json("settings", "set", "EarlyFinish=true")
    assert found == {
        "name": "EarlyFinish",
        "written": 1,
        "file": str(machine(world)),
        "before": None,
        "was_bad": False,
        "counts": True,
        "value": 1,
        "layer": "machine",
        "place": f"{machine(world)}:1",
        "undo": [f"guestwake --root {world.root} settings clear EarlyFinish"],
    }
    assert json.loads(world.out)
