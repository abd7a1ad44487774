"""What the shuffle carries: one entity's slices of one bundle, as a table in columns.

What many events share (who, from where, with what) is written once, as a context; a cell refers
to it by number. A cell stays packed until somebody looks into it: an action that the entity is
known to do costs one look-up and no decoding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import zip_longest
from operator import attrgetter
from typing import Any, Final

import msgspec

from schemas.codec import Codec
from schemas.event import SLICE_MS
from schemas.slice import (
    CONTEXTS,
    SMALLEST,
    Cell,
    Evidence,
    Stream,
    bounded,
    earliest,
    hash_of,
    merge,
    number_of,
)


class Context(msgspec.Struct, frozen=True, gc=False):
    """Who, from where and with what: what events of an entity share. Empty is absent."""

    place: str = ""
    """City, else country, or inside; in a city's cells the user."""
    tool: str = ""
    user: str = ""
    """First part of the stream, empty in a user's own cells."""
    person: str = ""
    network: str = ""
    entity: str = ""
    """The user entity, account and all."""
    account: str = ""
    region: str = ""
    error: str = ""
    arn: str = ""
    access_key: str = ""
    session: str = ""
    agent: str = ""
    address: str = ""
    country: str = ""
    city: str = ""

    @property
    def stream(self) -> Stream:
        """(user, person, network)."""
        return (self.user, self.person, self.network)


class Table(msgspec.Struct):
    """The columns of the cells; `avro/slices.avsc` says what is in each."""

    names: list[str] = []
    contexts: list[int] = []
    start: int = 0
    slice: list[int] = []
    delay: list[int] = []
    action: list[int] = []
    first: list[int] = []
    last: list[int] = []
    flags: list[int] = []
    events: list[int] = []
    ids: bytes = b""
    ids_end: list[int] = []
    context: list[int] = []
    context_end: list[int] = []
    evidence_id: list[str] = []
    evidence_time: list[int] = []
    evidence_provider: list[int] = []
    evidence_origin: list[int] = []
    evidence_context: list[int] = []
    evidence_end: list[int] = []


_SLICES: Final = Codec("slices", Table)
_WIDTH: Final = len(Context.__struct_fields__)
_FIELDS: Final = attrgetter(*Context.__struct_fields__)
_SETS: Final = ("place", "tool", "entity", "account", "region", "error")
_ONE: Final = {name: attrgetter(name) for name in _SETS}
_FAILED: Final = 1
_WRITE: Final = 2


class Packer:
    """Collects the cells of one entity, in ascending order of slice; `bytes` gives the table."""

    def __init__(self) -> None:
        self._table = Table()
        self._ids: list[bytes] = []
        self._names: dict[str, int] = {}
        self._contexts: dict[Context, int] = {}

    def context(self, context: Context) -> int:
        """The number of a context in the table."""
        return self._contexts.setdefault(context, len(self._contexts))

    def cell(
        self,
        slice_: int,
        firing: int,
        action: str,
        first: int,
        last: int,
        ids: tuple[bytes, ...],
        failed: bool,
        write: bool,
        contexts: Collection[int],
    ) -> None:
        """Add a cell: times in ms, smallest hashes, contexts by number; its evidence follows."""
        table, names = self._table, self._names
        if not table.slice:
            table.start = slice_
        start = slice_ * SLICE_MS
        table.slice.append(slice_ - table.start)
        table.delay.append(firing - slice_)
        table.action.append(names.setdefault(action, len(names)))
        table.first.append(first - start)
        table.last.append(last - start)
        table.flags.append(failed * _FAILED + write * _WRITE)
        table.events.append(len(ids) if len(ids) < SMALLEST else number_of(ids)[0])
        self._ids += ids
        table.ids_end.append(len(self._ids))
        table.context += contexts if len(contexts) <= CONTEXTS else self._bound(contexts)
        table.context_end.append(len(table.context))
        table.evidence_end.append(len(table.evidence_id))

    def evidence(self, time: int, id_: str, provider: str, origin: str, context: int) -> None:
        """Add an event to the evidence of the last cell: time in ms, context by number."""
        table, names = self._table, self._names
        table.evidence_id.append(id_)
        table.evidence_time.append(time - (table.start + table.slice[-1]) * SLICE_MS)
        table.evidence_provider.append(names.setdefault(provider, len(names)))
        table.evidence_origin.append(names.setdefault(origin, len(names)))
        table.evidence_context.append(context)
        table.evidence_end[-1] += 1

    def _bound(self, contexts: Collection[int]) -> list[int]:
        """Fewer contexts that say the same sets, each of them bounded.

        The sets are put side by side as columns, padded with "absent".
        """
        known = list(self._contexts)
        sets = _sets([known[number] for number in contexts])
        rows = zip_longest(sets["stream"], *(sets[name] for name in _SETS))
        return [
            self.context(
                Context(
                    **dict(zip(("user", "person", "network"), stream or ("", "", ""), strict=True)),
                    **{name: value or "" for name, value in zip(_SETS, values, strict=True)},
                )
            )
            for stream, *values in rows
        ]

    def bytes(self) -> bytes:
        """Everything that was added, as Avro."""
        table, names = self._table, self._names
        table.contexts = [
            names.setdefault(text, len(names))
            for context in self._contexts
            for text in _FIELDS(context)
        ]
        table.names = list(names)
        table.ids = b"".join(self._ids)
        return _SLICES.write(msgspec.structs.asdict(table))


