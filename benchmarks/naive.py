"""The job as a tutorial would write it: every event into Beam's sliding windows."""

from __future__ import annotations

import glob
import gzip
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import SlidingWindows, TimestampedValue

from pipeline.runners import EMBEDDED, prepare


def occurrences(name: str) -> Iterator[Any]:
    """(user, action) of each record of an object, stamped with its time."""
    with gzip.open(name) as file:
        for record in json.load(file)["Records"]:
            time = datetime.fromisoformat(record["eventTime"]).timestamp()
            user = record["userIdentity"].get("userName", "")
            yield TimestampedValue((user, record["eventName"]), time)


def run(root: str) -> None:
    """Count calls by (user, action) in each window of all objects below a folder."""
    names = glob.glob(f"{root}/**/*.json.gz", recursive=True)
    options = prepare(PipelineOptions(["--runner", EMBEDDED]))
    with beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            | beam.Create(names, reshuffle=False)
            | beam.FlatMap(occurrences)
            | beam.WindowInto(SlidingWindows(7200, 900))
            | beam.combiners.Count.PerElement()
        )


if __name__ == "__main__":
    run(sys.argv[1])
