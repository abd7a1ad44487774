"""Time: when an event becomes known, what is late, and how far a run judges.

Firings are numbered by the slice that they judge: firing f happens at T = (f + 1) · 15 min.
Times are milliseconds since the epoch. All of it is exact integer arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.anomaly import Timing
from schemas.event import SLICE_MS

DELIVERY_DELAY_MS: Final = SLICE_MS
"""How long a firing waits for deliveries: 15 minutes. CloudTrail's, as measured: at most 10."""
WINDOW: Final = 8
"""Slices of the judgement window, 2 hours: a slice is learned 8 firings after its own."""
STEP_LAG_MS: Final = WINDOW * SLICE_MS + DELIVERY_DELAY_MS
"""How far behind the end of a folder date the step ends that reads it: what was delivered late
lies in the next folder."""


@dataclass(frozen=True)
class Course:
    """How a run goes through time: the firings after `after` (H0) and up to `until` (H).

    None stands for the beginning of time, and for as long as anything is due.
    """

    after: int | None = None
    until: int | None = None
    keep: bool = False
    """Give out the state at the end of a bounded run."""
    unbounded: bool = False
    """The input never ends: fire when the watermark passes each firing."""


WHOLE: Final = Course()
"""One bounded run over everything."""


def known_at(slice_: int, arrival: int | None) -> int:
    """The firing at which an event of a slice becomes known.

    Its own, or the first with arrival < T + delivery delay; in a replay (None) its own.
    """
    if arrival is None:
        return slice_
    return max(slice_, (arrival - DELIVERY_DELAY_MS) // SLICE_MS)


def timing(slice_: int, firing: int) -> Timing:
    """On time is what its own firing knows; too late what came when its slice was settled."""
    if firing <= slice_:
        return "on_time"
    return "late" if firing < slice_ + WINDOW else "too_late"


def time_of(firing: int) -> int:
    """T: when a firing happens, in event time."""
    return (firing + 1) * SLICE_MS


def last_firing(time: int) -> int:
    """The last firing whose T is not after a time."""
    return time // SLICE_MS - 1


def due_time(firing: int, step: int) -> int:
    """When the timer of a firing is set for, in the `step`-th keyed step: 0, 1, 2.

    A millisecond apart, since a watermark says that everything *before* it has arrived.
    """
    return time_of(firing) + DELIVERY_DELAY_MS + step


def fired_by(time: int, step: int) -> int:
    """The last firing that a timer's time stands for: the inverse of `due_time`."""
    return last_firing(time - DELIVERY_DELAY_MS - step)
