"""Count events into slices: the unit of everything downstream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from schemas.counts import ROW, Row
from schemas.event import EventBatch
from schemas.rule import Detector
from transforms.cells import Bundle
from transforms.measure import measure

_FLUSH: Final = 50_000
"""Events held before slices are emitted: about 40 MB."""


@dataclass(eq=False)
class CountSlices(beam.PTransform):  # type: ignore[misc]
    """EventBatch → .slices: KV[entity key, packed slices]; .counts: accounting rows.

    Adds a bundle's events up by (detector, scope, entity, slice, firing, action), and emits one
    element an entity when the bundle ends or 50,000 events are held, stamped with the least
    arrival (in a replay the beginning of time). No state, no timers.
    """

    detectors: tuple[Detector, ...]

    def expand(self, batches: Any) -> Any:
        """See the class."""
        return batches | beam.ParDo(_CountSlices(self.detectors)).with_outputs(
            "counts", main="slices"
        )


class _CountSlices(beam.DoFn):  # type: ignore[misc]
    def __init__(self, detectors: tuple[Detector, ...]) -> None:
        self._detectors = detectors

    def start_bundle(self) -> None:
        self._bundle = Bundle(self._detectors)
        self._number = 0
        self._arrival: int | None = None

    def process(self, batch: EventBatch) -> Iterator[Any]:
        counts = {}
        for detector, missing in zip(self._detectors, self._bundle.add(batch), strict=True):
            counts[f"detectors|{detector.name}|without_its_fields"] = missing
            counts[f"detectors|{detector.name}|counted"] = len(batch.events) - missing
        measure(counts)
        row = ROW.encode(Row(f"slices {batch.unit}", counts))
        yield beam.pvalue.TaggedOutput("counts", row)
        self._number += len(batch.events)
        if batch.arrival is not None:
            least = batch.arrival if self._arrival is None else self._arrival
            self._arrival = min(batch.arrival, least)
        if self._number >= _FLUSH:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from self._flush()

    def _flush(self) -> Iterator[WindowedValue]:
        stamp = MIN_TIMESTAMP if self._arrival is None else Timestamp(micros=self._arrival * 1000)
        for pair in self._bundle.flush():
            yield WindowedValue(pair, stamp, [GlobalWindow()])
        self._number, self._arrival = 0, None
