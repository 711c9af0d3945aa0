"""A scripted double of Windows PowerShell with Hyper-V: `python hyperv_double.py STATE …`.

It runs no PowerShell: it reads the questions that hyperv.ps1 reads and answers as Microsoft's
documentation says that Hyper-V would. What STATE (a JSON file) holds is its VMs; tests change it to
be somebody else, and several doubles share it as several processes share one Hyper-V.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

Machine = dict[str, Any]

# verb: the states in which Hyper-V takes it, and the state after
STATES = {
    "start": ({"Off": "Running", "Saved": "Running"}),
    "resume": ({"Paused": "Running"}),
    "pause": ({"Running": "Paused"}),
    "save": ({"Running": "Saved", "Paused": "Saved"}),
    "power-off": ({"Running": "Off", "Paused": "Off"}),
    "shut-down": ({"Running": "Off"}),
    "restart": ({"Running": "Running"}),
}
ENDS = {"save": 18510, "power-off": 18502, "shut-down": 18504}


class Error(Exception):
    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.error = error


@contextmanager
def shared(path: Path) -> Iterator[dict[str, Any]]:
    """The VMs, by identifier; what is changed of them is kept."""
    with path.open("r+") as file:
        _alone(file)
        state = json.load(file)
        yield state
        file.seek(0)
        file.truncate()
        json.dump(state, file)


def _alone(file: TextIO) -> None:
    """Until it is closed. Under Wine one driver is all there is."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def new(name: str) -> Machine:
    return {
        "name": name,
        "state": "Off",
        "status": ["Ok"],
        "worker": None,
        "starts": 0,
        "end": None,
        "shutdown": True,  # its guest has the shutdown service
        "says": 0,  # what that returns
        "clock": {"enabled": True, "answers": True},
        "viewers": [],
        "devices": [],
        "autostart": "Nothing",
        "memory": 2048,
    }


def answer(machines: dict[str, Machine], ask: dict[str, Any]) -> Any:
    if ask["question"] == "vms":
        found = [{"id": uuid.upper(), "name": each["name"]} for uuid, each in machines.items()]
        return {"vms": found}
    if ask["question"] == "version":
        return {"version": [10, 0, 20348]}
    machine = machines.get(ask["vm"])
    if machine is None:
        raise Error("not-found", f"there is no VM {ask['vm']}")
    if "refuses" in machine:
        raise Error(*machine["refuses"])
    match ask["question"]:
        case "look":
            names = ("state", "status", "worker", "end")
            runs = machine["state"] == "Running"
            return {name: machine[name] for name in names} | {
                "shutdown": runs and machine["shutdown"]
            }
        case "traits":
            names = ("memory", "devices", "autostart")
            return {name: machine[name] for name in names} | {"folder": r"C:\VMs"}
        case "viewers":
            return {"viewers": machine["viewers"]}
        case "clock":
            return machine["clock"]
        case "verb":
            return act(machine, ask["verb"])
    raise Error("NotSupported", f"nobody here knows '{ask['question']}'")


def act(machine: Machine, verb: str) -> Any:
    after = STATES[verb].get(machine["state"])
    if after is None:
        raise Error("InvalidState,Microsoft.HyperV", "the operation cannot be performed now")
    if verb in ("shut-down", "restart") and machine["says"]:
        return {"returned": machine["says"]}
    machine["state"] = after
    if verb == "start":
        machine["starts"] += 1
        machine["worker"] = f"{4000 + machine['starts']}/{time.time_ns()}"
        machine["end"] = None
    elif verb in ENDS:
        machine["worker"], machine["end"], machine["viewers"] = None, ENDS[verb], []
    return {"returned": 0}


def main() -> None:
    path, *options = sys.argv[1:]
    script = Path(options[options.index("-File") + 1])
    assert script.name == "hyperv.ps1"
    assert script.is_file()
    for line in sys.stdin:
        ask = json.loads(line)
        given: dict[str, Any] = {"number": ask["number"]}
        try:
            with shared(Path(path)) as machines:
                given["value"] = answer(machines, ask)
        except Error as err:
            given |= {"error": err.error, "text": str(err)}
        print(json.dumps(given), flush=True)


if __name__ == "__main__":
    main()
