"""Pipelines of tests: run on a runner, and keep what comes out where the test can read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import apache_beam as beam
import msgspec
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.runners import prepare

T = TypeVar("T")


def pipeline_on(options: Sequence[str] = ()) -> beam.Pipeline:
    """A pipeline on the job's own runner, or on the one that Beam's options name."""
    return beam.Pipeline(options=prepare(PipelineOptions(list(options))))


@dataclass(eq=False)
class Keep(beam.PTransform):  # type: ignore[misc]
    """Elements → lines of a file. Needs nothing of the runner: no side input, window or group."""

    path: Path

    def expand(self, elements: Any) -> Any:
        """See the class."""
        return elements | beam.Map(_append, str(self.path))


def _append(element: Any, path: str) -> None:
    with open(path, "ab") as file:
        file.write(msgspec.json.encode(element) + b"\n")


def kept(path: Path, kind: type[T]) -> list[T]:
    """What was kept in a file, in no order; nothing if there is no file."""
    decode = msgspec.json.Decoder(kind).decode
    return [decode(line) for line in path.read_bytes().splitlines()] if path.exists() else []
