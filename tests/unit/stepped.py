"""One entity's fold, moved by hand from firing to firing."""

from __future__ import annotations

from typing import Any

from factory import ACCOUNT, at, cell, detector

from schemas.anomaly import CANDIDATE, Candidate
from schemas.change import CHANGE, Change
from schemas.counts import ROW
from schemas.entity import EntityKey
from schemas.rule import Detector
from schemas.slices import Group
from transforms.entity import Entity
from transforms.score import ScoreFold

WINDOW, ELASTIC, CONTRAST = detector("window"), detector("elastic"), detector("contrast")


class Stepped:
    """A fold moved by hand."""

    def __init__(self, of: Detector = WINDOW) -> None:
        self.fold = ScoreFold((of,))
        self.key = EntityKey(of.key, "organisation", (ACCOUNT, "alice")).encode()
        self.state: Entity = self.fold.begin(self.key)
        self.changes: list[Change] = []
        """What its peers were told so far."""

    def fire(self, firing: int, *groups: Group) -> list[Candidate]:
        """The candidates of a firing."""
        out = self.fold.fire(self.state, list(groups), firing)
        told = [value[1] for tag, value in out if tag == "candidates"]
        self.changes += [CHANGE.decode(data) for data in told if CHANGE.wrote(data)]
        return [CANDIDATE.decode(data) for data in told if not CHANGE.wrote(data)]

    def counts(self) -> dict[str, int]:
        """What was counted so far."""
        ((_, row),) = self.fold.end(self.state, {})
        return ROW.decode(row).counts

    def cells(self) -> dict[str, int]:
        """What was counted of cells."""
        prefix = f"cells|{self.state.detector.name}|"
        return {
            name.removeprefix(prefix): number
            for name, number in self.counts().items()
            if name.startswith(prefix)
        }

    def resume(self, done: int) -> None:
        """Go on as a later run does, from what this one leaves behind. Counts begin anew."""
        data = self.fold.save(self.state, {}, done)
        assert data is not None
        self.state, later, until = self.fold.load(self.key, data)
        assert (list(later), until) == ([], done)


def group(slice_: int, firing: int | None = None, **cells: Any) -> Group:
    """A group of cells by action, of one place and tool."""
    made = Group(slice_, slice_ if firing is None else firing)
    made.cells = {action: made_cell or cell(at(slice_)) for action, made_cell in cells.items()}
    return made


def habitual(slices: int, end: int, of: Detector = WINDOW) -> Stepped:
    """An entity that did three things in each of so many slices, all learned by firing `end`."""
    fold = Stepped(of)
    for firing in range(end - slices - 8, end):
        habit = [group(firing, Get=None, List=None, Put=None)] if firing < end - 8 else []
        fold.fire(firing, *habit)
    return fold
