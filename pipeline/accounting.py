"""The account of a run: where every record went, and whether the figures close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.catalogue import CATALOGUE
from schemas.counts import HELD, LATEST, nested
from schemas.event import SLICE_MS
from schemas.metrics import measured
from schemas.rule import Rule, detectors
from schemas.selection import Selection
from schemas.words import iso
from transforms.calibrate import rate_of_score
from transforms.firing import WINDOW, time_of

_SCORES: Final = 1_000
"""Most scores of one list in run.json; the number stands beside them."""
_RECORDS: Final = ("unreadable", "out_of_range", "outside_from_until", "events")
_ENDS: Final = ("alerts", "suppressed", "expired")
_TIMINGS: Final = ("on_time", "late", "too_late")


def run_document(
    header: Mapping[str, Any],
    counts: Mapping[str, int],
    firings: Sequence[Mapping[str, Any]],
    rules: Sequence[Rule],
) -> dict[str, Any]:
    """run.json: accounting, configuration, versions, firings, metrics.

    `header`: what the graph does not know (configuration, versions, listing, the counts of what
    was carried in from a snapshot, the horizon if it was given, metrics of its own); `counts` and
    `firings`: of all the graphs that the run was made of.
    """
    tree, ids = nested(counts), [rule.id for rule in rules]
    held, before = tree.get(HELD[:-1], {}), nested(header["carried_in"]).get(HELD[:-1], {})
    names = [detector.name for detector in detectors(rules)]
    accounting = _accounting(header["listing"], tree, names)
    for name, detector in accounting["detectors"].items():
        detector["not_due_before"] = before.get(name, {}).get("not_due", 0)
        detector["not_due"] = held.get(name, {}).get("not_due", 0)
    accounting["alerts"] = {
        rule: {
            "alertable": tree.get("alertable", {}).get(rule, 0),
            "selected_from": tree.get("selected", {}).get(rule, 0),
            "waiting_before": before.get("waiting", {}).get(rule, 0),
            "waiting": held.get("waiting", {}).get(rule, 0),
            **{what: tree.get(what, {}).get(rule, 0) for what in _ENDS},
        }
        for rule in ids
    }
    gaps = unclosed(accounting, names)
    return {
        "accounting": {**accounting, "closes": not gaps, "gaps": gaps},
        "configuration": header["configuration"],
        "versions": header["versions"],
        "started": header["started"],
        "firings": list(firings),
        "calibration": _calibration(held, rules),
        "metrics": _metrics(counts, names, ids, header),
    }


def _metrics(
    counts: Mapping[str, int],
    names: Sequence[str],
    rules: Sequence[str],
    header: Mapping[str, Any],
) -> dict[str, Any]:
    """All metrics of the catalogue that can be told, and the horizon that they were taken at."""
    told = measured(counts)
    for metric in CATALOGUE:
        labels = {"detector": names, "rule": rules}.get(metric.per, ())
        if metric.sources and metric.per:
            told[metric.name] = dict.fromkeys(labels, 0) | told[metric.name]
    horizon = _horizon(header.get("horizon"), counts.get(f"{LATEST}slice"))
    return {**told, **header.get("metrics", {}), "horizon": horizon}


def _accounting(
    listing: Mapping[str, Any], tree: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    objects = {"listed": listing["listed"], "read": 0, "unreadable": 0, **tree.get("objects", {})}
    records = dict.fromkeys(("read", *_RECORDS, "not_records"), 0) | tree.get("records", {})
    cells = tree.get("cells", {})
    detectors = {
        name: {
            "events": records["events"],
            **dict.fromkeys(("counted", "without_its_fields"), 0),
            **tree.get("detectors", {}).get(name, {}),
            **{timing: cells.get(name, {}).pop(timing, 0) for timing in _TIMINGS},
        }
        for name in names
    }
    return {
        "objects": {**objects, "skipped": listing["skipped"]},
        "skipped": listing.get("names_skipped", {}),
        "records": records,
        "detectors": detectors,
        "cells": {
            name: _cells(figures, tree.get("usual", {}).get(name, 0))
            for name, figures in cells.items()
        },
        "weighed": tree.get("weighed", {}),
    }


_FATES: Final = ("judged", "known", "usual", "too_young", "flood_excess")
"""What becomes of a cell: known to its entity, usual for the users of its city, of an entity too
young to be judged, or judged, one by one or as a flood."""
_CELLS: Final = dict.fromkeys(("cells", *_FATES, "candidates", "distinct_events"), 0)


def _cells(figures: Mapping[str, int], usual: int) -> dict[str, int]:
    """A detector's cells; the peers found some of the judged ones usual."""
    told = {**_CELLS, **figures, "usual": usual}
    told["judged"] -= usual
    return told


