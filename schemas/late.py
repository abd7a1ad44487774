"""What came too late to be learned: kept beside the anomalies, so that nothing is lost."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.codec import Codec
from schemas.slice import Cell


class TooLate(msgspec.Struct, frozen=True, kw_only=True):
    """One (entity, action, slice) that became known after its slice had been learned."""

    detector: str
    """Key of the detector."""
    scope: str
    entity: dict[str, str]
    """Partition field to value."""
    action: str
    slice_start: int
    """Milliseconds since the epoch, as the other times."""
    slice_end: int
    known_at: int
    """T of the firing at which it became known."""
    judged: bool
    """It was new to the entity, so it was judged all the same."""
    count: int
    """Number of distinct events."""
    count_exact: bool
    cell: Cell


TOO_LATE: Final = Codec("toolate", TooLate)
