"""What Beam's dashboards are told of a run is what its accounting says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from town import Town

from pipeline.job import Job
from pipeline.rules import chosen, load_rules, with_scorer
from pipeline.runners import prepare
from pipeline.sources import find_objects, lists
from schemas.catalogue import CATALOGUE
from schemas.metrics import NAMESPACE, measured
from transforms.objects import Extent, ReadObjects


def test_counters_are_those_of_the_account(town: Town, tmp_path: Path) -> None:
    extent = Extent(None, None, 4_000_000_000_000)
    names = find_objects([str(town.logs)], extent, tmp_path / "none").names
    rules = tuple(with_scorer(chosen(load_rules(), (), ()), "window"))
    job = Job(ReadObjects("role", str(town.cities), extent), rules, tmp_path / "out")
    pipeline = beam.Pipeline(options=prepare(PipelineOptions([])))
    job.build(pipeline, list(lists(names)))
    result = pipeline.run()
    result.wait_until_finish()

    counts = json.loads((tmp_path / "out/account.json").read_bytes())["counts"]
    expected = measured(counts)
    told = _told(result)
    compared = 0
    for metric in CATALOGUE:
        if not metric.sources or metric.kind != "counter":
            continue
        values = expected[metric.name]
        right = sum(values.values()) if isinstance(values, dict) else values
        assert told.get(metric.name, 0) == right, metric.name
        compared += right > 0
    assert compared > 10
    assert told["entities"] == sum(expected["entities"].values())


def _told(result: Any) -> dict[str, int]:
    """Name → what the runner says: of a distribution its sum."""
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    told: dict[str, int] = {}
    for one in found["counters"]:
        name = one.key.metric.name
        told[name] = told.get(name, 0) + one.committed
    for one in found["distributions"]:
        name = one.key.metric.name
        told[name] = told.get(name, 0) + one.committed.sum
    return told
