"""The whole graph on one screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipeline.sinks import WriteAccount, WriteAlerts, WriteRecords, WriteState
from pipeline.snapshot import ReadState
from schemas.anomaly import ANOMALY
from schemas.incident import Incident
from schemas.late import TOO_LATE
from schemas.rule import Rule, detectors
from transforms.alert import SelectAlerts
from transforms.describe import DescribeAlerts
from transforms.firing import WHOLE, Course
from transforms.objects import DEAD_LETTER, ReadObjects
from transforms.peers import WeighPeers
from transforms.score import FORGET_AFTER, ScoreRarity
from transforms.slice import CountSlices


@dataclass(frozen=True)
class Job:
    """What is read, by which rules it is judged, over which firings, where the results go."""

    read: ReadObjects
    rules: tuple[Rule, ...]
    output: Path
    course: Course = WHOLE
    forget_after: int = FORGET_AFTER
    """Slices after which an entity of which nothing new is learned leaves."""
    snapshot: Path | None = None
    """Folder of the state to begin with."""
    spread: bool = False
    """Deal the objects out to several workers; one worker keeps their order instead."""
    incidents: tuple[Incident, ...] = ()
    """Confirmed ones, of which nothing is learned."""
    retried: bool = False
    """The runner may do work again, in other bundles."""

    def build(self, pipeline: beam.Pipeline, lists: Sequence[bytes]) -> None:
        """Add the graph of a bounded run; `lists` name the objects to read, as Listing has them."""
        objects = pipeline | "ListObjects" >> beam.Create(lists, reshuffle=self.spread)
        judged = self.judge(objects)

        judged.alerts | "WriteAlerts" >> WriteAlerts(self.output)
        for name, codec, records in (
            ("Anomalies", ANOMALY, judged.anomalies),
            ("Late", TOO_LATE, judged.late),
            ("DeadLetters", DEAD_LETTER, judged.dead),
        ):
            records | f"Write{name}" >> WriteRecords(self.output, codec, self.retried)
        ids = {rule.uuid: rule.id for rule in self.rules}
        (*judged.counts, judged.selections) | "WriteAccount" >> WriteAccount(self.output, ids)
        if self.course.keep:
            judged.state | "WriteState" >> WriteState(self.output, self.retried)

    def judge(self, objects: Any) -> Judged:
        """Lists of names → what came of them: the same for a bounded and an unbounded run."""
        counted, course = tuple(detectors(self.rules)), self.course
        saved = self._saved(objects.pipeline)
        read = objects | "ReadObjects" >> self.read
        sliced = read.batches | "CountSlices" >> CountSlices(counted)
        slices = saved("score", sliced.slices)
        score = ScoreRarity(counted, course, self.forget_after, self.incidents)
        scored = slices | "ScoreRarity" >> score
        candidates = saved("weigh", scored.candidates)
        weighed = candidates | "WeighPeers" >> WeighPeers(self.rules, course)
        alertable = saved("select", weighed.alertable)
        selected = alertable | "SelectAlerts" >> SelectAlerts(self.rules, course)
        return Judged(
            alerts=selected.selections | "DescribeAlerts" >> DescribeAlerts(self.rules),
            selections=selected.selections,
            anomalies=weighed.anomalies,
            late=scored.late,
            dead=read.dead,
            counts=(read.counts, sliced.counts, scored.counts, weighed.counts, selected.counts),
            state={"score": scored.state, "weigh": weighed.state, "select": selected.state},
        )

    def _saved(self, pipeline: beam.Pipeline) -> Callable[[str, Any], Any]:
        """What adds to a keyed step's elements the state that an earlier run left for it."""
        if self.snapshot is None:
            return lambda step, elements: elements
        state = pipeline | "LoadState" >> ReadState(
            self.snapshot, frozenset(rule.uuid for rule in self.rules)
        )
        return lambda step, elements: (elements, state[step]) | f"With_{step}" >> beam.Flatten()


@dataclass(frozen=True)
class Judged:
    """What a run says, as PCollections."""

    alerts: Any
    selections: Any
    anomalies: Any
    late: Any
    dead: Any
    counts: tuple[Any, ...]
    state: dict[str, Any]
    """By step: KV[key, saved state] (bounded runs that keep it)."""
