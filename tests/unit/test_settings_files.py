"""TOML files: lines, spellings, what is refused as a whole, and whose files count."""

from __future__ import annotations

import os
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guestwake.paths import Paths
from guestwake.settings.resolve import load, resolve
from guestwake.settings.source import Layer, Part
from guestwake.settings.table import BY_TOML
from guestwake.settings.toml_files import TomlFiles
from guestwake.settings.toml_text import key_lines, parse

FILE = "/etc/guestwake/x.toml"


def read(text: str) -> Part:
    return parse(FILE, text.encode())


def complaints(text: str) -> list[str]:
    return [str(problem) for problem in read(text).problems]


def test_general_values_and_those_of_a_workspace_with_their_lines() -> None:
    part = read(
        "# ours\n"
        'guest_update_time = "03:30"\n'
        "\n"
        "[workspace.web01]\n"
        "guest_update_days = [ # a ] in a comment\n"
        '  "mon",\n'
        "]\n"
        "guest_update_duration = 30\n"
        '[workspace."db.example"]\n'
        "wake_host = 1\n"
    )
    assert [(e.section, e.name, e.raw, e.place) for e in part.entries] == [
        (None, "GuestUpdateTime", "03:30", f"{FILE}:2"),
        ("web01", "GuestUpdateDays", ["mon"], f"{FILE}:5"),
        ("web01", "GuestUpdateDuration", 30, f"{FILE}:8"),
        ("db.example", "WakeHost", 1, f"{FILE}:10"),
    ]
    assert not part.problems


@pytest.mark.parametrize(
    "text",
    [
        "workspace.web01.splay = 5\n",
        "[workspace]\nweb01.splay = 5\n",
        "[workspace]\nweb01 = { splay = 5 }\n",
        'workspace = { "web01" = { splay = 5 } }\n',
        "\ufeff[ workspace . 'web01' ]\r\n\"splay\" = 5\r\n",
    ],
)
def test_all_spellings_of_toml_mean_the_same(text: str) -> None:
    (entry,) = read(text).entries
    assert (entry.section, entry.name, entry.raw) == ("web01", "Splay", 5)
    assert entry.place == f"{FILE}:{text.strip().count(chr(10)) + 1}"


def test_tomls_own_time_of_day_is_taken_without_seconds_only() -> None:
    assert read("guest_update_time = 07:05:00").entries[0].raw == "07:05"
    assert read("guest_update_time = 07:05:30").entries[0].raw == "07:05:30"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\nGuestUpdateTime = '03:00'", ":2: GuestUpdateTime: there is no setting of this name; "),
        ("\nGuestUpdateTime = '03:00'", "write guest_update_time"),
        ("guest_update_tme = '03:00'", ":1: guest_update_tme: there is no setting"),
        ("guest_update_tme = '03:00'", "write guest_update_time"),
        ("[workspace.web01]\n\ncolour = 1", ":3: colour: there is no setting"),
        ("splay = 1\n[workspce.web01]\nsplay = 2", "workspce: there is no table of this name"),
        ("[[workspace]]\nsplay = 2", ":1: workspace: must be a table; write [workspace.NAME]"),
        ("[[workspace.web01]]\nsplay = 2", ":1: web01: name the workspace first"),
        ("[workspace]\nsplay = 2", ":2: splay: name the workspace first: write [workspace.NAME]"),
        ("[workspace.db.example]\nsplay = 2", 'is called db.example, quote it: "db.example"'),
    ],
)
def test_what_is_unknown_is_told_with_its_line_and_remedy(text: str, says: str) -> None:
    assert says in "\n".join(complaints(text))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("splay = 1\nguest_update_time = \n", 2, "not valid TOML: Invalid value"),
        ("guest_update_time = 24:00\n", 1, "not valid TOML"),
        ("splay = 1\n\nsplay = 1\n", 3, "Cannot overwrite a value"),
        ("[workspace.a]\n[workspace.b]\n[workspace.a]\n", 3, "twice"),
        ("splay = 1\nmax_awake = [1,\n", 2, "not valid TOML"),
        ("splay = 1\nx = " + "[" * 3000, 2, "not valid TOML"),
        ("splay = 1\n#" + "x" * 5000, 2, "longer than 4096 characters"),
        ("x = " + "9" * 4090, None, None),
    ],
)
def test_a_file_that_is_no_toml_is_broken_as_a_whole(
    text: str, line: int | None, says: str | None
) -> None:
    part = read(text)
    if says is None:
        assert not part.broken
        return
    assert part.broken
    assert not part.entries
    assert says in str(part.problems[0]) or "nested too deeply" in str(part.problems[0])
    if "nested" not in str(part.problems[0]):
        assert str(part.problems[0]).startswith(f"{FILE}:{line}: ")


