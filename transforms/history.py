"""An entity's history: counts of its actions, places and tools, and what an explanation needs."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from sys import intern
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.anomaly import Habit, Profile
from schemas.event import SLICE_MS
from schemas.state import HOURS, HistoryState, Values, column, doubles, integers

_HOUR_MS: Final = 3_600_000
_MONDAY: Final = 3 * 24
"""Hours from the first Monday of the epoch's week to the epoch, a Thursday."""
KINDS: Final = ("actions", "places", "tools")
"""The tables of a history."""
DAY: Final = 24 * _HOUR_MS // SLICE_MS
"""Slices of a day."""
_SHOWN: Final = 20
"""Actions and places that a profile names."""
MOST: Final = 2_000
"""Values of a kind that are kept of an entity; of what comes later only the evidence speaks."""


def ageing(bucket_span_s: float) -> float:
    """δ of Elastic's `rare`, as measured: a bucket multiplies every count by exp(−δ)."""
    return 0.0005 * min(1.0, bucket_span_s / 1800)


class History:
    """What one entity is known to do. A row a value: its count of slices and the last of them.

    `aged`: actions have aged counts, too. `memory`: values leave that were not there for so many
    slices; None keeps them as long as the entity.
    """

    __slots__ = ("_masses", "actions", "buckets", "hours", "latest", "places", "since", "tools")

    def __init__(
        self,
        aged: bool = True,
        memory: int | None = None,
        bucket_span_s: float = SLICE_MS / 1000,
    ) -> None:
        self.since = -1
        self.latest = -1
        self.buckets = 0
        self.hours = array("H", bytes(2 * HOURS))
        self.actions = Table(memory)
        self.places = Table(memory)
        self.tools = Table(memory)
        self._masses = Masses(ageing(bucket_span_s)) if aged else None

    def learn(
        self,
        slice_: int,
        actions: Collection[str],
        places: Collection[str],
        tools: Collection[str],
    ) -> Learned:
        """Add one slice; slices come in ascending order, each once."""
        if self.since < 0:
            self.since = slice_
        self.latest = slice_
        learned = Learned()
        for kind, values in zip(KINDS, (actions, places, tools), strict=True):
            self.table(kind).learn(slice_, values, kind, learned)
        if self._masses is not None:
            rows = self.actions.row
            self._masses.learn([rows[name] for name in sorted(actions) if name in rows])
        self.buckets += 1
        self.hours[(slice_ * SLICE_MS // _HOUR_MS + _MONDAY) % HOURS] += 1
        return learned

    def table(self, kind: str) -> Table:
        """Actions, places or tools."""
        table: Table = getattr(self, kind)
        return table

    @property
    def masses(self) -> Masses:
        """The aged counts of the actions, for scorers that age."""
        assert self._masses is not None
        return self._masses

    def mass(self, action: str) -> float:
        """Aged count of an action; 0 for one never learned."""
        row = self.actions.row.get(action)
        return 0.0 if row is None else self.masses.of(row)

    def masses_with(self, action: str) -> tuple[NDArray[np.float64], float]:
        """Aged counts as if one more slice held this action alone, and the action's own."""
        return self.masses.with_one_more(self.actions.row.get(action))

    def profile(self) -> Profile:
        """What an alert shows of the entity: bounded, and the same in every run."""
        return Profile(
            since=self.since * SLICE_MS if self.since >= 0 else None,
            latest=(self.latest + 1) * SLICE_MS if self.since >= 0 else None,
            slices=self.buckets,
            hours=self.hours.tolist(),
            n_actions=len(self.actions.row),
            n_places=len(self.places.row),
            actions=self.actions.most(_SHOWN),
            places=self.places.most(_SHOWN),
        )

    def state(self) -> HistoryState:
        """The history as its schema has it."""
        masses = self._masses
        return HistoryState(
            since=self.since,
            latest=self.latest,
            buckets=self.buckets,
            total=0.0 if masses is None else masses.sum,
            masses=b"" if masses is None else column(masses.raw),
            hours=self.hours.tolist(),
            actions=self.actions.values(),
            places=self.places.values(),
            tools=self.tools.values(),
        )

    def restore(self, state: HistoryState) -> None:
        """Become the history that `state` was made from, number by number."""
        self.since, self.latest, self.buckets = state.since, state.latest, state.buckets
        self.hours = array("H", state.hours)
        for kind in KINDS:
            self.table(kind).restore(getattr(state, kind))
        if self._masses is not None:
            self._masses.restore(doubles(state.masses), state.total, state.buckets)


@dataclass
class Learned:
    """What one slice changed, by kind of value."""

    entered: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, list[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """Actions that there was no room for, in order."""


class Masses:
    """Aged counts, by row.

    Ageing is lazy: a learned slice adds exp(δ · buckets) to raw counts, and the common factor
    exp(−δ · buckets) is applied when a count is read, so that no other row is touched.
    """

    __slots__ = ("_buckets", "_delta", "_factor", "raw", "sum")

    def __init__(self, delta: float) -> None:
        self.raw = array("d")
        self.sum = 0.0
        """Of the raw counts."""
        self._delta = delta
        self._buckets = 0
        self._factor = 1.0

    def learn(self, rows: Iterable[int]) -> None:
        """Add one slice, the rows in the order of their names: sums must not depend on arrival."""
        weight = math.exp(self._delta * self._buckets)  # before ageing: 1 / the common factor
        for row in rows:
            if row == len(self.raw):
                self.raw.append(0.0)
            self.raw[row] += weight
            self.sum += weight
        self._buckets += 1
        self._factor = math.exp(-self._delta * self._buckets)

    def restore(self, raw: array[float], total: float, buckets: int) -> None:
        """Become what `raw` and `sum` were after so many slices."""
        self.raw, self.sum, self._buckets = raw, total, buckets
        self._factor = math.exp(-self._delta * buckets)

    @property
    def total(self) -> float:
        """N: the sum of all aged counts."""
        return self.sum * self._factor

    def of(self, row: int) -> float:
        """One of them."""
        return self.raw[row] * self._factor

    def all(self) -> NDArray[np.float64]:
        """All of them, by row."""
        return np.frombuffer(self.raw) * self._factor

    def with_one_more(self, row: int | None) -> tuple[NDArray[np.float64], float]:
        """All as if one more slice held this row (or a new one) alone, and that row's own."""
        once = math.exp(-self._delta)
        masses = self.all() * once
        if row is None:
            return np.append(masses, once), once
        masses[row] += once
        return masses, float(masses[row])


class Table:
    """Values of one kind: a row each, in the order in which they were learned."""

    __slots__ = ("_day", "_memory", "count", "last", "n", "row")

    def __init__(self, memory: int | None = None) -> None:
        self.row: dict[str, int] = {}
        self.count = array("I")
        self.last = array("i")
        self.n = 0
        """Sum of the counts."""
        self._memory = memory
        self._day = -1  # on which values could leave

    def learn(self, slice_: int, values: Collection[str], kind: str, learned: Learned) -> None:
        """Count one slice of each value. On the first slice of a day that brings any, the values
        that were not there for as long as `memory` leave; those of the slice keep their count.
        """
        if not values:
            return
        if self._memory is not None and slice_ // DAY > self._day:
            self._day = slice_ // DAY
            left = self._purge(slice_ - self._memory, values)
            if left:
                learned.left[kind] = left
        entered = []
        for name in sorted(values):
            row = self.row.get(name)
            if row is None:
                if len(self.count) >= MOST:
                    if kind == KINDS[0]:
                        learned.refused.append(name)
                    continue
                entered.append(name)
                row = self.row[intern(name)] = len(self.count)
                self.count.append(0)
                self.last.append(slice_)
            self.count[row] += 1
            self.last[row] = slice_
            self.n += 1
        if entered:
            learned.entered[kind] = entered

    def _purge(self, before: int, but: Collection[str]) -> list[str]:
        """Let go of values whose last slice is before another; their names."""
        rows = self.row.items()
        left = [name for name, row in rows if self.last[row] < before and name not in but]
        if left:
            gone = set(left)
            kept = [(name, row) for name, row in rows if name not in gone]
            self.count = array("I", [self.count[row] for _, row in kept])
            self.last = array("i", [self.last[row] for _, row in kept])
            self.row = {name: at for at, (name, _) in enumerate(kept)}
            self.n = sum(self.count)
        return sorted(left)

    def of(self, name: str) -> int:
        """Number of slices with a value."""
        row = self.row.get(name)
        return 0 if row is None else self.count[row]

    def seen(self, name: str) -> tuple[int, int | None]:
        """(number of slices with a value, the last of them)."""
        row = self.row.get(name)
        return (0, None) if row is None else (self.count[row], self.last[row])

    def most(self, number: int) -> list[Habit]:
        """The most frequent values, ties by name."""
        ranked = sorted(self.row.items(), key=lambda item: (-self.count[item[1]], item[0]))
        return [Habit(name, self.count[row]) for name, row in ranked[:number]]

    def values(self) -> Values:
        """The rows as their schema has them."""
        return Values(list(self.row), column(self.count), column(self.last), self._day)

    def restore(self, values: Values) -> None:
        """Become the table that `values` was made from."""
        self.row = {intern(name): row for row, name in enumerate(values.names)}
        self.count = integers("I", values.count)
        self.last = integers("i", values.last)
        self.n = sum(self.count)
        self._day = values.day
