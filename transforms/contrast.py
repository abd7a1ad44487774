"""The scorer `contrast`: how much more a call looks like somebody else's than like this entity's.

A sum of logarithms of ratios, each of weight 1, each a number that can be recomputed by hand.
Source: contrast.md, §3. Natural logarithms throughout.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.anomaly import Factor, Habit, Own
from schemas.slice import Cell
from schemas.words import printable

LEAST: Final = 5
"""Fewest slices of history that an entity is judged by, and its places and tools."""
_DISCOUNT: Final = 0.6
_PRIOR: Final = 2.0
_SMOOTHING: Final = 50
_COMPANY: Final = 3.0
"""Most that one habit speaks for the entity."""
WEIGHTS: Final = {
    "discount": _DISCOUNT,
    "prior": _PRIOR,
    "smoothing": _SMOOTHING,
    "company": _COMPANY,
}
"""What S depends on: scores that are kept can be compared only with those by the same."""


@dataclass
class Popularity:
    """Of the values of one kind, how many entities have each."""

    fans: dict[str, int] = field(default_factory=dict)
    pairs: int = 0
    first: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Value → (first slice, first entity): for explanations, and for ever."""
    guarded: bool = False
    """Whether what a single entity has is left out of the sums: names can be made up."""
    alone: int = 0
    """Values that a single entity has."""

    @property
    def total(self) -> int:
        """Pairs of an entity and a value."""
        return self.pairs - self.alone * self.guarded

    @property
    def kinds(self) -> int:
        """V: the number of values."""
        return len(self.fans) - self.alone * self.guarded

    def enter(self, value: str, slice_: int, entity: str) -> None:
        """An entity has a value that it did not have."""
        fans = self.fans[value] = self.fans.get(value, 0) + 1
        self.pairs += 1
        self.alone += (fans == 1) - (fans == 2)
        known = self.first.get(value)
        if known is None or (slice_, entity) < known:
            self.first[value] = (slice_, entity)

    def leave(self, value: str) -> None:
        """An entity has it no more."""
        self.pairs -= 1
        fans = self.fans[value] = self.fans[value] - 1
        self.alone += (fans == 1) - (fans == 0)
        if not fans:
            del self.fans[value], self.first[value]

    def share(self, value: str) -> float:
        """How much of all that peers have is this value; of one that nobody has, a little."""
        mine = self.fans.get(value, 0) + 0.5
        return mine / (self.total + 0.5 * (self.kinds + _SMOOTHING))


@dataclass
class Peers:
    """What a scope remembers of its entities of one detector."""

    actions: Popularity = field(default_factory=Popularity)
    places: Popularity = field(default_factory=Popularity)
    tools: Popularity = field(default_factory=Popularity)

    @property
    def known(self) -> bool:
        """Whether any entity is left."""
        return any(table.fans for table in (self.actions, self.places, self.tools))

    def table(self, kind: str) -> Popularity:
        """Actions, places or tools."""
        table: Popularity = getattr(self, kind)
        return table


@dataclass(frozen=True)
class Sightings:
    """First sightings of the 30 closed days before: all, those that failed, those that wrote."""

    all: int = 0
    failed: int = 0
    wrote: int = 0


def judge(
    own: Own, cell: Cell, action: str, peers: Peers, seen: Sightings, with_tool: bool = False
) -> tuple[float, list[Factor]]:
    """(S, its addends in the order in which they are told) of a candidate with n ≥ 5.

    `own` is the entity's history, `cell` what it did, `peers` the counts of histories up to the
    same slice, b − 8.
    """
    factors = [
        _habit(own),
        _what(action, peers.actions),
        _where("place", cell.place, own.places, own.n_places, own.t_places, peers.places),
        _looks(own),
        _company(own, peers.actions),
        *_shares(cell, seen),
    ]
    if with_tool:
        tool = _where(
            "tool", cell.tool, own.tools, own.n_tools, own.t_tools, peers.tools, mixed=True
        )
        factors.insert(3, tool)
    return math.fsum(sorted(factor.value for factor in factors)), factors


def judge_first(
    cell: Cell, action: str, peers: Peers, seen: Sightings
) -> tuple[float, list[Factor]]:
    """(S, its addends) of what an entity does whose own history is too short to ask: what of it
    its peers would find odd.
    """
    factors = [_what(action, peers.actions), *_shares(cell, seen)]
    return math.fsum(sorted(factor.value for factor in factors)), factors


