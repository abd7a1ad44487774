"""What is remembered of one entity: its history, and the slices that are not part of it yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

from schemas.change import Change
from schemas.entity import ROOT, EntityKey, decode_key, entity_text
from schemas.incident import Incident
from schemas.rule import USER, Detector
from schemas.slice import Cell, merge
from schemas.slices import Group, events_of, opened
from schemas.state import ENTITY_STATE, EntityState, HeldSlice
from transforms.firing import WINDOW
from transforms.history import DAY, KINDS, MOST, History, Learned
from transforms.own import Contrast
from transforms.rarity import Scorer
from transforms.scorers import scorer

STRAYS: Final = 90 * DAY
"""Firings for which an action is remembered that came too late to be learned."""


@dataclass
class Entity:
    """State of one entity."""

    key: EntityKey
    detector: Detector
    scorer: Contrast | Scorer
    forget_after: int
    """Slices after which an entity of which nothing new was learned leaves."""
    history: History
    incidents: Sequence[range] = ()
    """Slices of confirmed incidents, of which nothing is learned."""
    pending: dict[int, Group] = field(default_factory=dict)
    """Slices that are known and not yet learned."""
    strays: dict[str, int] = field(default_factory=dict)
    """Actions that were not learned → the last firing that saw them: what comes too late and is
    among them is not new."""
    full_day: int = -1
    """Last day on which there was no room for an action."""
    latest: int = -1
    """The last slice that was merged in this run."""
    counts: Counter[str] = field(default_factory=Counter)
    changes: list[tuple[int, Learned]] = field(default_factory=list)
    """(slice, what it changed) of what was learned, until peers are told."""

    @property
    def fields(self) -> dict[str, str]:
        """Partition field to value."""
        return dict(zip(self.detector.partition_fields, self.key.entity, strict=True))

    @property
    def asks_peers(self) -> bool:
        """Whether its peers give the score."""
        return isinstance(self.scorer, Contrast)

    @property
    def is_root(self) -> bool:
        """Whether it is an account's root user."""
        return self.fields.get(USER) == ROOT

    def in_incident(self, slice_: int) -> bool:
        """Whether a slice is judged, and not learned."""
        return any(slice_ in slices for slices in self.incidents)

    @property
    def is_unknown(self) -> bool:
        """Whether nothing at all is remembered of it."""
        return self.history.since < 0 and not self.pending and not self.strays

    def opening(self, first: Collection[int]) -> int | None:
        """The first slice of an entity that was not known before; `first` are the slices of which
        this firing is the first to know.
        """
        new = self.history.since < 0 and self.pending and self.pending.keys() <= set(first)
        return min(self.pending) if new else None

    def merge(self, groups: list[Group], firing: int) -> tuple[dict[int, list[str]], set[int]]:
        """Put groups with what is pending: (the actions of each slice that were not there before,
        the slices of which nothing was).
        """
        new: dict[int, list[str]] = {}
        first: set[int] = set()
        for group in groups:
            pending = self.pending.get(group.slice)
            if pending is None:
                fresh = list(group.cells)
                group.firing = firing
                self.pending[group.slice] = group
                first.add(group.slice)
            else:
                fresh = [action for action in group.cells if action not in pending.cells]
                pending.absorb(group)
            new.setdefault(group.slice, []).extend(fresh)
            self.counts["cells"] += len(fresh)
            self.latest = max(self.latest, group.slice)
        return new, first

    def settle(self, firing: int) -> Iterator[tuple[int, Cell, int]]:
        """Learn the slices that are 2 h old and let them go; see `learn` for what it says."""
        for slice_ in sorted([slice_ for slice_ in self.pending if slice_ <= firing - WINDOW]):
            group = self.pending.pop(slice_)
            self.counts["distinct_events"] += sum(map(events_of, group.cells.values()))
            if self.in_incident(slice_):
                self.counts["kept_out"] += len(group.cells)
            elif self.scorer.settles:
                yield from self.learn(group)
            self.remember([a for a in group.cells if a not in self.history.actions.row], firing)

    def remember(self, actions: Iterable[str], firing: int) -> None:
        """Keep in mind, as long as there is room, what is not learned."""
        for action in sorted(actions):
            if action in self.strays or len(self.strays) < MOST:
                self.strays[action] = firing

    def learn(self, group: Group) -> Iterator[tuple[int, Cell, int]]:
        """Learn one slice. (slice, cells in one, their number) of actions that there is no room
        for, the first time on a day.
        """
        learned = self.history.learn(group.slice, group.cells, *group.places_and_tools())
        if self.asks_peers and (learned.entered or learned.left):
            self.changes.append((group.slice, learned))
        refused = learned.refused
        if not refused:
            return
        self.counts["overflow"] += len(refused)
        day = group.slice // DAY
        if day > self.full_day:
            self.full_day = day
            yield group.slice, together(group, refused), len(refused)

    @property
    def leaves(self) -> int | None:
        """The first firing more than `forget_after` after the end of the last learned slice; of
        an entity of which only strays are known, the one that forgets them.
        """
        if self.history.since >= 0:
            return self.history.latest + self.forget_after + 1
        return max(self.strays.values()) + STRAYS + 1 if self.strays else None

    def forget(self, firing: int, first: Collection[int]) -> None:
        """Leave whole if it is time to and nothing is pending but the slices in `first`, of which
        this firing is the first to know; let go of strays that are too old.
        """
        if self.strays:
            self.strays = {a: seen for a, seen in self.strays.items() if firing - seen <= STRAYS}
        leaves = self.leaves
        if self.history.since < 0 or leaves is None or firing < leaves:
            return
        idle_since = self.history.latest + self.forget_after
        if all(slice_ in first and slice_ > idle_since for slice_ in self.pending):
            if self.asks_peers:
                all_of_it = {kind: sorted(self.history.table(kind).row) for kind in KINDS}
                self.changes.append((self.history.latest, Learned(left=all_of_it)))
            self.history, self.strays, self.full_day = self.scorer.history(), {}, -1
            self.counts["forgotten"] += 1

    def told(self, firing: int) -> list[Change]:
        """What its peers are to be told at a firing: once."""
        if not self.changes:
            return []
        changes, self.changes = self.changes, []
        who = entity_text(self.key.entity)
        return [
            Change(self.detector.key, who, slice_, firing, learned.entered, learned.left)
            for slice_, learned in changes
        ]

    @property
    def due(self) -> int | None:
        """The next settlement."""
        return min(self.pending) + WINDOW if self.pending else None

    def save(self, later: Mapping[int, list[Group]], done: int) -> bytes | None:
        """The state as bytes, None if nothing is known of the entity."""
        if self.history.since < 0 and not (self.pending or self.strays or later):
            return None
        held = [_held(group, group.firing, True) for _, group in sorted(self.pending.items())]
        for firing in sorted(later):
            held += [_held(group, firing, False) for group in _by_slice(later[firing])]
        return ENTITY_STATE.encode(
            EntityState(
                done=done,
                history=self.history.state(),
                held=held,
                strays=dict(sorted(self.strays.items())),
                full_day=self.full_day,
            )
        )


