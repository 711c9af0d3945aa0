"""A random day from a seed: first the plan, then what came of it.

The plan says what is to happen, when and to whom. Each act of it has chances of its own, drawn from
the seed and its number, and whether a process is killed at a point follows from the seed and that
point alone. So a day is the same each time, and with some of its acts left out it is the same but
for what followed from them: of a day that failed, `shrunk` finds what the failure needs.
"""

from __future__ import annotations

import random
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar, Self

from day import Day
from world import Killed

from guestwake.events import Level
from guestwake.hypervisors.api import HypervisorError
from guestwake.hypervisors.memory import MemoryVm
from guestwake.journal_file import JournalError
from guestwake.policy.run import Why
from guestwake.policy.words import Verb

DAY = 86_400.0  # seconds
TOMORROW = datetime(2026, 3, 11, tzinfo=UTC)  # of each of them
WAKES = (Verb.START, Verb.RESUME, Verb.WAKE_UP)


@dataclass(frozen=True, slots=True)
class Act:
    """`number`: by which it is kept or left out."""

    number: int
    at: float
    act: Callable[[str], None]
    name: str  # of the VM


class Broken(AssertionError):
    """A promise was, or the program. `day`: as far as it came."""

    def __init__(self, day: RandomDay, err: Exception) -> None:
        happened = "\n  ".join(day.log)
        super().__init__(f"SEED={day.kind}:{day.seed}: {_sentence(err)}\n  {happened}")
        self.day, self.sentence = day, _sentence(err)

    @property
    def promise(self) -> str:
        """Which one: "I2", or the beginning of the sentence."""
        return self.sentence.split(":")[0]


def _sentence(err: Exception) -> str:
    return str(err) if isinstance(err, AssertionError) else f"{type(err).__name__}: {err}"


