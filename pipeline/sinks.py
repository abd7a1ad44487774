"""Write what the job found: alerts, records, state and the run's own account, into one folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import apache_beam as beam
from fastavro.write import Writer

from pipeline.accounting import firing_document
from pipeline.files import UNFINISHED, write_json, write_whole
from schemas.codec import Codec
from schemas.counts import ROW, add_up
from schemas.rule import Rule
from schemas.selection import SELECTION
from schemas.state import SAVED_STATE, SavedState
from transforms.describe import Described

FOLDERS: Final = {"anomaly": "anomalies", "toolate": "late", "deadletter": "dead_letters"}
"""Schema → the folder of its files."""
ALERTS: Final = "alerts.ndjson"
ACCOUNT: Final = "account.json"
STATE: Final = "state"


@dataclass(eq=False)
class WriteAlerts(beam.PTransform):  # type: ignore[misc]
    """(firing, rule uuid, JSON lines) → alerts.ndjson by (firing, rule, rank), also if empty.

    One file in one piece, written again from the beginning by a retried bundle.
    """

    output: Path

    def expand(self, described: Any) -> Any:
        """See the class."""
        path = self.output / ALERTS

        def write(_: None, alerts: Iterable[Described]) -> None:
            write_whole(path, (line + b"\n" for _, _, lines in sorted(alerts) for line in lines))

        once = described.pipeline | beam.Create([None])
        return once | "Write" >> beam.Map(write, beam.pvalue.AsIter(described))


@dataclass(eq=False)
class WriteRecords(beam.PTransform):  # type: ignore[misc]
    """Bytes of one schema → Avro files in that schema's folder, one a bundle.

    A file is renamed when it is whole, to a name made from its content: a bundle that is done
    again writes the same file again. Beam's own Avro sink does so too, by five stages a sink,
    which cost every run a tenth of a second (as measured).
    """

    output: Path
    codec: Codec[Any]

    def expand(self, encoded: Any) -> Any:
        """See the class."""
        folder = self.output / FOLDERS[self.codec.name]
        return encoded | "Write" >> beam.ParDo(_WriteAvro(folder, self.codec))


@dataclass(eq=False)
class WriteState(beam.PTransform):  # type: ignore[misc]
    """{step: KV[key, saved state]} → state/STEP/*.avro."""

    output: Path

    def expand(self, states: Mapping[str, Any]) -> None:
        """See the class."""
        for step, pairs in states.items():
            sink = _WriteAvro(self.output / STATE / step, SAVED_STATE)
            encoded = pairs | f"Encode_{step}" >> beam.MapTuple(_saved)
            encoded | f"Write_{step}" >> beam.ParDo(sink)


def _saved(key: bytes, state: bytes) -> bytes:
    return SAVED_STATE.encode(SavedState(key, state))


class _WriteAvro(beam.DoFn):  # type: ignore[misc]
    def __init__(self, folder: Path, codec: Codec[Any]) -> None:
        self._folder, self._codec = folder, codec
        self._writer: Writer | None = None

    def start_bundle(self) -> None:
        self._writer = None
        self._digest = blake2b(digest_size=12)

    def process(self, data: bytes) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._unfinished = self._folder / f"{uuid4().hex}{UNFINISHED}"
            self._file = self._unfinished.open("wb")
            self._writer = Writer(self._file, self._codec.schema, codec="deflate")
        self._digest.update(data)
        self._writer.write(self._codec.read(data))

    def finish_bundle(self) -> None:
        if self._writer is None:
            return
        with self._file:
            self._writer.flush()
        self._unfinished.replace(self._folder / f"{self._digest.hexdigest()}.avro")


@dataclass(eq=False)
class WriteAccount(beam.PTransform):  # type: ignore[misc]
    """(rows of counts, selections) → account.json: the counts of the run and its firings.

    A row that a retried bundle wrote again stands under the same unit: one of them counts.
    """

    output: Path
    rules: tuple[Rule, ...]

    def expand(self, inputs: tuple[Any, Any]) -> Any:
        """See the class."""
        rows, selections = inputs
        path, ids = self.output / ACCOUNT, {rule.uuid: rule.id for rule in self.rules}
        totals = (
            rows
            | "ByUnit" >> beam.Map(_by_unit)
            | "OneOfEach" >> beam.GroupByKey()
            | "LastWins" >> beam.MapTuple(lambda _, counts: list(counts)[-1])
            | "AddUp" >> beam.CombineGlobally(add_up)
        )

        def write(_: None, counts: dict[str, int], firings: Iterable[bytes]) -> None:
            chosen = sorted(map(SELECTION.decode, firings), key=lambda s: (s.firing, s.rule_id))
            told = [firing_document(one, ids[one.rule_id]) for one in chosen]
            write_json(path, {"counts": counts, "firings": told})

        once = rows.pipeline | beam.Create([None])
        side = beam.pvalue.AsSingleton(totals), beam.pvalue.AsIter(selections)
        return once | "Write" >> beam.Map(write, *side)


def _by_unit(data: bytes) -> tuple[str, dict[str, int]]:
    row = ROW.decode(data)
    return row.unit, row.counts