def entity(
    key: bytes,
    detectors: Mapping[str, Detector],
    forget_after: int,
    incidents: Iterable[Incident] = (),
) -> Entity:
    """An entity of which nothing is known."""
    name = decode_key(key)
    detector = detectors[name.detector]
    by = scorer(detector.scorer)
    found = Entity(name, detector, by, forget_after, by.history())
    found.incidents = [each.slices for each in incidents if each.concerns(found.fields)]
    return found


def restore(found: Entity, data: bytes) -> tuple[Entity, list[tuple[int, Group]], int]:
    """What was saved of an entity: its state, what is not due yet, the last firing done."""
    state = ENTITY_STATE.decode(data)
    found.history.restore(state.history)
    found.strays, found.full_day = state.strays, state.full_day
    later = []
    for held in state.held:
        group = Group(held.slice, held.firing)
        group.cells, group.delivered = dict(held.cells), held.delivered
        group.candidates, group.highest = held.candidates, held.highest
        if held.known:
            found.pending[held.slice] = group
        else:
            later.append((held.firing, group))
    return found, later, state.done


def together(group: Group, actions: list[str]) -> Cell:
    """The cells of some actions as one."""
    return reduce(merge, (opened(group.cells[action]) for action in actions))


def _by_slice(groups: list[Group]) -> list[Group]:
    """One group a slice, in their order."""
    merged: dict[int, Group] = {}
    for group in groups:
        if group.slice in merged:
            merged[group.slice].absorb(group)
        else:
            merged[group.slice] = group
    return [merged[slice_] for slice_ in sorted(merged)]


def _held(group: Group, firing: int, known: bool) -> HeldSlice:
    return HeldSlice(
        slice=group.slice,
        firing=firing,
        known=known,
        delivered=group.delivered,
        candidates=group.candidates,
        highest=group.highest,
        cells={action: opened(group.cells[action]) for action in sorted(group.cells)},
    )
