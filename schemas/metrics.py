"""Metrics by the catalogue: from the accounting's counts, and as a page of the documentation.

run.json has them under `metrics`, Beam's dashboards under the namespace `raretrail`, and
docs/reference/metrics.md is made by `python -m schemas.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from schemas.catalogue import CATALOGUE, Metric

NAMESPACE: Final = "raretrail"

BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}


def measured(counts: Mapping[str, int]) -> dict[str, Any]:
    """What the accounting's counts say of each metric that has sources: a number, or one for each
    detector or rule.
    """
    found: dict[str, Any] = {
        metric.name: {} if metric.per else 0 for metric in CATALOGUE if metric.sources
    }
    for name, number in counts.items():
        metric, label = metric_of(name)
        if metric is None:
            continue
        if metric.per:
            mine = found[metric.name]
            mine[label] = mine.get(label, 0) + number
        else:
            found[metric.name] += number
    return found


@cache
def metric_of(count: str) -> tuple[Metric | None, str]:
    """(the metric that a count is a part of, the detector or rule that it is of)."""
    parts = count.split("|")
    for metric in CATALOGUE:
        for source in metric.sources:
            pattern = source.split("|")
            if len(pattern) == len(parts) and all(
                mine in ("*", part) for mine, part in zip(pattern, parts, strict=True)
            ):
                label = parts[pattern.index("*")] if "*" in pattern else ""
                return metric, label
    return None, ""


def page() -> str:
    """The documentation of all metrics, in Markdown."""
    lines = [
        "# Metrics",
        "",
        "Made from `schemas/catalogue.py` by `python -m schemas.metrics`; change it there.",
        "",
        "run.json has them under `metrics`, as a number or as one for each detector, rule or step.",
        f"Beam has them under the namespace `{NAMESPACE}`, summed over detectors and rules:",
        "counters for dashboards, which runners may count twice when they retry a bundle. The",
        "accounting in run.json is exact.",
        "",
        "| metric | kind | unit | per | meaning | what to do |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for metric in CATALOGUE:
        cells = (
            f"`{metric.name}`",
            metric.kind,
            metric.unit,
            metric.per or "run",
            metric.meaning,
            metric.action,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
