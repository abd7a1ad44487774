"""The catalogue of metrics is complete, and what is made of it says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.catalogue import CATALOGUE
from schemas.counts import HELD, LATEST
from schemas.metrics import measured, metric_of, page

ROOT = Path(__file__).parents[2]


def test_the_page_is_that_of_the_catalogue() -> None:
    """Made anew by `python -m schemas.metrics > docs/reference/metrics.md`."""
    assert (ROOT / "docs/reference/metrics.md").read_text("utf-8") == page()


def test_names_are_unique_and_every_metric_says_all() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    for metric in CATALOGUE:
        assert metric.unit, metric.name
        assert metric.meaning.endswith("."), metric.name
        assert metric.action.endswith("."), metric.name
        starred = any("*" in source for source in metric.sources)
        assert not metric.sources or starred is bool(metric.per), metric.name


def test_a_count_feeds_one_metric_at_most() -> None:
    sources = [source for metric in CATALOGUE for source in metric.sources]
    assert len(set(sources)) == len(sources)


@pytest.mark.parametrize(
    ("count", "metric", "label"),
    [
        ("records|read", "records_read", ""),
        ("cells|by-user|late", "events_late", "by-user"),
        (f"{HELD}by-user|entities", "entities", "by-user"),
        (f"{LATEST}largest|by-user", "largest_entity", "by-user"),
        ("cut|a-rule", "alerts_cut", "a-rule"),
    ],
)
def test_which_metric_a_count_feeds(count: str, metric: str, label: str) -> None:
    found, of = metric_of(count)
    assert found is not None
    assert (found.name, of) == (metric, label)


@pytest.mark.parametrize("count", ["records|", "records|read|more", "cells|by-user|nothing"])
def test_other_counts_feed_none(count: str) -> None:
    assert metric_of(count) == (None, "")


def test_sources_add_up_and_labels_stay_apart() -> None:
    counts = {
        "records|unreadable": 2,
        "records|out_of_range": 3,
        "cells|by-user|late": 5,
        "cells|by-city|late": 7,
    }
    told = measured(counts)
    assert told["records_dead_lettered"] == 5
    assert told["events_late"] == {"by-user": 5, "by-city": 7}
    assert told["records_read"] == 0
    assert told["alerts"] == {}
