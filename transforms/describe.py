"""Describe alerts: what a rule chose, as documents with the records that prove it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from schemas.alert import alert_document
from schemas.rule import Rule
from schemas.selection import SELECTION, Selection
from schemas.slice import Evidence
from transforms.read import raw_records
from transforms.times import parse_time
from transforms.values import RefusedError

Described = tuple[int, str, list[bytes]]
"""(firing, rule uuid, alerts as JSON by rank)."""


@dataclass(eq=False)
class DescribeAlerts(beam.PTransform):  # type: ignore[misc]
    """Bytes of Selection → (firing, rule uuid, alerts as JSON lines by rank).

    Fetches the records of the evidence, at most three an alert, from their objects: each object is
    opened once a bundle. Stateless; outputs keep the stamps of their selections.
    """

    rules: tuple[Rule, ...]

    def expand(self, selections: Any) -> Any:
        """See the class."""
        return selections | beam.ParDo(_DescribeAlerts(self.rules))


class _DescribeAlerts(beam.DoFn):  # type: ignore[misc]
    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = {rule.uuid: rule for rule in rules}

    def start_bundle(self) -> None:
        self._held: list[tuple[Selection, Timestamp]] = []

    def process(self, data: bytes, stamp: Any = beam.DoFn.TimestampParam) -> None:
        selection = SELECTION.decode(data)
        if selection.alerts:
            self._held.append((selection, stamp))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        bodies = _bodies([selection for selection, _ in self._held])
        for selection, stamp in self._held:
            rule = self._rules[selection.rule_id]
            lines = [
                msgspec.json.encode(
                    alert_document(
                        rule,
                        found,
                        selection.firing,
                        rank,
                        [bodies.get(event) for event in found.evidence],
                    )
                )
                for rank, found in enumerate(selection.alerts, start=1)
            ]
            described = (selection.firing, selection.rule_id, lines)
            yield WindowedValue(described, stamp, [GlobalWindow()])


def _bodies(selections: Iterable[Selection]) -> dict[Evidence, bytes]:
    """The canonical record of each event of evidence, without those that cannot be read."""
    wanted: dict[str, list[Evidence]] = defaultdict(list)
    for selection in selections:
        for found in selection.alerts:
            for event in found.evidence:
                wanted[event.origin].append(event)
    bodies = {}
    for origin, events in wanted.items():
        try:
            with open(origin, "rb") as file:
                records = raw_records(file, {event.id for event in events})
        except OSError:
            continue
        for event in events:
            if event.id in records:
                bodies[event] = _shown_by(event, records[event.id])
    return bodies


def _shown_by(event: Evidence, records: list[bytes]) -> bytes:
    """Of records with one id the one that the evidence shows; of equally like ones the first."""
    return max(records, key=lambda record: _likeness(event, record)) if records[1:] else records[0]


def _likeness(event: Evidence, record: bytes) -> tuple[bool, ...]:
    """Whether a record has the time, and then the other texts, of an event."""
    seen = msgspec.json.decode(record)
    try:
        same_time = parse_time(seen.get("eventTime")) == event.time
    except RefusedError:
        same_time = False
    pairs = (
        ("userAgent", event.agent),
        ("sourceIPAddress", event.address),
        ("awsRegion", event.region),
        ("errorCode", event.error),
    )
    return same_time, *(str(seen.get(name) or "").startswith(text) for name, text in pairs)
