"""Deliveries, and the job's three folds chained in memory, run after run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from factory import SLICE, at, detector, event
from msgspec.structs import replace

from schemas.anomaly import CANDIDATE, Candidate
from schemas.change import CHANGE, Change
from schemas.counts import ROW, add_up
from schemas.event import Event, EventBatch
from schemas.late import TOO_LATE, TooLate
from schemas.rule import Detector, Rule, detectors
from schemas.state import ENTITY_STATE, RULE_STATE, EntityState, RuleState
from transforms.alert import SelectFold
from transforms.cells import Bundle
from transforms.firing import Course, known_at
from transforms.fold import STATE, Fold, Replay, replay
from transforms.peers import WeighFold
from transforms.score import FORGET_AFTER, ScoreFold

Pair = tuple[bytes, bytes]
"""A key, and one of its elements."""
States = dict[str, dict[bytes, bytes]]
"""By step and key."""
START = 1_900_000
HABIT = [event(at(START + n, 1), action) for n in range(60) for action in ("Get", "List", "Put")]
"""What Alice does at first."""
WINDOW = detector("window")
NAME = f"cells|{WINDOW.name}|"
B = START + 80
"""A slice when all of her habit is learned."""
Walk = Callable[[Fold[Any, Any], bytes, list[bytes], Course], Iterable[tuple[str, Any]]]
"""Goes through the firings of one key."""


class Delivery(NamedTuple):
    """An event as it came: None has always been there."""

    event: Event
    arrival: int | None = None

    @property
    def known(self) -> int:
        """The firing at which it becomes known."""
        return known_at(self.event.time // SLICE, self.arrival)


def known_after(late: Event, firings: int) -> Delivery:
    """An event that comes so many firings after its own, at the last millisecond for it."""
    firing = late.time // SLICE + firings
    return Delivery(late, (firing + 2) * SLICE - 1)


def pairs_of(deliveries: Iterable[Delivery], rules: Iterable[Detector]) -> list[Pair]:
    """What CountSlices makes of one bundle."""
    bundle = Bundle(tuple(rules))
    by_arrival: dict[int | None, list[Event]] = defaultdict(list)
    for came, arrival in deliveries:
        by_arrival[arrival].append(came)
    for arrival, events in by_arrival.items():
        bundle.add(EventBatch("unit", events, arrival))
    return list(bundle.flush())


def dealt(rng: Random, deliveries: Sequence[Delivery], of: Iterable[Detector]) -> list[Pair]:
    """Deliveries in three bundles, out of order."""
    bundles: list[list[Delivery]] = [[], [], []]
    for delivery in rng.sample(deliveries, len(deliveries)):
        bundles[rng.randrange(3)].append(delivery)
    pairs = [pair for bundle in bundles for pair in pairs_of(bundle, of)]
    rng.shuffle(pairs)
    return pairs


def by_firing(
    fold: Fold[Any, Any], key: bytes, elements: list[bytes], course: Course
) -> Iterator[tuple[str, Any]]:
    """As the unbounded mode goes: an element comes just before it is due; after each firing the
    state is saved, and all that was in memory is gone.
    """
    held = [data for data in elements if fold.holds(data)]
    coming = [
        (min(firing for firing, _ in fold.read(data)), data)
        for data in elements
        if not fold.holds(data)
    ]
    coming.sort(reverse=True)
    while True:
        due = Replay(fold, key, held, course.after).due
        if coming and (due is None or coming[-1][0] < due):
            due = coming[-1][0]
        while coming and coming[-1][0] == due:
            held.append(coming.pop()[1])
        if due is None or (course.until is not None and due > course.until):
            break
        walk = Replay(fold, key, held, course.after)
        yield from walk.fire(due)
        saved = walk.save()
        held = [] if saved is None else [saved]
    yield from replay(fold, key, [*held, *(data for _, data in coming)], course)


class Alice:
    """Alice. What a run said stays; between runs there is nothing but her saved state."""

    def __init__(self, of: Detector, forget_after: int = FORGET_AFTER) -> None:
        self.of, self.fold = of, ScoreFold((of,), forget_after)
        self.saved: bytes | None = None
        self.candidates: list[Candidate] = []
        self.changes: list[Change] = []
        self.late: list[TooLate] = []
        self.counts: dict[str, int] = {}
        """Of the last run."""

    def run(
        self, deliveries: Iterable[Delivery], until: int | None, after: int | None = None
    ) -> Alice:
        """A run over one bundle up to a horizon."""
        pairs = pairs_of(deliveries, [self.of])
        key = b'["%s","organisation",["111122223333","alice"]]' % self.of.key.encode()
        assert all(pair[0] == key for pair in pairs)
        elements = [data for _, data in pairs]
        elements += [] if self.saved is None else [self.saved]
        self.saved = None
        for tag, value in replay(self.fold, key, elements, Course(after, until, keep=True)):
            if tag == "candidates" and CHANGE.wrote(value[1]):
                self.changes.append(CHANGE.decode(value[1]))
            elif tag == "candidates":
                self.candidates.append(CANDIDATE.decode(value[1]))
            elif tag == "late":
                self.late.append(TOO_LATE.decode(value))
            elif tag == "counts":
                self.counts = ROW.decode(value).counts
            else:
                assert tag == STATE
                self.saved = value
        return self

    @property
    def state(self) -> EntityState:
        assert self.saved is not None
        return ENTITY_STATE.decode(self.saved)

    @property
    def learned(self) -> dict[str, int]:
        """Actions of the history, and in how many slices each was learned."""
        actions = self.state.history.actions
        numbers = memoryview(actions.count).cast("I").tolist()
        return dict(zip(actions.names, numbers, strict=True))


def on_time(events: Iterable[Event]) -> list[Delivery]:
    return [Delivery(each) for each in events]


def does(slice_: int, action: str = "New", seconds: float = 1) -> Event:
    return event(at(slice_, seconds), action)


def alice(of: Detector = WINDOW, until: int = B - 1, forget_after: int = FORGET_AFTER) -> Alice:
    """Alice, when her habit was read."""
    return Alice(of, forget_after).run(on_time(HABIT), until)


def told(found: Alice, action: str) -> list[tuple[int, int, str]]:
    """What was said of an action: slice and firing, from B on; timing."""
    mine = [one for one in found.candidates if one.action == action]
    return [(one.slice - B, one.firing - B, one.timing) for one in mine]


class Told:
    """What runs said, in an order that means nothing."""

    def __init__(self) -> None:
        self.by_tag: dict[str, list[bytes]] = defaultdict(list)
        self.rows: list[dict[str, int]] = []
        """By run, its counts."""

    def __getitem__(self, tag: str) -> list[bytes]:
        return sorted(self.by_tag[tag])


class Job:
    """The three folds. Between two runs there is nothing but their saved states."""

    def __init__(
        self, rules: Sequence[Rule], forget_after: int = FORGET_AFTER, walk: Walk = replay
    ) -> None:
        self.rules, self.forget_after, self.walk = tuple(rules), forget_after, walk
        self.detectors = tuple(detectors(rules))
        self.states: States = {"score": {}, "weigh": {}, "select": {}}
        self.done: int | None = None
        """H0."""
        self.told = Told()
        self._rng: Random | None = None

    def follow(self, other: Job) -> Job:
        """Begin where another job stands, whose runs are not told again."""
        self.states = {step: dict(states) for step, states in other.states.items()}
        self.done = other.done
        return self

    def run(
        self, pairs: Iterable[Pair], until: int | None = None, rng: Random | None = None
    ) -> Job:
        """One run from the last one's horizon on; `rng` deals the elements of each step anew."""
        self._rng = rng
        course = Course(self.done, until, keep=True)
        self.told.rows.append({})
        score = ScoreFold(self.detectors, self.forget_after)
        candidates = self._step("score", score, pairs, course)
        alertable = self._step("weigh", WeighFold(self.rules), candidates, course)
        self._step("select", SelectFold(self.rules), alertable, course)
        self.done = until
        return self

    def _step(
        self, name: str, fold: Fold[Any, Any], pairs: Iterable[Pair], course: Course
    ) -> list[Pair]:
        elements: dict[bytes, list[bytes]] = defaultdict(list)
        for key, data in pairs:
            elements[key].append(data)
        for key, data in self.states[name].items():
            elements[key].append(data)
        self.states[name] = {}
        onward: list[Pair] = []
        for key, mine in elements.items():
            if self._rng is not None:
                self._rng.shuffle(mine)
            for tag, value in self.walk(fold, key, mine, course):
                if tag == STATE:
                    self.states[name][key] = value
                elif tag in ("candidates", "alertable"):
                    onward.append(value)
                elif tag == "counts":
                    row = ROW.decode(value).counts
                    self.told.rows[-1] = add_up((self.told.rows[-1], row))
                else:
                    self.told.by_tag[tag].append(value)
        return onward

    @property
    def entities(self) -> dict[bytes, EntityState]:
        """The entities' states, but for how often their events were delivered."""
        found = {key: ENTITY_STATE.decode(data) for key, data in self.states["score"].items()}
        for state in found.values():
            state.held = [replace(one, delivered=0) for one in state.held]
        return found

    @property
    def histories(self) -> dict[bytes, EntityState]:
        """What of it depends only on which events there are that were not too late."""
        found = self.entities
        for state in found.values():
            state.strays = {}
            state.held = [replace(one, firing=0, candidates=0, highest=0.0) for one in state.held]
        return {key: one for key, one in found.items() if one.history.since >= 0 or one.held}

    @property
    def waiting(self) -> dict[bytes, RuleState]:
        """The rules' states, what waits in order."""
        found = {key: RULE_STATE.decode(data) for key, data in self.states["select"].items()}
        for state in found.values():
            state.waiting.sort(key=lambda one: one.id)
        return found


def nonzero(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts, but for those that say nothing."""
    return {name: number for name, number in counts.items() if number}
