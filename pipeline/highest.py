"""The highest alerts and anomalies of a run, those of one happening together, as text."""

from __future__ import annotations

import heapq
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from pipeline.files import read_records
from schemas.anomaly import ANOMALY, Anomaly
from schemas.words import printable, sentence

T = TypeVar("T")

SHOWN: Final = 10
"""Most that are shown."""
_WIDTH: Final = 96


class _Ours(msgspec.Struct):
    score: float
    firing: str
    rank: int
    probability: float | None
    entity: dict[str, str]
    users: list[str]


class _Alert(msgspec.Struct):
    """What is shown of an alert: documents with their records would fill the memory."""

    time: str = msgspec.field(name="@timestamp")
    uuid: str = msgspec.field(name="kibana.alert.rule.uuid")
    rule: str = msgspec.field(name="kibana.alert.rule.name")
    reason: str = msgspec.field(name="kibana.alert.reason")
    ours: _Ours = msgspec.field(name="raretrail")


_ALERT: Final = msgspec.json.Decoder(_Alert)


Entry = tuple[list[str], int]
"""What is told of something, in lines, and of how many of its kind it is told."""


def highest_alerts(path: Path, after: int = 0) -> list[Entry]:
    """The alerts of the highest scores, behind the first so many lines of alerts.ndjson.

    Those of one rule, firing, entity and users are told together; of equal ones the rarer first,
    then the earlier.
    """
    with path.open("rb") as lines:
        alerts = map(_ALERT.decode, islice(lines, after, None))
        found = _grouped(alerts, _same_alert, _rank, SHOWN)
    return [
        (list(_entry(number, alert.ours.score, alert.rule, alert.reason, others)), 1 + others)
        for number, (alert, others) in enumerate(found, start=1)
    ]


def highest_below(run: Mapping[str, Any], output: Path, alerts: int) -> list[Entry]:
    """The highest anomalies below their rule's threshold, numbered behind so many alerts."""
    rules = {rule["uuid"]: rule for rule in run["configuration"]["rules_applied"]}
    below = (
        found
        for found in read_records(output / "anomalies", ANOMALY)
        if found.score is not None and found.score < rules[found.rule_id]["threshold"]
    )
    best = _grouped(below, _same_anomaly, _order, SHOWN - alerts)
    told = []
    for number, (found, others) in enumerate(best, start=alerts + 1):
        name, score = rules[found.rule_id]["name"], found.score or 0.0
        told.append((list(_entry(number, score, name, sentence(found), others)), 1 + others))
    return told


def _entry(number: int, score: float, rule: str, words: str, others: int) -> Iterator[str]:
    more = f" (and {others:,} more of the same quarter-hour)" if others else ""
    margin = " " * 12
    yield from textwrap.wrap(
        words + more,
        width=_WIDTH,
        initial_indent=f" {number:>2}. {score:>5.1f}  ",
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield f"{margin}[{printable(rule)}]"


def _grouped(
    found: Iterable[T], key: Callable[[T], Any], order: Callable[[T], Any], number: int
) -> list[tuple[T, int]]:
    """The first by `order` of each group, with the number of others that it stands for."""
    groups: dict[Any, tuple[T, int]] = {}
    for one in found:
        same = key(one)
        best, others = groups.get(same, (one, -1))
        groups[same] = (min(best, one, key=order), others + 1)
    return heapq.nsmallest(number, groups.values(), key=lambda pair: order(pair[0]))


def _same_alert(alert: _Alert) -> tuple[object, ...]:
    ours = alert.ours
    return alert.uuid, ours.firing, tuple(ours.entity.values()), tuple(ours.users)


def _rank(alert: _Alert) -> tuple[float, float, str, int]:
    ours = alert.ours
    return -ours.score, ours.probability or 0.0, alert.time, ours.rank


def _same_anomaly(found: Anomaly) -> tuple[object, ...]:
    return found.rule_id, found.firing, tuple(found.entity.values()), found.cell.users


def _order(found: Anomaly) -> tuple[float, int, str]:
    return -(found.score or 0.0), found.first_seen, found.id