def test_a_file_that_is_not_utf8_names_its_line() -> None:
    part = parse(FILE, b"splay = 1\n# caf\xe9\n")
    assert part.broken
    assert str(part.problems[0]) == f"{FILE}:2: the file is not UTF-8; save it as UTF-8"


VALUES = st.sampled_from(
    [
        "1",
        '"text"',
        r'"quo\"te ] [ # {"',
        "'literal \\'",
        '"""\n] # " \\""" x = 1\n"""',
        '"""""two quotes first"""',
        '"""two quotes last"""""',
        '"""one quote last""""',
        "'''one quote last''''",
        '""""""',
        "'''\n[x]\ny = \"\n'''",
        "'''''two'''''",
        '[1, # ]\n [2, "]", """\n]"""],\n]',
        "{ a = { b = 1 }, c = '}' }",
        "1979-05-27T07:32:00Z",
        "07:05:00",
    ]
)
GAPS = st.sampled_from(["", "\n", '# [comment] "\n', "  \t\n", "# it's\n\n"])


@given(st.lists(st.tuples(GAPS, VALUES, st.booleans()), max_size=8))
@example([("", '"""a\\\\"""', False), ("", "'''''two'''''", True)])
def test_lines_of_keys_are_where_the_keys_are(statements: list[tuple[str, str, bool]]) -> None:
    text, header = "", tuple[str, ...]()
    expected: dict[tuple[str, ...], int] = {}
    for number, (gap, value, new_table) in enumerate(statements):
        text += gap
        if new_table:
            header = ("workspace", f"w{number}")
            text += f' [ workspace . "w{number}" ] # here\n'
        expected[(*header, f"k{number}")] = text.count("\n") + 1
        text += f"k{number} = {value} # end ]\n"
    tomllib.loads(text)  # the test's own text is valid
    lines = key_lines(text)
    assert {key: lines[key] for key in expected} == expected


@given(st.binary() | st.text(alphabet="[]{}=.,'\"#\n\\ax1é").map(str.encode))
def test_no_content_of_a_file_brings_the_reader_down(data: bytes) -> None:
    part = parse(FILE, data)
    assert not (part.broken and part.entries)
    assert all(str(problem).isprintable() for problem in part.problems)


def test_a_key_of_very_many_parts_is_no_trap() -> None:
    assert read(".".join(["a"] * 2000) + " = 1").problems


# Files and folders


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc/guestwake"
    (folder / "policy.d/users/alice").mkdir(parents=True, mode=0o755)
    for path in (folder, folder / "policy.d", folder / "policy.d/users", *folder.rglob("alice")):
        path.chmod(0o755)
    return folder


def write(file: Path, text: str = "splay = 1\n", mode: int = 0o644) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def look(tmp_path: Path, layer: Layer, owner: str | None = None) -> list[Part]:
    return TomlFiles(Paths.under(tmp_path, os.geteuid()), owner).parts(layer)


def problems(parts: list[Part]) -> list[str]:
    return [str(problem) for part in parts for problem in part.problems]


def test_where_nothing_is_there_is_no_problem(tmp_path: Path) -> None:
    assert [look(tmp_path, layer, "alice") for layer in Layer] == [[]] * len(Layer)


