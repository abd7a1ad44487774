"""Judge each entity's slices against its own history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam

from schemas.anomaly import CANDIDATE
from schemas.change import CHANGE
from schemas.counts import HELD, LATEST, ROW, Row
from schemas.incident import Incident
from schemas.late import TOO_LATE
from schemas.rule import Detector
from schemas.slices import Group, unpack
from schemas.state import ENTITY_STATE
from transforms.entity import Entity, entity, restore
from transforms.firing import WHOLE, Course, timing
from transforms.fold import Fold
from transforms.fold_by_key import FoldByKey
from transforms.history import DAY
from transforms.judge import first_activity, judge, judge_strays, overflow, stray

FORGET_AFTER: Final = 180 * DAY
"""Slices after which an entity of which nothing new was learned is forgotten: 180 days."""


class ScoreFold:
    """The fold of ScoreRarity: (entity, groups that became known, firing) → candidates."""

    def __init__(
        self,
        detectors: tuple[Detector, ...],
        forget_after: int = FORGET_AFTER,
        incidents: tuple[Incident, ...] = (),
    ) -> None:
        self._detectors = {detector.key: detector for detector in detectors}
        self._forget_after = forget_after
        self._incidents = incidents

    def begin(self, key: bytes) -> Entity:
        """An entity of which nothing is known."""
        return entity(key, self._detectors, self._forget_after, self._incidents)

    def holds(self, data: bytes) -> bool:
        """Whether an element is an EntityState."""
        return ENTITY_STATE.wrote(data)

    def load(self, key: bytes, data: bytes) -> tuple[Entity, list[tuple[int, Group]], int]:
        """An EntityState."""
        return restore(self.begin(key), data)

    def read(self, data: bytes) -> Iterator[tuple[int, Group]]:
        """Groups, each due at the firing at which it becomes known."""
        for group in unpack(data):
            yield group.firing, group

    def fire(self, state: Entity, items: list[Group], firing: int) -> Iterator[tuple[str, Any]]:
        """Merge what became known, settle what is 2 h old, forget, judge; in this order."""
        scope = state.key.scope.encode()
        in_time, strays = _by_timing(state, items, firing)
        known, first = state.merge(in_time, firing)
        full = list(state.settle(firing))
        state.forget(firing, first)
        found = [overflow(state, *refused, firing) for refused in full]
        opening = state.opening(first)
        if opening is not None:
            found += first_activity(state, state.pending[opening], firing)
        elif strays and state.is_unknown:
            found += first_activity(state, strays[0], firing)
        for slice_, actions in sorted(known.items()):
            found += judge(state, slice_, actions, firing)
        for group in strays:
            candidates, new = judge_strays(state, group, strays, firing)
            found += candidates
            for action in sorted(group.cells):
                record = stray(state, group, action, firing, action in new)
                yield "late", TOO_LATE.encode(record)
        for change in state.told(firing):
            yield "candidates", (scope, CHANGE.encode(change))
        state.counts["candidates"] += len(found)
        for candidate in found:
            yield "candidates", (scope, CANDIDATE.encode(candidate))

    def due(self, state: Entity) -> int | None:
        """The next settlement."""
        return state.due

    def leaves(self, state: Entity) -> int | None:
        """When an entity of which nothing more is learned is forgotten."""
        return None if state.pending else state.leaves

    def save(self, state: Entity, later: Mapping[int, list[Group]], done: int) -> bytes | None:
        """An EntityState."""
        return state.save(later, done)

    def end(self, state: Entity, later: Mapping[int, list[Group]]) -> Iterator[tuple[str, bytes]]:
        """What was counted of the entity."""
        name, history = state.detector.name, state.history
        waiting = [group for groups in later.values() for group in groups]
        held = (
            ("entities", history.since >= 0 or bool(state.pending)),
            ("actions", len(history.actions.row)),
            ("unsettled", sum(len(group.cells) for group in state.pending.values())),
            ("not_due", sum(group.delivered for group in waiting)),
        )
        counts = {
            **{f"cells|{name}|{what}": number for what, number in state.counts.items()},
            **{f"{HELD}{name}|{what}": int(number) for what, number in held},
            f"{LATEST}slice": state.latest,
            f"{LATEST}largest|{name}": len(history.actions.row),
        }
        yield "counts", ROW.encode(Row(f"score {state.key.encode().decode()}", counts))


def _by_timing(state: Entity, items: list[Group], firing: int) -> tuple[list[Group], list[Group]]:
    """(what came in time to be learned, what did not: one group a slice), counted."""
    in_time, strays = [], dict[int, Group]()
    for group in items:
        when = timing(group.slice, firing)
        state.counts[when] += group.delivered
        if when != "too_late":
            in_time.append(group)
        elif group.slice in strays:
            strays[group.slice].absorb(group)
        else:
            strays[group.slice] = group
    return in_time, [strays[slice_] for slice_ in sorted(strays)]


@dataclass(eq=False)
class ScoreRarity(beam.PTransform):  # type: ignore[misc]
    """KV[entity key, packed slices or saved state] → .candidates: KV[scope, Candidate]; .late:
    bytes of TooLate; .counts: accounting rows; .state: KV[entity key, EntityState].

    State and timer: see FoldByKey; the state is the slices, and the history that they amount to
    is made when the timer fires. Merge, settle, forget, judge: one pass over each entity's slices.
    """

    detectors: tuple[Detector, ...]
    course: Course = WHOLE
    forget_after: int = FORGET_AFTER
    incidents: tuple[Incident, ...] = ()
    """Confirmed ones, of whose slices nothing is learned."""

    def expand(self, slices: Any) -> Any:
        """See the class."""
        detectors, forget_after, incidents = self.detectors, self.forget_after, self.incidents

        def make() -> Fold[Entity, Group]:
            return ScoreFold(detectors, forget_after, incidents)

        tags = ("candidates", "late", "counts")
        return slices | FoldByKey("score", make, tags, 0, 2, self.course)
