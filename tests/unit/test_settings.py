"""Which value counts, where it came from, and what a broken policy still enforces."""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guestwake.paths import Paths
from guestwake.policy.limits import EVERY_DAY, Limits
from guestwake.settings import (
    Layer,
    Layers,
    Origin,
    Resolved,
    SettingsError,
    as_json,
    check,
    load,
    resolve,
    rows,
    with_overrides,
)
from guestwake.settings.source import SEARCHED, Entry, Part, Problem

UUID = "6f3a2f86-0d7e-4a0e-9d0c-0a1b2c3d4e5f"
WEB01 = ("web01", UUID)


@dataclass
class Host:
    """A host with its files under a folder of its own."""

    root: Path
    paths: Paths = field(init=False)

    def __post_init__(self) -> None:
        self.paths = Paths.under(self.root, os.geteuid())

    def write(self, name: str, text: str) -> Path:
        """By a short name: policy/a, policy/alice/a, machine, machine/a, user, user/a (alice's)."""
        file = self.file(name)
        for folder in [f for f in reversed(file.parents) if f.is_relative_to(self.root)]:
            if not folder.exists():
                folder.mkdir(mode=0o755)
                folder.chmod(0o755)
        new = file.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o644)
        new.replace(file)
        return file

    def file(self, name: str) -> Path:
        first, *rest = name.split("/")
        etc, home = self.paths.config, self.root / "home/alice/.config/guestwake"
        match first, rest:
            case "policy", [leaf]:
                return etc / f"policy.d/{leaf}.toml"
            case "policy", [user, leaf]:
                return etc / f"policy.d/users/{user}/{leaf}.toml"
            case (("machine" | "user"), []):
                return (etc if first == "machine" else home) / "guestwake.toml"
        return (etc if first == "machine" else home) / f"guestwake.toml.d/{rest[0]}.toml"

    def load(self, owner: str | None = "alice") -> Layers:
        return load(self.paths, owner)

    def resolve(self, owner: str | None = "alice") -> Resolved:
        return resolve(self.load(owner), WEB01)

    def remember(self) -> None:
        assert self.load().remember() == ()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def at(resolved: Resolved) -> str:
    return f"{resolved.limits.guest_update_time:%H:%M}"


def origin(resolved: Resolved) -> Origin:
    return resolved.origins["GuestUpdateTime"]


def test_with_no_file_at_all_the_defaults_count(host: Host) -> None:
    resolved = host.resolve()
    assert resolved.limits == Limits()
    assert set(resolved.origins.values()) == {Origin(Layer.DEFAULT)}
    assert resolved.problems == ()


# Precedence

FILES = {
    Layer.MACHINE_POLICY: "policy/a",
    Layer.USER_POLICY: "policy/alice/a",
    Layer.MACHINE: "machine",
    Layer.USER: "user",
}
# What a layer may say of GuestUpdateTime, in its general part and in the workspace's section.
SAYINGS = [None, "good", "bad"]


def text(general: str | None, own: str | None, hour: int) -> str:
    lines = {None: "", "bad": 'guest_update_time = "25:00"\n'}
    top = lines.get(general, f'guest_update_time = "{hour:02}:01"\n')
    section = lines.get(own, f'guest_update_time = "{hour:02}:02"\n')
    return f"{top}[workspace.web01]\n{section}"


def expected(sayings: Mapping[Layer, tuple[str | None, str | None]]) -> tuple[str, Layer]:
    for hour, (layer, (general, own)) in enumerate(sayings.items(), 1):
        if own == "good":
            return f"{hour:02}:02", layer
        if general == "good":
            return f"{hour:02}:01", layer
        if layer is Layer.MACHINE_POLICY and "bad" in (general, own):
            break
    return "00:00", Layer.DEFAULT


@settings(max_examples=150)
@given(st.tuples(*[st.tuples(st.sampled_from(SAYINGS), st.sampled_from(SAYINGS))] * 4))
def test_the_first_layer_with_a_good_value_wins_and_a_bad_policy_bars_the_lower_ones(
    tmp_path_factory: pytest.TempPathFactory,
    said: tuple[tuple[str | None, str | None], ...],
) -> None:
    host = Host(tmp_path_factory.mktemp("root"))
    sayings = dict(zip(SEARCHED, said, strict=True))
    for hour, (layer, (general, own)) in enumerate(sayings.items(), 1):
        host.write(FILES[layer], text(general, own, hour))
    resolved = host.resolve()
    assert (at(resolved), origin(resolved).layer) == expected(sayings)
    assert len(resolved.problems) == sum(pair.count("bad") for pair in said)


