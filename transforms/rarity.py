"""The maths of `rare by action, partitioned by entity`, and the two scorers that use it alone.

Source: Elastic anomaly detection, function `rare`, as measured.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv

from transforms.history import History

LIMIT: Final = 0.035
"""At this probability and above nothing is an anomaly."""
_FLOOR: Final = 2.2e-308
_SPREAD: Final = 1.05

Floats = NDArray[np.float64]


def score_of(probability: float) -> float:
    """0–100, in a straight line over the logarithm of p: 0.05 is 5, 1e-4 and below 100."""
    score = 100 * (0.05 + 0.95 * math.log(0.05 / probability) / math.log(500))
    return min(100.0, max(0.0, score))


def probability(masses: Floats, mass: float) -> float:
    """Probability of something as rare as an action of this mass, among counts that hold it.

    `masses`: aged counts of all actions of the entity, in any order. Exact below LIMIT; at least
    LIMIT (not exact) where no anomaly is possible.
    """
    ranked = np.sort(masses)
    sums = np.cumsum(ranked)  # one after the other: equal on every processor, in every order
    total = float(sums[-1])
    share = mass / total
    if share >= LIMIT:  # p ≥ share, since the curve lies above the diagonal
        return 1.0
    last = np.ones(len(ranked), dtype=bool)  # of the actions that are equally frequent
    np.not_equal(ranked[1:], ranked[:-1], out=last[:-1])
    shares, curve = ranked[last] / total, sums[last] / total
    parts = _parts(total)
    if curve[np.searchsorted(shares, share)] >= LIMIT * parts:
        return 1.0  # p ≥ Q/k: the largest slice's mean is no less than the share itself
    means = _slice_means(mass, total, parts)
    heights = np.interp(_SPREAD * means, np.append(0.0, shares), np.append(0.0, curve), right=1.0)
    return max(_FLOOR, math.fsum(heights) / parts)


def _parts(total: float) -> int:
    return 7 if total <= 100 else 5 if total <= 1000 else 3 if total <= 10000 else 1


def _slice_means(mass: float, total: float, parts: int) -> Floats:
    """Means of the `parts` slices of equal probability of Beta(mass, total − mass), ascending."""
    cuts = betaincinv(mass, total - mass, np.arange(1, parts) / parts)
    below = np.concatenate(([0.0], betainc(mass + 1, total - mass, cuts), [1.0]))
    means: Floats = mass / total * parts * np.diff(below)
    return means


class Scorer(Protocol):
    """A scorer that looks at the entity alone."""

    @property
    def name(self) -> str:
        """What rules call it."""
        ...

    @property
    def settles(self) -> bool:
        """Slices are learned 2 h after their end (True) or before they are judged (False)."""
        ...

    def history(self) -> History:
        """An empty history of the kind that it judges by."""
        ...

    def judge(self, history: History, actions: Collection[str]) -> dict[str, float]:
        """Probability of each action of one slice that is an anomaly (p < LIMIT)."""
        ...


@dataclass(frozen=True)
class Elastic:
    """Compatibility: counts include the slice that is judged, so a burst dilutes itself."""

    name: str = "elastic"
    settles: bool = False

    def history(self) -> History:
        """With aged counts, kept for ever."""
        return History()

    def judge(self, history: History, actions: Collection[str]) -> dict[str, float]:
        """See Scorer; `history` has learned the slice already."""
        rarest = {
            action: mass
            for action in actions
            if (mass := history.mass(action)) < LIMIT * history.masses.total
        }
        if not rarest:
            return {}
        masses = history.masses.all()
        known = {mass: probability(masses, mass) for mass in set(rarest.values()) if mass}
        if 0.0 in rarest.values():  # not learned: it is added to the counts as once
            known[0.0] = probability(*history.masses_with(""))
        return {action: known[mass] for action, mass in rarest.items() if known[mass] < LIMIT}


@dataclass(frozen=True)
class Window:
    """Each action against the history before the 2-hour window, itself alone added.

    Added as one more active slice in which nothing else was done: a count of 1, aged once.
    """

    name: str = "window"
    settles: bool = True

    def history(self) -> History:
        """With aged counts, kept for ever."""
        return History()

    def judge(self, history: History, actions: Collection[str]) -> dict[str, float]:
        """See Scorer; `history` holds no slice of the window."""
        total = history.masses.total + 1
        rarest = {
            action: mass for action in actions if (mass := history.mass(action)) + 1 < LIMIT * total
        }
        if not rarest:
            return {}
        ranked = np.sort(history.masses.all())
        sums = np.append(0.0, np.cumsum(ranked))
        hopeless = LIMIT * _parts(0.99 * total) * total  # p ≥ Q/k, as in `probability`
        known: dict[float, float] = {}
        found: dict[str, float] = {}
        for action, mass in rarest.items():
            if mass not in known:
                below = sums[np.searchsorted(ranked, mass, side="right")] + 1
                possible = below < hopeless
                known[mass] = probability(*history.masses_with(action)) if possible else 1.0
            if known[mass] < LIMIT:
                found[action] = known[mass]
        return found


SCORERS: Final[dict[str, Scorer]] = {scorer.name: scorer for scorer in (Window(), Elastic())}