class Packed:
    """A cell as it came."""

    __slots__ = ("_row", "_table")

    def __init__(self, table: _Open, row: int) -> None:
        self._table, self._row = table, row

    @property
    def events(self) -> int:
        """Number of its distinct events; an estimate at 16 and more."""
        return self._table.columns.events[self._row]

    def contexts(self) -> list[Context]:
        """The contexts of its events."""
        return [self._table.contexts[number] for number in self._table.numbers(self._row)]

    def open(self) -> Cell:
        """The cell itself, with its times, sets and evidence in full."""
        return self._table.cell(self._row)


class _Open:
    """A table that was read; `contexts` and `names` are looked up by number."""

    def __init__(self, columns: Table) -> None:
        self.columns = columns
        texts = [columns.names[number] for number in columns.contexts]
        self.contexts = [Context(*texts[at : at + _WIDTH]) for at in range(0, len(texts), _WIDTH)]

    def cell(self, row: int) -> Cell:
        c = self.columns
        start = (c.start + c.slice[row]) * SLICE_MS
        ids = range(8 * _begin(c.ids_end, row), 8 * c.ids_end[row], 8)
        sets = _sets([self.contexts[number] for number in self.numbers(row)])
        return Cell(
            first=start + c.first[row],
            last=start + c.last[row],
            ids=tuple([c.ids[at : at + 8] for at in ids]),
            failed=bool(c.flags[row] & _FAILED),
            write=bool(c.flags[row] & _WRITE),
            place=sets["place"],
            tool=sets["tool"],
            stream=sets["stream"],
            users=sets["entity"],
            account=sets["account"],
            region=sets["region"],
            error=sets["error"],
            evidence=earliest(
                self._evidence(start, item)
                for item in range(_begin(c.evidence_end, row), c.evidence_end[row])
            ),
        )

    def numbers(self, row: int) -> list[int]:
        """The numbers of a cell's contexts."""
        ends = self.columns.context_end
        return self.columns.context[_begin(ends, row) : ends[row]]

    def _evidence(self, start: int, item: int) -> Evidence:
        c = self.columns
        context = self.contexts[c.evidence_context[item]]
        return Evidence(
            time=start + c.evidence_time[item],
            hash=hash_of(c.evidence_id[item]),
            origin=c.names[c.evidence_origin[item]],
            id=c.evidence_id[item],
            provider=c.names[c.evidence_provider[item]],
            arn=context.arn,
            access_key=context.access_key,
            session=context.session,
            agent=context.agent,
            address=context.address,
            country=context.country,
            city=context.city,
            account=context.account,
            region=context.region,
            error=context.error,
        )


def _begin(ends: list[int], row: int) -> int:
    return ends[row - 1] if row else 0


def opened(cell: Cell | Packed) -> Cell:
    """The cell itself, whether packed or not."""
    return cell.open() if isinstance(cell, Packed) else cell


def events_of(cell: Cell | Packed) -> int:
    """Number of distinct events of a cell, packed or not."""
    return cell.events if isinstance(cell, Packed) else number_of(cell.ids)[0]


class Group:
    """One entity's events of one slice that became known at one firing."""

    __slots__ = ("cells", "firing", "slice")

    def __init__(self, slice_: int, firing: int) -> None:
        self.slice, self.firing = slice_, firing
        self.cells: dict[str, Cell | Packed] = {}

    def absorb(self, other: Group) -> None:
        """Merge another group of the same slice into this one."""
        for action, cell in other.cells.items():
            known = self.cells.get(action)
            self.cells[action] = cell if known is None else merge(opened(known), opened(cell))

    def places_and_tools(self) -> tuple[set[str], set[str]]:
        """What all its cells hold of either: bounded in each cell, so the same for any bundles."""
        places: set[str] = set()
        tools: set[str] = set()
        for cell in self.cells.values():
            if isinstance(cell, Packed):
                for context in cell.contexts():
                    places.add(context.place)
                    tools.add(context.tool)
            else:
                places.update(cell.place)
                tools.update(cell.tool)
        places.discard("")
        tools.discard("")
        return places, tools


def unpack(data: bytes) -> Iterator[Group]:
    """The groups in `data`, in order; raises SchemaError on bytes of another version."""
    table = _Open(Table(**_SLICES.read(data)))
    columns = table.columns
    names, group = columns.names, None
    for row, (after, delay, action) in enumerate(
        zip(columns.slice, columns.delay, columns.action, strict=True)
    ):
        slice_ = columns.start + after
        if group is None or group.slice != slice_ or group.firing != slice_ + delay:
            if group is not None:
                yield group
            group = Group(slice_, slice_ + delay)
        group.cells[names[action]] = Packed(table, row)
    if group is not None:
        yield group


def _sets(contexts: list[Context]) -> dict[str, Any]:
    """The bounded sets that contexts amount to; absent values are in none of them."""
    sets: dict[str, Any] = {
        name: bounded({get(context) for context in contexts} - {""}) for name, get in _ONE.items()
    }
    sets["stream"] = bounded({context.stream for context in contexts} - {("", "", "")})
    return sets