def test_the_table_of_layers_from_the_strongest_down(host: Host) -> None:
    for hour, name in enumerate(FILES.values(), 1):
        host.write(name, f'guest_update_time = "0{hour}:00"')
    for hour, (layer, name) in enumerate(FILES.items(), 1):
        resolved = host.resolve()
        assert (at(resolved), origin(resolved).layer) == (f"0{hour}:00", layer)
        assert origin(resolved).place == f"{host.file(name)}:1"
        assert origin(resolved).raw == f"0{hour}:00"
        host.file(name).unlink()
    assert origin(host.resolve()).layer is Layer.DEFAULT


def test_each_value_is_looked_for_by_itself(host: Host) -> None:
    host.write("policy/a", "guest_update_duration = 30")
    host.write("user", 'guest_update_time = "04:00"\nguest_update_duration = 600')
    limits = host.resolve().limits
    assert (limits.guest_update_time, limits.guest_update_duration) == (
        time(4),
        timedelta(minutes=30),
    )


def test_a_workspaces_own_section_wins_inside_a_layer_only(host: Host) -> None:
    host.write("machine", 'guest_update_time = "03:00"\n[workspace.web01]\nsplay = 5')
    host.write("user", '[workspace.web01]\nguest_update_time = "04:00"')
    resolved = host.resolve()
    assert (at(resolved), resolved.limits.splay) == ("03:00", timedelta(minutes=5))


def test_a_section_by_uuid_beats_one_by_name_in_any_case(host: Host) -> None:
    host.write("machine", f"[workspace.web01]\nsplay = 1\n[workspace.{UUID.upper()}]\nsplay = 2")
    assert host.resolve().limits.splay == timedelta(minutes=2)


def test_sections_of_others_do_not_concern_a_workspace(host: Host) -> None:
    host.write("machine", "[workspace.WEB01]\nsplay = 1\n[workspace.db]\nsplay = -1\ncolour = 1")
    resolved = host.resolve()
    assert resolved.limits.splay == timedelta(0)
    assert resolved.problems == ()
    assert len(check(host.paths, [])) == 2


def test_without_a_workspace_the_general_values_are_shown(host: Host) -> None:
    host.write("machine", "splay = 3\n[workspace.web01]\nsplay = 1")
    assert resolve(host.load()).limits.splay == timedelta(minutes=3)


def test_a_later_drop_in_wins_and_the_main_file_comes_first(host: Host) -> None:
    host.write("machine", "splay = 1\nmax_awake = 1\nmin_awake = 1")
    host.write("machine/20", "splay = 3")
    host.write("machine/10", "splay = 2\nmax_awake = 2")
    limits = host.resolve().limits
    assert (limits.splay, limits.max_awake) == (timedelta(minutes=3), 2)
    assert limits.min_awake == timedelta(minutes=1)


def test_a_bad_value_in_a_drop_in_leaves_the_earlier_one(host: Host) -> None:
    host.write("machine", "splay = 1")
    host.write("machine/10", "splay = -1")
    resolved = host.resolve()
    assert resolved.limits.splay == timedelta(minutes=1)
    assert "(until then it counts as not set)" in str(resolved.problems[0])


def test_a_systems_workspace_has_no_user_layers_and_others_have_their_own(host: Host) -> None:
    host.write("policy/alice/a", "splay = 1")
    host.write("user", "max_awake = 5")
    assert host.resolve("alice").limits.splay == timedelta(minutes=1)
    assert host.resolve("alice").limits.max_awake == 5
    assert host.resolve(None).limits == host.resolve("bob").limits == Limits()


# A broken policy


def test_a_bad_value_of_the_policy_keeps_the_last_good_one(host: Host) -> None:
    host.write("policy/a", '\nguest_update_time = "03:00"')
    host.write("user", 'guest_update_time = "04:00"')
    host.remember()
    file = host.write("policy/a", 'guest_update_time = "25:00"')
    resolved = host.resolve()
    assert at(resolved) == "03:00"
    assert origin(resolved) == Origin(Layer.MACHINE_POLICY, f"{file}:2", "03:00", stands_in=True)
    (problem,) = resolved.problems
    assert str(problem).startswith(f'{file}:1: guest_update_time: "25:00" will not do; ')
    assert str(problem).endswith('(until then the last good value holds: "03:00")')