def test_the_files_of_each_layer_in_their_order(tmp_path: Path, etc: Path) -> None:
    home = tmp_path / "home/alice/.config/guestwake"
    for file in (
        etc / "policy.d/20-b.toml",
        etc / "policy.d/10-a.toml",
        etc / "policy.d/.#10-a.toml",
        etc / "policy.d/10-a.toml~",
        etc / "policy.d/users/alice/a.toml",
        etc / "policy.d/users/bob/b.toml",
        etc / "guestwake.toml.d/a.toml",
        etc / "guestwake.toml",
        home / "guestwake.toml.d/a.toml",
        home / "guestwake.toml",
    ):
        write(file)

    def names(layer: Layer, owner: str | None) -> list[str]:
        return [os.path.relpath(p.name, tmp_path) for p in look(tmp_path, layer, owner)]

    policy = "etc/guestwake/policy.d"
    assert names(Layer.MACHINE_POLICY, "alice") == [f"{policy}/10-a.toml", f"{policy}/20-b.toml"]
    assert names(Layer.USER_POLICY, "alice") == [f"{policy}/users/alice/a.toml"]
    assert names(Layer.MACHINE, "alice") == [
        "etc/guestwake/guestwake.toml",
        "etc/guestwake/guestwake.toml.d/a.toml",
    ]
    assert names(Layer.USER, "alice") == [
        "home/alice/.config/guestwake/guestwake.toml",
        "home/alice/.config/guestwake/guestwake.toml.d/a.toml",
    ]
    assert names(Layer.USER_POLICY, None) == names(Layer.USER, None) == []


def test_a_link_a_folder_and_a_pipe_are_reported_and_the_rest_is_read(
    tmp_path: Path, etc: Path
) -> None:
    folder = etc / "policy.d"
    (folder / "a.toml").symlink_to(write(tmp_path / "elsewhere"))
    (folder / "b.toml").mkdir()
    os.mkfifo(folder / "c.toml")
    write(folder / "d.toml")
    parts = look(tmp_path, Layer.MACHINE_POLICY)
    assert [part.broken for part in parts] == [True, True, True, False]
    assert [line.split(": ", 1)[1] for line in problems(parts)] == [
        "not read: this is a symbolic link; put the file itself here",
        "not read: this must be a plain file",
        "not read: this must be a plain file",
    ]


def test_a_file_where_a_folder_belongs_is_reported(tmp_path: Path, etc: Path) -> None:
    write(etc / "guestwake.toml.d")
    assert "must be a folder" in problems(look(tmp_path, Layer.MACHINE))[0]


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_may_write_is_no_policy(tmp_path: Path, etc: Path, mode: int) -> None:
    file = write(etc / "policy.d/a.toml", mode=mode)
    system = Paths(etc, tmp_path, tmp_path, os.geteuid())
    (part,) = TomlFiles(system, None).parts(Layer.MACHINE_POLICY)
    assert part.broken
    assert problems([part]) == [
        f"{file}: not read: others than its owner may write to it (remedy: chmod go-w)"
    ]


def test_under_a_root_files_of_a_user_with_umask_002_count(tmp_path: Path, etc: Path) -> None:
    write(etc / "policy.d/a.toml", mode=0o664)
    (etc / "policy.d").chmod(0o775)
    assert not problems(look(tmp_path, Layer.MACHINE_POLICY))


@pytest.mark.parametrize("folder", [".", "policy.d", "policy.d/users", "policy.d/users/alice"])
def test_a_folder_that_others_may_write_makes_no_policy(
    tmp_path: Path, etc: Path, folder: str
) -> None:
    write(etc / "policy.d/users/alice/a.toml")
    (etc / folder).chmod(0o777)
    (part,) = look(tmp_path, Layer.USER_POLICY, "alice")
    assert part.broken
    assert problems([part])[0].startswith(str((etc / folder).resolve()))


