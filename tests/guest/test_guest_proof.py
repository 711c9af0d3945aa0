"""Nothing left, of clients that leave no result behind: dnf and zypper. What they say was recorded
from real runs (`recorded/README.md`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from guest_scene import RECORDED, Guest

from guestwake_guest.questions import APART_PAUSE
from guestwake_guest.times import asctime_seconds
from guestwake_guest.update_clients import dnf, zypper
from guestwake_wire.messages import ClientState

REFRESHED = 1795598825.0  # Wed Nov 25 09:27:05 2026, when both mirrors had confirmed
DNF_METADATA = "/var/cache/dnf/{}-ca8037778f65726a/repodata/d85156c6-primary.xml.gz"
ZYPPER_INDEX = "/var/cache/zypp/raw/{}/repodata/repomd.xml"
PACKAGES = "/var/lib/rpm/rpmdb.sqlite"
CLIENTS = {"dnf": dnf, "zypper": zypper}


class Scene:
    """A guest whose client was last run at REFRESHED, half a minute ago."""

    def __init__(self, guest: Guest, name: str) -> None:
        self.guest = guest
        self.name = name
        self.program = f"/usr/bin/{name}"
        self.metadata = DNF_METADATA if name == "dnf" else ZYPPER_INDEX
        guest.wall = REFRESHED + 30
        guest.write(PACKAGES, "packages")
        self.refreshed("one", "two")
        self.answers()

    def refreshed(self, *repositories: str, ago: float = 30) -> None:
        for repository in repositories:
            self.guest.write(self.metadata.format(repository), age=ago)

    def answers(
        self,
        repositories: str = "repositories.txt",
        updates: str = "updates-none.txt",
        *,
        codes: tuple[int, int] = (0, 0),
    ) -> None:
        said = [RECORDED / f"{self.name}-{told}" for told in (repositories, updates)]
        calls = self.guest.path(f"{self.program}.calls")
        self.guest.program(
            self.program,
            f'echo "$@" >>"{calls}"\ncase "$*" in\n'
            f'*repoinfo*|*repos\\ *) cat "{said[0]}"; exit {codes[0]};;\n'
            f'*) cat "{said[1]}"; exit {codes[1]};;\nesac',
        )

    def state(self, window: float | None = 60) -> ClientState:
        """`window`: opened so many seconds ago."""
        since = None if window is None else self.guest.wall - window
        state = ClientState.UNKNOWN
        for _ in range(3):
            state = CLIENTS[self.name].client(self.guest.view(since)).state
            self.guest.hears_answers()
        return state

    def calls(self) -> list[str]:
        return self.guest.calls(self.program)


@pytest.fixture(params=CLIENTS)
def scene(guest: Guest, request: pytest.FixtureRequest) -> Scene:
    return Scene(guest, request.param)


@pytest.fixture
def of_dnf(guest: Guest) -> Scene:
    return Scene(guest, "dnf")


@pytest.fixture
def of_zypper(guest: Guest) -> Scene:
    return Scene(guest, "zypper")


def test_every_mirror_has_confirmed_and_nothing_was_found(scene: Scene) -> None:
    assert scene.state() is ClientState.NOTHING_LEFT
    scene.guest.passes(3600)
    assert scene.state(window=3700) is ClientState.NOTHING_LEFT
    assert len(scene.calls()) == 2


def test_the_repositories_come_before_the_updates(scene: Scene) -> None:
    """Else what was found might be older than what was confirmed."""
    scene.state()
    first, second = scene.calls()
    assert "repo" in first
    assert "check-upgrade" in second or "list-updates" in second


def test_what_was_found_and_not_installed_is_left(scene: Scene) -> None:
    """It was only downloaded, was skipped, or failed: dnf-automatic ends with 0 all the same."""
    scene.answers(updates="updates.txt", codes=(0, 100 if scene.name == "dnf" else 0))
    assert scene.state() is ClientState.IDLE


def test_a_dead_mirror_of_dnf(of_dnf: Scene) -> None:
    """dnf-automatic ended with 0, and of what it has in its cache there is no update."""
    of_dnf.answers("repositories-one-dead.txt")
    of_dnf.refreshed("two", ago=3 * 86400)
    assert of_dnf.state(window=3600) is ClientState.IDLE


def test_a_dead_mirror_of_zypper(of_zypper: Scene) -> None:
    of_zypper.refreshed("two", ago=3 * 86400)
    assert of_zypper.state() is ClientState.IDLE


def test_a_dead_mirror_of_which_dnf_has_nothing(of_dnf: Scene) -> None:
    """It answers nothing and ends with 1, since it is told not to pass over it."""
    nothing = "repositories-one-dead.txt"
    of_dnf.answers(nothing, codes=(1, 1))
    assert of_dnf.state() is ClientState.IDLE
    assert all("--setopt=*.skip_if_unavailable=False" in call for call in of_dnf.calls())


def test_a_dead_mirror_of_which_zypper_has_nothing(of_zypper: Scene) -> None:
    of_zypper.guest.remove(ZYPPER_INDEX.format("two"))
    of_zypper.answers(updates="updates-one-dead.txt", codes=(0, 106))
    assert of_zypper.state() is ClientState.IDLE
    of_zypper.refreshed("two")
    of_zypper.guest.passes(APART_PAUSE)
    assert of_zypper.state(window=1000) is ClientState.IDLE


def test_without_a_refresh_in_the_window_nothing_is_asked(scene: Scene) -> None:
    """Every mirror is dead, or the client takes what it has for fresh enough."""
    assert scene.state(window=10) is ClientState.IDLE
    assert scene.state(window=None) is ClientState.IDLE
    assert scene.calls() == []


def test_a_refresh_by_a_clock_that_was_ahead_is_none(scene: Scene) -> None:
    scene.guest.clock_is_set(-20)
    scene.refreshed("one", "two", ago=-20)
    assert scene.state(window=10) is ClientState.IDLE


def test_an_answer_is_for_the_packages_that_it_was_given_for(scene: Scene) -> None:
    scene.state()
    scene.guest.write(PACKAGES, "other packages")
    assert scene.state() is ClientState.IDLE
    scene.guest.passes(APART_PAUSE)
    assert scene.state(window=700) is ClientState.NOTHING_LEFT


def test_what_a_mirror_has_sent_since_is_not_known_yet(scene: Scene) -> None:
    scene.state()
    scene.refreshed("two", ago=1)
    assert scene.state() is ClientState.IDLE
    scene.answers(updates="updates.txt", codes=(0, 100 if scene.name == "dnf" else 0))
    scene.guest.passes(APART_PAUSE)
    assert scene.state(window=700) is ClientState.IDLE


@pytest.mark.parametrize(
    ("name", "file"),
    [("dnf", "/etc/yum.repos.d/three.repo"), ("zypper", "/etc/zypp/repos.d/three.repo")],
)
def test_a_repository_that_was_added_since_is_not_known_yet(
    guest: Guest, name: str, file: str
) -> None:
    scene = Scene(guest, name)
    scene.state()
    guest.write(file, "[three]\n")
    assert scene.state() is ClientState.IDLE


def test_answers_that_were_cut_off_prove_nothing(scene: Scene, tmp_path: Path) -> None:
    whole = (RECORDED / f"{scene.name}-repositories.txt").read_text()
    cut = tmp_path / "cut.txt"
    cut.write_text(whole[: whole.index("two")])
    scene.guest.program(scene.program, f'cat "{cut}"')
    assert scene.state() is ClientState.IDLE


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (0, 7), (0, 106)])
def test_who_could_not_tell_proves_nothing(scene: Scene, codes: tuple[int, int]) -> None:
    scene.answers(codes=codes)
    assert scene.state() is ClientState.IDLE


def test_no_repository_at_all_proves_nothing(of_zypper: Scene) -> None:
    of_zypper.guest.program(of_zypper.program, "echo '<repo-list></repo-list>'")
    assert of_zypper.state() is ClientState.IDLE


def test_a_kind_of_repository_that_has_no_such_index_proves_nothing(of_zypper: Scene) -> None:
    of_zypper.guest.remove(ZYPPER_INDEX.format("two"))
    of_zypper.guest.write("/var/cache/zypp/raw/two/content")
    assert of_zypper.state() is ClientState.IDLE


def test_an_image_based_guest_is_not_what_dnf_sees(of_dnf: Scene) -> None:
    of_dnf.guest.write("/run/ostree-booted")
    assert of_dnf.state() is ClientState.IDLE


def test_who_is_busy_is_not_asked(scene: Scene) -> None:
    unit = "dnf-automatic.service" if scene.name == "dnf" else "os-update.service"
    scene.guest.write(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs", "812\n")
    assert scene.state() is ClientState.BUSY
    assert scene.calls() == []


def test_asking_takes_no_lock_and_needs_no_network(guest: Guest) -> None:
    """zypper's own lock would make an update that starts meanwhile give up."""
    scene = Scene(guest, "zypper")
    guest.says("/usr/bin/systemd-run", "zypper-repositories.txt")
    scene.state()
    for call in guest.calls("/usr/bin/systemd-run"):
        assert "--setenv=ZYPP_READONLY_HACK=1" in call
        assert "--property=PrivateNetwork=yes" in call
        assert "--no-refresh" in call


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Wed Nov 25 09:27:05 2026", 1795598825),
        ("Thu Jan  1 00:00:00 1970", 0),
        ("Thu Jun 31 00:00:00", None),
        ("unknown", None),
    ],
)
def test_times_of_dnf(text: str, seconds: int | None) -> None:
    assert asctime_seconds(text) == seconds