def _shares(cell: Cell, seen: Sightings) -> list[Factor]:
    return [
        _share("outcome", cell.failed, seen.failed, seen.all, "failed", "succeeded", "do"),
        _share("kind", cell.write, seen.wrote, seen.all, "a write", "a read", "are"),
    ]


def _habit(own: Own) -> Factor:
    value = -math.log((_DISCOUNT * own.t_actions + _PRIOR) / (own.n_actions + _PRIOR))
    often = max(1.0, math.exp(value))
    return Factor("habit", value, f"does something new in 1 of {often:.0f} of its actions")


def _what(action: str, actions: Popularity) -> Factor:
    value = -math.log(max(1, actions.kinds) * actions.share(action))
    much = f"{math.exp(abs(value)):.1f} times {'rarer' if value >= 0 else 'more common'}"
    return Factor("what", value, f"{_peers(actions, action)} {much} than an average action")


def _peers(actions: Popularity, action: str) -> str:
    fans = actions.fans.get(action, 0)
    if not fans:  # the figure is the estimate's: nothing can be counted
        return "no peer does it, which weighs as"
    return "1 peer does it:" if fans == 1 else f"{fans:,} peers do it:"


def _where(
    name: str,
    values: Iterable[str],
    counts: Mapping[str, int],
    n: int,
    kinds: int,
    table: Popularity,
    mixed: bool = False,
) -> Factor:
    """The least fitting of the cell's places, or tools."""
    best, which = 0.0, ""
    if n >= LEAST:
        anyone = 1 / (table.kinds + _SMOOTHING)
        for value in sorted(values):
            share = table.share(value)
            here = _probability(counts.get(value, 0), n, kinds, share)
            there = 0.5 * share + 0.5 * anyone if mixed else anyone
            found = math.log(0.5 + 0.5 * there / here)
            if not which or found > best:
                best, which = found, value
    if not which:
        return Factor(name, best, f"its {name}s are not known")
    times = counts.get(which, 0)
    how = (
        f"in {times:,} of {n:,} quarter-hours" if times else f"never before in {n:,} quarter-hours"
    )
    return Factor(name, best, f"{'from' if name == 'place' else 'with'} {printable(which)} {how}")


def _probability(count: int, n: int, kinds: int, share: float) -> float:
    """p(v | e): Pitman–Yor's, with the peers' share as its base."""
    mine = max(count - _DISCOUNT, 0.0) + (_DISCOUNT * kinds + _PRIOR) * share
    return min(1.0, mine / (n + _PRIOR))


def _looks(own: Own) -> Factor:
    number = len(own.window)
    value = -math.log(number)
    if number == 1:
        return Factor("looks", value, "the only action of this person and network in 2 hours")
    return Factor("looks", value, f"one of {number} different actions of this person and network")


def _company(own: Own, actions: Popularity) -> Factor:
    gains = {habit.name: _gain(habit, own, actions) for habit in own.window if habit.count}
    value = -math.log(1 + math.fsum(sorted(gains.values())))
    typical = sorted((name for name in gains if gains[name] > 0), key=lambda y: (-gains[y], y))
    if not typical:
        return Factor("company", value, "beside nothing that is typical of it")
    named = ", ".join(printable(name) for name in typical[:3])
    more = f" and {len(typical) - 3} more" if len(typical) > 3 else ""
    return Factor("company", value, f"beside what is typical of it: {named}{more}")


def _gain(habit: Habit, own: Own, actions: Popularity) -> float:
    """How much more often the entity does an action than its peers have it: 0 to 3."""
    typical = (habit.count / own.n_actions) / (actions.fans[habit.name] / max(1, actions.total))
    return min(_COMPANY, max(0.0, math.log(typical)))


def _share(name: str, flag: bool, number: int, total: int, yes: str, no: str, verb: str) -> Factor:
    """How much a yes or no is worth among first sightings."""
    rate = (number + 1) / (total + 2)
    mine = rate if flag else 1 - rate
    words = f"{yes if flag else no}, as {100 * mine:.0f} % of first sightings {verb}"
    return Factor(name, math.log(0.5 / mine), words)