def test_a_file_of_a_stranger_is_no_policy(tmp_path: Path, etc: Path) -> None:
    write(etc / "policy.d/a.toml")
    strangers = Paths(etc, tmp_path, tmp_path, euid=4_000_000)
    assert os.geteuid() == 0 or TomlFiles(strangers, None).parts(Layer.MACHINE_POLICY)[0].broken
    if os.geteuid() == 0:
        os.chown(etc / "policy.d/a.toml", 4_000_000, -1)
        (part,) = look(tmp_path, Layer.MACHINE_POLICY)
        assert "it must belong to root" in problems([part])[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_owner_of_the_root_folder_counts_as_root_and_users_own_their_homes(
    tmp_path: Path, etc: Path
) -> None:
    for path in (tmp_path, etc, etc / "policy.d", write(etc / "policy.d/a.toml")):
        os.chown(path, 4_000_000, -1)
    assert not problems(look(tmp_path, Layer.MACHINE_POLICY))
    stolen = write(tmp_path / "home/alice/.config/guestwake/guestwake.toml")
    os.chown(tmp_path / "home/alice", 4_000_000, -1)
    assert "must belong to the user" in problems(look(tmp_path, Layer.USER, "alice"))[0]
    os.chown(stolen, 4_000_000, -1)
    assert not problems(look(tmp_path, Layer.USER, "alice"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_no_link_of_a_user_tells_what_files_of_others_are_called(tmp_path: Path, etc: Path) -> None:
    """The service may look into every home."""
    config = tmp_path / "home/alice/.config/guestwake"
    secret = write(tmp_path / "home/bob/private/diary-of-bob.toml")
    config.mkdir(parents=True)
    (config / "guestwake.toml.d").symlink_to(secret.parent)
    os.chown(tmp_path / "home/alice", 4_000_000, -1)
    (problem,) = problems(look(tmp_path, Layer.USER, "alice"))
    assert "guestwake.toml.d" in problem
    assert "must belong to the user" in problem
    assert "diary" not in problem


def test_what_may_not_be_read_is_reported(tmp_path: Path, etc: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    write(etc / "policy.d/a.toml", mode=0o000)
    (part,) = look(tmp_path, Layer.MACHINE_POLICY)
    assert part.broken
    assert "not allowed to read it" in problems([part])[0]


def test_too_much_is_refused_and_what_came_before_counts(tmp_path: Path, etc: Path) -> None:
    write(etc / "policy.d/a.toml")
    write(etc / "policy.d/b.toml", "# 234567\n" * (1024 * 1024 // 9 + 1))
    parts = look(tmp_path, Layer.MACHINE_POLICY)
    assert [part.broken for part in parts] == [False, True]
    assert "1024 KiB in all" in problems(parts)[0]
    write(tmp_path / "home/alice/.config/guestwake/guestwake.toml", "# 234567\n" * 8000)
    assert "64 KiB in all" in problems(look(tmp_path, Layer.USER, "alice"))[0]


def test_many_files_count_together(tmp_path: Path) -> None:
    folder = tmp_path / "home/alice/.config/guestwake/guestwake.toml.d"
    for name in "abc":
        write(folder / f"{name}.toml", "# 234567\n" * 3000)
    assert [part.broken for part in look(tmp_path, Layer.USER, "alice")] == [False, False, True]


def test_a_file_name_cannot_break_a_line(tmp_path: Path, etc: Path) -> None:
    write(Path(os.fsdecode(bytes(etc / "policy.d") + b"/x\n\xff\x1b.toml")), "colour = 1")
    assert problems(look(tmp_path, Layer.MACHINE_POLICY))[0].isprintable()


def test_an_owner_whom_the_host_does_not_know_has_no_settings() -> None:
    parts = TomlFiles(Paths.system(), "no-such-user-here").parts(Layer.USER)
    assert "this host has no such user" in problems(parts)[0]
    parts = TomlFiles(Paths.system(), "../root").parts(Layer.USER)
    assert "not the name of a user" in problems(parts)[0]


def test_a_user_who_becomes_known_later_is_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the service starts before LDAP answers."""
    paths = Paths(tmp_path / "etc", tmp_path, tmp_path, os.geteuid())
    known: list[Path] = []
    monkeypatch.setattr(Paths, "home", lambda self, owner: known[0] if known else None)
    layers = load(paths, "alice")
    assert not layers.changed()
    write(tmp_path / "alice/.config/guestwake/guestwake.toml", "splay = 5\n")
    known.append(tmp_path / "alice")
    assert layers.changed()
    layers = load(paths, "alice")
    assert resolve(layers).limits.splay == timedelta(minutes=5)
    assert not layers.changed()


def test_each_setting_is_read_under_its_name_in_files() -> None:
    for name, setting in BY_TOML.items():
        assert read(f"{name} = 0").entries[0].name == setting.name
