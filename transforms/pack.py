"""Pack an entity's events, dealt out to cells, as a table: `schemas.packing` says what it holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import zip_longest
from operator import attrgetter
from typing import Any, Final

import msgspec

from schemas.event import SLICE_MS, Event
from schemas.packing import (
    CELL,
    CONTEXT,
    FAILED,
    GROUP,
    SETS,
    SLICES,
    WRITE,
    Context,
    context_of,
    packed,
    sets_of,
)
from schemas.slice import CONTEXTS, EVIDENCE, number_of, smallest

TEXT: Final = 256
"""Most characters of one string of evidence."""

Place = tuple[int, int, str]
"""(slice, firing, action): where in an entity's table a cell lies."""
Shared = tuple[Any, ...]
"""What the events of one context have in common."""

_ORDER: Final = attrgetter("time", "hash", "origin")


def pack(
    cells: Mapping[Place, list[Event]],
    shared: Callable[[Event], Shared],
    context: Callable[[Event], Context],
) -> bytes:
    """The table of an entity's cells, each with its events in any order, as Avro.

    Events that have the same `shared` have the same context, which costs more to make.
    """
    packer = _Packer(shared, context)
    packer.add(cells)
    return packer.bytes()


class _Packer:
    """The table in the making."""

    def __init__(
        self, shared: Callable[[Event], Shared], context: Callable[[Event], Context]
    ) -> None:
        self._shared, self._context_of = shared, context
        self._known: dict[Shared, int] = {}
        self._start = 0
        self._groups: list[int] = []
        self._cells: list[int] = []
        self._ids: list[bytes] = []
        self._context: list[int] = []
        self._contexts: list[int] = []
        self._evidence: list[int] = []
        self._names = _numbered()
        self._texts = _numbered()
        self._event_ids: list[str] = []

    def add(self, cells: Mapping[Place, list[Event]]) -> None:
        """Add all cells: one function, and local names, for what is done a million times."""
        rows, ids, context, names = self._cells, self._ids, self._context, self._names
        evidence, event_ids, texts = self._evidence, self._event_ids, self._texts
        self._start = min(cells)[0]
        for place in sorted(cells):
            slice_, firing, action = place
            events = cells[place]
            start = slice_ * SLICE_MS
            if len(events) == 1:  # every other cell: worth a way of its own
                (event,) = events
                numbers, chosen = self._numbers(events), events
                failed, write, distinct, last = event.failed, event.write, 1, event.time
                ids.append(event.hash)
                context += numbers
            else:
                events.sort(key=_ORDER)
                numbers, chosen = self._numbers(events), events[:EVIDENCE]
                hashes = {event.hash for event in events}
                least, different = smallest(hashes), set(numbers)
                failed = False not in {event.failed for event in events}
                write = True in {event.write for event in events}
                distinct, last = number_of(least)[0], events[-1].time
                ids += least
                context += different if len(different) <= CONTEXTS else self._bound(different)
                if len(hashes) < len(events):  # some of them came twice
                    chosen = _earliest(events)
                    numbers = self._numbers(chosen)
            for event, number in zip(chosen, numbers, strict=False):
                evidence += (
                    event.time - start,
                    texts[event.provider[:TEXT]],
                    texts[event.origin],
                    number,
                )
                event_ids.append(event.id)
            rows += (
                names[action],
                chosen[0].time - start,
                last - start,
                failed * FAILED + write * WRITE,
                distinct,
                len(ids),
                len(context),
                len(event_ids),
            )
            self._group(slice_, firing, len(events))

    def _group(self, slice_: int, firing: int, delivered: int) -> None:
        """Count the last cell to the last group, or begin one."""
        groups = self._groups
        after, delay = slice_ - self._start, firing - slice_
        if groups[-GROUP:-2] == [after, delay]:
            groups[-2] += delivered
            groups[-1] += 1
        else:
            groups += (after, delay, delivered, len(self._cells) // CELL)

    def _numbers(self, events: list[Event]) -> list[int]:
        """The number of the context of each event."""
        known, numbers = self._known, []
        for event, shared in zip(events, map(self._shared, events), strict=True):
            number = known.get(shared)
            if number is None:
                number = known[shared] = self._number(self._context_of(event))
            numbers.append(number)
        return numbers

    def _number(self, context: Context) -> int:
        """The number of a context, which is added to the table."""
        self._contexts += map(self._names.__getitem__, context)
        return len(self._contexts) // CONTEXT - 1

    def _bound(self, contexts: set[int]) -> list[int]:
        """Fewer contexts that say the same sets, each of them bounded.

        The sets are put side by side as columns, padded with "absent".
        """
        names, rows = list(self._names), self._contexts
        sets = sets_of([context_of(names, rows, number) for number in contexts])
        columns = zip_longest(sets["stream"], *(sets[name] for name in SETS))
        return [
            self._number(
                Context(
                    **dict(zip(("user", "person", "network"), stream or ("", "", ""), strict=True)),
                    **{name: value or "" for name, value in zip(SETS, values, strict=True)},
                )
            )
            for stream, *values in columns
        ]

    def bytes(self) -> bytes:
        """Everything that was added, as Avro."""
        return SLICES.write(
            {
                "start": self._start,
                "groups": packed(self._groups),
                "cells": packed(self._cells),
                "ids": b"".join(self._ids),
                "context": packed(self._context),
                "contexts": packed(self._contexts),
                "evidence": packed(self._evidence),
                "names": msgspec.json.encode(list(self._names)),
                "texts": msgspec.json.encode(list(self._texts)),
                "event_ids": msgspec.json.encode(self._event_ids),
            }
        )


def _numbered() -> defaultdict[str, int]:
    """Numbers texts from 0, in the order in which they are first asked for."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    return numbers


def _earliest(events: list[Event]) -> list[Event]:
    """The 3 earliest of sorted events, each once, as `schemas.slice.earliest` has it."""
    chosen = events[:1]
    for event in events[1:]:
        last = chosen[-1]
        if (event.time, event.hash) != (last.time, last.hash):
            if len(chosen) == EVIDENCE:
                break
            chosen.append(event)
        elif event.origin == last.origin and _shown(event) < _shown(last):
            chosen[-1] = event
    return chosen


def _shown(event: Event) -> tuple[str, ...]:
    """What evidence shows of an event, in the order of its fields."""
    actor, source = event.actor, event.source
    texts = (
        *(event.id, event.provider, actor.user_name, actor.arn, actor.access_key, actor.session),
        *(event.agent, source.address, source.country, source.city),
        *(event.account, event.region, event.error),
    )
    return tuple([text[:TEXT] for text in texts])
