"""Read objects: from names to batches of events, with everything accounted for."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import apache_beam as beam

from schemas.codec import Codec
from schemas.counts import ROW, Row
from schemas.event import RAW_LIMIT, DeadLetter, Event, EventBatch
from schemas.text import written
from schemas.words import iso
from transforms.measure import measure
from transforms.read import ObjectReader, Reading, raw_record

DEAD_LETTER: Final = Codec("deadletter", DeadLetter)

EARLIEST: Final = int(datetime(2013, 11, 1, tzinfo=UTC).timestamp() * 1000)
"""CloudTrail began in November 2013: what is earlier is out of range."""
_BATCH_EVENTS: Final = 5_000
_BATCH_BYTES: Final = 8 << 20
_STREAMED: Final = 1 << 20
"""Objects of this size and more, packed or not, are read piece by piece."""
_FIRST_OBJECTS: Final = 1_000
UNREAD: Final = "cannot be read: "
"""How the reason begins where the system could not read an object: a later try may."""
_EMPTY: Final = "The object is empty."
_YEARS: Final = (2013, 2199)
_AHEAD_MS: Final = 3_600_000
"""How far an event's time may lie behind its arrival: clocks differ."""
_STAMP: Final = re.compile(r"_(\d{8}T\d{4})Z_[^/]*$")
_FOLDER: Final = re.compile(r"/(\d{4})/(\d{2})/(\d{2})/[^/]*$")


class TooManyDeadLetters(RuntimeError):  # noqa: N818
    """More than half of the first thousand objects could not be read."""


@dataclass(frozen=True)
class Extent:
    """Which event times a run accepts; all in milliseconds since the epoch."""

    start: int | None
    """`--from`: the first time."""
    until: int | None
    """`--until`: the first time that is no longer in."""
    now: int
    """Start of the run: the only wall clock, recorded in run.json."""

    def holds(self, time: int) -> bool:
        """Whether --from/--until let an event time in."""
        return (self.start is None or time >= self.start) and (
            self.until is None or time < self.until
        )

    def limit(self, folder: datetime | None) -> int:
        """The first time that is out of range in a replay: after the day that follows the object's
        folder date, else after the run's start.
        """
        if folder is None:
            return self.now + 1
        return int((folder + timedelta(days=2)).timestamp() * 1000)

    def limit_of_arrival(self, arrival: int) -> int:
        """The same where arrivals count: more than an hour after arrival."""
        return arrival + _AHEAD_MS + 1


def name_list(names: list[str], floor: int = 0) -> bytes:
    """Object names as one element, packed; earlier arrivals are raised to the source's `floor`."""
    return zlib.compress(json.dumps([floor, *names]).encode(), level=1)


def names_in(packed: bytes) -> list[str]:
    """The names in an element."""
    return _opened(packed)[1]


def _opened(packed: bytes) -> tuple[int, list[str]]:
    floor, *names = json.loads(zlib.decompress(packed))
    return floor, names


def folder_date(name: str) -> datetime | None:
    """The date in an object's name (…/yyyy/mm/dd/name), if it has one of CloudTrail's life."""
    found = _FOLDER.search(name)
    if found is None:
        return None
    year, month, day = map(int, found.groups())
    if not _YEARS[0] <= year <= _YEARS[1]:
        return None
    try:
        return datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None


