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
_PARTS: Final = 16


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
    """Bytes of one schema → Avro files in that schema's folder."""

    output: Path
    codec: Codec[Any]
    gathered: bool = False
    """See WriteAvro."""

    def expand(self, encoded: Any) -> Any:
        """See the class."""
        folder = self.output / FOLDERS[self.codec.name]
        return encoded | "Write" >> WriteAvro(folder, self.codec, self.gathered)


@dataclass(eq=False)
class WriteState(beam.PTransform):  # type: ignore[misc]
    """{step: KV[key, saved state]} → state/STEP/*.avro."""

    output: Path
    gathered: bool = False
    """See WriteAvro."""

    def expand(self, states: Mapping[str, Any]) -> None:
        """See the class."""
        for step, pairs in states.items():
            saved = pairs | f"Encode_{step}" >> beam.MapTuple(_saved).with_output_types(bytes)
            write = WriteAvro(self.output / STATE / step, SAVED_STATE, self.gathered)
            saved | f"Write_{step}" >> write


def _saved(key: bytes, state: bytes) -> bytes:
    return SAVED_STATE.encode(SavedState(key, state))


@dataclass(eq=False)
class WriteAvro(beam.PTransform):  # type: ignore[misc]
    """Bytes of one schema → Avro files in a folder, one a bundle.

    A file is renamed when it is whole, to a name made from its content: a bundle that is done
    again writes the same file again. Beam's own Avro sink does so too, by five stages a sink,
    which cost every run a tenth of a second (as measured).
    `gathered` is for runners that do work again in other bundles: each of 16 parts of the records
    is one file, whose name is always the same.
    """

    folder: Path
    codec: Codec[Any]
    gathered: bool = False

    def expand(self, encoded: Any) -> Any:
        """See the class."""
        folder, codec = self.folder, self.codec
        if not self.gathered:
            return encoded | beam.ParDo(_WriteAvro(folder, codec))

        def write(part: int, records: Iterable[bytes]) -> None:
            file = _Avro(folder, codec, f"{part:02}")
            for data in records:
                file.write(data)
            file.close()

        parts = encoded | "Part" >> beam.Map(_in_part).with_output_types(tuple[int, bytes])
        return parts | "Gather" >> beam.GroupByKey() | "Write" >> beam.MapTuple(write)


def _in_part(data: bytes) -> tuple[int, bytes]:
    return blake2b(data, digest_size=1).digest()[0] % _PARTS, data


class _Avro:
    """A file that appears whole, under a name that is given, or made from its content."""

    def __init__(self, folder: Path, codec: Codec[Any], name: str = "") -> None:
        self._folder, self._codec, self._name = folder, codec, name
        self._writer: Writer | None = None
        self._digest = blake2b(digest_size=12)

    def write(self, data: bytes) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._unfinished = self._folder / f"{uuid4().hex}{UNFINISHED}"
            self._file = self._unfinished.open("wb")
            marker = blake2b(data, digest_size=16).digest()  # not one of chance
            self._writer = Writer(self._file, self._codec.schema, sync_marker=marker, **AVRO)
        self._digest.update(data)
        self._writer.write(self._codec.read(data))

    def close(self) -> None:
        if self._writer is None:
            return
        with self._file:
            self._writer.flush()
        self._unfinished.replace(self._folder / f"{self._name or self._digest.hexdigest()}.avro")


class _WriteAvro(beam.DoFn):  # type: ignore[misc]
    def __init__(self, folder: Path, codec: Codec[Any]) -> None:
        self._folder, self._codec = folder, codec

    def start_bundle(self) -> None:
        self._file = _Avro(self._folder, self._codec)

    def process(self, data: bytes) -> None:
        self._file.write(data)

    def finish_bundle(self) -> None:
        self._file.close()


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
