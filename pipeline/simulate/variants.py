"""Attacks in variants, laid over an organisation whose life is simulated already.

An overlay is a set of attacks within two hours of one day, each on another entity, written as log
objects of their own. A history learns a slice two hours after it, so no attack of an overlay is
known to any history, nor to anybody's peers, when another of them is judged. Only slow attacks
share several days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from numpy.random import Generator

from pipeline.simulate.attacks import APART, Attack, Intruders, Victim
from pipeline.simulate.chance import pick, stream, uuids
from pipeline.simulate.delivery import Lane, Record, Trail
from pipeline.simulate.people import Person
from pipeline.simulate.records import DAY, called_region, render
from pipeline.simulate.simulation import Life
from pipeline.simulate.spec import Simulation
from pipeline.simulate.stories import Story, load_stories

BAND: Final = 1.5 * 3600
"""Seconds within which the attacks of an overlay begin."""
TRIES: Final = 12
"""Draws of a victim for one attack, before it waits for another overlay."""
BANDS: Final = (8.0, 10.0, 13.0, 15.0, 17.0)
"""Hours at which overlays begin, in turn."""


@dataclass(frozen=True)
class Variant:
    """Where an intruder comes from, and how they hide."""

    name: str
    place: str = "home"
    """`home`: an address of the victim's, `far`: a city new to the organisation, `odd`: one new to
    the victim only."""
    busy: bool = False
    """The victim works at the same time."""
    quiet: bool = False
    """The victim is of the third of all people who have done least so far."""
    habits: int = 0
    """Calls that the victim makes often, among the intruder's."""
    slow: bool = False
    """One call a day, a few more where the story is longer than the week; no call twice."""
    control: bool = False
    """Nothing but calls that the victim makes often."""

    @property
    def cover(self) -> str:
        """The same as an attack's cover."""
        return "busy" if self.busy else "slow" if self.slow else "alone"


VARIANTS: Final = (
    Variant("home"),
    Variant("new to the organisation", place="far"),
    Variant("new to the user", place="odd"),
    Variant("quiet user", quiet=True),
    Variant("busy user", busy=True),
    Variant("3 habits", habits=3),
    Variant("5 habits", habits=5),
    Variant("10 habits", habits=10),
    Variant("slow", slow=True),
    Variant("control", control=True),
)
COMMON: Final = 5.0
"""Weight in the catalogue of calls that everybody makes."""
CONTROLS: Final = 24
"""Attacks of the variant `control`, from each kind of place in turn."""

Plan = tuple[Story, Variant]


def plans(seed: int) -> list[Plan]:
    """Every story in every variant that it can be told in, in an order of chance."""
    chance = stream(seed, "plans")
    stories = load_stories()
    real = [story for story in stories if story.technique != "none"]
    (control,) = (story for story in stories if story.technique == "none")
    found: list[Plan] = []
    for variant in VARIANTS:
        if variant.control:
            places = ("home", "far", "odd")
            found += [(control, replace(variant, place=places[i % 3])) for i in range(CONTROLS)]
        else:
            needs_person = variant.quiet or variant.busy
            told = [story for story in real if not needs_person or story.victims != ("machine",)]
            found += [(story, variant) for story in told]
    return [found[i] for i in chance.permutation(len(found)).tolist()]


@dataclass(frozen=True)
class Laid:
    """An attack of an overlay, and the ids of its events, its cover left out."""

    attack: Attack
    variant: Variant
    events: frozenset[str]


@dataclass(frozen=True)
class Overlay:
    """Attacks, where their logs lie, and their day, for slow ones the first of some."""

    day: int
    logs: Path
    laid: tuple[Laid, ...]


