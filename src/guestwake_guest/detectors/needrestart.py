"""needrestart's batch output, its kernel check (`-k`) alone.

Its other checks scan processes and their interpreters, as root, along paths that users own: that
was CVE-2024-48990. What it answers (README.batch.md): KSTA 0 cannot tell, 1 the running kernel is
the expected one, 2 a newer build of the same ABI is installed, 3 a newer version is.
"""

from __future__ import annotations

from guestwake_guest.questions import Question
from guestwake_guest.update_clients.rpm import package_database
from guestwake_guest.view import Finding, Unclear, View
from guestwake_wire.messages import Reason, Strength

SOURCE = "needrestart"
_NEEDRESTART = "/usr/sbin/needrestart"
_QUESTION = Question(SOURCE, (_NEEDRESTART, "-b", "-k", "-r", "l"), apart=True)
_PENDING = {
    "2": "a newer build of the running kernel is installed",
    "3": "a newer kernel is installed",
}
_NOTHING = "1"


def find(view: View) -> Finding:
    if not view.system.runs(_NEEDRESTART):
        return None
    mark = (
        view.system.identity("/boot"),
        view.system.identity("/var/lib/dpkg/status"),
        package_database(view.system),
    )
    answer = view.questions.ask(_QUESTION, mark)
    told = _told(answer.text) if answer and answer.code == 0 else {}
    status = told.get("KSTA")
    if status in _PENDING:
        expected = told.get("KEXP", "")
        text = f"{_PENDING[status]}: {expected}" if expected else _PENDING[status]
        return Reason(SOURCE, Strength.STRONG, None, text)
    return None if status == _NOTHING else Unclear.CANNOT_TELL


def _told(text: str) -> dict[str, str]:
    """`NEEDRESTART-KSTA: 3` as "KSTA": "3"."""
    pairs = (line.partition(":") for line in text.splitlines() if line.startswith("NEEDRESTART-"))
    return {name[len("NEEDRESTART-") :]: value.strip() for name, _, value in pairs}
