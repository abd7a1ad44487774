"""Add a bundle's events up into cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final

from schemas.entity import ORGANISATION, Entity, EntityKey, entity_text
from schemas.event import FIELDS, SLICE_MS, Event, EventBatch
from schemas.packing import Context, Packer
from schemas.rule import Detector
from schemas.slice import EVIDENCE, smallest
from transforms.firing import known_at

_TEXT: Final = 256
"""Most characters of one string of evidence."""
_USER: Final = "user.name"

Place = tuple[int, int, str]
"""(slice, firing, action): where in an entity's table a cell lies."""


class DetectorSlices:
    """One detector's slices of one bundle: `add` batches, then `flush`."""

    def __init__(self, detector: Detector, user_fields: Sequence[str]) -> None:
        self._detector = detector
        self._of_user = _USER in detector.partition_fields
        self._by = FIELDS[detector.by_field]
        self._entity = _values(detector.partition_fields)
        self._user = _values(user_fields)
        self._scope = FIELDS[detector.scope_field] if detector.scope_field else None
        self._held: dict[tuple[str, Entity], dict[Place, list[Event]]]
        self._held = defaultdict(lambda: defaultdict(list))

    def add(self, batch: EventBatch) -> int:
        """Add a batch's events; the number of those that lack a field of the detector."""
        held, by, entity_of, scope_of = self._held, self._by, self._entity, self._scope
        arrival, missing = batch.arrival, 0
        for event in batch.events:
            action = by(event)
            entity = entity_of(event)
            scope = scope_of(event) if scope_of else ORGANISATION
            if not action or not scope or "" in entity:
                missing += 1
                continue
            slice_ = event.time // SLICE_MS
            firing = slice_ if arrival is None else known_at(slice_, arrival)
            held[scope, entity][slice_, firing, action].append(event)
        return missing

    def flush(self) -> Iterator[tuple[bytes, bytes]]:
        """(entity key, slices) of everything held, which is let go."""
        for (scope, entity), cells in self._held.items():
            packer = Packer()
            number_of = self._contexts(packer)
            for place in sorted(cells):
                _pack_cell(packer, place, cells[place], number_of)
            yield EntityKey(self._detector.key, scope, entity).encode(), packer.bytes()
        self._held.clear()

    def _contexts(self, packer: Packer) -> Callable[[Event], int]:
        """Numbers contexts; the parts are told apart by identity, since batches share them."""
        known: dict[tuple[int, int, str, str, str, str], int] = {}

        def number(event: Event) -> int:
            actor, source = id(event.actor), id(event.source)
            key = (actor, source, event.agent, event.region, event.account, event.error)
            found = known.get(key)
            if found is None:
                found = known[key] = packer.context(self._context(event))
            return found

        return number

    def _context(self, event: Event) -> Context:
        actor, source = event.actor, event.source
        user = self._user(event)
        entity = entity_text(user) if "" not in user else ""
        return Context(
            place=self._place(event, entity),
            tool=event.tool,
            user="" if self._of_user else entity,
            person=actor.person,
            network=source.network,
            entity=entity,
            account=event.account,
            region=event.region[:_TEXT],
            error=event.error[:_TEXT],
            user_name=actor.user_name[:_TEXT],
            arn=actor.arn[:_TEXT],
            access_key=actor.access_key[:_TEXT],
            session=actor.session[:_TEXT],
            agent=event.agent[:_TEXT],
            address=source.address[:_TEXT],
            country=source.country,
            city=source.city,
        )

    def _place(self, event: Event, user: str) -> str:
        """Where a user's call came from, unless AWS made it; whose call it is that a city made."""
        if not self._of_user:
            return user or event.actor.kind
        return "" if event.actor.service else event.source.place


def _pack_cell(
    packer: Packer, place: Place, events: list[Event], number_of: Callable[[Event], int]
) -> None:
    if len(events) == 1:  # every other cell: worth a way of its own
        (event,) = events
        context = number_of(event)
        time, ids = event.time, (event.hash,)
        packer.cell(*place, time, time, ids, event.failed, event.write, (context,), 1)
        packer.evidence(time, event.id, event.provider[:_TEXT], event.origin, context)
        return
    events.sort(key=_ORDER)
    contexts = [number_of(event) for event in events]
    packer.cell(
        *place,
        first=events[0].time,
        last=events[-1].time,
        ids=smallest({event.hash for event in events}),
        failed=False not in {event.failed for event in events},
        write=True in {event.write for event in events},
        contexts=set(contexts),
        delivered=len(events),
    )
    for at in _earliest(events):
        event = events[at]
        provider = event.provider[:_TEXT]
        packer.evidence(event.time, event.id, provider, event.origin, contexts[at])


def _earliest(events: list[Event]) -> list[int]:
    """Where the 3 earliest of sorted events are, each once, as `schemas.slice.earliest` has it."""
    chosen = [0]
    for at in range(1, len(events)):
        event, last = events[at], events[chosen[-1]]
        if (event.time, event.hash) != (last.time, last.hash):
            if len(chosen) == EVIDENCE:
                break
            chosen.append(at)
        elif event.origin == last.origin and _shown(event) < _shown(last):
            chosen[-1] = at
    return chosen


_ORDER: Final = attrgetter("time", "hash", "origin")


def _shown(event: Event) -> tuple[str, ...]:
    """What evidence shows of an event, in the order of its fields."""
    actor, source = event.actor, event.source
    texts = (
        *(event.id, event.provider, actor.user_name, actor.arn, actor.access_key, actor.session),
        *(event.agent, source.address, source.country, source.city),
        *(event.account, event.region, event.error),
    )
    return tuple([text[:_TEXT] for text in texts])


def _values(fields: Sequence[str]) -> Callable[[Event], Entity]:
    """Reads fields of an event as a tuple."""
    readers = [FIELDS[name] for name in fields]
    if len(readers) == 1:
        (only,) = readers
        return lambda event: (only(event),)
    if len(readers) == 2:
        first, second = readers
        return lambda event: (first(event), second(event))
    return lambda event: tuple([read(event) for read in readers])


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


def user_fields(detectors: Iterable[Detector]) -> tuple[str, ...]:
    """What names a user entity in a city's cells: the user detector's fields, if there is one."""
    for detector in detectors:
        if _USER in detector.partition_fields:
            return detector.partition_fields
    return ("cloud.account.id", _USER)
