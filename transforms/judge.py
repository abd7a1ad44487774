"""Which of an entity's actions are candidates, and what is said of each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from schemas.anomaly import Basis, Candidate, Factor, Own, Profile
from schemas.event import SLICE_MS
from schemas.late import TooLate
from schemas.slice import Cell, number_of
from schemas.slices import Group, events_of, opened
from transforms.entity import Entity, together
from transforms.firing import WINDOW, time_of, timing
from transforms.history import MOST
from transforms.own import LEAST, Contrast, first_times, own_of
from transforms.rarity import score_of

ONE_BY_ONE: Final = 20
"""Candidates of one entity in one slice that are told one by one."""
FIRST_MOST: Final = 100
"""Actions of a new entity's first slice among which its peers choose."""
FLOOD: Final = "flood"
"""Stands for an action: those of a slice beyond these."""
OVERFLOW: Final = "overflow"
"""Stands for an action: those that an entity has no room for, told when they are to be learned."""


@dataclass(frozen=True)
class Finding:
    """What a scorer says of an action that it does not pass over."""

    seen: int = 0
    seen_last: int | None = None
    probability: float | None = None
    own: Own | None = None
    """For scorers that ask the peers, who give the score."""
    basis: Basis = "history"

    @property
    def score(self) -> float | None:
        """0–100."""
        return None if self.probability is None else round(score_of(self.probability), 4)

    @property
    def factors(self) -> list[Factor]:
        """What the score is made of."""
        if self.probability is None:
            return []
        words = f"1 in {1 / self.probability:,.0f} of what this entity does is as rare as this"
        return [Factor("rarity", self.probability, words)]


def judge(state: Entity, slice_: int, actions: list[str], firing: int) -> list[Candidate]:
    """The candidates among the actions of one slice that this firing is the first to know."""
    if not actions:
        return []
    group, scorer = state.pending[slice_], state.scorer
    if isinstance(scorer, Contrast):
        window = range(slice_ - WINDOW + 1, slice_)
        before = [state.pending[other] for other in window if other in state.pending]
        new = first_times(state.history, actions, before)
        state.counts["known"] += len(actions) - len(new)
        return _new(state, group, new, [*before, group], firing)
    state.counts["judged"] += len(actions)
    seen = {action: state.history.actions.seen(action) for action in actions}
    refused: list[Candidate] = []
    if not scorer.settles and firing == slice_ and not state.in_incident(slice_):
        refused = [overflow(state, *over, firing) for over in state.learn(group)]
    rare = scorer.judge(state.history, actions)
    found = {action: Finding(*seen[action], rare[action]) for action in rare}
    return _candidates(state, group, found, firing) + refused


def judge_strays(
    state: Entity, group: Group, beside: Sequence[Group], firing: int
) -> tuple[list[Candidate], set[str]]:
    """(candidates among the cells that came too late, those that are new to the entity): the
    others are known, and no cell is learned. `beside`: all that came too late at this firing.
    """
    scorer = state.scorer
    first = first_times(state.history, group.cells, list(state.pending.values()))
    new = [action for action in first if action not in state.strays]
    state.counts["cells"] += len(group.cells)
    state.counts["known"] += len(group.cells) - len(new)
    state.counts["distinct_events"] += sum(map(events_of, group.cells.values()))
    state.remember(group.cells, firing)
    state.counts["overflow"] += len(group.cells.keys() - state.strays.keys())
    if isinstance(scorer, Contrast):
        return _new(state, group, new, beside, firing), set(new)
    state.counts["judged"] += len(new)
    rare = scorer.judge(state.history, sorted(new))
    found = {action: Finding(probability=rare[action]) for action in rare}
    return _candidates(state, group, found, firing), set(new)


def _new(
    state: Entity, group: Group, new: list[str], window: Sequence[Group], firing: int
) -> list[Candidate]:
    """The candidates of an entity whose history is long enough to speak of."""
    history = state.history
    young = history.actions.n < LEAST
    if young and not state.is_root:
        state.counts["too_young"] += len(new)
        return []
    state.counts["judged"] += len(new)
    if young:
        return _candidates(state, group, dict.fromkeys(new, Finding(basis="root")), firing)
    found = {
        action: Finding(own=own_of(history, action, opened(group.cells[action]), window))
        for action in new
    }
    return _candidates(state, group, found, firing)


