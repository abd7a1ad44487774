"""What somebody calls AWS with: several tools, each of a version that is renewed."""

from __future__ import annotations

from typing import Final

from numpy.random import Generator

from pipeline.simulate.catalogue import load_yaml
from pipeline.simulate.chance import pick

TOOLS: Final = ("console", "cli", "boto3", "terraform")
SCRIPTED: Final = ("boto3", "terraform")
RENEWED: Final = 0.7
"""Share of tools that somebody renews in four weeks."""


class Toolbox:
    """One person's tools."""

    def __init__(self, chance: Generator, team: str, days: int) -> None:
        terraform = 0.9 if team == "platform" else 0.35
        self._weights: list[float] = chance.dirichlet([1.6, 1.2, 0.5, terraform]).tolist()
        self._agents: dict[str, tuple[str, str]] = {}
        self._renewed: dict[str, int] = {}
        """The day from which on a tool is another version."""
        for tool in TOOLS:
            agents: list[str] = load_yaml("world.yaml")["agents"][tool]
            self._agents[tool] = (pick(chance, agents), pick(chance, agents))
            self._renewed[tool] = days
            day = int(chance.integers(0, 28))
            if chance.random() < RENEWED and day < days:
                self._renewed[tool] = day

    def pick(self, chance: Generator) -> str:
        """A tool for a sitting."""
        return pick(chance, TOOLS, self._weights)

    def agent(self, tool: str, day: int) -> str:
        """What a tool calls itself on a day."""
        return self._agents[tool][day >= self._renewed[tool]]