def test_it_is_kept_as_long_as_the_policy_is_broken(host: Host) -> None:
    host.write("policy/a", 'guest_update_time = "03:00"')
    host.remember()
    for bad in ('"25:00"', "7", "true", "[]"):
        host.write("policy/a", f"guest_update_time = {bad}")
        host.remember()
        assert at(host.resolve()) == "03:00"


def test_without_a_last_good_value_the_default_holds_and_never_a_lower_layers(host: Host) -> None:
    file = host.write("policy/a", 'guest_update_time = "25:00"')
    host.write("machine", 'guest_update_time = "04:00"')
    resolved = host.resolve()
    assert at(resolved) == "00:00"
    assert origin(resolved) == Origin(Layer.DEFAULT, f"{file}:1", None, stands_in=True)
    assert "(until then the default holds)" in str(resolved.problems[0])


def test_a_bad_section_of_the_policy_leaves_its_general_value(host: Host) -> None:
    host.write("policy/a", "splay = 5\n[workspace.web01]\nsplay = -1")
    host.write("machine", "[workspace.web01]\nsplay = 9")
    resolved = host.resolve()
    assert resolved.limits.splay == timedelta(minutes=5)
    assert "the general policy holds" in str(resolved.problems[0])


BROKEN = ["guest_update_time = ", "splay = 1\nsplay = 2", "x = '", "\x00"]


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_policy_file_keeps_all_that_it_last_said(host: Host, content: str) -> None:
    host.write("policy/a", 'guest_update_time = "03:00"\n[workspace.web01]\nsplay = 5')
    host.write("policy/b", "max_awake = 3")
    host.write("user", 'guest_update_time = "04:00"\nsplay = 7\nmax_awake = 8')
    host.remember()
    host.write("policy/a", content)
    host.write("policy/b", "max_awake = 4")
    host.remember()
    resolved = host.resolve()
    assert (at(resolved), resolved.limits.splay) == ("03:00", timedelta(minutes=5))
    assert resolved.limits.max_awake == 4
    assert origin(resolved).stands_in
    assert not resolved.origins["MaxAwake"].stands_in
    assert len(resolved.problems) == 1


def test_a_policy_that_others_may_write_keeps_what_it_last_said(host: Host) -> None:
    file = host.write("policy/a", 'guest_update_time = "03:00"')
    host.remember()
    host.write("policy/a", 'guest_update_time = "05:00"')
    file.chmod(0o666)
    assert at(host.resolve()) == "03:00"
    file.chmod(0o644)
    assert at(host.resolve()) == "05:00"


def test_a_folder_that_is_none_any_more_keeps_what_its_files_last_said(host: Host) -> None:
    host.write("policy/a", 'guest_update_time = "03:00"')
    host.remember()
    host.paths.policy_dir.chmod(0o777)
    host.remember()
    assert at(host.resolve()) == "03:00"
    host.paths.policy_dir.chmod(0o755)
    assert not origin(host.resolve()).stands_in


def test_a_file_that_was_renamed_and_broken_keeps_what_it_last_said(host: Host) -> None:
    host.write("policy/a", 'guest_update_time = "03:00"')
    host.remember()
    host.file("policy/a").unlink()
    host.write("policy/b", "guest_update_time = 24:00")
    host.remember()
    assert at(host.resolve()) == "03:00"


def test_a_value_that_moved_to_another_file_and_went_bad_keeps_its_last_good_one(
    host: Host,
) -> None:
    host.write("policy/a", 'guest_update_time = "03:00"\nsplay = 1')
    host.write("policy/b", "max_awake = 3")
    host.remember()
    host.write("policy/a", "splay = 1")
    host.write("policy/b", 'max_awake = 3\nguest_update_time = "24:00"')
    assert at(host.resolve()) == "03:00"


def test_a_value_goes_bad_where_another_file_had_overridden_it(host: Host) -> None:
    host.write("policy/a", 'guest_update_time = "03:00"')
    host.write("policy/b", 'guest_update_time = "04:00"')
    host.remember()
    host.write("policy/a", 'guest_update_time = "25:00"')
    host.file("policy/b").unlink()
    assert at(host.resolve()) == "03:00"


