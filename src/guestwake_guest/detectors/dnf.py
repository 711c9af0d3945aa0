"""`dnf needs-restarting --reboothint`: exit code 1 and a sentence when core packages are newer
than the boot.

Code 1 alone is any error (the plugin is not installed, say), so the sentence is asked for too.
A yes stays until the next boot: dnf reckons the time of the boot by a clock that is set when the
guest is restored, and then takes its yes back.
"""

from __future__ import annotations

from guestwake_guest.questions import Answer, Question
from guestwake_guest.update_clients.rpm import package_database
from guestwake_guest.view import Finding, Unclear, View
from guestwake_wire.messages import Reason, Strength

SOURCE = "dnf"
_DNF = "/usr/bin/dnf"
# Of the installed packages alone: a repository whose cache is missing would make it fail.
_OPTIONS = ("--cacheonly", "--disablerepo=*")
_QUESTION = Question(SOURCE, (_DNF, *_OPTIONS, "needs-restarting", "--reboothint"), apart=True)
_YES = "Reboot is required"


def find(view: View) -> Finding:
    if not view.system.runs(_DNF):
        return None
    answer = view.questions.ask(_QUESTION, package_database(view.system))
    if answer is None:
        return Unclear.CANNOT_TELL
    return _reason(answer)


def _reason(answer: Answer) -> Finding:
    if answer.code == 1 and _YES in answer.text:
        names = [line.strip(" *") for line in answer.text.splitlines() if line.startswith("  *")]
        text = f"newer than the boot: {', '.join(names)}" if names else "newer than the boot"
        return Reason(SOURCE, Strength.STRONG, None, text)
    # Never a plain no: at most it takes back nothing that was said in this boot.
    return Unclear.CANNOT_TELL
