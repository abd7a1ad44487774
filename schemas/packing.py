"""How an entity's slices are packed: as a table of groups of cells, rows of integers.

What many events share (who, from where, with what) is written once, as a context; a cell refers
to it by number. Each kind of row is one field of bytes, and each list of texts another, so that
Avro sees a dozen values a table and not a dozen a cell.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from schemas.codec import Codec
from schemas.slice import Stream, bounded


class Context(NamedTuple):
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
    """The packed table; `avro/slices.avsc` says what is in each field."""

    start: int
    groups: bytes
    cells: bytes
    ids: bytes
    context: bytes
    contexts: bytes
    evidence: bytes
    names: bytes
    texts: bytes
    event_ids: bytes


SLICES: Final = Codec("slices", Table)
GROUP: Final = 4
"""Integers of a row of groups."""
CELL: Final = 8
"""Integers of a row of cells."""
CONTEXT: Final = len(Context._fields)
"""Integers of a row of contexts."""
EVIDENCE: Final = 4
"""Integers of a row of evidence."""
FAILED: Final = 1
WRITE: Final = 2

SETS: Final = ("place", "tool", "entity", "account", "region", "error")
"""What of contexts are sets of a cell, beside the streams."""
_ONE: Final = {name: attrgetter(name) for name in SETS}
_TEXTS: Final = msgspec.json.Decoder(list[str])


def packed(numbers: Sequence[int]) -> bytes:
    """Integers as a field of a table: of 16 bits if they are that small, else of 32."""
    try:
        kind, rows = b"H", array("H", numbers)
    except OverflowError:
        kind, rows = b"i", array("i", numbers)
    return kind + _little_endian(rows).tobytes()


def integers(data: bytes) -> array[int]:
    """The integers in a field of a table."""
    numbers = array(chr(data[0]))
    numbers.frombytes(memoryview(data)[1:])
    return _little_endian(numbers)


def texts(data: bytes) -> list[str]:
    """The texts in a field of a table."""
    return _TEXTS.decode(data)


def _little_endian(numbers: array[int]) -> array[int]:
    """To the order of bytes in a table, or back from it."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def context_of(names: Sequence[str], rows: Sequence[int], number: int) -> Context:
    """A context by its number, from the rows of all contexts."""
    return Context(*[names[name] for name in rows[number * CONTEXT : (number + 1) * CONTEXT]])


def sets_of(contexts: list[Context]) -> dict[str, Any]:
    """The bounded sets that contexts amount to; absent values are in none of them."""
    sets: dict[str, Any] = {
        name: bounded({get(context) for context in contexts} - {""}) for name, get in _ONE.items()
    }
    sets["stream"] = bounded({context.stream for context in contexts} - {("", "", "")})
    return sets
