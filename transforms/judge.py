"""Which of an entity's actions are candidates, and what is said of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.anomaly import Candidate, Factor, Profile
from schemas.event import SLICE_MS
from schemas.late import TooLate, too_late
from schemas.slice import Cell
from schemas.slices import Group, events_of, opened
from transforms.entity import Entity, together
from transforms.firing import time_of, timing
from transforms.history import MOST
from transforms.rarity import score_of

ONE_BY_ONE: Final = 20
"""Candidates of one entity in one slice that are told one by one."""
FLOOD: Final = "flood"
"""Stands for an action: those of a slice beyond these."""
OVERFLOW: Final = "overflow"
"""Stands for an action: those that an entity has no room for, told when they are to be learned."""


def judge(state: Entity, slice_: int, actions: list[str], firing: int) -> list[Candidate]:
    """The candidates among the actions of one slice that this firing is the first to know."""
    if not actions:
        return []
    state.counts["judged"] += len(actions)
    history, group = state.history, state.pending[slice_]
    refused: list[Candidate] = []
    if state.scorer.settles:
        found = state.scorer.judge(history, actions)
        before = {action: history.actions.seen(action) for action in found}
    else:
        before = {action: history.actions.seen(action) for action in actions}
        if firing == slice_:
            refused = [overflow(state, *over, firing) for over in state.learn(group)]
        found = state.scorer.judge(history, actions)
    return _candidates(state, group, found, before, firing) + refused


def judge_strays(state: Entity, group: Group, firing: int) -> tuple[list[Candidate], set[str]]:
    """(candidates among the cells that came too late, those that are new to the entity): the
    others are known, and no cell is learned.
    """
    pending = {action for held in state.pending.values() for action in held.cells}
    new = {
        action
        for action in group.cells
        if action not in state.history.actions.row
        and action not in pending
        and action not in state.strays
    }
    state.counts["cells"] += len(group.cells)
    state.counts["judged"] += len(new)
    state.counts["known"] += len(group.cells) - len(new)
    state.counts["distinct_events"] += sum(map(events_of, group.cells.values()))
    for action in sorted(group.cells):
        if action in state.strays or len(state.strays) < MOST:
            state.strays[action] = firing
        else:
            state.counts["overflow"] += 1
    found = state.scorer.judge(state.history, sorted(new))
    return _candidates(state, group, found, dict.fromkeys(found, (0, None)), firing), new


def _candidates(
    state: Entity,
    group: Group,
    found: Mapping[str, float],
    before: Mapping[str, tuple[int, int | None]],
    firing: int,
) -> list[Candidate]:
    """The candidates of a slice: the first 20 of it one by one, the rest as one flood."""
    if not found:
        return []
    cells = {action: opened(group.cells[action]) for action in found}
    ordered = sorted(found, key=lambda action: (cells[action].first, action))
    room = max(0, ONE_BY_ONE - group.candidates)
    flooded = group.candidates > ONE_BY_ONE
    group.candidates += len(found)
    profile = state.history.profile()
    one_by_one = [
        _candidate(
            state,
            profile,
            group.slice,
            firing,
            action,
            cells[action],
            score=round(score_of(found[action]), 4),
            probability=found[action],
            factors=[_rarity(found[action])],
            seen=before[action],
        )
        for action in sorted(ordered[:room])
    ]
    rest = ordered[room:]
    state.counts["flood_excess"] += len(rest)
    if rest and not flooded:
        one_by_one.append(_flood(state, profile, group, rest, one_by_one, found, firing))
    return one_by_one


def _flood(
    state: Entity,
    profile: Profile,
    group: Group,
    rest: list[str],
    judged: list[Candidate],
    found: Mapping[str, float],
    firing: int,
) -> Candidate:
    """What is said of the candidates of a slice that are too many to be told one by one."""
    words = f"{len(rest):,} more new or rare actions in the same quarter of an hour"
    least = min(found.values())
    return _candidate(
        state,
        profile,
        group.slice,
        firing,
        FLOOD,
        together(group, rest),
        score=max((one.score or 0.0 for one in judged), default=round(score_of(least), 4)),
        probability=least,
        factors=[Factor("flood", float(len(rest)), words)],
    )


def overflow(state: Entity, slice_: int, cell: Cell, number: int, firing: int) -> Candidate:
    """An entity that does more different things than are kept is an anomaly by itself."""
    words = f"more than {MOST:,} different actions: {number:,} in this slice are not learned"
    factor = Factor("overflow", float(number), words)
    profile = state.history.profile()
    return _candidate(state, profile, slice_, firing, OVERFLOW, cell, score=100.0, factors=[factor])


def _candidate(
    state: Entity,
    profile: Profile,
    slice_: int,
    firing: int,
    action: str,
    cell: Cell,
    *,
    score: float,
    factors: list[Factor],
    probability: float | None = None,
    seen: tuple[int, int | None] = (0, None),
) -> Candidate:
    times, last = seen
    return Candidate(
        detector=state.detector.key,
        scorer=state.scorer.name,
        scope=state.key.scope,
        entity=state.fields,
        action=action,
        slice=slice_,
        firing=firing,
        timing="on_time" if action == OVERFLOW else timing(slice_, firing),
        probability=probability,
        score=score,
        factors=factors,
        seen=times,
        seen_last=None if last is None else (last + 1) * SLICE_MS,
        cell=cell,
        profile=profile,
    )


def _rarity(probability: float) -> Factor:
    words = f"1 in {1 / probability:,.0f} of what this entity does is as rare as this"
    return Factor("rarity", probability, words)


def stray(state: Entity, group: Group, action: str, firing: int, judged: bool) -> TooLate:
    """The record of a cell that came too late."""
    return too_late(
        detector=state.detector.key,
        scope=state.key.scope,
        entity=state.fields,
        action=action,
        slice_=group.slice,
        cell=opened(group.cells[action]),
        known_at=time_of(firing),
        judged=judged,
    )
