"""Administrative work: rare calls that come in bursts, made by people who may."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from numpy.random import Generator

from pipeline.simulate.catalogue import load_yaml
from pipeline.simulate.chance import pick
from pipeline.simulate.habits import number_of

LEFT_OUT: Final = 0.5
"""How often a call that a chore may need is not needed."""
ELSEWHERE: Final = 0.04
"""How often a chore comes up in a team that is none of its own, relatively."""


@dataclass(frozen=True, slots=True)
class Chore:
    """One piece of administrative work."""

    share: float
    """How often it comes up, beside the others."""
    calls: tuple[tuple[int, bool], ...]
    """Numbers of actions in the catalogue, in order, and whether each is always needed."""


@cache
def chores_of(team: str) -> tuple[Chore, ...]:
    """What comes up in a team: its own chores, and now and then those of others."""
    return tuple(
        Chore(
            share=one["share"] * (1.0 if team in one["teams"] else ELSEWHERE),
            calls=tuple(
                (number_of(key.removeprefix("?")), not key.startswith("?")) for key in one["calls"]
            ),
        )
        for one in load_yaml("chores.yaml")["chores"]
    )


def chore(chance: Generator, team: str) -> list[int]:
    """What a sitting has to do besides, as numbers of actions: mostly nothing."""
    often = load_yaml("chores.yaml")["often"]
    if chance.random() >= often.get(team, often["other"]):
        return []
    chores = chores_of(team)
    one = pick(chance, chores, [each.share for each in chores])
    return [index for index, needed in one.calls if needed or chance.random() >= LEFT_OUT]
