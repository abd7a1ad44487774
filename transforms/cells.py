"""Add a bundle's events up into cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from schemas.entity import ORGANISATION, Entity, EntityKey, entity_text
from schemas.event import FIELDS, PATHS, SLICE_MS, Event, EventBatch, values_of
from schemas.packing import Context
from schemas.rule import USER, Detector, user_fields
from transforms.firing import known_at
from transforms.pack import TEXT, Place, pack

_SHARED: Final = ("actor", "source", "agent", "region", "account", "error")
"""What decides in which context an event is."""
_PARTED: Final = ("event.action", "event.provider")
"""Fields that do so, too, where they are among those that name a user."""


class DetectorSlices:
    """One detector's slices of one bundle: `add` batches, then `flush`."""

    def __init__(self, detector: Detector, user_fields: Sequence[str]) -> None:
        self._detector = detector
        self._of_user = USER in detector.partition_fields
        self._by = FIELDS[detector.by_field]
        self._scopes = [detector.scope_field] if detector.scope_field else []
        self._entity = values_of([*self._scopes, *detector.partition_fields])
        parted = [PATHS[name] for name in _PARTED if name in user_fields]
        self._shared = attrgetter(*_SHARED, *parted)
        self._user = values_of(user_fields)
        self._held: defaultdict[Entity, defaultdict[Place, list[Event]]]
        self._held = defaultdict(lambda: defaultdict(list))
        """By scope, where that is a field, and entity."""

    def add(self, batch: EventBatch) -> int:
        """Add a batch's events; the number of those that lack a field of the detector."""
        held, events, arrival, missing = self._held, batch.events, batch.arrival, 0
        actions, entities = map(self._by, events), map(self._entity, events)
        for event, action, entity in zip(events, actions, entities, strict=True):
            if not action or "" in entity:
                missing += 1
                continue
            slice_ = event.time // SLICE_MS
            firing = slice_ if arrival is None else known_at(slice_, arrival)
            held[entity][slice_, firing, action].append(event)
        return missing

    def flush(self) -> Iterator[tuple[bytes, bytes]]:
        """(entity key, slices) of everything held, which is let go."""
        for values, cells in self._held.items():
            scope, entity = (values[0], values[1:]) if self._scopes else (ORGANISATION, values)
            key = EntityKey(self._detector.key, scope, entity)
            yield key.encode(), pack(cells, self._shared, self._context)
        self._held.clear()

    def _context(self, event: Event) -> Context:
        actor, source, user = event.actor, event.source, self._user(event)
        entity = entity_text(user) if "" not in user else ""
        if self._of_user:  # from where, unless AWS made the call
            place, streamer = "" if actor.service else source.place, ""
        else:  # who
            place, streamer = entity or actor.kind, entity
        return Context(  # by position, which takes a third of the time
            *(place, event.tool, streamer, actor.person, source.network),
            *(entity, event.account, event.region[:TEXT], event.error[:TEXT]),
            *(actor.user_name[:TEXT], actor.arn[:TEXT], actor.access_key[:TEXT]),
            *(actor.session[:TEXT], event.agent[:TEXT], source.address[:TEXT]),
            *(source.country, source.city),
        )


class Bundle:
    """The events of one bundle for all detectors: `add` them, then `flush` the slices."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        users = user_fields(detectors)
        self._slices = [DetectorSlices(detector, users) for detector in detectors]

    def add(self, batch: EventBatch) -> list[int]:
        """Add a batch; for each detector the number of events that lack one of its fields."""
        return [slices.add(batch) for slices in self._slices]

    def flush(self) -> Iterator[tuple[bytes, bytes]]:
        """(entity key, slices) of everything held, which is let go."""
        for slices in self._slices:
            yield from slices.flush()
