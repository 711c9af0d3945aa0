"""The user's menu, as the agent keeps it: whole entries as text, real files in a folder, and our
real API on a bus."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from agent_desk import Desk, quiet, wait_until
from dbus_world import ME, OTHER_UUID, UUID, Service, dbus_world
from fake_bus import Bus

from guestwake.applications import Applications
from guestwake.edges.agent import data_folder, program
from guestwake.edges.agent_menu import (
    NO_ICON,
    Changes,
    Entry,
    changes,
    entries_of,
    is_icon,
    is_ours,
    text,
    unused_icons,
)
from guestwake.edges.agent_menu_files import MenuFiles
from guestwake.journal_applications import PublishedRow
from guestwake.workspaces import Workspace

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
WRITER = Entry(UUID, "web01", "writer", "Writer", 0)
FILE = f"guestwake-{UUID}-writer.desktop"
GUESTWAKE = ("/usr/bin/guestwake",)
WHOLE = f"""\
[Desktop Entry]
Type=Application
Version=1.0
Name=Writer (web01)
Comment=In the virtual machine 'web01'
Exec=/usr/bin/guestwake open {UUID} writer
TryExec=/usr/bin/guestwake
Icon=computer
Terminal=false
Categories=System;Emulator;
X-Guestwake-Workspace={UUID}
X-Guestwake-Service=system
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guestwake.edges.dbus_agent._GATHER", 0.01)
    monkeypatch.setattr("guestwake.edges.dbus_menu._PAUSE", 0.05)


# what an entry says


def test_an_entry_as_a_whole() -> None:
    assert text(WRITER, "system", GUESTWAKE, NO_ICON) == WHOLE
    assert WRITER.file == FILE


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (("/opt/a b/guestwake",), '"/opt/a b/guestwake"'),
        (('/opt/"$HOME"/`x`/guestwake',), r'"/opt/\\"\\$HOME\\"/\\`x\\`/guestwake"'),
        ((r"/opt/a\b/guestwake",), r'"/opt/a\\\\b/guestwake"'),
        (("/opt/100%/guestwake",), "/opt/100%%/guestwake"),
        (("/opt/a\nb/guestwake",), r'"/opt/a\nb/guestwake"'),
        (("/usr/bin/python3", "-m", "guestwake"), "/usr/bin/python3 -m guestwake"),
    ],
)
def test_a_program_in_a_strange_folder_is_quoted(command: tuple[str, ...], line: str) -> None:
    said = text(WRITER, "system", command, NO_ICON)
    assert f"\nExec={line} open {UUID} writer\n" in said
    assert len(said.splitlines()) == len(WHOLE.splitlines())


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("Büro 日本", "Büro 日本"),
        ("x\nExec=rm -rf", r"x\\nExec=rm -rf"),
        ("x\r\x1b[31m", r"x\\r\\x1b[31m"),
        (r"a\nb;c=%f", r"a\\nb;c=%f"),
        (" begins with a space", r"\sbegins with a space"),
        ("\u202etxt", r"\\u202etxt"),
        ("\ud800\0", r"\\ud800\\x00"),
        ("x" * 500, "x" * 79 + "…"),
    ],
)
def test_a_title_is_one_line_and_cut(title: str, line: str) -> None:
    said = text(Entry(UUID, "web01", "writer", title, 0), "system", GUESTWAKE, NO_ICON)
    assert f"\nName={line} (web01)\n" in said
    assert len(said.split("\n")) == len(WHOLE.split("\n"))


