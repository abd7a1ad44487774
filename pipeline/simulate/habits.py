"""What a person usually calls, how that grows, and bursts of something new."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.random import Generator

from pipeline.simulate.catalogue import Action, load_catalogue, load_yaml
from pipeline.simulate.chance import Floats, about, draw, draw_distinct

MEDIAN: Final = 28.0
"""Habits of a person of ordinary diligence."""
FOCUS: Final = 2.2
"""How much likelier the services of the hour are."""
AGAIN: Final = 0.22
"""Share of calls that repeat the one before."""
KEPT: Final = 0.7
"""Share of new actions that become habits."""


@cache
def actions() -> tuple[Action, ...]:
    """The catalogue, numbered."""
    return tuple(load_catalogue().values())


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
        self._curious = about(chance, 2.5, 0.5, 1.0, 8.0) / 1000
        """New actions a call, beside what projects and rare habits bring."""

    def often(self, count: int) -> list[Action]:
        """The actions this person takes most."""
        return [actions()[i] for i in self._known[:count]]

    def pick(self, chance: Generator, count: int, project: int, read_only: bool) -> list[int]:
        """What one sitting does: habits, mostly of two services, and what is new.

        `project` is the number of actions of a field that is new to the person.
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
        new = int(chance.poisson(self._curious * count))
        for index in self._explore(chance, new, allowed):
            picks[int(chance.integers(count))] = index
        if project:
            self._begin_project(chance, picks, project, allowed)
        return picks

    def _begin_project(
        self, chance: Generator, picks: list[int], size: int, allowed: Floats
    ) -> None:
        """A burst of calls never made before, nearly all of one service."""
        service = actions()[draw(chance, self._unknown() * allowed, 1)[0]].service
        inside = np.array([action.service == service for action in actions()])
        found = self._explore(chance, size, allowed * np.where(inside, 1.0, 0.004))
        at = int(chance.integers(0, max(len(picks) - 2 * size, 1)))
        for step, index in enumerate(found):
            picks[min(at + 2 * step, len(picks) - 1)] = index

    def _unknown(self) -> Floats:
        weights: Floats = self._liking**0.7
        weights[self._known] = 0.0
        return weights

    def _explore(self, chance: Generator, count: int, bias: Floats) -> list[int]:
        """Actions not met before; most of them stay, as lesser habits."""
        if not count:
            return []
        found = draw_distinct(chance, self._unknown() * bias, count)
        for index in found:
            if chance.random() < KEPT:
                rank = min(int(chance.integers(8, 40)), len(self._weights) - 1)
                self._known.append(index)
                self._weights = np.append(self._weights, self._weights[rank])
        return found
