"""The account of a run: equations that close, and words where they do not."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from factory import anomaly, detector, rule

from pipeline.accounting import run_document
from pipeline.report import report
from pipeline.runners import prepare
from pipeline.sinks import WriteRun
from schemas.counts import ROW, Row, add_up, nested
from schemas.rule import Rule
from schemas.selection import SELECTION, Selection

RULE = rule("mine")
CITY = rule("yours", detector=detector(fields=("source.geo.city_name",)))
RULES = (RULE, CITY)
USER_NAME, CITY_NAME = (each.detector.name for each in RULES)
FIRING = 1_900_000
"""2024-03-09T16:15:00Z is the end of its slice."""

HEADER = {
    "started": "2026-03-02T00:00:00+00:00",
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
    f"cells|{USER_NAME}|delivered": 50,
    f"cells|{USER_NAME}|cells": 40,
    f"cells|{USER_NAME}|judged": 40,
    f"cells|{USER_NAME}|distinct_events": 45,
    f"cells|{USER_NAME}|candidates": 4,
    f"weighed|{USER_NAME}": 4,
    f"cells|{CITY_NAME}|candidates": 0,
    f"cells|{CITY_NAME}|delivered": 1,
    f"cells|{CITY_NAME}|cells": 1,
    f"cells|{CITY_NAME}|judged": 1,
    f"cells|{CITY_NAME}|distinct_events": 1,
    f"entities|{USER_NAME}": 9,
    f"entities|{CITY_NAME}": 1,
    "anomalies|mine": 4,
    "latest|slice": FIRING - 1,
}


def account(
    changes: dict[str, int] | None = None, selections: Iterable[Selection] = ()
) -> dict[str, Any]:
    """run.json after COUNTS with changes; a change to None takes the figure out."""
    counts = {name: n for name, n in {**COUNTS, **(changes or {})}.items() if n is not None}
    document = run_document(HEADER, counts, list(selections), RULES)
    return json.loads(json.dumps(document, allow_nan=False))


def selection(of: Rule = RULE, firing: int = FIRING, **held: Any) -> Selection:
    given = {"alerts": [], "new": 0, "cut": [], "suppressed": [], "expired": []} | held
    return Selection(rule_id=of.uuid, firing=firing, **given)


def test_a_sound_run_closes() -> None:
    document = account()
    assert list(document) == [
        *("accounting", "configuration", "versions", "started", "firings", "metrics")
    ]
    accounting = document["accounting"]
    assert accounting["closes"] is True
    assert accounting["gaps"] == []
    assert accounting["objects"] == {
        "listed": 7,
        "read": 7,
        "unreadable": 1,
        "skipped": {"empty folders": 1, "links to nothing": 2},
    }
    assert accounting["records"] == {
        "read": 100,
        "unreadable": 5,
        "out_of_range": 3,
        "outside_from_until": 12,
        "events": 80,
        "not_records": 2,
    }
    assert accounting["detectors"] == {
        USER_NAME: {"events": 80, "without_its_fields": 30, "counted": 50},
        CITY_NAME: {"events": 80, "without_its_fields": 79, "counted": 1},
    }
    assert accounting["cells"][USER_NAME] == {
        "delivered": 50,
        "cells": 40,
        "judged": 40,
        "candidates": 4,
        "distinct_events": 45,
    }
    assert accounting["weighed"] == {USER_NAME: 4}
    nothing = dict.fromkeys(("alertable", "selected_from", "alerts", "suppressed", "expired"), 0)
    assert accounting["alerts"] == {"mine": nothing, "yours": nothing}
    assert document["configuration"] == {"inputs": ["logs"]}
    assert document["versions"] == {"raretrail": "0.1.0"}


@pytest.mark.parametrize("off", [-1, 1])
@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ("objects|read", "objects listed = read: 7 ≠ {read}"),
        ("records|read", "records read = unreadable + out_of_range + outside_from_until + events"),
        ("records|unreadable", "records read ="),
        ("records|out_of_range", "records read ="),
        ("records|outside_from_until", "records read ="),
        ("records|events", "records read ="),
        (f"detectors|{USER_NAME}|counted", f"{USER_NAME}: events = without its fields + counted"),
        (f"detectors|{USER_NAME}|without_its_fields", f"{USER_NAME}: events ="),
        (f"detectors|{CITY_NAME}|counted", f"{CITY_NAME}: events ="),
        (f"cells|{USER_NAME}|delivered", f"{USER_NAME}: counted = delivered in cells"),
        (f"cells|{USER_NAME}|cells", f"{USER_NAME}: cells = judged"),
        (f"cells|{USER_NAME}|judged", f"{USER_NAME}: cells = judged"),
        (f"cells|{CITY_NAME}|judged", f"{CITY_NAME}: cells = judged"),
        (f"cells|{USER_NAME}|candidates", f"{USER_NAME}: candidates = weighed"),
        (f"weighed|{USER_NAME}", f"{USER_NAME}: candidates = weighed"),
    ],
)
def test_a_figure_that_is_off_by_one_is_a_gap_in_words(figure: str, words: str, off: int) -> None:
    document = account({figure: COUNTS[figure] + off})["accounting"]
    assert document["closes"] is False
    assert any(gap.startswith(words.format(read=7 + off)) for gap in document["gaps"])
    assert all(" ≠ " in gap for gap in document["gaps"])


@pytest.mark.parametrize(
    "missing",
    [
        ["objects|read"],
        ["records|events"],
        # a step that lost all of its figures, as when its timers went to another step
        [name for name in COUNTS if name.startswith(f"detectors|{USER_NAME}")],
        [name for name in COUNTS if name.startswith("detectors")],
        [name for name in COUNTS if name.startswith(f"cells|{USER_NAME}")],
        [name for name in COUNTS if name.startswith("cells")],
        [name for name in COUNTS if name.startswith("weighed")],
    ],
)
def test_figures_that_are_missing_do_not_close(missing: list[str]) -> None:
    document = account(dict.fromkeys(missing))["accounting"]
    assert document["closes"] is False
    assert document["gaps"]


ENDED = [
    selection(new=4, alerts=[anomaly(RULE, 99.0, FIRING)], suppressed=[80.0], cut=[79.0, 78.0]),
    selection(firing=FIRING + 1, alerts=[anomaly(RULE, 79.0, FIRING)], cut=[78.0]),
    selection(firing=FIRING + 8, expired=[78.0]),
]
"""Of four anomalies at the threshold two became alerts; what was cut waits, and is no end."""


@pytest.mark.parametrize(
    ("alertable", "said", "words"),
    [
        (4, ENDED, None),
        (3, ENDED, "mine: alertable = selected from: 3 ≠ 4"),
        (5, ENDED, "mine: alertable = selected from: 5 ≠ 4"),
        (4, [], "mine: alertable = selected from: 4 ≠ 0"),
        (4, ENDED[:1], "mine: alertable = alerts + suppressed + expired: 4 ≠ 2"),
        (4, ENDED[:2], "mine: alertable = alerts + suppressed + expired: 4 ≠ 3"),
        (4, [*ENDED, ENDED[2]], "mine: alertable = alerts + suppressed + expired: 4 ≠ 5"),
    ],
)
def test_what_may_alert_is_alerted_suppressed_or_expired(
    alertable: int, said: list[Selection], words: str | None
) -> None:
    document = account({"alertable|mine": alertable}, said)["accounting"]
    assert document["closes"] is (words is None)
    assert (words in document["gaps"]) if words else not document["gaps"]


def test_nothing_to_judge_closes() -> None:
    counts = {"objects|read": 7, "objects|unreadable": 7, "records|read": 7}
    document = run_document(HEADER, counts | {"records|unreadable": 7}, [], RULES)
    assert document["accounting"]["closes"] is True
    assert document["accounting"]["records"]["events"] == 0
    assert document["metrics"]["horizon"] is None


def test_gaps_are_told_on_the_terminal(tmp_path: Path) -> None:
    document = account({"records|events": 81})
    document["metrics"]["seconds"] = 1.0
    applied = [
        {"id": name, "uuid": name, "name": name, "threshold": 75} for name in ("mine", "yours")
    ]
    document["configuration"]["rules_applied"] = [
        {**rule, "counts": USER_NAME, "detector": RULE.detector.fingerprint()} for rule in applied
    ]
    (tmp_path / "alerts.ndjson").touch()
    lines = list(report(document, tmp_path))
    at = lines.index("THE ACCOUNTING DOES NOT CLOSE; please report this:")
    assert lines[at + 1 : at + 3] == [f"  {gap}" for gap in document["accounting"]["gaps"][:2]]
    assert "Every record is accounted for." not in lines


# Firings


def test_firings_say_what_was_held_back() -> None:
    alerts = [anomaly(RULE, 99.0, FIRING, user=f"user{n}") for n in range(3)]
    said = [
        selection(
            new=9,
            alerts=alerts,
            cut=[90.0, 80.5],
            suppressed=[77.0],
            expired=[76.0, 75.5, 75.0],
        )
    ]
    assert account({}, said)["firings"] == [
        {
            "firing": "2024-03-09T16:15:00.000Z",
            "rule": "mine",
            "new": 9,
            "alerts": 3,
            "cut": {"number": 2, "scores": [90.0, 80.5]},
            "suppressed": {"number": 1, "scores": [77.0]},
            "expired": {"number": 3, "scores": [76.0, 75.5, 75.0]},
        }
    ]


@pytest.mark.parametrize("number", [999, 1_000, 1_001, 5_000])
@pytest.mark.parametrize("kind", ["cut", "suppressed", "expired"])
def test_lists_of_scores_are_bounded_and_their_numbers_exact(kind: str, number: int) -> None:
    scores = [100 - n / 1000 for n in range(number)]
    (firing,) = account({}, [selection(**{kind: scores})])["firings"]
    assert firing[kind] == {"number": number, "scores": scores[:1_000]}


def test_firings_come_in_order_whatever_order_they_arrive_in() -> None:
    said = [selection(of, FIRING + n) for n in range(3) for of in RULES]
    ordered = account({}, said)["firings"]
    assert account({}, reversed(said))["firings"] == ordered
    assert [each["firing"] for each in ordered] == sorted(each["firing"] for each in ordered)
    assert [each["rule"] for each in ordered].count("mine") == 3


# Metrics


def test_metrics() -> None:
    alert = anomaly(RULE, 99.0, FIRING)
    said = [
        selection(new=3, alerts=[alert], cut=[80.0, 79.0]),
        selection(firing=FIRING + 1, alerts=[alert, alert], suppressed=[80.0]),
        selection(firing=FIRING + 2, expired=[79.0, 78.0]),
        selection(CITY, new=1, alerts=[alert]),
    ]
    metrics = account({}, said)["metrics"]
    assert metrics["rules"] == {
        "mine": {
            "anomalies": 4,
            "alerts": 3,
            "firings_with_alerts": 2,
            "firings_cut": 1,
            "suppressed": 1,
            "expired": 2,
        },
        "yours": {
            "anomalies": 0,
            "alerts": 1,
            "firings_with_alerts": 1,
            "firings_cut": 0,
            "suppressed": 0,
            "expired": 0,
        },
    }
    assert metrics["entities"] == {USER_NAME: 9, CITY_NAME: 1}
    assert metrics["horizon"] == "2024-03-09T18:00:00.000Z", "end of the last slice plus 2 h"


# Rows


@pytest.mark.parametrize(
    ("rows", "total"),
    [
        ([], {}),
        ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
        ([{"a": 1}, {"a": 2}, {"a": -3}], {"a": 0}),
        ([{"latest|slice": 5}, {"latest|slice": 9}, {"latest|slice": 7}], {"latest|slice": 9}),
        ([{"latest|slice": -1}, {"latest|slice": -1}], {"latest|slice": -1}),
    ],
)
def test_rows_add_up(rows: list[dict[str, int]], total: dict[str, int]) -> None:
    assert add_up(rows) == total
    assert add_up(reversed(rows)) == total
    assert add_up([add_up(rows[:1]), add_up(rows[1:])]) == total, "in parts, as Beam combines"


def test_counts_become_a_tree() -> None:
    assert nested({"b|y": 2, "a": 1, "b|x|z": 3}) == {"a": 1, "b": {"x": {"z": 3}, "y": 2}}


def written(folder: Path, rows: list[bytes], selections: list[bytes]) -> dict[str, Any]:
    """run.json as WriteRun makes it on the job's own runner."""
    options = prepare(beam.options.pipeline_options.PipelineOptions([]))
    with beam.Pipeline(options=options) as pipeline:
        counts = pipeline | "Rows" >> beam.Create(rows)
        chosen = pipeline | "Selections" >> beam.Create(selections)
        (counts, chosen) | WriteRun(folder, HEADER, RULES)
    return json.loads((folder / "run.json").read_bytes())


