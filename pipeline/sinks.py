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
from schemas.selection import SELECTION
from schemas.state import SAVED_STATE, SavedState
from transforms.describe import Described

FOLDERS: Final = {"anomaly": "anomalies", "toolate": "late", "deadletter": "dead_letters"}
"""Schema → the folder of its files."""
ALERTS: Final = "alerts.ndjson"
ACCOUNT: Final = "account.json"
STATE: Final = "state"
AVRO: Final[Mapping[str, Any]] = {"codec": "deflate", "sync_interval": 256_000}
"""How Avro files are packed. Entities share their names of actions: in blocks of 256 kB a snapshot
is a fifth smaller than in those of 16 kB.
"""


@dataclass(eq=False)
class WriteAlerts(beam.PTransform):  # type: ignore[misc]
    """(firing, rule uuid, JSON lines) → alerts.ndjson by (firing, rule, rank), if there are any.

    One file in one piece, written again from the beginning by a retried bundle.
    """

    output: Path

    def expand(self, described: Any) -> Any:
        """See the class."""
        path = self.output / ALERTS

        def write(_: None, alerts: Iterable[Described]) -> None:
            write_whole(path, (line + b"\n" for _, _, lines in sorted(alerts) for line in lines))

        return described | _together() | "Write" >> beam.MapTuple(write)


def _together() -> beam.PTransform:
    """All elements as one, so that one file can hold them."""
    return beam.WithKeys(None) | beam.GroupByKey()


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
            pairs | f"Write_{step}" >> beam.ParDo(_WriteState(self.output / STATE / step))


class _Avro(beam.DoFn):  # type: ignore[misc]
    def __init__(self, folder: Path, codec: Codec[Any]) -> None:
        self._folder, self._codec = folder, codec
        self._writer: Writer | None = None

    def start_bundle(self) -> None:
        self._writer = None
        self._digest = blake2b(digest_size=12)

    def _write(self, data: bytes) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._unfinished = self._folder / f"{uuid4().hex}{UNFINISHED}"
            self._file = self._unfinished.open("wb")
            marker = blake2b(data, digest_size=16).digest()  # not one of chance
            self._writer = Writer(self._file, self._codec.schema, sync_marker=marker, **AVRO)
        self._digest.update(data)
        self._writer.write(self._codec.read(data))

    def finish_bundle(self) -> None:
        if self._writer is None:
            return
        with self._file:
            self._writer.flush()
        self._unfinished.replace(self._folder / f"{self._digest.hexdigest()}.avro")


class _WriteAvro(_Avro):
    def process(self, data: bytes) -> None:
        self._write(data)


class _WriteState(_Avro):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SAVED_STATE)

    def process(self, pair: tuple[bytes, bytes]) -> None:
        self._write(SAVED_STATE.encode(SavedState(*pair)))


@dataclass(eq=False)
class WriteAccount(beam.PTransform):  # type: ignore[misc]
    """(rows of counts, selections) → account.json: the counts of the run and its firings.

    A row that a retried bundle wrote again stands under the same unit: one of them counts.
    """

    output: Path
    rules: Mapping[str, str]
    """uuid → id."""

    def expand(self, inputs: tuple[Any, Any]) -> Any:
        """See the class."""
        path, ids = self.output / ACCOUNT, self.rules

        def write(_: None, said: Iterable[bytes]) -> None:
            write_json(path, account(said, ids))

        return inputs | beam.Flatten() | _together() | "Write" >> beam.MapTuple(write)


def account(said: Iterable[bytes], rules: Mapping[str, str]) -> dict[str, Any]:
    """The account of one graph from its rows and selections, which come in any order."""
    units: dict[str, dict[str, int]] = {}
    chosen = []
    for data in said:
        if ROW.wrote(data):
            row = ROW.decode(data)
            units[row.unit] = row.counts
        else:
            chosen.append(SELECTION.decode(data))
    chosen.sort(key=lambda one: (one.firing, one.rule_id))
    firings = [firing_document(one, rules[one.rule_id]) for one in chosen]
    return {"counts": add_up(units.values()), "firings": firings}
