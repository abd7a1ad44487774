"""How an entity's slices are packed: as a table of cells in columns.

What many events share (who, from where, with what) is written once, as a context; a cell refers
to it by number.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import zip_longest
from operator import attrgetter
from typing import Any, Final

import msgspec

from schemas.codec import Codec
from schemas.event import SLICE_MS
from schemas.slice import (
    CONTEXTS,
    Stream,
    bounded,
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
    user_name: str = ""
    """`user.name`, whatever the identity policy calls the user."""
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
    delivered: list[int] = []
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


SLICES: Final = Codec("slices", Table)
_FIELDS: Final = attrgetter(*Context.__struct_fields__)
_SETS: Final = ("place", "tool", "entity", "account", "region", "error")
_ONE: Final = {name: attrgetter(name) for name in _SETS}
FAILED: Final = 1
WRITE: Final = 2


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
        delivered: int,
    ) -> None:
        """Add a cell: times in ms, smallest hashes, contexts by number; its evidence follows.

        `delivered` is the number of events it was made of, repetitions too: for the accounting.
        """
        table, names = self._table, self._names
        if not table.slice:
            table.start = slice_
        start = slice_ * SLICE_MS
        table.slice.append(slice_ - table.start)
        table.delay.append(firing - slice_)
        table.action.append(names.setdefault(action, len(names)))
        table.first.append(first - start)
        table.last.append(last - start)
        table.flags.append(failed * FAILED + write * WRITE)
        table.delivered.append(delivered)
        table.events.append(number_of(ids)[0])
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
        sets = sets_of([known[number] for number in contexts])
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
        return SLICES.write(msgspec.structs.asdict(table))


def sets_of(contexts: list[Context]) -> dict[str, Any]:
    """The bounded sets that contexts amount to; absent values are in none of them."""
    sets: dict[str, Any] = {
        name: bounded({get(context) for context in contexts} - {""}) for name, get in _ONE.items()
    }
    sets["stream"] = bounded({context.stream for context in contexts} - {("", "", "")})
    return sets