def test_what_a_readable_file_says_now_beats_what_files_that_are_gone_said(host: Host) -> None:
    host.write("policy/a", 'guest_update_time = "03:00"')
    host.remember()
    host.paths.policy_dir.chmod(0o777)
    host.remember()
    host.paths.policy_dir.chmod(0o755)
    host.write("policy/a", 'guest_update_time = "05:00"')
    host.write("policy/b", "broken")
    assert at(host.resolve()) == "05:00"


def test_a_bad_value_among_good_ones_of_the_policy_is_told_what_holds(host: Host) -> None:
    host.write("policy/a", "splay = -1")
    host.write("policy/b", "splay = 5")
    resolved = host.resolve()
    assert resolved.limits.splay == timedelta(minutes=5)
    assert "(until then the value of another file of the policy holds)" in str(resolved.problems[0])


def test_a_later_file_of_the_policy_wins_over_a_last_good_value(host: Host) -> None:
    host.write("policy/a", 'guest_update_time = "03:00"')
    host.remember()
    host.write("policy/a", 'guest_update_time = "25:00"')
    host.write("policy/b", 'guest_update_time = "05:00"')
    assert at(host.resolve()) == "05:00"


def test_what_was_taken_out_of_the_policy_is_gone(host: Host) -> None:
    host.write("policy/a", 'guest_update_time = "03:00"')
    host.remember()
    host.write("policy/a", "splay = 1")
    host.remember()
    host.write("policy/a", 'guest_update_time = "25:00"')
    assert at(host.resolve()) == "00:00"
    host.file("policy/a").unlink()
    host.remember()
    host.write("policy/a", "broken")
    assert host.resolve().limits == Limits()


def test_a_bad_user_policy_has_no_memory_and_the_next_layer_counts(host: Host) -> None:
    host.write("policy/alice/a", 'guest_update_time = "03:00"')
    host.write("machine", 'guest_update_time = "04:00"')
    host.remember()
    host.write("policy/alice/a", 'guest_update_time = "25:00"')
    assert at(host.resolve()) == "04:00"


def test_looking_writes_nothing_and_remembering_writes_only_what_is_new(host: Host) -> None:
    host.write("policy/a", "splay = 1")
    host.load()
    assert not host.paths.state.exists()
    host.remember()
    store = host.paths.state / "policy-last-good.json"
    before = store.stat().st_ino, store.stat().st_mtime_ns
    host.remember()
    assert (store.stat().st_ino, store.stat().st_mtime_ns) == before
    assert os.listdir(host.paths.state) == [store.name]


def test_where_there_is_no_policy_there_is_no_store(host: Host) -> None:
    host.remember()
    assert not host.paths.state.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"version": 1}',
        '{"version": 1, "files": {"f": [1]}}',
        '{"version": 1, "files": {"f": [[{}, "Splay", 1, "f:1", "splay"]]}}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_a_damaged_store_is_reported_and_repaired(host: Host, content: str) -> None:
    host.write("policy/a", "splay = 1")
    host.paths.state.mkdir(parents=True)
    store = host.paths.state / "policy-last-good.json"
    store.write_bytes(content.encode("utf-8", "surrogatepass"))
    layers = host.load()
    assert f"{store}: the last good policy cannot be read" in str(layers.problems[0])
    assert resolve(layers).limits.splay == timedelta(minutes=1)
    layers.remember()
    assert host.load().problems == ()


def test_a_store_of_another_version_lends_only_what_is_still_good(host: Host) -> None:
    file = host.write("policy/a", "broken")
    host.paths.state.mkdir(parents=True)
    entries = [
        [None, "Splay", 5, f"{file}:1", "splay"],
        [None, "Splines", 5, f"{file}:2", "splines"],
        [None, "MaxAwake", "all", f"{file}:3", "max_awake"],
    ]
    store = host.paths.state / "policy-last-good.json"
    store.write_text(json.dumps({"version": 1, "files": {str(file): entries}}))
    resolved = host.resolve()
    assert (resolved.limits.splay, resolved.limits.max_awake) == (timedelta(minutes=5), 0)
    store.write_text(json.dumps({"version": 2, "files": {str(file): entries}}))
    assert host.resolve().limits == Limits()


