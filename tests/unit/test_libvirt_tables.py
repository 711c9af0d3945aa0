"""Every state and reason that this libvirt has, and what is made of it."""

from __future__ import annotations

import libvirt
import pytest

from guestwake.hypervisors.libvirt_tables import STOPPED_BY, VERBS, power_of
from guestwake.policy.words import Power, Verb


def reasons(state: str) -> dict[str, int]:
    prefix = f"VIR_DOMAIN_{state}_"
    found = {n.removeprefix(prefix): v for n, v in vars(libvirt).items() if n.startswith(prefix)}
    found.pop("LAST", None)
    return found


def test_paused_is_what_a_user_paused_or_an_image_brought_back_paused() -> None:
    powers = {name: power_of(libvirt.VIR_DOMAIN_PAUSED, n) for name, n in reasons("PAUSED").items()}
    assert len(powers) >= 13
    assert {name for name, power in powers.items() if power is Power.PAUSED} == {
        "USER",
        "MIGRATION",
    }
    assert {name for name, power in powers.items() if power is Power.CRASHED} == {"CRASHED"}
    assert set(powers.values()) == {Power.PAUSED, Power.CRASHED, Power.CHANGING}


def test_a_migrated_vm_is_elsewhere_and_no_other_reason_is() -> None:
    powers = {n: power_of(libvirt.VIR_DOMAIN_SHUTOFF, r) for n, r in reasons("SHUTOFF").items()}
    assert powers.pop("MIGRATED") is Power.ELSEWHERE
    assert set(powers.values()) == {Power.OFF}


def test_each_reason_for_off_is_somebodys_but_the_unknown_one() -> None:
    assert set(reasons("SHUTOFF").values()) - set(STOPPED_BY) == {
        libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN
    }


@pytest.mark.parametrize("state", [libvirt.VIR_DOMAIN_NOSTATE, libvirt.VIR_DOMAIN_SHUTDOWN, 99])
def test_a_state_in_between_or_unheard_of_is_changing(state: int) -> None:
    assert power_of(state, 0) is Power.CHANGING


def test_what_is_changing_crashed_or_elsewhere_can_be_asked_nothing() -> None:
    offered = {verb for power in VERBS for verb in VERBS[power]}
    assert offered == set(Verb)
    assert not {Power.CHANGING, Power.CRASHED, Power.ELSEWHERE, Power.GONE} & set(VERBS)
