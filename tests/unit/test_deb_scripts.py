"""The scripts of the host's Debian package, run in a folder that is taken for /."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "packaging/debian"
OF_THE_HOST = re.compile(r"(?<![\w/.}])/(?=(?:etc|run|usr|var)/)")
OURS = (
    "etc/guestwake/guestwake.toml",
    "etc/guestwake/.guestwake.toml.new",
    "etc/guestwake/policy.d/50-settings.toml",
    "etc/systemd/system/guestwake-wake@x.timer.found",
    "run/guestwake-host/locks/x.lock",
    "run/guestwake-host/poke",
    "run/guestwake-host/serve.lock",
    "var/lib/guestwake/journal.db",
    "var/lib/systemd/timers/stamp-guestwake-wake@x.timer",
)


def run(root: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    text = OF_THE_HOST.sub(f"{root}/", (SCRIPTS / f"guestwake.{script}").read_text())
    command = ["sh", "-s", *words]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def files(root: Path) -> list[str]:
    return sorted(str(each.relative_to(root)) for each in root.rglob("*") if not each.is_dir())


def test_a_purge_takes_what_guestwake_wrote_and_nothing_else(tmp_path: Path) -> None:
    others = (
        "etc/guestwake/guestwake.toml.d/a.toml",
        "etc/guestwake/policy.d/company.toml",
        "run/guestwake/restart-required",  # the guest's package, on a VM that is a host as well
        "var/lib/systemd/timers/stamp-apt-daily.timer",
    )
    put(tmp_path, *OURS, *others)
    done = run(tmp_path, "postrm", "purge")
    assert (done.returncode, done.stderr) == (0, "")
    assert files(tmp_path) == sorted(others)


def test_a_purge_leaves_no_empty_folder_and_may_be_called_twice(tmp_path: Path) -> None:
    put(tmp_path, *OURS)
    for _ in range(2):
        done = run(tmp_path, "postrm", "purge")
        assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.rglob("guestwake*")) == []


def test_a_purge_ends_well_where_the_settings_lie_elsewhere(tmp_path: Path) -> None:
    """Behind a link, or on a disk of their own: a folder that cannot go stays."""
    put(tmp_path, "srv/company.toml", "etc/hosts")
    (tmp_path / "etc/guestwake").symlink_to(tmp_path / "srv")
    done = run(tmp_path, "postrm", "purge")
    assert done.returncode == 0
    assert (tmp_path / "etc/guestwake").is_symlink()
    assert files(tmp_path) == ["etc/hosts", "srv/company.toml"]


@pytest.mark.parametrize(
    "words",
    [
        ("upgrade", "2"),
        ("failed-upgrade", "2"),
        ("abort-install",),
        ("abort-upgrade", "2"),
        ("disappear", "other"),
    ],
)
def test_nothing_goes_while_it_is_not_removed(tmp_path: Path, words: tuple[str, ...]) -> None:
    put(tmp_path, *OURS, "etc/systemd/system/guestwake-wake@x.timer", "run/guestwake-timers.sock")
    before = files(tmp_path)
    for script in ("prerm", "postrm", "postinst"):
        done = run(tmp_path, script, *words)
        assert (done.returncode, done.stderr) == (0, "")
    assert files(tmp_path) == before
