"""What the shuffle carries: one entity's slices of one bundle, unpacked.

A cell stays packed until somebody looks into it: an action that the entity is known to do costs
one look-up and no decoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.event import SLICE_MS
from schemas.packing import FAILED, SLICES, WRITE, Context, Table, sets_of
from schemas.slice import Cell, Evidence, Stream, bounded, earliest, hash_of, merge, number_of

_WIDTH: Final = len(Context.__struct_fields__)


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
        sets = sets_of([self.contexts[number] for number in self.numbers(row)])
        return Cell(
            first=start + c.first[row],
            last=start + c.last[row],
            ids=tuple([c.ids[at : at + 8] for at in ids]),
            failed=bool(c.flags[row] & FAILED),
            write=bool(c.flags[row] & WRITE),
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
            user_name=context.user_name,
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


def streams_of(cell: Cell | Packed) -> tuple[Stream, ...]:
    """The streams of a cell, packed or not."""
    if isinstance(cell, Packed):
        return bounded({context.stream for context in cell.contexts()} - {("", "", "")})
    return cell.stream


def events_of(cell: Cell | Packed) -> int:
    """Number of distinct events of a cell, packed or not."""
    return cell.events if isinstance(cell, Packed) else number_of(cell.ids)[0]


class Group:
    """One entity's events of one slice that became known at one firing."""

    __slots__ = ("candidates", "cells", "delivered", "firing", "slice")

    def __init__(self, slice_: int, firing: int) -> None:
        self.slice, self.firing = slice_, firing
        self.cells: dict[str, Cell | Packed] = {}
        self.delivered = 0
        """Number of events it was made of, repetitions too."""
        self.candidates = 0
        """Number of its cells that were candidates."""

    def absorb(self, other: Group) -> None:
        """Merge another group of the same slice into this one."""
        self.delivered += other.delivered
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
    table = _Open(Table(**SLICES.read(data)))
    columns = table.columns
    names, group = columns.names, None
    rows = zip(columns.slice, columns.delay, columns.action, columns.delivered, strict=True)
    for row, (after, delay, action, delivered) in enumerate(rows):
        slice_ = columns.start + after
        if group is None or group.slice != slice_ or group.firing != slice_ + delay:
            if group is not None:
                yield group
            group = Group(slice_, slice_ + delay)
        group.cells[names[action]] = Packed(table, row)
        group.delivered += delivered
    if group is not None:
        yield group