def _calibration(held: Mapping[str, Any], rules: Sequence[Rule]) -> dict[str, Any]:
    """Rule → scope → since when there are scores, by how many days, and how many to expect."""
    told: dict[str, Any] = {}
    for rule in rules:
        if rule.detector.scorer != "contrast":
            continue
        told[rule.id] = {}
        for scope, detectors_ in sorted(held.get("scopes", {}).items()):
            figures = detectors_.get(rule.detector.name)
            if figures is not None:
                since = figures["since"]
                told[rule.id][scope] = {
                    "since": None if since < 0 else iso(time_of(since)),
                    "working_days": figures["days"],
                    "cases_a_day": {
                        str(score): round(rate_of_score(score, rule.cases_per_day), 3)
                        for score in (50, 75, 90)
                    },
                }
    return told


def unclosed(accounting: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The equations that do not hold, each in words; none in a sound run.

    `names` are the detectors that ran. A step whose figures are missing altogether has lost them:
    it counts as having counted nothing.
    """
    gaps = []

    def equal(what: str, left: int, right: int) -> None:
        if left != right:
            gaps.append(f"{what}: {left} ≠ {right}")

    def total(figures: Mapping[str, int], *parts: str) -> int:
        return sum(figures.get(part, 0) for part in parts)

    objects, records = accounting["objects"], accounting["records"]
    equal("objects listed = read", objects["listed"], objects["read"])
    equal("records read = " + " + ".join(_RECORDS), records["read"], total(records, *_RECORDS))
    for name in names:
        detector = accounting["detectors"].get(name, {})
        cells = accounting["cells"].get(name, {})
        parts = total(detector, "without_its_fields", "counted")
        equal(f"{name}: events = without its fields + counted", records["events"], parts)
        equal(
            f"{name}: counted + not due before = on time + late + too late + not due",
            total(detector, "counted", "not_due_before"),
            total(detector, *_TIMINGS, "not_due"),
        )
        equal(f"{name}: cells = {' + '.join(_FATES)}", total(cells, "cells"), total(cells, *_FATES))
        equal(
            f"{name}: candidates = weighed",
            total(cells, "candidates"),
            accounting["weighed"].get(name, 0),
        )
    for name, rule in accounting["alerts"].items():
        equal(f"{name}: alertable = selected from", rule["alertable"], rule["selected_from"])
        equal(
            f"{name}: alertable + waiting before = alerts + suppressed + expired + waiting",
            total(rule, "alertable", "waiting_before"),
            total(rule, *_ENDS, "waiting"),
        )
    return gaps


def _horizon(given: int | None, latest: int | None) -> str | None:
    """H as it was given, else that of a replay: 2 h after the end of its last slice."""
    if given is not None:
        return iso(time_of(given))
    return None if latest is None or latest < 0 else iso((latest + 1 + WINDOW) * SLICE_MS)


def firing_document(selection: Selection, rule: str) -> dict[str, Any]:
    """A rule's firing as run.json tells it."""
    return {
        "firing": iso(time_of(selection.firing)),
        "rule": rule,
        "new": selection.new,
        "alerts": len(selection.alerts),
        "cut": _held_back(selection.cut),
        "suppressed": _held_back(selection.suppressed),
        "expired": _held_back(selection.expired),
    }


def _held_back(scores: list[float]) -> dict[str, Any]:
    return {"number": len(scores), "scores": scores[:_SCORES]}