class RandomDay(ABC):
    """`kept`: the acts and kills that may happen; None: all of the plan."""

    kind: ClassVar[str]
    eventful: ClassVar[float]  # seconds: things happen until then
    nights: ClassVar[int] = 1  # that follow, and on which nothing happens

    def __init__(self, day: Day, seed: int, kept: Iterable[str] | None = None) -> None:
        self.day, self.seed = day, seed
        self.kept = None if kept is None else frozenset(kept)
        self.rng = random.Random(seed)
        self.log: list[str] = []
        self.done: list[str] = []  # of the plan, as `kept` names it
        self.happened: Counter[str] = Counter()
        self.kills = 0.0  # the chance at each point
        self.untold: dict[
            str, bool
        ] = {}  # by VM: its manager died as nobody could tell whose it is
        self.plan: list[Act] = []
        self.midnight = TOMORROW  # with which the next night begins
        self.tell: Callable[[str], None] | None = None  # is given each line of the log at once
        self._points: tuple[float, Counter[str]] = (0.0, Counter())  # of this instant, by workspace
        day.on_point = self._maybe_kill

    # what each kind of day is

    @abstractmethod
    def stage(self) -> None: ...

    @abstractmethod
    def drawn(self) -> list[tuple[float, Callable[[str], None], str]]:
        """When, what, to whom."""

    @abstractmethod
    def quiet(self) -> None:
        """All faults are lifted, everybody goes, and time passes."""

    @abstractmethod
    def check_quiet(self) -> None: ...

    @abstractmethod
    def next_night(self) -> None:
        """The one after `midnight`, where nothing happens. It must be as if nothing ever had."""

    @classmethod
    def world(cls, folder: Path, seed: int) -> Day:
        return Day(folder)

    # the day

    @classmethod
    def play(
        cls,
        seed: int,
        folder: Path,
        kept: Iterable[str] | None = None,
        *,
        before: Callable[[RandomDay], None] | None = None,
    ) -> Self:
        """`before` it begins. Raises Broken."""
        with tempfile.TemporaryDirectory(dir=folder) as own, cls.world(Path(own), seed) as day:
            it = cls(day, seed, kept)
            try:
                if before:
                    before(it)
                it.whole()
            except Exception as err:
                raise Broken(it, err) from err
            return it

    def whole(self) -> None:
        self.day.write_settings(None, {"event_log_level": max(Level)})  # to see all that is reached
        self.stage()
        self.plan = [Act(number, *each) for number, each in enumerate(self.drawn())]
        for act in self.plan:
            if self.is_kept(str(act.number)):
                self.day.later(act.at, lambda act=act: self._do(act))  # type: ignore[misc]
        self.day.run_for(self.eventful)
        self.say("nothing more happens")
        self.quiet()
        self.check_quiet()
        for _ in range(self.nights):
            self.midnight = max(TOMORROW, self._next_midnight())
            self.next_night()

    def _next_midnight(self) -> datetime:
        """By the host's clock."""
        return datetime.combine(self.day.now().wall.date() + timedelta(days=1), time(), UTC)

    @property
    def vm_days(self) -> float:
        """The time that passed for each VM of the simulation while it was a workspace."""
        return self.day.looked_after / DAY

    @property
    def wakes(self) -> int:
        """How often our driver woke one."""
        return sum(deed.who == "driver" and deed.what in WAKES for deed in self.day.machine.deeds)

    def is_kept(self, entry: str) -> bool:
        return self.kept is None or entry in self.kept

    def _do(self, act: Act) -> None:
        self.rng = random.Random(f"{self.seed}/{act.number}")
        self.done.append(str(act.number))
        try:
            act.act(act.name)
        except (HypervisorError, JournalError) as err:
            self.say(f"refused: {err}", act.name)

    def then(self, act: Callable[[], object], most: float = 400, least: float = 1) -> None:
        """Some time after, in seconds."""

        def later() -> None:
            try:
                act()
            except (HypervisorError, JournalError) as err:
                self.say(f"refused: {err}")

        self.day.later(self.rng.uniform(least, most), later)

    def happens(self, kind: str, name: str = "", detail: str = "") -> None:
        """Counted, and told in the story."""
        self.happened[kind] += 1
        self.say(f"{kind} {detail}".rstrip(), name)

    def say(self, text: str, name: str = "") -> None:
        text = text.replace(f"{self.day.folder}/", "")  # another one each time
        line = f"{self.day.real:9.3f}  {name and name + ': '}{text}"
        self.log.append(line)
        if self.tell:
            self.tell(line)

    def _maybe_kill(self, what: str) -> None:
        day = self.day
        if not self.kills or day.real >= self.eventful:
            return
        if self._points[0] != day.real:
            self._points = (day.real, Counter())
        here, count = day.acting, self._points[1]
        count[here] += 1
        entry = f"{here}@{day.real:.3f}/{count[here]}"
        if _chance(f"{self.seed}/{entry}") < self.kills and self.is_kept(entry):
            self.done.append(entry)
            self.happens("manager killed", here, f"at '{what}' [{entry}]")
            self.dies(here)
            raise Killed

    def dies(self, name: str) -> None:
        """The manager of this VM, in this moment."""
        self.goes(name)

    def goes(self, name: str) -> None:
        """Its manager, now, or without having marked it, where nobody lets it."""
        self.untold[name] = self.untold.get(name, False) or is_untold(self.day.vm(name))

    def is_told_as_untold(self, name: str) -> bool:
        """Whether it was left as it is, since nobody can tell who has started it."""
        told = (self.day.uuid(name), Why.WHO_STARTED_IT_UNKNOWN) in self.day.ended
        assert not told or self.untold.get(name), f"{name}: it is known who started it"
        return told


def is_untold(it: MemoryVm) -> bool:
    """Whether it was started, and its metadata does not say by which run."""
    return it.start is not None and (it.mark is None or it.start.id not in it.mark)


def _chance(text: str) -> float:
    """From 0 to 1, the same for the same text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest()) / (1 << 48)


def shrunk(broken: Broken, play: Callable[[list[str]], object]) -> Broken:
    """The same promise, broken with as little as leaving out one entry after the other finds.
    `play`: the same day with these entries of its plan."""

    def still(kept: list[str]) -> Broken | None:
        try:
            play(kept)
        except Broken as err:
            return err if err.promise == broken.promise else None
        return None

    best, size = broken, max(1, len(broken.day.done) // 2)
    while size:
        fewer = (still(kept) for kept in _without(best.day.done, size))
        found = next((each for each in fewer if each), None)
        best, size = (found, size) if found else (best, size // 2)
    return best


def _without(entries: Sequence[str], size: int) -> Iterator[list[str]]:
    for at in range(0, len(entries), size):
        yield [*entries[:at], *entries[at + size :]]
