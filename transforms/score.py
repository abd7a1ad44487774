"""Judge each entity's slices against its own history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam

from schemas.anomaly import CANDIDATE, Candidate, Factor
from schemas.counts import LATEST, ROW, Row
from schemas.entity import EntityKey, decode_key
from schemas.event import SLICE_MS
from schemas.rule import Detector
from schemas.slices import Group, events_of, opened, unpack
from transforms.fold import Fold, FoldByKey
from transforms.history import History
from transforms.rarity import SCORERS, Scorer, score_of

WINDOW = 8
"""Slices of the judgement window, 2 hours: a slice is learned 8 firings after its own."""
FORGET_AFTER = 180 * 96
"""Slices after which an entity of which nothing new was learned is forgotten: 180 days."""


@dataclass
class EntityFold:
    """State of one entity: its history and the slices that are not yet part of it."""

    key: EntityKey
    detector: Detector
    scorer: Scorer
    history: History = field(default_factory=History)
    pending: dict[int, Group] = field(default_factory=dict)
    delivered: int = 0
    cells: int = 0
    judged: int = 0
    candidates: int = 0
    distinct_events: int = 0


class ScoreFold:
    """The fold of ScoreRarity: (entity, groups that became known, firing) → candidates."""

    def __init__(self, detectors: tuple[Detector, ...]) -> None:
        self._detectors = {detector.key: detector for detector in detectors}

    def begin(self, key: bytes) -> EntityFold:
        """An entity of which nothing is known."""
        name = decode_key(key)
        detector = self._detectors[name.detector]
        return EntityFold(name, detector, SCORERS[detector.scorer])

    def read(self, data: bytes) -> Iterator[tuple[int, Group]]:
        """Groups, each due at the firing at which it becomes known."""
        for group in unpack(data):
            yield group.firing, group

    def fire(
        self, state: EntityFold, items: list[Group], firing: int
    ) -> Iterator[tuple[str, tuple[bytes, bytes]]]:
        """Merge what became known, settle what is 2 h old, forget, judge; in this order."""
        known = _merge(state, items)
        _settle(state, firing - WINDOW)
        _forget(state, firing)
        for slice_, actions in sorted(known.items()):
            state.judged += len(actions)
            for candidate in _judge(state, slice_, actions, firing):
                state.candidates += 1
                yield "candidates", (state.key.scope.encode(), CANDIDATE.encode(candidate))

    def due(self, state: EntityFold) -> int | None:
        """The next settlement."""
        return min(state.pending) + WINDOW if state.pending else None

    def end(self, state: EntityFold) -> Iterator[tuple[str, bytes]]:
        """What was counted of the entity."""
        name = state.detector.name
        counts = {
            f"entities|{name}": 1,
            f"cells|{name}|delivered": state.delivered,
            f"cells|{name}|cells": state.cells,
            f"cells|{name}|judged": state.judged,
            f"cells|{name}|candidates": state.candidates,
            f"cells|{name}|distinct_events": state.distinct_events,
            f"{LATEST}slice": state.history.latest,
        }
        yield "counts", ROW.encode(Row(f"score {state.key.encode().decode()}", counts))


def _merge(state: EntityFold, items: list[Group]) -> dict[int, list[str]]:
    """Put groups with what is pending; the actions of each slice that were not there before."""
    new: dict[int, list[str]] = {}
    for group in items:
        state.delivered += group.delivered
        pending = state.pending.get(group.slice)
        if pending is None:
            fresh = list(group.cells)
            state.pending[group.slice] = group
        else:
            fresh = [action for action in group.cells if action not in pending.cells]
            pending.absorb(group)
        new.setdefault(group.slice, []).extend(fresh)
        state.cells += len(fresh)
    return new


def _settle(state: EntityFold, until: int) -> None:
    """Learn the slices up to `until` that are complete, and let them go."""
    for slice_ in sorted([slice_ for slice_ in state.pending if slice_ <= until]):
        group = state.pending.pop(slice_)
        state.distinct_events += sum(map(events_of, group.cells.values()))
        if state.scorer.settles:
            _learn(state, group)


def _learn(state: EntityFold, group: Group) -> None:
    state.history.learn(group.slice, group.cells, *group.places_and_tools())


def _forget(state: EntityFold, firing: int) -> None:
    """An entity leaves whole after 180 days in which nothing was learned and nothing is pending."""
    idle = firing - state.history.latest
    if idle > FORGET_AFTER and all(slice_ >= firing for slice_ in state.pending):
        state.history = History()


def _judge(state: EntityFold, slice_: int, actions: list[str], firing: int) -> Iterator[Candidate]:
    """The candidates among the actions of one slice."""
    if not actions:
        return
    history, group = state.history, state.pending[slice_]
    if state.scorer.settles:
        found = state.scorer.judge(history, actions)
        before = {action: history.actions.seen(action) for action in found}
    else:
        before = {action: history.actions.seen(action) for action in actions}
        _learn(state, group)
        found = state.scorer.judge(history, actions)
    if not found:
        return
    profile = history.profile()
    for action, probability in sorted(found.items()):
        seen, last = before[action]
        yield Candidate(
            detector=state.detector.key,
            scorer=state.scorer.name,
            scope=state.key.scope,
            entity=dict(zip(state.detector.partition_fields, state.key.entity, strict=True)),
            action=action,
            slice=slice_,
            firing=firing,
            probability=probability,
            score=round(score_of(probability), 4),
            factors=[_factor(probability)],
            seen=seen,
            seen_last=None if last is None else (last + 1) * SLICE_MS,
            cell=opened(group.cells[action]),
            profile=profile,
        )


def _factor(probability: float) -> Factor:
    words = f"1 in {1 / probability:,.0f} of what this entity does is as rare as this"
    return Factor("rarity", probability, words)


@dataclass(eq=False)
class ScoreRarity(beam.PTransform):  # type: ignore[misc]
    """KV[entity key, packed slices] → .candidates: KV[scope, Candidate]; .counts: accounting rows.

    State and timer: see FoldByKey; the state is the slices, and the history that they amount to
    is made when the timer fires. Merge, settle, forget, judge: one pass over each entity's slices.
    """

    detectors: tuple[Detector, ...]
    followers: int

    def expand(self, slices: Any) -> Any:
        """See the class."""
        detectors = self.detectors

        def make() -> Fold[EntityFold, Group]:
            return ScoreFold(detectors)

        return slices | FoldByKey("score", make, ("candidates", "counts"), self.followers)
