"""A restart outside the windows: unseen of a VM at rest, or as its user has agreed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from scene import DATE, HOUR, Night, sets, signs_in, stops

from guestwake.policy.in_use import Reporter
from guestwake.policy.run import Kind, Phase, Prior, Restart, Why
from guestwake.policy.window import Opening
from guestwake.policy.words import HostFacts, Network, Power, StoppedBy, Trouble, Verb

MINUTE = timedelta(minutes=1)


def logon(power: Power = Power.SAVED, **changes: object) -> Night:
    """A run for a restart at 12:00; the workspace's window is midnight to one."""
    night = Night(
        kind=Kind.RESTART,
        limits=HOUR,
        power=power,
        reporter=Reporter.FRESH,
        restart=Restart.REQUIRED,
    )
    night.seconds = 12 * 3600
    noon = night.now().wall
    night.opening = Opening(DATE, noon, noon + 2 * night.limits.task_timeout)
    night.set(**changes)
    return night


@pytest.mark.parametrize(
    ("power", "back"),
    [
        (Power.SAVED, Verb.SAVE),
        (Power.PAUSED, Verb.PAUSE),
        (Power.SUSPENDED, Verb.SUSPEND),
    ],
)
def test_a_vm_at_rest_is_woken_restarted_and_put_back_before_long(power: Power, back: Verb) -> None:
    night = logon(power)
    night.until(12 * 60 + 60)
    assert night.verbs[-2:] == [Verb.RESTART, back]
    assert night.whys[-1] is Why.PUT_BACK
    assert night.record.dates == ()
    assert night.minute < 12 * 60 + 5


def test_it_needs_no_network() -> None:
    night = logon(host=HostFacts(network=Network.DOWN))
    night.until(12 * 60 + 60)
    assert Verb.RESTART in night.verbs


def test_one_that_has_restarted_meanwhile_is_put_back() -> None:
    night = logon(restart=Restart.NOT_REQUIRED)
    night.until(12 * 60 + 60)
    assert night.verbs == [Verb.START, Verb.SAVE]
    assert night.minute < 12 * 60 + 5


def test_whoever_comes_first_keeps_it_and_it_is_not_restarted() -> None:
    night = logon(restart=Restart.NOT_REQUIRED, reporter=Reporter.SILENT)
    night.until(12 * 60 + 3)
    night.reporter = Reporter.FRESH
    signs_in()(night)
    night.restart = Restart.REQUIRED
    night.until(12 * 60 + 40)
    assert Verb.RESTART not in night.verbs
    assert night.record.phase is Phase.LENT


def test_what_its_user_agrees_to_is_done_though_it_is_lent() -> None:
    night = logon(holds=("alice",))
    night.until(12 * 60 + 40)
    assert night.record.phase is Phase.LENT
    night.agreed = True
    night.until(12 * 60 + 45)
    assert night.verbs == [Verb.START, Verb.RESTART]
    assert night.record.phase is Phase.LENT


def test_a_restart_that_does_not_come_is_saved_at_its_end() -> None:
    night = logon(ignores=frozenset({Verb.RESTART}))
    while Verb.RESTART not in night.verbs:
        night.look()
    night.reporter = Reporter.SILENT
    night.until(12 * 60 + 300)
    assert night.verbs == [Verb.START, Verb.RESTART, Verb.SAVE]


# one that runs, and that nobody but its user has started


def in_use(**changes: object) -> Night:
    return logon(Power.RUNNING, **{"agreed": True, "holds": ("alice",), **changes})


def test_a_running_vm_is_restarted_as_agreed_and_left_running() -> None:
    night = in_use()
    night.until(12 * 60 + 60)
    assert night.verbs == [Verb.RESTART]
    assert night.whys == [Why.RESTARTS_IN_USE, Why.RESTARTED_IN_USE]
    assert night.record.prior is Prior.RUNNING
    assert night.power is Power.RUNNING


def test_a_running_vm_is_never_restarted_without_that() -> None:
    night = in_use(agreed=False, holds=())
    night.until(12 * 60 + 60)
    assert night.verbs == []
    assert night.whys[-1] is Why.RESTART_NOT_NEEDED


def test_nor_where_it_needs_none_any_more() -> None:
    night = in_use(restart=Restart.NOT_REQUIRED)
    night.look()
    assert night.whys == [Why.RESTART_NOT_NEEDED]


@pytest.mark.parametrize("trouble", [{"busy": True}, {"reporter": Reporter.SILENT}])
def test_a_guest_that_installs_or_says_nothing_is_waited_for(trouble: dict[str, object]) -> None:
    night = in_use(**trouble)
    night.until(12 * 60 + 5)
    assert night.verbs == []
    night.set(busy=False, reporter=Reporter.FRESH)
    night.until(12 * 60 + 8)
    assert night.whys[-1] is Why.RESTARTED_IN_USE


def test_it_is_not_waited_for_longer_than_task_timeout() -> None:
    night = in_use(reporter=Reporter.SILENT)
    night.until(12 * 60 + 15)
    assert night.whys[-1] is Why.RESTART_FAILED
    assert night.verbs == []


@pytest.mark.parametrize(
    "how", [{"ignores": frozenset({Verb.RESTART})}, {"refuses": {Verb.RESTART: Trouble.REFUSED}}]
)
def test_one_that_does_not_restart_is_told_of_and_left(how: dict[str, object]) -> None:
    night = in_use(**how)
    night.until(12 * 60 + 60)
    assert night.verbs == [Verb.RESTART]
    assert night.whys[-1] is Why.RESTART_FAILED


@pytest.mark.parametrize(
    ("by", "why"),
    [
        (StoppedBy.GUEST, Why.GUEST_STOPPED_ITSELF),
        (StoppedBy.HOST, Why.STOPPED_BY_SOMEBODY),
    ],
)
def test_one_that_is_stopped_meanwhile_is_left(by: StoppedBy, why: Why) -> None:
    night = in_use(ignores=frozenset({Verb.RESTART}))
    night.look()
    stops(Power.OFF, by)(night)
    night.until(12 * 60 + 2)
    assert night.whys[-1] is why
    assert night.verbs == [Verb.RESTART]


def test_one_that_is_deleted_or_started_anew_meanwhile_is_left() -> None:
    for event, why in (
        (sets(power=Power.GONE), Why.VM_GONE),
        (lambda night: night.starts_anew(), Why.STARTED_BY_SOMEBODY),
    ):
        night = in_use(ignores=frozenset({Verb.RESTART}))
        night.look()
        event(night)
        night.until(12 * 60 + 2)
        assert night.whys[-1] is why


def test_told_to_stop_the_record_stays_open() -> None:
    night = in_use(ignores=frozenset({Verb.RESTART}))
    night.look()
    night.told_to_stop = True
    night.until(12 * 60 + 2)
    assert night.left


def test_in_its_window_one_that_ran_before_is_restarted_as_agreed_and_watched_on() -> None:
    night = Night(
        power=Power.RUNNING, reporter=Reporter.FRESH, restart=Restart.REQUIRED, holds=("alice",)
    )
    night.until(10)
    assert night.verbs == []
    night.agreed = True
    night.until(12)
    assert night.verbs == [Verb.RESTART]
    night.restart = Restart.REQUIRED  # it did not help
    night.until(61)
    assert night.verbs == [Verb.RESTART]
    assert night.whys == [Why.WATCHES, Why.RESTARTS_IN_USE, Why.WATCHES, Why.WATCHED]
