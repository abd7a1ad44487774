"""From S to a score that states a volume: how many entities an ordinary day has that look so odd.

Source: contrast.md, §4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HIGHEST: Final = 64
"""Entities of a day whose highest S is kept."""
DAYS: Final = 28
"""Closed days that a calibration looks back on."""
WORKING_DAYS: Final = 4
"""Fewest of them that it needs."""
_RANKS: Final = (1, 2, 3, 5, 8, 12, 20, 30, 45)
_NONE: Final = -50.0
"""Stands for the k-th highest S of a day with fewer entities."""
_SIXTH: Final = 5
_LEAST_SLOPE: Final = 0.2
_MOST: Final = 5.0


@dataclass(frozen=True)
class Calibration:
    """θ_k at each rank k, descending; taken from so many working days."""

    knots: tuple[tuple[int, float], ...]
    days: int

    def rate(self, surprise: float) -> float:
        """r(S): entities of an ordinary day that are at least this odd."""
        (_, top), *_ = self.knots
        if surprise >= top:
            rank, low = self.knots[min(_SIXTH, len(self.knots) - 1)]
            return math.exp(-(surprise - top) / _slope(top - low, rank))
        for (rank, high), (next_rank, low) in zip(self.knots, self.knots[1:], strict=False):
            if surprise >= low:
                part = (high - surprise) / (high - low)
                return math.exp((1 - part) * math.log(rank) + part * math.log(next_rank))
        rank, last = self.knots[-1]
        return rank * math.exp(min((last - surprise) / _slope(top - last, rank), _MOST))


def _slope(fall: float, rank: int) -> float:
    """How much S falls while the rate grows e-fold."""
    return max(fall / math.log(rank), _LEAST_SLOPE) if rank > 1 else _LEAST_SLOPE


def calibrate(days: Sequence[tuple[int, Sequence[float]]]) -> Calibration | None:
    """The calibration by closed days, each (number of judged entities, their highest S, the 64
    highest of them, descending); None while there are fewer than 4 working days.

    Working days have at least half the upper median of the numbers.
    """
    numbers = sorted(number for number, _ in days if number)
    if not numbers:
        return None
    least = numbers[len(numbers) // 2] / 2
    working = [highest for number, highest in days if number and number >= least]
    if len(working) < WORKING_DAYS:
        return None
    knots: list[tuple[int, float]] = []
    for rank in _RANKS:
        value = _median([day[rank - 1] if len(day) >= rank else _NONE for day in working])
        if value != _NONE or len(knots) < 2:
            knots.append((rank, value))
    return Calibration(tuple(knots), len(working))


def seldom(days: Sequence[Sequence[float]], span: int, surprise: float) -> float:
    """r(S) where so little happens that there are no 4 working days: those at least this odd, and
    this one, over the last `span` days. `days`: the highest S of each day that has any.
    """
    as_odd = sum(found >= surprise for highest in days for found in highest)
    return (as_odd + 1) / span


def _median(values: Sequence[float]) -> float:
    """The middle, or the mean of the middle two."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def score_of_rate(rate: float, cases: float) -> float:
    """0–100; `cases` a day are at 75 or above, a tenth more of ten times as many at 50."""
    if rate <= cases:
        return 100 - 25 * math.sqrt(rate / cases)
    return max(0.0, 75 - 25 * math.log10(rate / cases))


def rate_of_score(score: float, cases: float) -> float:
    """Entities of an ordinary day at a score or above: the inverse."""
    if score >= 75:
        return cases * ((100 - score) / 25) ** 2
    return float(cases * 10 ** ((75 - score) / 25))
