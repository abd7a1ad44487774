"""The whole graph on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipeline.sinks import WriteAlerts, WriteRecords, WriteRun
from schemas.anomaly import ANOMALY
from schemas.rule import Rule, detectors
from transforms.alert import SelectAlerts
from transforms.describe import DescribeAlerts
from transforms.objects import DEAD_LETTER, ReadObjects
from transforms.peers import WeighPeers
from transforms.score import ScoreRarity
from transforms.slice import CountSlices


@dataclass(frozen=True)
class Job:
    """A bounded run: what it reads, by which rules it judges, where it writes."""

    read: ReadObjects
    rules: tuple[Rule, ...]
    output: Path
    header: dict[str, Any]
    """What run.json says of the run itself: configuration, versions, start."""
    spread: bool = False
    """Deal the objects out to several workers; one worker keeps their order instead."""

    def build(self, pipeline: beam.Pipeline, lists: Sequence[bytes]) -> None:
        """Add the graph to a pipeline; `lists` name the objects to read, as Listing has them."""
        counted = tuple(detectors(self.rules))
        objects = pipeline | "ListObjects" >> beam.Create(lists, reshuffle=self.spread)
        read = objects | "ReadObjects" >> self.read
        sliced = read.batches | "CountSlices" >> CountSlices(counted)
        scored = sliced.slices | "ScoreRarity" >> ScoreRarity(counted, followers=2)
        weighed = scored.candidates | "WeighPeers" >> WeighPeers(self.rules, followers=1)
        selected = weighed.alertable | "SelectAlerts" >> SelectAlerts(self.rules)
        alerts = selected | "DescribeAlerts" >> DescribeAlerts(self.rules)

        alerts | "WriteAlerts" >> WriteAlerts(self.output)
        weighed.anomalies | "WriteAnomalies" >> WriteRecords(self.output / "anomalies", ANOMALY)
        read.dead | "WriteDeadLetters" >> WriteRecords(self.output / "dead_letters", DEAD_LETTER)
        rows = (read.counts, sliced.counts, scored.counts, weighed.counts)
        counts = rows | "Counts" >> beam.Flatten()
        (counts, selected) | "WriteRun" >> WriteRun(self.output, self.header, self.rules)