def delivered_at(name: str) -> int | None:
    """The time of delivery in an object's name (…_20260302T0830Z_…), if it has one."""
    found = _STAMP.search(name)
    if found is None:
        return None
    try:
        stamp = datetime.strptime(found[1], "%Y%m%dT%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(stamp.timestamp() * 1000)


def arrival_of(name: str) -> int:
    """Arrival of an object: the time of delivery in its name, else when it was last written.

    Of what cannot be asked for its time it is the beginning: it will be a dead letter.
    """
    delivered = delivered_at(name)
    if delivered is not None:
        return delivered
    try:
        return os.stat(name).st_mtime_ns // 1_000_000
    except OSError:
        return 0


@dataclass(eq=False)
class ReadObjects(beam.PTransform):  # type: ignore[misc]
    """Packed lists of names → .batches: EventBatch; .dead: bytes of DeadLetter; .counts: rows.

    A list is read in its order into batches of at most 5,000 events or 8 MB, so that Beam's cost
    of an element is paid once for many objects. Stateless; elements keep the stamp of their list.
    """

    identity: str
    geoip_database: str | None
    extent: Extent
    arrivals: bool = False
    """Batches carry the arrival of their objects; else they were always there (a replay)."""
    journal: str | None = None
    """File to which each finished list appends a line, for whoever shows progress."""
    give_up: bool = False
    """Raise TooManyDeadLetters when more than half of the first 1,000 objects are dead letters."""

    def expand(self, lists: Any) -> Any:
        """See the class."""
        return lists | beam.ParDo(_ReadObjects(self)).with_outputs("dead", "counts", main="batches")


@dataclass
class _Batch:
    """What is being read of one list."""

    unit: str
    counts: Counter[str] = field(default_factory=Counter)
    events: list[Event] = field(default_factory=list)
    arrival: int | None = None
    size: int = 0
    number: int = 0

    @property
    def full(self) -> bool:
        """Whether it is time to take it."""
        return len(self.events) >= _BATCH_EVENTS or self.size >= _BATCH_BYTES

    def take(self) -> EventBatch:
        """The next batch, with as many events as one may hold."""
        taken, rest = self.events[:_BATCH_EVENTS], self.events[_BATCH_EVENTS:]
        self.counts["records|events"] += len(taken)
        batch = EventBatch(f"{self.unit}#{self.number}", taken, self.arrival)
        self.events, self.size, self.number = rest, 0, self.number + 1
        return batch


class _ReadObjects(beam.DoFn):  # type: ignore[misc]
    def __init__(self, settings: ReadObjects) -> None:
        self._settings = settings

    def setup(self) -> None:
        settings = self._settings
        self._reader = ObjectReader(settings.identity, settings.geoip_database)
        self._objects = self._unreadable = 0
        self._limit = lru_cache(maxsize=1024)(self._limit_of)

    def _limit_of(self, folder: str) -> int:
        """The first time that is out of range for the objects of a folder."""
        return self._settings.extent.limit(folder_date(folder + "/"))

    def process(self, packed: bytes) -> Iterator[Any]:
        floor, names = _opened(packed)
        batch = _Batch(written(names[0]))
        for name in names:
            arrival = self._arrival(name, floor, batch.counts)
            if arrival != batch.arrival:
                while batch.events:
                    yield batch.take()
                batch.arrival = arrival
            readable, taken = False, False
            letters, before = 0, len(batch.events)
            for reading, data in self._readings(name):
                dead = reading.dead + self._take(batch, name, reading, data)
                letters += len(dead)
                taken = taken or len(batch.events) > before
                for letter in dead:
                    yield beam.pvalue.TaggedOutput("dead", DEAD_LETTER.encode(letter))
                readable = readable or bool(reading.events) or not reading.records
                batch.size += len(data)
                while batch.full:
                    yield batch.take()
            batch.counts["objects|read"] += 1
            batch.counts["objects|unreadable"] += not readable
            self._watch(taken or not letters)
        while batch.events:
            yield batch.take()
        measure(batch.counts)
        row = Row(f"read {batch.unit}", dict(batch.counts))
        yield beam.pvalue.TaggedOutput("counts", ROW.encode(row))
        self._note(names)

    def _arrival(self, name: str, floor: int, counts: Counter[str]) -> int | None:
        if not self._settings.arrivals:
            return None
        arrival = arrival_of(name)
        counts["objects|raised"] += arrival < floor
        return max(arrival, floor)

    def _readings(self, name: str) -> Iterator[tuple[Reading, bytes]]:
        """An object's readings with the bytes that they came from; what fails is a dead letter.

        Of an object that is read piece by piece the bytes are not kept.
        """
        try:
            file = os.open(name, os.O_RDONLY)  # half of the system calls of open()
            try:
                size = os.fstat(file).st_size
                if size < _STREAMED:
                    data = _whole(file, size)
                    reading = self._reader.read(name, data)
                    if not reading.records and not data.strip():
                        reading.dead.append(DeadLetter(written(name), -1, _EMPTY, b"", 0))
                    yield reading, data
                else:
                    with open(file, "rb", closefd=False) as stream:
                        for reading in self._reader.read_stream(name, stream):
                            yield reading, b""
            finally:
                os.close(file)
        except OSError as error:
            reason = f"{UNREAD}{error.strerror or error}"
            yield Reading([], [DeadLetter(written(name), -1, reason, b"", 0)], 1, 0), b""

    def _take(self, batch: _Batch, name: str, reading: Reading, data: bytes) -> list[DeadLetter]:
        """Count a reading and keep its events that are in range; the rest gets a letter."""
        counts, extent, events = batch.counts, self._settings.extent, reading.events
        if batch.arrival is None:
            limit = self._limit(name.rpartition("/")[0])
        else:
            limit = extent.limit_of_arrival(batch.arrival)
        possible = [event for event in events if EARLIEST <= event.time < limit]
        wanted = possible
        if extent.start is not None or extent.until is not None:
            wanted = [event for event in possible if extent.holds(event.time)]
        batch.events += wanted
        counts["records|read"] += reading.records
        counts["records|unreadable"] += reading.records - len(events)
        if reading.dead and not reading.records:
            counts["objects|empty"] += 1
        counts["records|out_of_range"] += len(events) - len(possible)
        counts["records|outside_from_until"] += len(possible) - len(wanted)
        counts["records|not_records"] += reading.skipped
        if len(possible) == len(events):
            return []
        strange = [event for event in events if not EARLIEST <= event.time < limit]
        return [_out_of_range(name, strange, limit, data)]

    def _watch(self, useful: bool) -> None:
        """Give up when it is plain that the input is something else."""
        self._objects += 1
        self._unreadable += not useful
        if (
            self._settings.give_up
            and self._objects == _FIRST_OBJECTS
            and self._unreadable > _FIRST_OBJECTS // 2
        ):
            raise TooManyDeadLetters(
                f"{self._unreadable} of the first {_FIRST_OBJECTS} objects could not be read"
            )

    def _note(self, names: list[str]) -> None:
        if self._settings.journal is not None:
            with open(self._settings.journal, "a", encoding="utf-8") as journal:
                journal.write(f"{len(names)}\n")


def _whole(file: int, size: int) -> bytes:
    """All that can be read of a file of `size` bytes, as it says: pipes say 0."""
    data = os.read(file, size + 1)
    if len(data) == size:
        return data
    return data + b"".join(iter(lambda: os.read(file, _STREAMED), b""))


def _out_of_range(name: str, events: list[Event], limit: int, data: bytes) -> DeadLetter:
    """One letter for all of an object's events whose time cannot be."""
    first = min(events, key=lambda event: (event.time, event.id))
    at, end = iso(first.time), iso(limit)
    reason = (
        f"{len(events)} records have an eventTime before 2013-11-01 or from {end} on, "
        f"the first {at}: event {first.id} {first.action}"
    )
    raw = raw_record(data, first.id) or b""
    return DeadLetter(written(name), -1, reason, raw[:RAW_LIMIT], len(raw))
