"""Read objects: the bytes of one -> its events, and what of it could not be read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from schemas.event import RAW_LIMIT, DeadLetter, Event
from schemas.text import written
from transforms.gunzip import Inflated, Source, inflate_small
from transforms.parse import Parser, Record, canonical, record_id
from transforms.pieces import PIECE, Piece, pieces
from transforms.unwrap import Unwrapper
from transforms.values import RefusedError

DEAD_LIMIT: Final = 10_000
"""Dead letters of one object that are kept one by one; the rest of them become one."""


@dataclass
class Reading:
    """What an object, or a piece of one, holds: `records` = events + what dead letters say.

    A dead letter stands for one record, but for the last of more than DEAD_LIMIT.
    """

    events: list[Event] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    records: int = 0
    """Records seen; an object that is refused as a whole counts as one."""
    skipped: int = 0
    """Things that are no records and need no dead letter: CloudWatch Logs' control messages."""


class _Document(Record, gc=False):
    """A record, or `Records` of them."""

    records: list[Record] | UnsetType = msgspec.field(default=UNSET, name="Records")


_DOCUMENT: Final = msgspec.json.Decoder(_Document)


class ObjectReader:
    """Reads objects in any of the shapes in which CloudTrail records are kept.

    Built once a worker: it holds decoders, the city database and caches. `policy` is one of
    `identify.POLICIES`. Raises ValueError for an unknown one, CityDatabaseError for a database
    that cannot be used.
    """

    def __init__(self, policy: str = "role", geoip_database: str | None = None):
        self._parser = Parser(policy, geoip_database)

    def read(self, origin: str, data: bytes) -> Reading:
        """The whole of an object; `origin` is its name. No bytes raise an error.

        Of JSON lines that fill the memory, `read_stream` gives a piece at a time.
        """
        text = inflate_small(data, PIECE)
        gathering = _Gathering(self._parser, origin)
        if text is not None and gathering.take(text):
            return gathering.reading
        whole = Reading()
        for part in self.read_stream(origin, BytesIO(data)):
            whole.events += part.events
            whole.dead += part.dead
            whole.records += part.records
            whole.skipped += part.skipped
        return whole

    def read_stream(self, origin: str, source: Source) -> Iterator[Reading]:
        """An object, a piece at a time: each some 8 MB of JSON lines, or one document.

        Memory is bounded by the piece, or by a document of 256 MB. Raises only what reading from
        `source` raises.
        """
        gathering = _Gathering(self._parser, origin)
        stream = Inflated(source)
        for piece in pieces(stream):
            gathering.gather(piece, stream)
            yield gathering.give()
        if gathering.end():
            yield gathering.give()


class _Gathering:
    """What has been read of one object, and was not yet given."""

    def __init__(self, parser: Parser, origin: str):
        self._parser = parser
        self.origin = written(origin)
        self._position = 0  # of the first record of `reading`
        self._buried = 0
        self._overflow: DeadLetter | None = None
        self.reading = Reading()

    def take(self, raw: bytes) -> bool:
        """Take the events of a record, or of `Records`, if they are ordinary one and all."""
        if len(raw) > PIECE or not (raw.isascii() or _is_utf8(raw)):
            return False
        try:
            document = _DOCUMENT.decode(raw)
            records = document.records
            if records is UNSET or not (document.time is document.action is None):
                records = [document]
            events = self._parser.quick(records, self.origin)
        except (RefusedError, msgspec.DecodeError, RecursionError):
            return False
        self.reading.events += events
        self.reading.records += len(events)
        return True

    def gather(self, piece: Piece, stream: Inflated) -> None:
        """Read a piece of the object."""
        if piece.problem:
            self._bury(piece.raw, piece.problem, piece.size, whole=True)
            return
        for found in Unwrapper(self.take).text(piece.raw, piece.lines):
            if found.skipped:
                self.reading.skipped += 1
            elif found.whole:
                self._bury(stream.head, found.problem, stream.size, whole=True)
            elif found.problem:
                self._bury(found.raw, found.problem, len(found.raw))
            else:
                self._parse(found.raw)

    def give(self) -> Reading:
        """What has been read since the last time."""
        given, self.reading = self.reading, Reading()
        self._position += given.records
        return given

    def end(self) -> bool:
        """Whether there is more to be given when all of the object has been gathered and given."""
        if self._overflow is not None:
            reason = f"{self._buried - DEAD_LIMIT:,} more cannot be read, the first since: "
            self._keep(
                msgspec.structs.replace(self._overflow, reason=reason + self._overflow.reason)
            )
            self.reading.records += self._buried - DEAD_LIMIT - 1
        return self.reading.records > 0

    def _parse(self, raw: bytes) -> None:
        try:
            event = self._parser.careful(raw, self.origin)
        except RefusedError as refusal:
            self._bury(raw, str(refusal), len(raw))
        else:
            self.reading.events.append(event)
            self.reading.records += 1

    def _bury(self, raw: bytes, reason: str, size: int, whole: bool = False) -> None:
        """Add a dead letter; where there have been too many, only count it."""
        position = -1 if whole else self._position + self.reading.records
        letter = DeadLetter(self.origin, position, reason, raw[:RAW_LIMIT], size)
        self._buried += 1
        if self._buried <= DEAD_LIMIT:
            self._keep(letter)
        elif self._overflow is None:
            self._overflow = letter

    def _keep(self, letter: DeadLetter) -> None:
        self.reading.dead.append(letter)
        self.reading.records += 1


def raw_record(data: bytes, event_id: str) -> bytes | None:
    """The canonical JSON of a record in an object whose Event.id is `event_id`, as below."""
    records = raw_records(BytesIO(data), {event_id}).get(event_id)
    return records[0] if records else None


def raw_records(source: Source, event_ids: Collection[str]) -> dict[str, list[bytes]]:
    """The canonical JSON of the records in an object that have one of these Event.ids, by id.

    Canonical: keys sorted, no spaces, UTF-8. Records of one id that say different things are all
    there, each once, sorted. Understands what `ObjectReader.read` does. A record that holds a
    number that no machine number is has none. Raises only what reading from `source` raises.
    """
    records: dict[str, set[bytes]] = {}
    for piece in pieces(Inflated(source)):
        if piece.problem:
            continue
        for found in Unwrapper(lambda _: False).text(piece.raw, piece.lines):
            if found.problem or found.skipped:
                continue
            try:
                event_id = record_id(found.raw)
                if event_id in event_ids:
                    records.setdefault(event_id, set()).add(canonical(found.raw))
            except RefusedError:
                continue
    return {event_id: sorted(found) for event_id, found in records.items()}


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
