"""The texts of Windows' event log, built by mingw and read by Windows' own call."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from guestwake.events import USAGE
from guestwake.reports import catalogue
from lab.image import PROJECT
from lab.wine import Wine, windows_path

READ = """\
import json, sys, win32api, win32con
texts = win32api.LoadLibraryEx(sys.argv[1], 0, win32con.LOAD_LIBRARY_AS_DATAFILE)
flags = win32con.FORMAT_MESSAGE_FROM_HMODULE | win32con.FORMAT_MESSAGE_ARGUMENT_ARRAY
said = {}
for number in json.loads(sys.argv[2]):
    number = number - (1 << 32) if number >> 31 else number
    said[number & 0xFFFF] = win32api.FormatMessage(flags, texts, number, 0, ["web01", "DETAIL"])
print(json.dumps(said))
"""

REPORT = """\
import logging
from guestwake import event_log
from guestwake.edges import windows_event_log as log
from guestwake.events import USAGE
log.register(r"C:\\guestwake-events.dll")
logging.getLogger("guestwake").addHandler(log.WindowsEventLog())
logging.raiseExceptions = True
event_log.write(USAGE, name="web01", detail="wrong")
print("reported")
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("messages") / "guestwake-events.dll"
    subprocess.run([PROJECT / "tools" / "windows_messages", made], check=True, timeout=120)
    return made


def test_each_event_has_its_text(wine: Wine, messages: Path) -> None:
    severities = {1: 3, 2: 2, 3: 1, 4: 1}
    ids = [severities[event.level] << 30 | event.id for event in catalogue()]
    done = wine.python("-c", READ, windows_path(messages), json.dumps(ids))
    said = json.loads(done.stdout)
    assert len(said) == len(ids)
    for event in catalogue():
        text = said[str(event.id)]
        for part in (event.sentence, event.cause, event.remedy):
            assert part.replace("{name}", "NAME").replace("NAME", "'web01'") in text
        assert "DETAIL" in text


def test_an_event_is_reported_and_its_source_registered(wine: Wine) -> None:
    done = wine.python("-c", REPORT)
    assert done.stdout.split() == ["reported"]
    assert "Traceback" not in done.stderr
    key = r"HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\Guestwake"
    asked = wine.reg("query", key, "/v", "EventMessageFile").stdout
    assert r"C:\guestwake-events.dll" in asked
    assert USAGE.id == 11001
