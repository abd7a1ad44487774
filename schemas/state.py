"""What the keyed steps remember between runs: one versioned Avro record a key."""

from __future__ import annotations

import sys
from array import array
from typing import Final, TypeVar

import msgspec

from schemas.anomaly import Anomaly, Candidate, Factor
from schemas.change import Change
from schemas.codec import Codec
from schemas.slice import Cell

A = TypeVar("A", "array[int]", "array[float]")

HOURS: Final = 24 * 7
"""Length of the histogram of weekdays × hours, Monday 00:00 UTC first."""


class Values(msgspec.Struct, gc=False):
    """How often an entity had each value of one kind: columns, a row a value, as little-endian
    numbers of 4 bytes.
    """

    names: list[str] = []
    count: bytes = b""
    """Number of slices."""
    last: bytes = b""
    day: int = -1
    """The last day on which values could leave, counted from 1970."""


class HistoryState(msgspec.Struct, gc=False):
    """What one entity is known to do."""

    since: int
    """First learned slice, -1 for none."""
    latest: int
    """Last learned slice."""
    buckets: int
    """Number of learned slices: what the ageing counts."""
    total: float
    """Sum of the masses."""
    masses: bytes
    """Aged counts of the actions before the common factor exp(−δ · buckets), as little-endian
    doubles; empty for scorers that do not age."""
    hours: list[int]
    """Learned slices by weekday and hour, 168 numbers."""
    actions: Values
    places: Values
    tools: Values


class HeldSlice(msgspec.Struct, gc=False):
    """A slice that is not learned yet."""

    slice: int
    firing: int
    """The firing at which it becomes, or became, known."""
    known: bool
    """Whether that firing was done: its cells have been judged."""
    delivered: int
    """Deliveries it was made of."""
    candidates: int
    """Candidates among them so far."""
    highest: float
    """The highest score of those that were told one by one."""
    cells: dict[str, Cell]
    """Action to cell."""


class EntityState(msgspec.Struct, gc=False):
    """One entity: its history, and the slices that are not part of it yet."""

    done: int
    """The last firing that was done."""
    history: HistoryState
    held: list[HeldSlice]
    """By slice, then firing."""
    strays: dict[str, int]
    """Actions that were not learned, since they came too late or there was no room, and the last
    firing that saw them."""
    full_day: int
    """Last day, counted from 1970, on which the entity had more actions than are kept; or -1."""


class PopularityState(msgspec.Struct, gc=False):
    """How many entities have each value of one kind: columns, little-endian, 4 bytes a number."""

    names: list[str]
    fans: bytes
    first: bytes
    """First slice that brought it."""
    by: list[str]
    """The first entity that had it."""


class DayState(msgspec.Struct, gc=False):
    """What was judged on one day."""

    day: int
    """Counted from 1970."""
    sightings: int
    failed: int
    wrote: int
    judged: int
    highest: list[float]
    open: dict[str, float]
    """Entity → its highest S, until the day is closed."""
    booked: dict[str, int] = {}
    """Entity → its candidates that were counted, until then, of a guarded detector."""


class WatchedState(msgspec.Struct, gc=False):
    """What a scope remembers of one detector."""

    since: int
    """The first firing that was calibrated, or -1."""
    actions: PopularityState
    places: PopularityState
    tools: PopularityState
    days: list[DayState]


class VerdictState(msgspec.Struct, gc=False):
    """What was said of an entity in the last two hours, which a city or a flood may carry."""

    detector: str
    slice: int
    action: str
    entity: str
    surprise: float
    factors: list[Factor]


class ScopeState(msgspec.Struct, gc=False):
    """One scope: peers, days and verdicts; and what is not due yet."""

    done: int
    """The last firing that was done."""
    watched: dict[str, WatchedState]
    """By detector."""
    verdicts: list[VerdictState]
    later: list[Candidate]
    changes: list[Change]


class AlertedKey(msgspec.Struct, gc=False):
    """Slices in which (scope, entity, action) was alerted lately."""

    scope: str
    entity: dict[str, str]
    action: str
    slices: list[int]


class RuleState(msgspec.Struct, gc=False):
    """One rule: what waits, what was alerted lately, and anomalies that are not due yet."""

    done: int
    waiting: list[Anomaly]
    alerted: list[AlertedKey]
    later: list[Anomaly]


ENTITY_STATE: Final = Codec("entitystate", EntityState)
SCOPE_STATE: Final = Codec("scopestate", ScopeState)
RULE_STATE: Final = Codec("rulestate", RuleState)


class SavedState(msgspec.Struct, gc=False):
    """A key's state in a snapshot."""

    key: bytes
    state: bytes
    """Avro's single-object encoding of one of the above: it names its own schema."""


SAVED_STATE: Final = Codec("savedstate", SavedState)


def column(numbers: A) -> bytes:
    """A column's bytes, little-endian whatever the machine."""
    if sys.byteorder == "little":
        return numbers.tobytes()
    swapped = array(numbers.typecode, numbers)
    swapped.byteswap()
    return swapped.tobytes()


def integers(typecode: str, data: bytes) -> array[int]:
    """The numbers of a column."""
    return _native(array(typecode, data))


def doubles(data: bytes) -> array[float]:
    """The numbers of a column of masses."""
    return _native(array("d", data))


def _native(read: A) -> A:
    if sys.byteorder != "little":
        read.byteswap()
    return read