@pytest.mark.skipif(not shutil.which("desktop-file-validate"), reason="no desktop-file-validate")
@pytest.mark.parametrize("command", [GUESTWAKE, ('/opt/a "b" $c\\d/guestwake',)])
def test_it_is_valid(command: tuple[str, ...], tmp_path: Path) -> None:
    entry = Entry(UUID, "a;b=c\n[x]", "org.gnome.writer", " Wr\n\\iter%f", 0)
    path = tmp_path / entry.file
    path.write_text(text(entry, "system", command, "/home/anna/a b/icon.png"))
    done = subprocess.run(
        ["desktop-file-validate", "--warn-kde", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


# which entries there are to be


def test_an_owner_has_what_their_workspaces_publish() -> None:
    values: dict[str, object] = {
        "Uuid": UUID,
        "Name": "web01",
        "Owner": "anna",
        "Applications": [["writer", "Writer"], ["calc", "Calc"]],
        "Icons": [["calc", 512]],
    }
    calc = Entry(UUID, "web01", "calc", "Calc", 512)
    assert entries_of(values, "anna") == (WRITER, calc)
    assert entries_of(values, "bert") == ()
    assert entries_of({**values, "Owner": ""}, "bert") == ()
    del values["Applications"]
    assert entries_of(values, "anna") is None  # of an older service


def test_what_would_not_do_as_the_name_of_a_file_is_left_out() -> None:
    odd = ["../x", "a b", "", "A", "x\n", ".x", "x" * 65, 7]
    values: dict[str, object] = {"Uuid": UUID, "Name": "web01", "Owner": "anna"}
    published = [*([each, "X"] for each in odd), ["writer"], "writer", ["writer", "Writer"]]
    assert entries_of({**values, "Applications": published}, "anna") == (WRITER,)
    assert entries_of({**values, "Uuid": "../../x", "Applications": []}, "anna") is None


def test_an_entry_of_ours_has_our_name_and_our_mark() -> None:
    assert is_ours(FILE, WHOLE)
    assert not is_ours("writer.desktop", WHOLE)
    assert not is_ours(FILE, WHOLE.replace("X-Guestwake-Workspace", "X-Somebody"))
    assert not is_ours(FILE, WHOLE.replace(UUID, OTHER_UUID))


OURS, THEIRS = WHOLE, WHOLE.replace("Service=system", "Service=session")


@pytest.mark.parametrize(
    ("there", "wanted", "doubtful", "todo"),
    [
        ({}, {"system": {FILE: OURS}}, (), Changes({FILE: OURS}, [])),
        ({FILE: OURS}, {"system": {FILE: OURS}}, (), Changes({}, [])),
        ({FILE: "old" + OURS}, {"system": {FILE: OURS}}, (), Changes({FILE: OURS}, [])),
        ({FILE: OURS}, {"system": {}}, (), Changes({}, [FILE])),
        ({FILE: OURS}, {"system": {}}, (FILE,), Changes({}, [])),
        # The other service is silent: what it published stays as it is.
        ({FILE: OURS}, {"session": {}}, (), Changes({}, [])),
        ({FILE: OURS}, {"session": {FILE: THEIRS}}, (), Changes({}, [])),
        # Both publish it: the user's own service goes first.
        ({}, {"system": {FILE: OURS}, "session": {FILE: THEIRS}}, (), Changes({FILE: THEIRS}, [])),
        ({FILE: THEIRS}, {"system": {FILE: OURS}, "session": {}}, (), Changes({FILE: OURS}, [])),
        ({}, {}, (), Changes({}, [])),
    ],
)
def test_what_is_to_be_done(
    there: dict[str, str],
    wanted: dict[str, dict[str, str]],
    doubtful: tuple[str, ...],
    todo: Changes,
) -> None:
    assert changes(there, wanted, doubtful) == todo


def test_icons_that_no_entry_shows_go() -> None:
    one, other = WRITER.icon_file(PNG, "png"), WRITER.icon_file(SVG, "svg")
    shown = WHOLE.replace("Icon=computer", f"Icon=/home/anna/.local/share/guestwake/icons/{one}")
    assert unused_icons([one, other, "holiday.png"], {FILE: shown}) == [other]
    assert is_icon(one)
    assert one.startswith(f"guestwake-{UUID}-writer-")


# files


@pytest.fixture
def files(tmp_path: Path) -> MenuFiles:
    return MenuFiles(tmp_path)


def test_entries_are_written_read_and_removed(files: MenuFiles, tmp_path: Path) -> None:
    assert files.entries() == {}
    files.write(FILE, WHOLE)
    (tmp_path / "applications/firefox.desktop").write_text("[Desktop Entry]\n")
    assert files.entries() == {FILE: WHOLE}
    files.write(FILE, WHOLE.replace("Writer", "Write"))
    assert (tmp_path / "applications" / FILE).read_text() == WHOLE.replace("Writer", "Write")
    files.remove(FILE)
    assert os.listdir(tmp_path / "applications") == ["firefox.desktop"]


@pytest.mark.parametrize("kind", ["foreign", "symlink", "dangling", "folder", "fifo", "large"])
def test_what_is_not_ours_stays(
    kind: str, files: MenuFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "applications").mkdir()
    path, target = tmp_path / "applications" / FILE, tmp_path / "target"
    match kind:
        case "foreign":
            path.write_text("[Desktop Entry]\n")
        case "symlink":
            target.write_text(WHOLE)
            path.symlink_to(target)
        case "dangling":
            path.symlink_to(target)
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "large":
            path.write_text(WHOLE + "#" * 20_000)
    before = path.lstat()
    for _ in range(2):
        assert files.entries() == {}
        files.write(FILE, WHOLE.replace("Writer", "Other"))
    assert path.lstat() == before
    assert kind != "symlink" or target.read_text() == WHOLE
    assert kind != "dangling" or not target.exists()
    assert caplog.text.count("somebody else's") == 1


def test_a_draft_is_never_seen_as_an_entry(files: MenuFiles, tmp_path: Path) -> None:
    folder = tmp_path / "applications"
    folder.mkdir()
    elsewhere = tmp_path / "elsewhere"
    (folder / f".{FILE}.{os.getpid()}").symlink_to(elsewhere)  # as if somebody had been there first
    files.write(FILE, WHOLE)
    assert not elsewhere.exists()
    assert os.listdir(folder) == [FILE]


def test_where_and_how() -> None:
    assert data_folder({"XDG_DATA_HOME": "/data"}) == Path("/data")
    assert data_folder({"XDG_DATA_HOME": "data"}) == Path.home() / ".local/share"
    assert data_folder({}) == Path.home() / ".local/share"
    assert os.path.isabs(program()[0])


# in a session


@pytest.fixture
def desk(bus: Bus) -> Iterator[Desk]:
    with dbus_world() as world:
        yield Desk(world, bus)
        bus.cleanup.close()  # the agent first


def menu(desk: Desk) -> dict[str, str]:
    folder = desk.data / "applications"
    if not folder.is_dir():
        return {}
    found = {}
    for path in folder.glob("*.desktop"):
        with suppress(FileNotFoundError):  # it has just been removed
            found[path.name] = path.read_text()
    return found


def icons(desk: Desk) -> list[Path]:
    return sorted((desk.data / "guestwake/icons").glob("*"))


def publish(desk: Desk, title: str = "Writer", *, icon: bytes | None = None) -> None:
    row = PublishedRow("writer", title, "libreoffice", "linux")
    Applications(desk.world.application).publish(_web01(desk), row, icon)


def unpublish(desk: Desk) -> None:
    Applications(desk.world.application).unpublish(_web01(desk), "writer")


def _web01(desk: Desk) -> Workspace:
    return desk.world.application.workspaces.find(UUID)


def test_what_is_published_is_in_the_menu_until_it_is_not(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    service = desk.world.serve()
    desk.agent()
    publish(desk)
    service.refresh()
    wait_until(lambda: menu(desk) == {FILE: WHOLE})
    before = (desk.data / "applications" / FILE).stat()
    service.refresh()
    publish(desk)
    service.refresh()
    quiet(lambda: (desk.data / "applications" / FILE).stat() == before)
    publish(desk, "Write!")
    service.refresh()
    wait_until(lambda: menu(desk) == {FILE: WHOLE.replace("Writer", "Write!")})
    unpublish(desk)
    service.refresh()
    wait_until(lambda: menu(desk) == {})


def test_it_has_its_icon_and_a_new_one_when_there_is_one(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    publish(desk)
    service = desk.world.serve()
    desk.agent()
    wait_until(lambda: menu(desk) == {FILE: WHOLE})
    for icon, kind in ((PNG, "png"), (SVG, "svg"), (PNG + b"x" * 200_000, "png")):
        publish(desk, icon=icon)
        service.refresh()
        path = desk.data / "guestwake/icons" / WRITER.icon_file(icon, kind)
        said = WHOLE.replace("computer", str(path))
        wait_until(lambda path=path, said=said: (icons(desk), menu(desk)) == ([path], {FILE: said}))
        assert path.read_bytes() == icon
    unpublish(desk)
    service.refresh()
    wait_until(lambda: icons(desk) == [])


@pytest.mark.parametrize("icon", [b"#!/bin/sh\n", PNG + b"x" * (256 * 1024)])
def test_what_is_no_icon_is_none(desk: Desk, icon: bytes) -> None:
    desk.world.workspace(owner=ME)
    with desk.world.application.journal() as journal:
        journal.publish(UUID, PublishedRow("writer", "Writer", "libreoffice", "linux"), icon)
    desk.world.serve()
    desk.agent()
    wait_until(lambda: menu(desk) == {FILE: WHOLE})
    assert icons(desk) == []


def test_workspaces_of_others_and_of_the_system_are_not_in_it(desk: Desk) -> None:
    desk.world.workspace(owner="anna")
    publish(desk)
    service = desk.world.serve()
    desk.agent()
    quiet(lambda: menu(desk) == {})
    desk.world.workspace(owner=ME)
    service.refresh()
    wait_until(lambda: menu(desk) == {FILE: WHOLE})
    desk.world.workspace(owner=None)
    service.refresh()
    wait_until(lambda: menu(desk) == {})


def test_a_workspace_that_goes_takes_its_entries_with_it(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    publish(desk)
    service = desk.world.serve()
    desk.agent()
    wait_until(lambda: menu(desk) == {FILE: WHOLE})
    desk.world.application.workspaces.forget(_web01(desk))
    service.refresh()
    wait_until(lambda: menu(desk) == {})


def test_a_service_that_is_away_or_cannot_tell_leaves_the_menu_as_it_is(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    publish(desk, icon=PNG)
    service = desk.world.serve()
    agent = desk.agent()
    wait_until(lambda: menu(desk) and icons(desk))
    before = (menu(desk), icons(desk))
    service.stop()
    quiet(lambda: (menu(desk), icons(desk)) == before)
    agent.stop()
    desk.agent()  # that has never heard of it
    quiet(lambda: (menu(desk), icons(desk)) == before)
    file = desk.world.paths.state / "workspaces" / f"{UUID}.json"
    whole = file.read_text()
    file.write_text("{")  # so that it is no object of the service's
    back = Service(desk.world.address, desk.world.application)
    back.start()
    desk.world.cleanup.callback(back.stop)
    quiet(lambda: (menu(desk), icons(desk)) == before)
    file.write_text(whole)
    unpublish(desk)
    back.refresh()
    wait_until(lambda: (menu(desk), icons(desk)) == ({}, []))


def test_what_a_user_put_there_themselves_stays(desk: Desk) -> None:
    folder = desk.data / "applications"
    folder.mkdir(parents=True)
    (folder / FILE).write_text("[Desktop Entry]\nName=My own\n")
    (folder / f"guestwake-{OTHER_UUID}-calc.desktop").symlink_to(desk.data / "elsewhere")
    desk.world.workspace(owner=ME)
    publish(desk)
    service = desk.world.serve()
    desk.agent()
    quiet(lambda: (folder / FILE).read_text() == "[Desktop Entry]\nName=My own\n")
    unpublish(desk)
    service.refresh()
    quiet(lambda: len(os.listdir(folder)) == 2)
    assert not (desk.data / "elsewhere").exists()


def test_once_brings_it_up_to_date_too(desk: Desk) -> None:
    desk.world.workspace(owner=ME)
    publish(desk)
    desk.world.serve()
    environ = os.environ | {
        "DBUS_SYSTEM_BUS_ADDRESS": desk.world.address,
        "DBUS_SESSION_BUS_ADDRESS": desk.bus.address,
        "XDG_DATA_HOME": str(desk.data),
    }
    command = [sys.executable, "-m", "guestwake.edges.cli", "agent", "--once"]
    subprocess.run(command, env=environ, check=True, timeout=60)
    (said,) = menu(desk).values()
    assert said == text(WRITER, "system", _called(said), NO_ICON)
    unpublish(desk)
    subprocess.run(command, env=environ, check=True, timeout=60)
    assert menu(desk) == {}


def _called(said: str) -> tuple[str, ...]:
    """By which words; which they are depends on how the tests run."""
    line = next(line for line in said.splitlines() if line.startswith("Exec="))
    words = line.removeprefix("Exec=").removesuffix(f" open {UUID} writer").split(" ")
    assert os.access(words[0], os.X_OK)
    return tuple(words)


# what a service tells of it


def test_everybody_may_read_what_is_published_and_its_icon(desk: Desk) -> None:
    desk.world.workspace(owner="anna")
    publish(desk, icon=PNG)
    Applications(desk.world.application).publish(
        _web01(desk), PublishedRow("calc", "Calc", "calc.exe", "windows"), None
    )
    desk.world.serve()
    assert desk.world.property("Applications") == [["calc", "Calc"], ["writer", "Writer"]]
    assert desk.world.property("Icons") == [["writer", len(PNG)]]
    assert bytes(desk.world.act("Icon", "s", "writer").data[0]) == PNG
    assert desk.world.act("Icon", "s", "calc").data == [[]]
    assert desk.world.act("Icon", "s", "nobody").data == [[]]
