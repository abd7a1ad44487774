"""Count events into slices: the unit of everything downstream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from schemas.counts import ROW, Row
from schemas.entity import ORGANISATION, Entity, EntityKey, entity_text
from schemas.event import FIELDS, SLICE_MS, Event, EventBatch
from schemas.rule import Detector
from schemas.slice import EVIDENCE, smallest
from schemas.slices import Context, Packer

_FLUSH: Final = 50_000
"""Events held before slices are emitted: about 40 MB."""
_TEXT: Final = 256
"""Most characters of one string of evidence."""
_USER: Final = "user.name"


def slice_of(time: int) -> int:
    """Number of the slice that holds a time in milliseconds since the epoch."""
    return time // SLICE_MS


def firing_time(firing: int) -> int:
    """T of a firing, in milliseconds: the end of the slice that it judges."""
    return (firing + 1) * SLICE_MS


def known_at(slice_: int, arrival: int | None) -> int:
    """The firing at which an event becomes known. A replay has always known it: its own slice's."""
    if arrival is not None:
        raise ValueError(f"arrival {arrival}: a replay has none")
    return slice_


class DetectorSlices:
    """One detector's slices of one bundle."""

    def __init__(self, detector: Detector, user_fields: Sequence[str]) -> None:
        self._detector = detector
        self._of_user = _USER in detector.partition_fields
        self._by = FIELDS[detector.by_field]
        self._entity = _values(detector.partition_fields)
        self._user = _values(user_fields)
        self._scope = FIELDS[detector.scope_field] if detector.scope_field else None
        self._clear()

    def _clear(self) -> None:
        self._held: dict[tuple[str, Entity], dict[tuple[int, int, str], list[Event]]]
        self._held = defaultdict(lambda: defaultdict(list))

    def add(self, batch: EventBatch) -> int:
        """Add a batch's events; the number of those that lack a field of the detector."""
        held, by, entity_of, scope_of = self._held, self._by, self._entity, self._scope
        missing = 0
        for event in batch.events:
            action = by(event)
            entity = entity_of(event)
            scope = scope_of(event) if scope_of else ORGANISATION
            if not action or not scope or "" in entity:
                missing += 1
                continue
            slice_ = event.time // SLICE_MS
            firing = slice_ if batch.arrival is None else known_at(slice_, batch.arrival)
            held[scope, entity][slice_, firing, action].append(event)
        return missing

    def flush(self) -> Iterator[tuple[bytes, bytes]]:
        """(entity key, slices) of everything held, which is let go."""
        for (scope, entity), cells in self._held.items():
            packer = Packer()
            number_of = self._contexts(packer)
            group = None
            for slice_, firing, action in sorted(cells):
                if group != (slice_, firing):
                    group = (slice_, firing)
                    packer.group(slice_, firing)
                _pack_cell(packer, action, cells[slice_, firing, action], number_of)
            yield EntityKey(self._detector.key, scope, entity).encode(), packer.bytes()
        self._clear()

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

    def _place(self, event: Event, user: str) -> str:
        """Where a user's call came from, unless AWS made it; whose call it is that a city made."""
        if not self._of_user:
            return user or event.actor.kind
        return "" if event.actor.service else event.source.place

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
            region=event.region,
            error=event.error,
            arn=actor.arn[:_TEXT],
            access_key=actor.access_key[:_TEXT],
            session=actor.session[:_TEXT],
            agent=event.agent[:_TEXT],
            address=source.address[:_TEXT],
            country=source.country,
            city=source.city,
        )


def _pack_cell(
    packer: Packer, action: str, events: list[Event], number_of: Callable[[Event], int]
) -> None:
    if len(events) > 1:
        events.sort(key=_ORDER)
    evidence = _earliest(events)
    packer.cell(
        action,
        first=events[0].time,
        last=events[-1].time,
        ids=smallest({event.hash for event in events}),
        failed=all(event.failed for event in events),
        write=any(event.write for event in events),
        contexts={number_of(event) for event in events},
        evidence=[(e.time, e.id, e.provider, e.origin, number_of(e)) for e in evidence],
    )


