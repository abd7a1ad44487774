"""What the shuffle carries: one entity's slices of one bundle, unpacked.

A cell stays packed until somebody looks into it: an action that the entity is known to do costs
one look-up and no decoding.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import repeat

from schemas.event import SLICE_MS
from schemas.packing import (
    CELL,
    CONTEXT,
    EVIDENCE,
    FAILED,
    GROUP,
    SLICES,
    WRITE,
    Context,
    Table,
    context_of,
    integers,
    sets_of,
    texts,
)
from schemas.slice import Cell, Evidence, Stream, bounded, earliest, hash_of, merge, number_of


class Packed:
    """A cell as it came."""

    __slots__ = ("_row", "_table", "events")

    def __init__(self, table: _Open, row: int, events: int) -> None:
        self._table, self._row = table, row
        self.events = events
        """Number of its distinct events; an estimate at 16 and more."""

    def places_and_tools(self) -> Iterator[tuple[str, str]]:
        """Of each context of its events."""
        table = self._table
        return map(table.places_and_tools.__getitem__, table.numbers(self._row))

    def streams(self) -> set[Stream]:
        """Of its events."""
        table = self._table
        return {table.streams[number] for number in table.numbers(self._row)}

    def open(self) -> Cell:
        """The cell itself, with its times, sets and evidence in full."""
        return self._table.cell(self._row)


class _Open:
    """A table that was read: its rows as they came, and what they refer to by number."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.start = table.start
        self.groups = integers(table.groups)
        self.cells = integers(table.cells)
        self.names = texts(table.names)
        self._context = integers(table.context)
        self._contexts = integers(table.contexts)

    @cached_property
    def places_and_tools(self) -> list[tuple[str, str]]:
        """(place, tool) of each context."""
        names, numbers = self.names, self._contexts
        pairs = zip(numbers[0::CONTEXT], numbers[1::CONTEXT], strict=True)
        return [(names[place], names[tool]) for place, tool in pairs]

    @cached_property
    def streams(self) -> list[Stream]:
        """(user, person, network) of each context."""
        names, numbers = self.names, self._contexts
        columns = zip(*(numbers[at::CONTEXT] for at in (2, 3, 4)), strict=True)
        return [(names[user], names[person], names[net]) for user, person, net in columns]

    @cached_property
    def _evidence(self) -> tuple[array[int], list[str], list[str]]:
        """(rows, texts, event ids) of the evidence."""
        table = self._table
        return integers(table.evidence), texts(table.texts), texts(table.event_ids)

    def numbers(self, row: int) -> array[int]:
        """The numbers of a cell's contexts."""
        return self._context[self._begin(row, 6) : self.cells[row * CELL + 6]]

    def cell(self, row: int) -> Cell:
        """A cell in full."""
        ends = self.groups[3::GROUP]
        slice_ = self.start + self.groups[bisect_right(ends, row) * GROUP]
        start, ids = slice_ * SLICE_MS, self._table.ids
        _, first, last, flags, _, ids_end, _, evidence_end = self.cells[row * CELL :][:CELL]
        sets = sets_of([self._context_of(number) for number in self.numbers(row)])
        return Cell(
            first=start + first,
            last=start + last,
            ids=tuple([ids[8 * at : 8 * at + 8] for at in range(self._begin(row, 5), ids_end)]),
            failed=bool(flags & FAILED),
            write=bool(flags & WRITE),
            place=sets["place"],
            tool=sets["tool"],
            stream=sets["stream"],
            users=sets["entity"],
            account=sets["account"],
            region=sets["region"],
            error=sets["error"],
            evidence=earliest(
                self._event(start, at) for at in range(self._begin(row, 7), evidence_end)
            ),
        )

    def _begin(self, row: int, column: int) -> int:
        """Where a cell's part of a list begins: at the end of the cell's before it."""
        return self.cells[(row - 1) * CELL + column] if row else 0

    def _context_of(self, number: int) -> Context:
        return context_of(self.names, self._contexts, number)

    def _event(self, start: int, at: int) -> Evidence:
        rows, words, event_ids = self._evidence
        time, provider, origin, number = rows[at * EVIDENCE : (at + 1) * EVIDENCE]
        context = self._context_of(number)
        return Evidence(
            time=start + time,
            hash=hash_of(event_ids[at]),
            origin=words[origin],
            id=event_ids[at],
            provider=words[provider],
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


def opened(cell: Cell | Packed) -> Cell:
    """The cell itself, whether packed or not."""
    return cell.open() if isinstance(cell, Packed) else cell


def streams_of(cell: Cell | Packed) -> tuple[Stream, ...]:
    """The streams of a cell, packed or not."""
    if isinstance(cell, Packed):
        return bounded(cell.streams() - {("", "", "")})
    return cell.stream


def events_of(cell: Cell | Packed) -> int:
    """Number of distinct events of a cell, packed or not."""
    return cell.events if isinstance(cell, Packed) else number_of(cell.ids)[0]


class Group:
    """One entity's events of one slice that became known at one firing."""

    __slots__ = ("candidates", "cells", "delivered", "firing", "highest", "slice")

    def __init__(self, slice_: int, firing: int) -> None:
        self.slice, self.firing = slice_, firing
        self.cells: dict[str, Cell | Packed] = {}
        self.delivered = 0
        """Number of events it was made of, repetitions too."""
        self.candidates = 0
        """Number of its cells that were candidates."""
        self.highest = 0.0
        """The highest score of those that were told one by one."""

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
                for place, tool in cell.places_and_tools():
                    places.add(place)
                    tools.add(tool)
            else:
                places.update(cell.place)
                tools.update(cell.tool)
        places.discard("")
        tools.discard("")
        return places, tools


def unpack(data: bytes) -> Iterator[Group]:
    """The groups in `data`, in order; raises SchemaError on bytes of another version."""
    table = _Open(Table(**SLICES.read(data)))
    names, cells, groups = table.names, table.cells, table.groups
    actions = [names[number] for number in cells[0::CELL]]
    packed = list(map(Packed, repeat(table), range(len(actions)), cells[4::CELL]))
    begin = 0
    for row in range(0, len(groups), GROUP):
        after, delay, delivered, end = groups[row : row + GROUP]
        slice_ = table.start + after
        group = Group(slice_, slice_ + delay)
        group.cells.update(zip(actions[begin:end], packed[begin:end], strict=True))
        group.delivered = delivered
        yield group
        begin = end
