"""The state of an entity between runs: its history and what is still pending."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.codec import Codec

HOURS: Final = 24 * 7
"""Length of the histogram of weekdays × hours, Monday 00:00 UTC first."""


class Value(msgspec.Struct, gc=False):
    """How often an entity had a value: an action, a place, a tool."""

    name: str
    count: int
    """Number of slices."""
    first: int
    """Slice that brought it."""
    last: int
    mass: float = 0.0
    """Aged count before the common factor exp(−δ · buckets); actions only."""


class EntityState(msgspec.Struct, gc=False):
    """One entity's history: everything learned, nothing pending."""

    since: int
    """First learned slice."""
    latest: int
    """Last learned slice."""
    buckets: int
    """Number of learned slices: what the ageing counts."""
    total: float
    """Sum of the actions' masses."""
    hours: list[int]
    """Learned slices by weekday and hour, 168 numbers."""
    actions: list[Value]
    places: list[Value]
    tools: list[Value]


ENTITY_STATE: Final = Codec("entitystate", EntityState)
