"""`zypper needs-rebooting`: exit code 102 (ZYPPER_EXIT_INF_REBOOT_NEEDED), or 0."""

from __future__ import annotations

from guestwake_guest.questions import Question
from guestwake_guest.update_clients.rpm import package_database
from guestwake_guest.view import Finding, Unclear, View
from guestwake_wire.messages import Reason, Strength

SOURCE = "zypper"
_ZYPPER = "/usr/bin/zypper"
_QUESTION = Question(
    SOURCE, (_ZYPPER, "--non-interactive", "--no-refresh", "needs-rebooting"), apart=True
)
# What libzypp leaves for it.
_FLAG = "/run/reboot-needed"
_REBOOT_NEEDED = 102


def find(view: View) -> Finding:
    if not view.system.runs(_ZYPPER):
        return None
    mark = (package_database(view.system), view.system.identity(_FLAG))
    answer = view.questions.ask(_QUESTION, mark)
    if answer is None or answer.code not in (0, _REBOOT_NEEDED):
        return Unclear.CANNOT_TELL
    if answer.code == 0:
        return None
    text = "core libraries or services have been updated"
    return Reason(SOURCE, Strength.STRONG, view.system.age(_FLAG), text)
