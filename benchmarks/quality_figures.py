"""The figures of the quality bench, from what was seen of its organisations. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Final

from benchmarks.quality_lanes import FIRST, rank_at_75
from benchmarks.quality_world import Outcome, World

BUDGETS: Final = (3.0, 10.0)
"""Alerts a day that an organisation allows."""
PREVALENCE: Final = 1.0
"""Attacks a working day, for the average precision: an assumption, the same for all."""
CONTROL: Final = "control"
"""The variant that nobody should find."""

Case = tuple[World, Outcome]


@dataclass(frozen=True)
class Figures:
    """What one lane achieves over some attacks; shares are of these attacks."""

    attacks: int
    at_75: float
    alerts_at_75: float
    """Alerts a day of the attack-free working days, the mean of the organisations."""
    at_budget: tuple[float, ...]
    """At each of `BUDGETS`."""
    precision: float
    """Average precision."""


def figures(cases: Sequence[Case], lane: str) -> Figures:
    """What a lane achieves over cases, which may be of several organisations."""
    worlds = {id(world): world for world, _ in cases}.values()
    return Figures(
        attacks=len(cases),
        at_75=fmean(found_at_75(one, lane) for _, one in cases),
        alerts_at_75=fmean(alerts_a_day(world, lane) for world in worlds),
        at_budget=tuple(recall(cases, lane, budget) for budget in BUDGETS),
        precision=_mean_by_world(cases, lambda some: average_precision(some, lane)),
    )


def cases_of(worlds: Iterable[World], keep: Callable[[Case], bool] = lambda _: True) -> list[Case]:
    """All attacks but the controls, unless `keep` asks for these."""
    return [(world, one) for world in worlds for one in world.outcomes if keep((world, one))]


def is_attack(case: Case) -> bool:
    """Whether it is none of the controls."""
    return case[1].variant != CONTROL


def found_at_75(one: Outcome, lane: str) -> float:
    """1 if an alert of the attack has a score of 75 or more, else 0."""
    return float(lane in one.best and one.best[lane] >= least_rank(lane))


def least_rank(lane: str) -> float:
    """The rank of the score 75; first-seen alerts always."""
    return 0.0 if lane.startswith(FIRST) else rank_at_75(lane)


def alerts_a_day(world: World, lane: str) -> float:
    """Alerts of a score of 75 or more on an attack-free working day."""
    return sum(rank >= least_rank(lane) for rank in world.benign[lane]) / world.days


def idle_a_day(world: World, lane: str) -> float:
    """The same on a day of a weekend."""
    return sum(rank >= least_rank(lane) for rank in world.idle[lane]) / world.idle_days


def recall(cases: Sequence[Case], lane: str, budget: float) -> float:
    """Share of the attacks that are found when each organisation allows so many alerts a day."""
    return fmean(found_within(world, one, lane, budget) for world, one in cases)


def found_within(world: World, one: Outcome, lane: str, budget: float) -> float:
    """Whether an attack ranks above all that is too much on the attack-free days.

    First-seen cannot rank: it is the probability that at least one of the attack's alerts is
    among as many, drawn by chance.
    """
    benign, allowed = world.benign[lane], int(budget * world.days + 1e-9)
    if lane.startswith(FIRST):
        drawn = min(1.0, allowed / len(benign)) if benign else 1.0
        return 1.0 - (1.0 - drawn) ** one.alerts.get(lane, 0)
    threshold = benign[allowed] if len(benign) > allowed else -math.inf
    return float(lane in one.best and one.best[lane] > threshold)


def average_precision(cases: Sequence[Case], lane: str) -> float:
    """Of cases of one organisation: precision over recall, at `PREVALENCE` attacks a day.

    One alert of an attack counts as true, each of attack-free life as false; what is never found
    adds nothing.
    """
    world = cases[0][0]
    ranks = sorted((one.best[lane] for _, one in cases if lane in one.best), reverse=True)
    benign, total, seen, at = world.benign[lane], 0.0, 0, 0
    for rank, same in groupby(ranks):
        new = len(list(same))
        seen += new
        while at < len(benign) and benign[at] >= rank:
            at += 1
        true = PREVALENCE * seen / len(cases)
        total += new / len(cases) * true / (true + at / world.days)
    return total


def _mean_by_world(cases: Sequence[Case], figure: Callable[[list[Case]], float]) -> float:
    """A figure of each organisation, weighted by its number of cases."""
    groups: dict[int, list[Case]] = {}
    for case in cases:
        groups.setdefault(id(case[0]), []).append(case)
    return math.fsum(figure(group) * len(group) for group in groups.values()) / len(cases)