UNITS = [
    ("read a#0", {"objects|read": 4, "records|read": 60, "records|events": 60}),
    ("read b#0", {"objects|read": 3, "records|read": 40, "records|unreadable": 40}),
    ("slices a#0", {name: n for name, n in COUNTS.items() if name.startswith("detectors|")}),
    ("score x", {"latest|slice": 3, f"entities|{USER_NAME}": 1}),
    ("score y", {"latest|slice": 8, f"entities|{USER_NAME}": 1}),
]


def test_a_row_that_was_written_again_counts_once(tmp_path: Path) -> None:
    rows = [ROW.encode(Row(unit, counts)) for unit, counts in UNITS]
    chosen = [SELECTION.encode(selection(new=1, cut=[80.0]))]
    once = written(tmp_path / "once", rows, chosen)
    assert once["accounting"]["objects"]["read"] == 7
    assert once["accounting"]["records"]["read"] == 100
    assert once["metrics"]["entities"] == {USER_NAME: 2}
    assert once["metrics"]["horizon"].startswith("1970-01-01T04:15")
    assert len(once["firings"]) == 1
    assert written(tmp_path / "thrice", [*rows, *reversed(rows), rows[0]], chosen) == once


def test_of_two_rows_of_a_unit_one_counts_whole(tmp_path: Path) -> None:
    first, second = ({"records|read": n, "records|events": n} for n in (10, 11))
    rows = [ROW.encode(Row("read a#0", counts)) for counts in (first, second)]
    records = written(tmp_path, rows, [])["accounting"]["records"]
    assert (records["read"], records["events"]) in {(10, 10), (11, 11)}


def test_run_json_is_written_when_nothing_was_counted(tmp_path: Path) -> None:
    document = written(tmp_path, [], [])
    assert document["accounting"]["records"]["read"] == 0
    assert document["accounting"]["gaps"] == ["objects listed = read: 7 ≠ 0"]
