"""A run whose figures close, to be told with changes."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from factory import detector, rule

from pipeline.accounting import firing_document, run_document
from schemas.counts import add_up
from schemas.rule import Rule
from schemas.selection import Selection
from transforms.alert import RuleFold

RULE = rule("mine")
CITY = rule("yours", detector=detector(fields=("source.geo.city_name",)))
RULES = (RULE, CITY)
USER_NAME, CITY_NAME = (each.detector.name for each in RULES)
FIRING = 1_900_000
"""2024-03-09T16:15:00Z is the end of its slice."""

HEADER = {
    "started": "2026-03-02T00:00:00+00:00",
    "carried_in": {f"held|{USER_NAME}|not_due": 4, f"held|{USER_NAME}|entities": 3},
    "listing": {"listed": 7, "skipped": {"empty folders": 1, "links to nothing": 2}},
    "configuration": {"inputs": ["logs"]},
    "versions": {"raretrail": "0.1.0"},
}

COUNTS = {
    "objects|read": 7,
    "objects|unreadable": 1,
    "records|read": 100,
    "records|unreadable": 5,
    "records|out_of_range": 3,
    "records|outside_from_until": 12,
    "records|events": 80,
    "records|not_records": 2,
    f"detectors|{USER_NAME}|without_its_fields": 30,
    f"detectors|{USER_NAME}|counted": 50,
    f"detectors|{CITY_NAME}|without_its_fields": 79,
    f"detectors|{CITY_NAME}|counted": 1,
    f"cells|{USER_NAME}|on_time": 43,
    f"cells|{USER_NAME}|late": 3,
    f"cells|{USER_NAME}|too_late": 2,
    f"cells|{USER_NAME}|cells": 40,
    f"cells|{USER_NAME}|judged": 33,
    f"cells|{USER_NAME}|known": 2,
    f"cells|{USER_NAME}|too_young": 2,
    f"cells|{USER_NAME}|flood_excess": 3,
    f"usual|{USER_NAME}": 1,
    f"cells|{USER_NAME}|distinct_events": 45,
    f"cells|{USER_NAME}|candidates": 4,
    f"held|{USER_NAME}|not_due": 6,
    f"held|{USER_NAME}|entities": 9,
    f"weighed|{USER_NAME}": 4,
    f"cells|{CITY_NAME}|candidates": 0,
    f"cells|{CITY_NAME}|on_time": 1,
    f"cells|{CITY_NAME}|cells": 1,
    f"cells|{CITY_NAME}|judged": 1,
    f"cells|{CITY_NAME}|distinct_events": 1,
    f"held|{CITY_NAME}|not_due": 0,
    f"held|{CITY_NAME}|entities": 1,
    "anomalies|mine": 4,
    "latest|slice": FIRING - 1,
}
"""A run from a snapshot to a horizon: 4 deliveries of users were carried in, 6 are left."""


def account(
    changes: Mapping[str, int | None] | None = None,
    selections: Iterable[Selection] = (),
    **header: Any,
) -> dict[str, Any]:
    """run.json after COUNTS with changes; a change to None takes the figure out."""
    counts = {name: n for name, n in {**COUNTS, **(changes or {})}.items() if n is not None}
    firings = []
    for each in selections:
        (of,) = (one for one in RULES if one.uuid == each.rule_id)
        state = RuleFold(of)
        state.count(each)
        counts = add_up((counts, state.counts))
        firings.append(firing_document(each, of.id))
    document = run_document(HEADER | header, counts, firings, RULES)
    return json.loads(json.dumps(document, allow_nan=False))


def selection(of: Rule = RULE, firing: int = FIRING, **held: Any) -> Selection:
    given = {"alerts": [], "new": 0, "cut": [], "suppressed": [], "expired": []} | held
    return Selection(rule_id=of.uuid, firing=firing, **given)