def test_a_store_that_cannot_be_written_is_a_problem_and_no_crash(host: Host) -> None:
    host.write("policy/a", "splay = 1")
    host.paths.state.parent.mkdir(parents=True)
    host.paths.state.write_text("a file where the folder should be")
    (problem,) = host.load().remember()
    assert "the last good policy cannot be kept" in str(problem)


def test_a_full_disk_leaves_the_store_as_it_was(host: Host) -> None:
    host.write("policy/a", "splay = 1")
    host.remember()
    host.write("policy/a", "splay = 2")
    layers = host.load()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        (problem,) = layers.remember()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "cannot be kept: File too large" in str(problem)
    assert os.listdir(host.paths.state) == ["policy-last-good.json"]
    host.write("policy/a", "broken")
    assert host.resolve().limits.splay == timedelta(minutes=1)


# Problems


def test_all_problems_of_all_files_come_in_one_go(host: Host) -> None:
    places = [
        host.write("policy/a", 'GuestUpdateTime = "03:00"\nguest_update_duration = 1441'),
        host.write("policy/bob/a", "guest_update_days = []"),
        host.write("machine", 'guest_update_duration = "240"\n[workspace.web01]\nsplay = -1'),
        host.write("user", "guest_update_tme = '7:05'\nguest_update_time = '7:5'"),
        host.write("user/a", "oops"),
    ]
    found = check(host.paths, ["alice"])
    assert {problem.place for problem in found} == {
        f"{file}:{line}"
        for file, lines in zip(places, ([1, 2], [1], [1, 3], [1, 2], [1]), strict=True)
        for line in lines
    }
    assert len(found) == len(set(found)) == 8


def test_a_clean_host_has_no_problems(host: Host) -> None:
    host.write(
        "policy/a", 'guest_update_time = "7:05"\ntime_zone = "Africa/Cairo"\nwake_host = true'
    )
    host.write("user", 'guest_update_days = ["Monday", "fri"]\nclose_action = "SHUTDOWN"')
    assert check(host.paths, ["alice"]) == ()
    limits = host.resolve().limits
    assert (limits.guest_update_days, limits.wake_host) == (frozenset({0, 4}), True)
    assert str(limits.time_zone) == "Africa/Cairo"


# Looking again


def test_a_change_of_any_file_is_seen(host: Host) -> None:
    names = ["policy/a", "policy/alice/a", "machine", "machine/a", "user", "user/a"]
    for name in names:
        host.write(name, "splay = 1")
    for name in names:
        layers = host.load()
        assert not layers.changed()
        host.write(name, "splay = 2")
        assert layers.changed(), name
        layers = host.load()
        host.file(name).chmod(0o666)
        assert layers.changed(), name
        layers = host.load()
        host.file(name).unlink()
        assert layers.changed(), name


def test_a_file_that_appears_is_seen(host: Host) -> None:
    for name in ("machine", "policy/a", "user"):
        layers = host.load()
        host.write(name, "splay = 1")
        assert layers.changed(), name


def test_another_source_of_values_fits_in() -> None:
    class RecordingSource:
        """Spells names as the registry does."""

        asked: list[Layer] = []  # noqa: RUF012 - one test's own

        def parts(self, layer: Layer) -> list[Part]:
            self.asked.append(layer)
            key = rf"HKLM\{layer.name}"
            entry = Entry("web01", "Splay", 9999, rf"{key}\web01", "Splay")
            return [Part(key, (entry,))] if layer is Layer.MACHINE else []

        def signature(self) -> object:
            return 1

        def section_of(self, name: str) -> str:
            return name.lower()

        def remember(self) -> tuple[Problem, ...]:
            return ()

    layers = load(Paths.under(Path("/nonexistent"), 0), None, RecordingSource())
    assert str(layers.problems[0]).startswith(r"HKLM\MACHINE\web01: Splay: 9999 is out of range")
    assert RecordingSource.asked == list(SEARCHED)


# What if


def test_values_of_the_command_line_win_over_the_policy(host: Host) -> None:
    host.write("policy/a", "guest_update_duration = 30")
    given_ = ["GuestUpdateDuration=0", "guest_update_time = 7:05", "GuestUpdateDays=mon, Fri"]
    resolved = with_overrides(host.resolve(), [*given_, "wake_host=true", "CatchUp=never"])
    limits = resolved.limits
    assert limits.guest_update_duration == timedelta(0)
    assert limits.guest_update_time == time(7, 5)
    assert (limits.guest_update_days, limits.wake_host) == (frozenset({0, 4}), True)
    assert resolved.origins["GuestUpdateDuration"] == Origin(Layer.COMMAND_LINE, None, 0)
    assert resolved.origins["Splay"].layer is Layer.DEFAULT