def _earliest(events: list[Event]) -> list[Event]:
    """The 3 earliest of sorted events, each event once, as `schemas.slice.earliest` has it."""
    chosen: list[Event] = []
    for event in events:
        last = chosen[-1] if chosen else None
        if last is None or (event.time, event.hash) != (last.time, last.hash):
            if len(chosen) == EVIDENCE:
                break
            chosen.append(event)
        elif event.origin == last.origin:
            chosen[-1] = min(last, event, key=_shown)
    return chosen


_ORDER: Final = attrgetter("time", "hash", "origin")


def _shown(event: Event) -> tuple[str, ...]:
    """What evidence shows of an event, in the order of its fields."""
    actor, source = event.actor, event.source
    texts = (actor.arn, actor.access_key, actor.session, event.agent, source.address)
    return (
        event.id,
        event.provider,
        *(text[:_TEXT] for text in texts),
        *(source.country, source.city, event.account, event.region, event.error),
    )


def _values(fields: Sequence[str]) -> Callable[[Event], Entity]:
    """Reads fields of an event as a tuple."""
    if len(fields) == 1:
        (only,) = (FIELDS[name] for name in fields)
        return lambda event: (only(event),)
    if len(fields) == 2:
        first, second = (FIELDS[name] for name in fields)
        return lambda event: (first(event), second(event))
    readers = [FIELDS[name] for name in fields]
    return lambda event: tuple([read(event) for read in readers])


def user_fields(detectors: Iterable[Detector]) -> tuple[str, ...]:
    """What names a user entity in a city's cells: the user detector's fields, if there is one."""
    for detector in detectors:
        if _USER in detector.partition_fields:
            return detector.partition_fields
    return ("cloud.account.id", _USER)


@dataclass(eq=False)
class CountSlices(beam.PTransform):  # type: ignore[misc]
    """EventBatch → .slices: KV[entity key, packed slices]; .counts: accounting rows.

    Adds a bundle's events up by (detector, scope, entity, slice, firing, action), and emits one
    element an entity when the bundle ends or 50,000 events are held, stamped with the least
    arrival (in a replay the beginning of time). No state, no timers.
    """

    detectors: tuple[Detector, ...]

    def expand(self, batches: Any) -> Any:
        """See the class."""
        return batches | beam.ParDo(_CountSlices(self.detectors)).with_outputs(
            "counts", main="slices"
        ).with_output_types(tuple[bytes, bytes])


class _CountSlices(beam.DoFn):  # type: ignore[misc]
    def __init__(self, detectors: tuple[Detector, ...]) -> None:
        self._detectors = detectors

    def start_bundle(self) -> None:
        users = user_fields(self._detectors)
        self._slices = [DetectorSlices(detector, users) for detector in self._detectors]
        self._number = 0
        self._arrival: int | None = None

    def process(self, batch: EventBatch) -> Iterator[Any]:
        counts = {}
        for detector, slices in zip(self._detectors, self._slices, strict=True):
            missing = slices.add(batch)
            counts[f"detectors|{detector.name}|without_its_fields"] = missing
            counts[f"detectors|{detector.name}|counted"] = len(batch.events) - missing
        row = ROW.encode(Row(f"slices {batch.unit}", counts))
        yield beam.pvalue.TaggedOutput("counts", row)
        self._number += len(batch.events)
        if batch.arrival is not None:
            self._arrival = min(batch.arrival, self._arrival or batch.arrival)
        if self._number >= _FLUSH:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        stamp = MIN_TIMESTAMP if self._arrival is None else Timestamp(micros=self._arrival * 1000)
        for pair in self._flush():
            yield WindowedValue(pair, stamp, [GlobalWindow()])

    def _flush(self) -> Iterator[tuple[bytes, bytes]]:
        self._number = 0
        for slices in self._slices:
            yield from slices.flush()
