"""What the job must count, said in Beam's own words: sliding windows, and nothing clever.

Slow on purpose (every event is copied into 8 windows): the specification, not an implementation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.transforms.window import SlidingWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

Entity = tuple[str, ...]

SIZE_S = 7200
PERIOD_S = 900


class Occurrence(NamedTuple):
    """An event, as far as counting needs it."""

    entity: Entity
    action: str
    time: int
    """Milliseconds since the epoch."""
    id: str


class Count(NamedTuple):
    """How many different events of an action an entity had in the 2 hours before `window_end`."""

    entity: Entity
    window_end: int
    """Seconds since the epoch."""
    action: str
    number: int


@dataclass(eq=False)
class CountWindows(beam.PTransform):  # type: ignore[misc]
    """Occurrence → Count. The same event may come any number of times, in any order."""

    def expand(self, occurrences: Any) -> Any:
        """See the class."""
        return (
            occurrences
            | "Stamp" >> beam.Map(_stamped)
            | "Slide" >> beam.WindowInto(SlidingWindows(SIZE_S, PERIOD_S))
            | "Group" >> beam.GroupByKey()
            | "Count" >> beam.ParDo(_CountIds())
        )


def _stamped(event: Occurrence) -> TimestampedValue:
    value = ((event.entity, event.action), event.id)
    return TimestampedValue(value, Timestamp(micros=event.time * 1000))


class _CountIds(beam.DoFn):  # type: ignore[misc]
    def process(
        self,
        group: tuple[tuple[Entity, str], Iterable[str]],
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Count]:
        (entity, action), ids = group
        yield Count(entity, window.end.micros // 1_000_000, action, len(set(ids)))
