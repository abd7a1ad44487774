"""Describe alerts: what a rule chose, as documents with the records that prove it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import msgspec

from schemas.alert import alert_document
from schemas.rule import Rule
from schemas.selection import SELECTION
from transforms.read import raw_record

_KEPT: Final = 16
"""Objects whose bytes are kept, since alerts of one firing often lie together."""

Described = tuple[int, str, list[bytes]]
"""(firing, rule uuid, alerts as JSON by rank)."""


@dataclass(eq=False)
class DescribeAlerts(beam.PTransform):  # type: ignore[misc]
    """Bytes of Selection → (firing, rule uuid, alerts as JSON lines by rank).

    Fetches the records of the evidence from their objects: at most three an alert. Stateless.
    """

    rules: tuple[Rule, ...]

    def expand(self, selections: Any) -> Any:
        """See the class."""
        return selections | beam.ParDo(_DescribeAlerts(self.rules))


class _DescribeAlerts(beam.DoFn):  # type: ignore[misc]
    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = {rule.uuid: rule for rule in rules}

    def setup(self) -> None:
        self._objects: OrderedDict[str, bytes | None] = OrderedDict()

    def process(self, data: bytes) -> Iterator[Described]:
        selection = SELECTION.decode(data)
        if not selection.alerts:
            return
        rule = self._rules[selection.rule_id]
        lines = []
        for rank, found in enumerate(selection.alerts, start=1):
            bodies = [self._body(event.origin, event.id) for event in found.cell.evidence]
            document = alert_document(rule, found, selection.firing, rank, bodies)
            lines.append(msgspec.json.encode(document))
        yield selection.firing, selection.rule_id, lines

    def _body(self, origin: str, event_id: str) -> bytes | None:
        if origin not in self._objects:
            try:
                self._objects[origin] = Path(origin).read_bytes()
            except OSError:
                self._objects[origin] = None
            if len(self._objects) > _KEPT:
                self._objects.popitem(last=False)
        data = self._objects[origin]
        return None if data is None else raw_record(data, event_id)
