"""No committed file names a place of the machine that it was written on: neither its folders nor
the package registries that it happens to use."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Written so that they do not find themselves.
FOLDERS = (r"(?<![\w./-])/[w]ork/", r"/\.[p]yenv\b", r"(?<![\w./-])/[h]ome/\w+/\.venv")
# No registry: every machine has it.
PUBLIC = frozenset({"localhost"})
_URL = re.compile(r"(?:https?|file)://[^\s,\"']+")


def _configured() -> Iterator[str]:
    """Text in which this machine's registries stand."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    yield subprocess.run(pip, capture_output=True, text=True, timeout=60).stdout
    yield from (os.environ.get(name, "") for name in ("NPM_CONFIG_REGISTRY", "GOPROXY"))
    apt = Path("/etc/apt")
    npm = (Path.home() / ".npmrc", Path("/etc/npmrc"))
    lists = (*apt.glob("sources.list.d/*.list"), *apt.glob("sources.list.d/*.sources"))
    for file in (apt / "sources.list", *lists, *npm):
        if os.access(file, os.R_OK) and file.is_file():
            yield file.read_text(encoding="utf-8", errors="replace")


def _registries(text: str) -> set[str]:
    """Host names, or the folders of file: registries; never what else a URL may carry."""
    parts = [urlsplit(url) for url in _URL.findall(text)]
    folders = {one.path.rstrip("/") for one in parts if one.scheme == "file"}
    hosts = {one.hostname for one in parts if one.hostname and one.hostname not in PUBLIC}
    return {name for name in folders | hosts if name}


def _found(text: str, registries: set[str]) -> set[str]:
    folders = {match[0] for folder in FOLDERS if (match := re.search(folder, text))}
    return folders | {name for name in registries if name in text}


def _committed() -> list[Path]:
    listing = ["git", "-C", str(ROOT), "ls-files", "-z"]
    done = subprocess.run(listing, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        pytest.skip("not a checkout, so nothing says what is committed")
    files = (ROOT / name for name in done.stdout.split("\0") if name)
    return [file for file in files if file.is_file()]


def test_no_committed_file_names_a_place_of_this_machine() -> None:
    registries = {name for text in _configured() for name in _registries(text)}
    found = {
        str(file.relative_to(ROOT)): names
        for file in _committed()
        if (names := _found(file.read_text(encoding="utf-8", errors="replace"), registries))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("see /" + "work/main/README", {"/" + "work/"}),
        ("#!/root/." + "pyenv/versions/3.11/bin/python", {"/." + "pyenv"}),
        ("pip install --index-url https://mirror.example/simple", {"mirror.example"}),
        ("find-links = /srv/wheels", {"/srv/wheels"}),
        ("/etc/guestwake/settings.toml, ~/network/" + "work/notes, https://localhost/", set()),
    ],
)
def test_such_names_are_seen(text: str, names: set[str]) -> None:
    config = "https://user:secret@mirror.example:8443/simple https://localhost/ file:///srv/wheels/"
    assert _registries(config) == {"mirror.example", "/srv/wheels"}
    assert _found(text, _registries(config)) == names
