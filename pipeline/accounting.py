"""The account of a run: where every record went, and whether the figures close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.counts import LATEST, nested
from schemas.event import SLICE_MS
from schemas.rule import Rule, detectors
from schemas.selection import Selection
from schemas.words import iso
from transforms.score import WINDOW

_SCORES: Final = 1_000
"""Most scores of one list in run.json; the number stands beside them."""
_RECORDS: Final = ("unreadable", "out_of_range", "outside_from_until", "events")


def run_document(
    header: Mapping[str, Any],
    counts: Mapping[str, int],
    selections: Sequence[Selection],
    rules: Sequence[Rule],
) -> dict[str, Any]:
    """run.json: accounting, configuration, versions, firings, metrics."""
    ids = {rule.uuid: rule.id for rule in rules}
    chosen = sorted(selections, key=lambda s: (s.firing, s.rule_id))
    of = {rule.id: [s for s in chosen if s.rule_id == rule.uuid] for rule in rules}
    tree = nested(counts)
    accounting = _accounting(header["listing"], tree)
    accounting["alerts"] = {
        rule: _selected(tree.get("alertable", {}).get(rule, 0), mine) for rule, mine in of.items()
    }
    names = [detector.name for detector in detectors(rules)]
    gaps = unclosed(accounting, names)
    return {
        "accounting": {**accounting, "closes": not gaps, "gaps": gaps},
        "configuration": header["configuration"],
        "versions": header["versions"],
        "started": header["started"],
        "firings": [_firing(selection, ids[selection.rule_id]) for selection in chosen],
        "metrics": {
            "rules": {
                rule: _rule_metrics(tree.get("anomalies", {}).get(rule, 0), mine)
                for rule, mine in of.items()
            },
            "entities": tree.get("entities", {}),
            "horizon": _horizon(counts.get(f"{LATEST}slice")),
        },
    }


def _accounting(listing: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    objects = {"listed": listing["listed"], "read": 0, "unreadable": 0, **tree.get("objects", {})}
    records = dict.fromkeys(("read", *_RECORDS, "not_records"), 0) | tree.get("records", {})
    detectors = {
        name: {"events": records["events"], **figures}
        for name, figures in tree.get("detectors", {}).items()
    }
    return {
        "objects": {**objects, "skipped": listing["skipped"]},
        "passed_over": listing.get("passed_over", {}),
        "records": records,
        "detectors": detectors,
        "cells": tree.get("cells", {}),
        "weighed": tree.get("weighed", {}),
    }


def unclosed(accounting: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The equations that do not hold, each in words; none in a sound run.

    `names` are the detectors that ran. A step whose figures are missing altogether has lost them:
    it counts as having counted nothing.
    """
    gaps = []

    def equal(what: str, left: int, right: int) -> None:
        if left != right:
            gaps.append(f"{what}: {left} ≠ {right}")

    objects, records = accounting["objects"], accounting["records"]
    equal("objects listed = read", objects["listed"], objects["read"])
    equal(
        "records read = " + " + ".join(_RECORDS), records["read"], sum(map(records.get, _RECORDS))
    )
    for name in names:
        detector = accounting["detectors"].get(name, {})
        cells = accounting["cells"].get(name, {})
        counted = detector.get("counted", 0)
        parts = detector.get("without_its_fields", 0) + counted
        equal(f"{name}: events = without its fields + counted", records["events"], parts)
        equal(f"{name}: cells = judged", cells.get("cells", 0), cells.get("judged", 0))
        equal(f"{name}: counted = delivered in cells", counted, cells.get("delivered", 0))
        weighed = accounting["weighed"].get(name, 0)
        equal(f"{name}: candidates = weighed", cells.get("candidates", 0), weighed)
    for name, rule in accounting["alerts"].items():
        equal(f"{name}: alertable = selected from", rule["alertable"], rule["selected_from"])
        parts = rule["alerts"] + rule["suppressed"] + rule["expired"]
        equal(f"{name}: alertable = alerts + suppressed + expired", rule["alertable"], parts)
    return gaps


def _selected(alertable: int, selections: Sequence[Selection]) -> dict[str, int]:
    """Of one rule: anomalies that may alert, and what became of them."""
    return {
        "alertable": alertable,
        "selected_from": sum(s.new for s in selections),
        **_chosen(selections),
    }


def _rule_metrics(anomalies: int, selections: Sequence[Selection]) -> dict[str, int]:
    return {
        "anomalies": anomalies,
        "firings_with_alerts": sum(bool(s.alerts) for s in selections),
        "firings_cut": sum(bool(s.cut) for s in selections),
        **_chosen(selections),
    }


def _chosen(selections: Sequence[Selection]) -> dict[str, int]:
    return {
        "alerts": sum(len(s.alerts) for s in selections),
        "suppressed": sum(len(s.suppressed) for s in selections),
        "expired": sum(len(s.expired) for s in selections),
    }


def _horizon(latest: int | None) -> str | None:
    """H of a replay: 2 h after the end of its last slice."""
    return None if latest is None else iso((latest + 1 + WINDOW) * SLICE_MS)


def _firing(selection: Selection, rule: str) -> dict[str, Any]:
    return {
        "firing": iso((selection.firing + 1) * SLICE_MS),
        "rule": rule,
        "new": selection.new,
        "alerts": len(selection.alerts),
        "cut": _held_back(selection.cut),
        "suppressed": _held_back(selection.suppressed),
        "expired": _held_back(selection.expired),
    }


def _held_back(scores: list[float]) -> dict[str, Any]:
    return {"number": len(scores), "scores": scores[:_SCORES]}
