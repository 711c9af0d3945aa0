"""The host's own program on Windows: a workspace is added, woken, put back, told of.

Its clocks, locks, journal and host are Windows' under Wine. The hypervisor is the scripted double
of PowerShell with Hyper-V; where that is not put in, Wine's own powershell.exe answers nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from uuid import uuid4

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))

import hyperv_double

from guestwake.application import Application
from guestwake.edges.call import call
from guestwake.edges.exit_codes import Exit
from guestwake.hypervisors.hyperv import URI, HyperV
from guestwake.hypervisors.hyperv_shell import PowerShell
from guestwake.paths import Paths


class Host:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = folder / "gw", capsys
        self.state, self.uuid = folder / "hyperv.json", str(uuid4())
        self.state.write_text(json.dumps({self.uuid: hyperv_double.new("web 01") | SAVED}))

    def build(self, paths: Paths) -> Application:
        command = (sys.executable, hyperv_double.__file__, str(self.state))
        return Application(paths, open_hypervisor=lambda uri: HyperV(URI, PowerShell(command)))

    def run(self, *words: str, doubled: bool = True) -> int:
        build = self.build if doubled else None
        code = call(["--root", str(self.root), *words], build)
        self.out, self.err = self.capsys.readouterr()
        return code

    def json(self, *words: str) -> list[dict[str, object]]:
        assert self.run(*words, "--json") == 0, self.err
        return list(json.loads(self.out))

    def power(self) -> str:
        return str(json.loads(self.state.read_text())[self.uuid]["state"])


SAVED = {"state": "Saved", "memory": 16}


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, capsys)


def test_a_hibernated_vm_is_woken_and_put_back(host: Host) -> None:
    assert host.run("workspace", "add", "web 01") == Exit.DONE, host.err
    (known,) = host.json("workspace", "list")
    assert (known["workspace"], known["uri"]) == ("web 01", URI)
    guards = ("RequireNetwork=0", "RequireACPower=0", "MemoryReserve=0", "DiskReserve=0")
    for one in guards:
        assert host.run("settings", "set", one) == Exit.DONE, host.err
    assert host.run("/GuestWakeup", "/d:1", '/v:"web 01"') == Exit.DONE, host.err
    assert host.power() == "Saved"
    (night,) = host.json("history")
    assert (night["workspace"], night["why"]) == ("web 01", "put-back")
    (now,) = host.json("status")
    assert now["workspace"] == "web 01"
    assert host.run("workspace", "remove", "web 01") == Exit.DONE


def test_where_no_hyper_v_answers_that_is_told(host: Host) -> None:
    """Wine's powershell.exe ends well and says nothing."""
    assert host.run("workspace", "add", "web 01", doubled=False) == Exit.HYPERVISOR
    assert "PowerShell" in host.err
