"""An entity's history: aged counts of its actions, and what an explanation needs.

Ageing is lazy: a learned slice adds exp(δ · buckets) to its actions' raw counts, and the common
factor exp(−δ · buckets) is applied when a count is read, so that no other action is touched.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterable
from sys import intern
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.anomaly import Habit, Profile
from schemas.event import SLICE_MS
from schemas.state import HOURS, Values, column, doubles, integers

_HOUR_MS: Final = 3_600_000
_MONDAY: Final = 3 * 24
"""Hours from the first Monday of the epoch's week to the epoch, a Thursday."""
_SHOWN: Final = 20
"""Actions and places that a profile names."""
MOST: Final = 2_000
"""Values of a kind that are kept of an entity; of what comes later only the evidence speaks."""


def ageing(bucket_span_s: float) -> float:
    """δ of Elastic's `rare`, as measured: a bucket multiplies every count by exp(−δ)."""
    return 0.0005 * min(1.0, bucket_span_s / 1800)


class History:
    """What one entity is known to do. A row a value: its count of slices, first and last slice.

    About 70 bytes a row in memory beside the names, which the entities share.
    """

    __slots__ = (
        "_delta",
        "_factor",
        "_raw",
        "_total",
        "actions",
        "buckets",
        "hours",
        "latest",
        "places",
        "since",
        "tools",
    )

    def __init__(self, bucket_span_s: float = SLICE_MS / 1000) -> None:
        self.since = -1
        self.latest = -1
        self.buckets = 0
        self.hours = array("H", bytes(2 * HOURS))
        self.actions = Table()
        self.places = Table()
        self.tools = Table()
        self._raw = array("d")
        self._total = 0.0
        self._factor = 1.0
        self._delta = ageing(bucket_span_s)

    def learn(
        self, slice_: int, actions: Collection[str], places: Iterable[str], tools: Iterable[str]
    ) -> list[str]:
        """Add one slice; slices come in ascending order, each once. The actions that it had no
        room for, in order.
        """
        if self.since < 0:
            self.since = slice_
        self.latest = slice_
        weight = math.exp(self._delta * self.buckets)  # before ageing: 1 / the common factor
        refused = []
        for action in sorted(actions):  # so that sums do not depend on the order of arrival
            row = self.actions.add(action, slice_)
            if row is None:
                refused.append(action)
                continue
            if row == len(self._raw):
                self._raw.append(0.0)
            self._raw[row] += weight
            self._total += weight
        self.buckets += 1
        self._factor = math.exp(-self._delta * self.buckets)
        for place in sorted(places):
            self.places.add(place, slice_)
        for tool in sorted(tools):
            self.tools.add(tool, slice_)
        self.hours[(slice_ * SLICE_MS // _HOUR_MS + _MONDAY) % HOURS] += 1
        return refused

    @property
    def total(self) -> float:
        """N: the sum of all aged counts."""
        return self._total * self._factor

    def mass(self, action: str) -> float:
        """Aged count of an action; 0 for one never learned."""
        row = self.actions.row.get(action)
        return 0.0 if row is None else self._raw[row] * self._factor

    def masses(self) -> NDArray[np.float64]:
        """Aged counts of all actions, in the order of their first slice."""
        return np.frombuffer(self._raw) * self._factor

    def masses_with(self, action: str) -> tuple[NDArray[np.float64], float]:
        """Aged counts as if one more slice held this action alone, and the action's own."""
        once = math.exp(-self._delta)
        masses = self.masses() * once
        row = self.actions.row.get(action)
        if row is None:
            return np.append(masses, once), once
        masses[row] += once
        return masses, float(masses[row])

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

    @property
    def masses_kept(self) -> bytes:
        """The column of the actions' masses, without the common factor, for `restored`."""
        return column(self._raw)

    @property
    def sum_kept(self) -> float:
        """Their sum."""
        return self._total

    def restore(self, masses: bytes, total: float) -> None:
        """Take back what the above said of a history of the same actions and buckets."""
        self._raw = doubles(masses)
        self._total = total
        self._factor = math.exp(-self._delta * self.buckets)


class Table:
    """Values of one kind: a row each, in the order in which they were first learned."""

    __slots__ = ("count", "first", "last", "row")

    def __init__(self) -> None:
        self.row: dict[str, int] = {}
        self.count = array("I")
        self.first = array("i")
        self.last = array("i")

    def add(self, name: str, slice_: int) -> int | None:
        """Count one slice of a value; its row, None if there is no room for another."""
        row = self.row.get(name)
        if row is None:
            if len(self.count) >= MOST:
                return None
            row = self.row[intern(name)] = len(self.count)
            self.count.append(0)
            self.first.append(slice_)
            self.last.append(slice_)
        self.count[row] += 1
        self.last[row] = slice_
        return row

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
        return Values(list(self.row), column(self.count), column(self.first), column(self.last))

    @classmethod
    def of(cls, values: Values) -> Table:
        """The table that `values` was made from."""
        table = cls()
        table.row = {intern(name): row for row, name in enumerate(values.names)}
        table.count = integers("I", values.count)
        table.first = integers("i", values.first)
        table.last = integers("i", values.last)
        return table
