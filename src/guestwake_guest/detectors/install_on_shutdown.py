"""unattended-upgrades that installs only as the guest is shut down (InstallOnShutdown): one that is
hibernated never installs anything. A weak sign: it restarts nothing, `guestwake doctor` tells.
"""

from __future__ import annotations

from guestwake_guest.questions import Question
from guestwake_guest.view import Finding, View
from guestwake_wire.messages import Reason, Strength

SOURCE = "installs-on-shutdown"
_UPGRADES = "/usr/bin/unattended-upgrade"
_CONFIG = "/usr/bin/apt-config"
_QUESTION = Question(SOURCE, (_CONFIG, "shell", "AT", "Unattended-Upgrade::InstallOnShutdown/b"))
_AGAIN_AFTER = 3600.0  # seconds: a file may be edited in place


def find(view: View) -> Finding:
    if not view.system.runs(_UPGRADES) or not view.system.runs(_CONFIG):
        return None
    mark = view.system.identity("/etc/apt/apt.conf.d")
    answer = view.questions.ask(_QUESTION, mark, again_after=_AGAIN_AFTER)
    if answer is None or answer.text.strip() != "AT='true'":
        return None
    text = "unattended-upgrades installs only at shutdown (InstallOnShutdown)"
    return Reason(SOURCE, Strength.WEAK, None, text)
