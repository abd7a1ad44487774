"""What the job must judge and choose, as plain loops written from the pages alone.

The maths is `rarity.md`, the choice is "SelectAlerts, exactly" of DESIGN.md. Nothing here is lazy,
pruned, incremental or shared with the job: each answer is worked out anew from all there is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from scipy.stats import beta

Slices = Mapping[int, Iterable[str]]
"""One entity: slice → the actions that it did in it."""

WINDOW = 8
"""Slices in 2 hours."""
FORGET_AFTER = 180 * 24 * 4
"""Slices in 180 days."""


# From windows to slices


def slices_of(windows: Mapping[int, Mapping[str, int]]) -> dict[int, dict[str, int]]:
    """The slices of an entity, from its windows (end in seconds → action → number of events).

    A window is 8 slices and the one before it shares 7 of them, so what one has more than the
    other is its newest slice less the slice that fell out.
    """
    slices: dict[int, dict[str, int]] = {}
    for end in sorted(windows):
        newest = end // 900 - 1
        before = windows.get(end - 900, {})
        fell_out = slices.get(newest - WINDOW, {})
        for action in {*windows[end], *fell_out}:
            number = windows[end].get(action, 0) - before.get(action, 0) + fell_out.get(action, 0)
            if number:
                slices.setdefault(newest, {})[action] = number
    return slices


# rarity.md


class Rare(NamedTuple):
    """What is said of an (action, slice) that is an anomaly."""

    probability: float
    score: float


class Counts:
    """Section 1: `mass[action]`."""

    def __init__(self, bucket_span_s: float = 900) -> None:
        self.mass: dict[str, float] = {}
        self.delta = 0.0005 * min(1, bucket_span_s / 1800)

    def learn(self, actions: Iterable[str]) -> None:
        """A bucket in which these were done."""
        for action in actions:
            self.mass[action] = self.mass.get(action, 0) + 1
        for action in self.mass:
            self.mass[action] *= math.exp(-self.delta)


def probability(mass: Mapping[str, float], action: str) -> float:
    """Section 2: the probability of something as rare as an action, among counts that hold it."""
    total = sum(mass.values())
    if len(mass) == 1:
        return 1.0  # Beta(a, 0) is all at 1, where L is 1
    shares = sorted({m / total for m in mass.values()})
    points = [(0.0, 0.0)]
    points += [(q, sum(m / total for m in mass.values() if m / total <= q)) for q in shares]

    parts = 7 if total <= 100 else 5 if total <= 1000 else 3 if total <= 10000 else 1
    a, b = mass[action], total - mass[action]
    cuts = [float(cut) for cut in beta.ppf([j / parts for j in range(parts + 1)], a, b)]
    below = [float(each) for each in beta.cdf(cuts, a + 1, b)]
    means = [a / total * parts * (below[j + 1] - below[j]) for j in range(parts)]
    return max(2.2e-308, sum(_curve(points, 1.05 * mean) for mean in means) / parts)


def _curve(points: list[tuple[float, float]], x: float) -> float:
    """L: straight lines through the points; right of the last one, 1."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return 1.0


def score(p: float) -> float:
    """Section 3."""
    return min(100, max(0, 100 * (0.05 + 0.95 * math.log(0.05 / p) / math.log(500))))


def elastic(slices: Slices, bucket_span_s: float = 900) -> dict[tuple[str, int], Rare]:
    """Section 4, `elastic`: learn the slice, then score its actions. (action, slice) → Rare."""
    found = {}
    counts = Counts(bucket_span_s)
    latest = None
    for slice_ in sorted(slices):
        if latest is not None and slice_ - latest > FORGET_AFTER:
            counts = Counts(bucket_span_s)
        latest = slice_
        counts.learn(slices[slice_])
        for action in slices[slice_]:
            p = probability(counts.mass, action)
            if p < 0.035:
                found[action, slice_] = Rare(p, score(p))
    return found


def window(slices: Slices) -> dict[tuple[str, int], Rare]:
    """Section 4, `window`: each action against the history before the window, itself alone added.

    An entity that did nothing for more than 180 days is as if it had never been.
    """
    found = {}
    for slice_ in sorted(slices):
        for action in slices[slice_]:
            counts = _history(slices, slice_)
            counts.learn({action})
            p = probability(counts.mass, action)
            if p < 0.035:
                found[action, slice_] = Rare(p, score(p))
    return found


def _history(slices: Slices, slice_: int) -> Counts:
    """What is learned of an entity when a slice is judged: all slices 2 hours before it."""
    counts = Counts()
    upto = sorted(s for s in slices if s <= slice_)
    for before, s in zip([None, *upto], upto, strict=False):
        if before is not None and s - before > FORGET_AFTER:
            counts = Counts()
        if s <= slice_ - WINDOW:
            counts.learn(slices[s])
    return counts


# SelectAlerts, exactly


class Found(NamedTuple):
    """An anomaly, as far as choosing needs it."""

    id: str
    key: tuple[object, ...]
    """(scope, entity, action)."""
    score: float
    earliest: int
    slice: int
    firing: int


@dataclass
class Firing:
    """What was done at one firing: ids of the alerts by rank, of the others in no order."""

    alerts: list[str] = field(default_factory=list)
    suppressed: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.alerts or self.suppressed or self.cut or self.expired)


def select_alerts(
    anomalies: Iterable[Found],
    threshold: float = 75,
    cap: int = 100,
    interval_minutes: int = 15,
    lookback_minutes: int = 120,
) -> dict[int, Firing]:
    """Each firing at which something was done. Alerted keys are remembered for good: what lies 8
    slices back and more changes nothing, so that forgetting it must not either.
    """
    candidates = [a for a in anomalies if a.score >= threshold]
    if not candidates:
        return {}
    firings = [a.firing for a in candidates]
    lookback = lookback_minutes // 15
    done: dict[int, Firing] = {}
    waiting: list[Found] = []
    alerted: list[tuple[tuple[object, ...], int]] = []
    for firing in range(min(firings), max(firings) + lookback + 1):
        now = Firing()
        now.expired = {a.id for a in waiting if firing >= a.firing + lookback}
        waiting = [a for a in waiting if firing < a.firing + lookback]
        waiting += [a for a in candidates if a.firing == firing]
        end_minutes = (firing + 1) * 15
        if end_minutes % interval_minutes == 0:
            for a in sorted(waiting, key=lambda a: (-a.score, a.earliest, a.id)):
                if any(key == a.key and abs(slice_ - a.slice) < 8 for key, slice_ in alerted):
                    now.suppressed.add(a.id)
                elif len(now.alerts) < cap:
                    now.alerts.append(a.id)
                    alerted.append((a.key, a.slice))
                else:
                    now.cut.add(a.id)
            waiting = [a for a in waiting if a.id in now.cut]
        if now:
            done[firing] = now
    assert not waiting
    return done