def first_activity(state: Entity, group: Group, firing: int) -> list[Candidate]:
    """What an entity does first of all, for its peers to choose from: one a new entity.

    `contrast` alone knows such entities; what others do first, they judge as all else.
    """
    if not state.asks_peers:
        return []
    state.counts["new_entities"] += 1
    cells = {action: opened(cell) for action, cell in group.cells.items()}
    earliest = sorted(cells, key=lambda action: (cells[action].first, action))[:FIRST_MOST]
    found, profile = Finding(basis="first_activity"), state.history.profile()
    return [
        _candidate(state, profile, group.slice, firing, action, cells[action], found)
        for action in sorted(earliest)
    ]


def _candidates(
    state: Entity, group: Group, found: Mapping[str, Finding], firing: int
) -> list[Candidate]:
    """The candidates of a slice: the first 20 of it one by one, the rest as one flood."""
    if not found:
        return []
    cells = {action: opened(group.cells[action]) for action in found}
    ordered = sorted(found, key=lambda action: (cells[action].first, action))
    room = max(0, ONE_BY_ONE - group.candidates)
    flooded = group.candidates > ONE_BY_ONE
    if timing(group.slice, firing) == "too_late":  # the group that was in time is gone
        flooded = FLOOD in state.strays
    group.candidates += len(found)
    profile = state.history.profile()
    told = [
        _candidate(state, profile, group.slice, firing, action, cells[action], found[action])
        for action in sorted(ordered[:room])
    ]
    scores = [one.score for one in told if one.score is not None]
    group.highest = max([group.highest, *scores])
    rest = ordered[room:]
    state.counts["flood_excess"] += len(rest)
    state.counts["judged"] -= len(rest)
    if rest and not flooded:
        state.remember([FLOOD], firing)
        told.append(_flood(state, profile, group, rest, firing, found[rest[0]].basis))
    return told


def _flood(
    state: Entity, profile: Profile, group: Group, rest: list[str], firing: int, basis: Basis
) -> Candidate:
    """What is said of the candidates of a slice that are too many to be told one by one.

    Its score is the highest of those that were; with `contrast` the peers give it.
    """
    words = f"{len(rest):,} more new or rare actions in the same quarter of an hour"
    cell = together(group, rest)
    flood = _candidate(state, profile, group.slice, firing, FLOOD, cell, Finding(basis=basis))
    score = None if state.asks_peers else group.highest
    return replace(flood, score=score, factors=[Factor("flood", float(len(rest)), words)])


def overflow(state: Entity, slice_: int, cell: Cell, number: int, firing: int) -> Candidate:
    """An entity that does more different things than are kept is an anomaly by itself."""
    words = f"more than {MOST:,} different actions: {number:,} in this slice are not learned"
    factor = Factor("overflow", float(number), words)
    profile = state.history.profile()
    found = _candidate(state, profile, slice_, firing, OVERFLOW, cell, Finding())
    return replace(found, timing="on_time", score=100.0, factors=[factor])


def _candidate(
    state: Entity,
    profile: Profile,
    slice_: int,
    firing: int,
    action: str,
    cell: Cell,
    found: Finding,
) -> Candidate:
    last = found.seen_last
    return Candidate(
        detector=state.detector.key,
        scorer=state.scorer.name,
        scope=state.key.scope,
        entity=state.fields,
        action=action,
        slice=slice_,
        firing=firing,
        timing=timing(slice_, firing),
        basis=found.basis,
        incident=state.in_incident(slice_),
        probability=found.probability,
        score=found.score,
        factors=found.factors,
        seen=found.seen,
        seen_last=None if last is None else (last + 1) * SLICE_MS,
        cell=cell,
        profile=profile,
        own=found.own,
    )


def stray(state: Entity, group: Group, action: str, firing: int, judged: bool) -> TooLate:
    """The record of a cell that came too late."""
    cell = opened(group.cells[action])
    count, exact = number_of(cell.ids)
    return TooLate(
        detector=state.detector.key,
        scope=state.key.scope,
        entity=state.fields,
        action=action,
        slice_start=group.slice * SLICE_MS,
        slice_end=(group.slice + 1) * SLICE_MS,
        known_at=time_of(firing),
        judged=judged,
        count=count,
        count_exact=exact,
        cell=cell,
    )
