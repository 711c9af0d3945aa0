"""`guestwake-guest status` in a Linux guest: one look, waited for.

Commands that only root may ask are not asked for anybody else; what they would say is missing.
"""

from __future__ import annotations

import select

from guestwake_guest.children import Children
from guestwake_guest.look import Looker, identity
from guestwake_guest.report import Findings
from guestwake_guest.status import show
from guestwake_guest.system import System

_WAIT = 30.0  # seconds, for commands that are asked something


def show_here(system: System, *, as_json: bool) -> int:
    return show(identity(system), _looked(system), system.wall(), as_json=as_json)


def _looked(system: System) -> Findings:
    children = Children()
    looker = Looker(system, children)
    until = system.elapsed() + _WAIT
    findings = looker.look()
    while looker.asks() and system.elapsed() < until:
        select.select(children.outputs(), [], [], 0.05)
        if children.tend(system.elapsed()):
            findings = looker.look()
    return findings
