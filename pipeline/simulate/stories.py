"""Attack stories: what is told in attacks.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pipeline.simulate.catalogue import load_yaml, serialise

HABIT: Final = "habit"
"""Stands for a call that the victim makes often."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One step of a story."""

    call: str
    after: float = 5.0
    """Seconds since the deed before, about."""
    error: str = ""
    times: int = 1
    elsewhere: bool = False
    """In a region where the organisation has nothing."""
    request: str = ""
    """Its own request parameters, serialised."""


@dataclass(frozen=True, slots=True)
class Story:
    """A technique as the calls it leaves."""

    name: str
    technique: str
    words: str
    victims: tuple[str, ...]
    deeds: tuple[Deed, ...]


@cache
def load_stories() -> tuple[Story, ...]:
    """The stories, in the order of the file."""
    return tuple(
        Story(
            name=one["name"],
            technique=one["technique"],
            words=one["words"],
            victims=tuple(one["victims"]),
            deeds=tuple(_deed(each) for each in one["calls"]),
        )
        for one in load_yaml("attacks.yaml")
    )


def _deed(one: str | dict[str, Any]) -> Deed:
    if isinstance(one, str):
        return Deed(one)
    request = serialise(one["request"]) if "request" in one else ""
    return Deed(**{**one, "request": request})
