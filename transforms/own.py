"""The first stage of `contrast`: what an entity's own history says of what it does for the first
time. The second stage, among peers, is in `transforms.scope`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.anomaly import Habit, Own
from schemas.slice import Cell
from schemas.slices import Group, streams_of
from transforms.history import DAY, History

LEAST: Final = 5
"""Fewest learned (action, slice) of an entity whose first times are judged."""
MEMORY: Final = 90 * DAY
"""Slices for which a value is remembered that does not return."""


@dataclass(frozen=True)
class Contrast:
    """Judges only what is new to the entity, and leaves the score to its peers."""

    name: str = "contrast"
    settles: bool = True

    def history(self) -> History:
        """With counts that do not age, and leave after 90 days."""
        return History(aged=False, memory=MEMORY)


def first_times(history: History, actions: Iterable[str], before: Sequence[Group]) -> list[str]:
    """The actions that neither the history nor the slices before in the window have."""
    return [
        action
        for action in actions
        if action not in history.actions.row and not any(action in group.cells for group in before)
    ]


def own_of(history: History, action: str, cell: Cell, window: Sequence[Group]) -> Own:
    """What a history says of a candidate; `window` are the groups of its 2 hours, its own too."""
    streams = set(cell.stream)
    company = {action}
    for group in window:
        for other, seen in group.cells.items():
            if other not in company and streams.intersection(streams_of(seen)):
                company.add(other)
    return Own(
        n_actions=history.actions.n,
        t_actions=len(history.actions.row),
        n_places=history.places.n,
        t_places=len(history.places.row),
        n_tools=history.tools.n,
        t_tools=len(history.tools.row),
        places={place: n for place in cell.place if (n := history.places.of(place))},
        tools={tool: n for tool in cell.tool if (n := history.tools.of(tool))},
        window=[Habit(name, history.actions.of(name)) for name in sorted(company)],
    )
