"""What a person usually calls, how that grows, and bursts of something new."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.random import Generator

from pipeline.simulate.catalogue import Action, load_catalogue, load_yaml
from pipeline.simulate.chance import Floats, about, draw, draw_distinct

MEDIAN: Final = 24.0
"""Habits of a person of ordinary diligence."""
FOCUS: Final = 2.2
"""How much likelier the services of the hour are."""
AGAIN: Final = 0.22
"""Share of calls that repeat the one before."""
KEPT: Final = 0.7
"""Share of new actions that become habits."""
PAGE: Final = 0.35
"""Share of new actions that bring others of their service along, as a page of the console does."""


@cache
def actions() -> tuple[Action, ...]:
    """The catalogue, numbered."""
    return tuple(load_catalogue().values())


@cache
def number_of(key: str) -> int:
    """The number of an action, by its key."""
    return list(load_catalogue()).index(key)


@cache
def reads() -> Floats:
    """1 for each action that changes nothing, else 0."""
    return np.array([float(action.read) for action in actions()])


@cache
def everything() -> Floats:
    """1 for each action."""
    return np.ones(len(actions()))


@cache
def team_liking(team: str) -> Floats:
    """How often members of a team take each action, relatively."""
    world = load_yaml("world.yaml")
    liked = {**world["everyone"], **world["teams"][team]["services"]}
    return np.array([a.weight * liked.get(a.service, liked["other"]) for a in actions()])


class Habits:
    """One person's actions, by their numbers in the catalogue."""

    def __init__(self, chance: Generator, team: str, level: float) -> None:
        """Draw the habits of a member of a team; who does more has more of them."""
        self._liking = team_liking(team) * chance.lognormal(0.0, 0.9, len(actions()))
        wide = 3.0 if chance.random() < 0.05 else 1.0
        size = int(about(chance, MEDIAN * wide * level**0.5, 0.5, 18, 240))
        exponent = float(chance.uniform(0.95, 1.6))
        self._known = draw_distinct(chance, self._liking, size)
        self._weights = np.arange(1, len(self._known) + 1, dtype=np.float64) ** -exponent
        self._curious = about(chance, 2.8, 0.6, 1.0, 10.0) / 1000
        """New actions a call, beside what projects and rare habits bring."""

    def often(self, count: int) -> list[Action]:
        """The actions this person takes most."""
        return [actions()[i] for i in self._known[:count]]

    def pick(
        self, chance: Generator, count: int, project: int, chore: Sequence[int], read_only: bool
    ) -> list[int]:
        """What one sitting does: habits, mostly of two services, and what is new.

        `project` is the number of actions of a field that is new to the person; `chore` are actions
        that have to be done, known or not.
        """
        allowed = reads() if read_only else everything()
        services = [actions()[i].service for i in self._known]
        focus = {services[i] for i in draw(chance, self._weights, 2)}
        bent = np.where([service in focus for service in services], FOCUS, 1.0)
        bent *= self._weights * allowed[self._known]
        picks = [self._known[i] for i in draw(chance, bent, count)]
        again = (chance.random(count) < AGAIN).tolist()
        for i in range(1, count):
            if again[i]:
                picks[i] = picks[i - 1]
        for _ in range(int(chance.poisson(self._curious * count))):
            more = int(chance.integers(1, 4)) if chance.random() < PAGE else 0
            _insert(chance, picks, self._explore_one_service(chance, 1 + more, allowed), 1)
        if project:
            _insert(chance, picks, self._explore_one_service(chance, project, allowed), 2)
        if chore:
            self._keep(chance, [index for index in chore if index not in self._known])
            _insert(chance, picks, chore, 2)
        return picks

    def _explore_one_service(self, chance: Generator, size: int, allowed: Floats) -> list[int]:
        """Calls never made before, nearly all of one service."""
        odds = self._unknown() * allowed
        service = actions()[draw(chance, odds, 1)[0]].service
        inside = np.array([action.service == service for action in actions()])
        found = draw_distinct(chance, odds * np.where(inside, 1.0, 0.004), size)
        self._keep(chance, found)
        return found

    def _unknown(self) -> Floats:
        weights: Floats = self._liking**0.7
        weights[self._known] = 0.0
        return weights

    def _keep(self, chance: Generator, found: Sequence[int]) -> None:
        """Most of what was new stays, as lesser habits."""
        for index in found:
            if chance.random() < KEPT:
                rank = min(int(chance.integers(8, 40)), len(self._weights) - 1)
                self._known.append(index)
                self._weights = np.append(self._weights, self._weights[rank])


def _insert(chance: Generator, picks: list[int], found: Sequence[int], stride: int) -> None:
    """Put actions among others, one after another or with a habit between."""
    at = int(chance.integers(0, max(len(picks) - stride * len(found), 0) + 1))
    for step, index in enumerate(found):
        picks[min(at + stride * step, len(picks) - 1)] = index