def overlays(spec: Simulation, directory: Path, days: Sequence[int]) -> Iterator[Overlay]:
    """Overlays, on the given days in turn, until every plan is laid or nobody is left for it.

    Those of slow attacks come last, and take all of the days.
    """
    life = Life(replace(spec, attacks=False))
    number = 0
    for slow in (False, True):
        left = [plan for plan in plans(spec.seed) if plan[1].slow is slow]
        idle = 0
        while left and idle <= len(days) * len(BANDS):
            day = days[0] if slow else days[number % len(days)]
            begin = BANDS[number // len(days) % len(BANDS)]
            band = SlowBand(life, number, days) if slow else Band(life, number, day, begin)
            later = [plan for plan in left if not band.lay_plan(*plan)]
            if band.attacks:
                yield _write(life, band, directory / str(number))
            idle = idle + 1 if len(later) == len(left) else 0
            left, number = later, number + 1


class Band(Intruders):
    """Intruders of one overlay."""

    def __init__(self, life: Life, number: int, day: int, hour: float) -> None:
        super().__init__(life.organisation, life.people, life.machines)
        self.number, self.day = number, day
        self.start = self.spec.epoch + day * DAY + hour * 3600
        self.variants: list[Variant] = []
        self._entities: set[tuple[str, str]] = set()
        self._done: set[tuple[str, str, str]] = set()
        """(country, city, action), for the city rule."""
        self._variant = VARIANTS[0]
        self._past = {each.name: calls for each in life.people if (calls := _past(each, day))}
        """Calls before the day, of all who have made any."""
        self._quiet = sorted(self._past, key=lambda name: self._past[name])[: len(self._past) // 3]

    def lay_plan(self, story: Story, variant: Variant) -> bool:
        """Lay an attack, if somebody who fits is free; whether it was laid."""
        if len(self.attacks) >= self._most:
            return False
        self._variant = variant
        for turn in range(TRIES):
            chance = stream(self.spec.seed, "variant", variant, story.name, self.number, turn)
            attack = self._try(chance, story)
            if attack is not None and self._is_free(attack):
                self.attacks.append(attack)
                self.variants.append(variant)
                return True
        return False

    @property
    def _most(self) -> int:
        """Attacks of one overlay: a third of all people."""
        return max(1, len(self.people) // 3)

    def _try(self, chance: Generator, story: Story) -> Attack | None:
        kind = pick(chance, story.victims)
        if self._variant.quiet or self._variant.busy:
            kind = next(each for each in story.victims if each != "machine")
        victim = self._somebody(chance, kind)
        if victim is None:
            return None
        place, cover = self._variant.place, self._variant.cover
        begin = self._when(chance, victim)
        if begin is None:
            return None
        address, city = self._from(chance, victim, place, begin)
        caller, account = self._stolen(chance, victim, begin)
        number = len(self.attacks)
        attack = Attack(number, story, victim, caller, account, place, cover, address, city)
        self._play(chance, attack, begin)
        return attack

    def _camouflage(self, chance: Generator, attack: Attack) -> int:
        return self._variant.habits

    def _somebody(self, chance: Generator, kind: str) -> Victim | None:
        """Somebody of a kind who has a past, and fits the variant."""
        if kind == "machine":
            return pick(chance, self.machines)
        fitting = [
            person
            for person in self.people
            if person.name in self._past
            and (kind != "iam" or person.member.accesses[0].kind == "iam")
            and (not self._variant.quiet or person.name in self._quiet)
            and (not self._variant.busy or self._sittings(person))
        ]
        return pick(chance, fitting) if fitting else None

    def _sittings(self, person: Person) -> list[float]:
        """When this person begins to work within the band."""
        begins = (one.begin for one in person.sittings[self.day])
        return [begin for begin in begins if self.start <= begin <= self.start + BAND - 600]

    def _when(self, chance: Generator, victim: Victim) -> float | None:
        """A moment of the band: while the victim works, or well away from that."""
        if self._variant.busy and isinstance(victim, Person):
            return pick(chance, self._sittings(victim)) + float(chance.uniform(30, 600))
        begin = self.start + float(chance.uniform(0, BAND))
        if isinstance(victim, Person) and self._works(victim, begin):
            return None
        return begin

    def _works(self, person: Person, begin: float) -> bool:
        near = person.sittings[max(self.day - 1, 0) : self.day + 2]
        return any(abs(begin - one.begin) <= APART for day in near for one in day)

    def _is_free(self, attack: Attack) -> bool:
        """Whether no attack of the overlay has the same entity, or does the same from there."""
        entity, done = (attack.account.id, attack.caller.user), self._traces(attack)
        if entity in self._entities or done & self._done:
            return False
        self._entities.add(entity)
        self._done |= done
        return True

    def _traces(self, attack: Attack) -> set[tuple[str, str, str]]:
        """What another attack of the overlay must not do: a call from a city."""
        return {(*attack.city.key, call.action.name) for call in attack.calls}


class SlowBand(Band):
    """Intruders who take some days, one call after another.

    What they do is learned while others of them still act. So no two make the same call, but for
    those that everybody makes, and they are few.
    """

    def __init__(self, life: Life, number: int, days: Sequence[int]) -> None:
        super().__init__(life, number, days[0], BANDS[0])
        self._last = days[-1]

    @property
    def _most(self) -> int:
        return max(1, len(self.people) // 6)

    @property
    def _end(self) -> float:
        return float(self.spec.epoch + (self._last + 1) * DAY - 4 * 3600)

    def _when(self, chance: Generator, victim: Victim) -> float | None:
        return self.start + float(chance.uniform(0, 8 * 3600))

    def _traces(self, attack: Attack) -> set[tuple[str, str, str]]:
        return {("", "", call.action.name) for call in attack.calls if call.action.weight < COMMON}


def _past(person: Person, day: int) -> int:
    return sum(one.calls for sittings in person.sittings[:day] for one in sittings)


def _write(life: Life, band: Band, logs: Path) -> Overlay:
    """Write the logs of an overlay."""
    lanes: dict[Lane, list[Record]] = defaultdict(list)
    laid = []
    for attack, variant in zip(band.attacks, band.variants, strict=True):
        chance = stream(life.spec.seed, "ids", "variant", band.number, attack.number)
        ids = uuids(chance, 2 * len(attack.calls))
        events = set[str]()
        for call, event, request in zip(attack.calls, ids[::2], ids[1::2], strict=True):
            lanes[call.account.id, called_region(call)].append(
                (call.time, render(call, event, request))
            )
            if call.step and call.step.number:
                events.add(event)
        laid.append(Laid(attack, variant, frozenset(events)))
    trail = Trail(life.spec.seed, "trail-x", logs, None, life.spec.records_per_object)
    trail.deliver(band.day, lanes, last=True)
    return Overlay(band.day, logs, tuple(laid))
