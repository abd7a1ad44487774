"""The account of a run: where every record went, and whether the figures close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.counts import LATEST, nested
from schemas.event import SLICE_MS
from schemas.rule import Rule, detectors
from schemas.selection import Selection
from schemas.words import iso

_SCORES: Final = 1_000
"""Most scores of one list in run.json; the number stands beside them."""
_WINDOW: Final = 8
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
    accounting = _accounting(header["listing"], counts)
    accounting["alerts"] = _selected(counts, chosen, ids)
    names = [detector.name for detector in detectors(rules)]
    gaps = unclosed(accounting, names)
    return {
        "accounting": {**accounting, "closes": not gaps, "gaps": gaps},
        "configuration": header["configuration"],
        "versions": header["versions"],
        "started": header["started"],
        "firings": [_firing(selection, ids[selection.rule_id]) for selection in chosen],
        "metrics": _metrics(counts, chosen, ids),
    }


def _accounting(listing: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    tree = nested(counts)
    objects = {"listed": listing["listed"], "read": 0, "unreadable": 0, **tree.get("objects", {})}
    records = dict.fromkeys(("read", *_RECORDS, "not_records"), 0) | tree.get("records", {})
    detectors = {
        name: {"events": records["events"], **figures}
        for name, figures in tree.get("detectors", {}).items()
    }
    return {
        "objects": {
            **objects,
            "skipped": listing["skipped"],
        },
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


def _selected(
    counts: Mapping[str, int], selections: Sequence[Selection], ids: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """By rule: anomalies that may alert, and what became of them."""
    return {
        rule: {
            "alertable": counts.get(f"alertable|{rule}", 0),
            "selected_from": sum(s.new for s in selections if s.rule_id == uuid),
            "alerts": sum(len(s.alerts) for s in selections if s.rule_id == uuid),
            "suppressed": sum(len(s.suppressed) for s in selections if s.rule_id == uuid),
            "expired": sum(len(s.expired) for s in selections if s.rule_id == uuid),
        }
        for uuid, rule in ids.items()
    }


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


def _metrics(
    counts: Mapping[str, int], selections: Sequence[Selection], ids: Mapping[str, str]
) -> dict[str, Any]:
    tree = nested(counts)
    latest = counts.get(f"{LATEST}slice")
    rules = {
        rule: {
            "anomalies": tree.get("anomalies", {}).get(rule, 0),
            "alerts": sum(len(s.alerts) for s in mine),
            "firings_with_alerts": sum(bool(s.alerts) for s in mine),
            "firings_cut": sum(bool(s.cut) for s in mine),
            "suppressed": sum(len(s.suppressed) for s in mine),
            "expired": sum(len(s.expired) for s in mine),
        }
        for uuid, rule in ids.items()
        for mine in [[s for s in selections if s.rule_id == uuid]]
    }
    return {
        "rules": rules,
        "entities": tree.get("entities", {}),
        "horizon": None if latest is None else iso((latest + 1 + _WINDOW) * SLICE_MS),
    }
