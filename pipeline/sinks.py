"""Write what the job found: alerts, records and the run's own account."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.avroio import WriteToAvro

from pipeline.accounting import run_document
from pipeline.files import write_json, write_whole
from schemas.codec import Codec
from schemas.counts import ROW, add_up
from schemas.rule import Rule
from schemas.selection import SELECTION
from transforms.describe import Described


@dataclass(eq=False)
class WriteAlerts(beam.PTransform):  # type: ignore[misc]
    """(firing, rule uuid, JSON lines) → OUT/alerts.ndjson by (firing, rule, rank), also if empty.

    One file in one piece, written again from the beginning by a retried bundle.
    """

    output: Path

    def expand(self, described: Any) -> Any:
        """See the class."""
        path = self.output / "alerts.ndjson"

        def write(_: None, alerts: Iterable[Described]) -> None:
            write_whole(path, (line + b"\n" for _, _, lines in sorted(alerts) for line in lines))

        once = described.pipeline | beam.Create([None])
        return once | "Write" >> beam.Map(write, beam.pvalue.AsIter(described))


@dataclass(eq=False)
class WriteRecords(beam.PTransform):  # type: ignore[misc]
    """Bytes of one schema → Avro files in a folder, which Beam renames when they are whole."""

    folder: Path
    codec: Codec[Any]

    def expand(self, encoded: Any) -> Any:
        """See the class."""
        files = WriteToAvro(
            str(self.folder / self.folder.name),
            schema=self.codec.schema,
            file_name_suffix=".avro",
            num_shards=0,
        )
        return encoded | "Decode" >> beam.Map(self.codec.read) | "Write" >> files


@dataclass(eq=False)
class WriteRun(beam.PTransform):  # type: ignore[misc]
    """(rows of counts, selections) → OUT/run.json.

    A row that a retried bundle wrote again stands under the same unit: one of them counts.
    """

    output: Path
    header: dict[str, Any]
    rules: tuple[Rule, ...]

    def expand(self, inputs: tuple[Any, Any]) -> Any:
        """See the class."""
        rows, selections = inputs
        path, header, rules = self.output / "run.json", self.header, self.rules
        totals = (
            rows
            | "ByUnit" >> beam.Map(_by_unit)
            | "OneOfEach" >> beam.GroupByKey()
            | "LastWins" >> beam.MapTuple(lambda _, counts: list(counts)[-1])
            | "AddUp" >> beam.CombineGlobally(add_up)
        )

        def write(_: None, counts: dict[str, int], firings: Iterable[bytes]) -> None:
            chosen = [SELECTION.decode(data) for data in firings]
            write_json(path, run_document(header, counts, chosen, rules))

        once = rows.pipeline | beam.Create([None])
        side = beam.pvalue.AsSingleton(totals), beam.pvalue.AsIter(selections)
        return once | "Write" >> beam.Map(write, *side)


def _by_unit(data: bytes) -> tuple[str, dict[str, int]]:
    row = ROW.decode(data)
    return row.unit, row.counts
