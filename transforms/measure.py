"""Metrics for Beam's dashboards, by the catalogue in `schemas.metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from apache_beam.metrics.metric import Metrics

from schemas.metrics import BY_NAME, NAMESPACE, metric_of


def measure(counts: Mapping[str, int]) -> None:
    """Tell the runner what a step counted: the metrics that these counts are sources of."""
    for name, number in counts.items():
        metric, _ = metric_of(name)
        if metric is not None:
            tell(metric.name, number)


def tell(name: str, number: int) -> None:
    """Tell the runner a value of one metric: to be added, kept, or taken for the present one."""
    kind, metric = _metric(name)
    if kind == "counter":
        metric.inc(number)
    elif kind == "distribution":
        metric.update(number)
    else:
        metric.set(number)


@cache
def _metric(name: str) -> tuple[str, Any]:
    kind = BY_NAME[name].kind
    make = {
        "counter": Metrics.counter,
        "distribution": Metrics.distribution,
        "gauge": Metrics.gauge,
    }
    return kind, make[kind](NAMESPACE, name)