def test_the_values_before_are_left_as_they_were(host: Host) -> None:
    before = host.resolve()
    after = with_overrides(before, ["GuestUpdateDays=all", "Splay=5"])
    assert before.limits.splay == timedelta(0)
    assert after.limits.guest_update_days == EVERY_DAY


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("GuestUpdateDuration=1441", "command line: GuestUpdateDuration: 1441 is out of range"),
        ("GuestUpdateDuration=-1", "from 0 to 1440"),
        ("GuestUpdateDuration=", '"" will not do; it must be a whole number of minutes'),
        ("GuestUpdateDuration", "no value is given; write GuestUpdateDuration=VALUE"),
        ("GuestUpdateDuration=" + "9" * 5000, "will not do"),
        ("GuestUpdateTime=24:00", '"24:00" will not do'),
        ("GuestUpdateDays=", "the list is empty"),
        ("GuestUpdateDays=mo", '"mo" is no day of the week'),
        ("GuestUpdateTme=03:00", "write GuestUpdateTime"),
        ("guest_update_tme=03:00", "write guest_update_time"),
        ("=1", "there is no setting of this name"),
        ("", "there is no setting of this name"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(assignment: str, says: str) -> None:
    nothing = Resolved(Limits(), {}, ())
    with pytest.raises(SettingsError) as caught:
        with_overrides(nothing, [assignment])
    assert says in str(caught.value)


def test_all_mistakes_of_a_command_line_are_named_at_once() -> None:
    nothing = Resolved(Limits(), {}, ())
    with pytest.raises(SettingsError) as caught:
        with_overrides(nothing, ["Splay=x", "Splay=1", "splay=2", "colour=3"])
    assert [problem.setting for problem in caught.value.problems] == ["Splay", "splay", "colour"]
    assert "given twice" in str(caught.value)


# Showing


def test_each_setting_is_shown_with_its_origin(host: Host) -> None:
    file = host.write("policy/a", "\n\nguest_update_duration = 30")
    shown = {row.name: row for row in rows(host.resolve())}
    assert shown["GuestUpdateDuration"][1:] == ("30 minutes", f"machine policy, {file}:3")
    assert shown["TimeZone"][1:] == ("the host's", "default")
    host.remember()
    host.write("policy/a", "guest_update_duration = 9999")
    shown = {row.name: row for row in rows(host.resolve())}
    assert shown["GuestUpdateDuration"].origin.endswith(
        "(stands in for a broken value of the policy)"
    )


def test_what_is_shown_as_json_may_be_written_into_a_file_again(host: Host) -> None:
    host.write("machine", 'guest_update_time = "3:00"\nguest_update_days = ["sun"]\nwake_host = 1')
    shown = json.loads(json.dumps(as_json(host.resolve())))
    values = {one["name"]: one["value"] for one in shown}
    assert values["GuestUpdateTime"] == "03:00"
    assert values["GuestUpdateDays"] == ["Sunday"]
    assert (values["WakeHost"], values["GuestUpdateDuration"]) == (1, 240)
    assert values["TimeZone"] is None
    assert {tuple(one) for one in shown} == {("name", "value", "layer", "place", "stands_in")}


def test_every_way_a_policy_of_two_files_can_go_bad_never_lets_a_user_in(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever becomes of a policy that once said 03:00, short of taking it out, counts before
    the user's 04:00."""
    good, bad, broken = (
        'guest_update_time = "03:00"',
        'guest_update_time = "x"',
        "guest_update_time =",
    )
    for first, second in itertools.product([good, bad, broken, None], repeat=2):
        if first is None and second is None:
            continue
        host = Host(tmp_path_factory.mktemp("root"))
        host.write("policy/a", good)
        host.write("user", 'guest_update_time = "04:00"')
        host.remember()
        host.file("policy/a").unlink()
        for name, content in (("policy/a", first), ("policy/b", second)):
            if content is not None:
                host.write(name, content)
        assert at(host.resolve()) == "03:00", (first, second)
