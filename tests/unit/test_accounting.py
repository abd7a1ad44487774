"""The account of a run: equations that close, and words where they do not."""

from dataclasses import replace
from pathlib import Path

import pytest
from accounts import CITY_NAME, COUNTS, FIRING, HEADER, RULE, RULES, USER_NAME, account
from factory import BY_CITY, detector, rule

from pipeline.accounting import run_document
from pipeline.report import report


def test_a_sound_run_closes() -> None:
    document = account()
    assert list(document) == [
        *("accounting", "configuration", "versions", "started"),
        *("firings", "calibration", "metrics"),
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
        USER_NAME: {
            "events": 80,
            "without_its_fields": 30,
            "counted": 50,
            "not_due_before": 4,
            "on_time": 43,
            "late": 3,
            "too_late": 2,
            "not_due": 6,
        },
        CITY_NAME: {
            "events": 80,
            "without_its_fields": 79,
            "counted": 1,
            "not_due_before": 0,
            "on_time": 1,
            "late": 0,
            "too_late": 0,
            "not_due": 0,
        },
    }
    assert accounting["cells"][USER_NAME] == {
        "cells": 40,
        "judged": 32,
        "known": 2,
        "usual": 1,
        "too_young": 2,
        "flood_excess": 3,
        "candidates": 4,
        "distinct_events": 45,
    }
    assert accounting["weighed"] == {USER_NAME: 4}
    figures = "alertable selected_from alerts suppressed expired waiting_before waiting"
    nothing = dict.fromkeys(figures.split(), 0)
    assert accounting["alerts"] == {"mine": nothing, "yours": nothing}
    assert document["configuration"] == {"inputs": ["logs"]}
    assert document["versions"] == {"raretrail": "0.1.0"}


DUE = f"{USER_NAME}: counted + not due before = on time + late + too late + not due: "


FATES = f"{USER_NAME}: cells = judged + known + usual + too_young + flood_excess: 40 ≠ "


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
        (f"detectors|{USER_NAME}|counted", DUE),
        (f"cells|{USER_NAME}|on_time", DUE + "54 ≠ {due}"),
        (f"cells|{USER_NAME}|late", DUE + "54 ≠ {due}"),
        (f"cells|{USER_NAME}|too_late", DUE + "54 ≠ {due}"),
        (f"held|{USER_NAME}|not_due", DUE + "54 ≠ {due}"),
        (f"held|{CITY_NAME}|not_due", f"{CITY_NAME}: counted + not due before ="),
        (f"cells|{USER_NAME}|cells", f"{USER_NAME}: cells = judged + known"),
        (f"cells|{USER_NAME}|judged", f"{USER_NAME}: cells = judged + known"),
        (f"cells|{USER_NAME}|known", f"{USER_NAME}: cells = judged + known"),
        (f"cells|{USER_NAME}|too_young", FATES),
        (f"cells|{USER_NAME}|flood_excess", FATES),
        (f"cells|{CITY_NAME}|judged", f"{CITY_NAME}: cells = judged"),
        (f"cells|{USER_NAME}|candidates", f"{USER_NAME}: candidates = weighed"),
        (f"weighed|{USER_NAME}", f"{USER_NAME}: candidates = weighed"),
    ],
)
def test_a_figure_that_is_off_by_one_is_a_gap_in_words(figure: str, words: str, off: int) -> None:
    document = account({figure: COUNTS[figure] + off})["accounting"]
    assert document["closes"] is False
    told = words.format(read=7 + off, due=54 + off)
    assert any(gap.startswith(told) for gap in document["gaps"])
    assert all(" ≠ " in gap for gap in document["gaps"])


@pytest.mark.parametrize("off", [-1, 1])
def test_what_was_carried_in_is_part_of_the_sum(off: int) -> None:
    carried = {f"held|{USER_NAME}|not_due": 4 + off}
    assert account(carried_in=carried)["accounting"]["gaps"] == [f"{DUE}{54 + off} ≠ 54"]


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
        [name for name in COUNTS if name.startswith("held")],
        [name for name in COUNTS if name.startswith("weighed")],
    ],
)
def test_figures_that_are_missing_do_not_close(missing: list[str]) -> None:
    document = account(dict.fromkeys(missing))["accounting"]
    assert document["closes"] is False
    assert document["gaps"]


NOTHING_READ: dict[str, int | None] = {
    **{n: None for n in COUNTS if n.startswith(("records", "detectors", "weighed", "usual"))},
    **{n: None for n in COUNTS if n.startswith("cells")},
    f"held|{USER_NAME}|not_due": 0,
}
"""A run that finds nothing to read."""


def test_what_was_not_due_is_missed_by_a_run_that_reads_nothing() -> None:
    """It goes on from a snapshot, whose 4 deliveries become due: there are figures for it."""
    judged = {f"cells|{USER_NAME}|{what}": 3 for what in ("cells", "judged")}
    document = account(NOTHING_READ | judged | {f"cells|{USER_NAME}|on_time": 3})["accounting"]
    assert document["gaps"] == [f"{DUE}4 ≠ 3"]
    assert document["detectors"][USER_NAME]["on_time"] == 3
    document = account(NOTHING_READ | judged | {f"cells|{USER_NAME}|on_time": 4})["accounting"]
    assert document["closes"] is True


def test_nothing_to_judge_closes() -> None:
    counts = {"objects|read": 7, "objects|unreadable": 7, "records|read": 7}
    header = HEADER | {"carried_in": {}}
    document = run_document(header, counts | {"records|unreadable": 7}, [], RULES)
    assert document["accounting"]["closes"] is True
    assert document["accounting"]["records"]["events"] == 0
    assert document["metrics"]["horizon"] is None


def test_gaps_are_told_on_the_terminal(tmp_path: Path) -> None:
    document = account({"records|events": 81})
    document["metrics"]["seconds"] = 1.0
    applied = [
        {"id": name, "uuid": name, "name": name, "threshold": 75} for name in ("mine", "yours")
    ]
    document["configuration"] |= {"incremental": False, "snapshot_out": None}
    document["configuration"]["rules_applied"] = [
        {**rule, "counts": USER_NAME, "detector": RULE.detector.fingerprint()} for rule in applied
    ]
    (tmp_path / "alerts.ndjson").touch()
    lines = list(report(document, tmp_path))
    at = lines.index("THE ACCOUNTING DOES NOT CLOSE; please report this:")
    assert lines[at + 1 : at + 3] == [f"  {gap}" for gap in document["accounting"]["gaps"][:2]]
    assert "Every record is accounted for." not in lines


def test_a_cell_that_peers_find_usual_is_not_judged() -> None:
    """The entity's step counted it so; the peers' step knows better."""
    cells = account({f"usual|{USER_NAME}": 5})["accounting"]["cells"][USER_NAME]
    assert (cells["usual"], cells["judged"]) == (5, 28)
    assert account({f"usual|{USER_NAME}": 5})["accounting"]["closes"] is True


# Calibration


def test_the_calibration_tells_since_when_and_how_many_to_expect() -> None:
    known, young = rule("known", detector=detector("contrast")), rule("young", cases_per_day=1)
    young = replace(young, detector=detector("contrast", BY_CITY, name="cities"))
    at = {name: f"held|scopes|organisation|{name}" for name in ("contrast-by-user", "cities")}
    counts = {f"{at['contrast-by-user']}|days": 9, f"{at['contrast-by-user']}|since": FIRING}
    counts |= {f"{at['cities']}|days": 3, f"{at['cities']}|since": -1}
    told = run_document(HEADER, COUNTS | counts, [], [*RULES, known, young])["calibration"]
    assert told == {
        "known": {
            "organisation": {
                "since": "2024-03-09T16:15:00.000Z",
                "working_days": 9,
                "cases_a_day": {"50": 30.0, "75": 3.0, "90": 0.48},
            }
        },
        "young": {
            "organisation": {
                "since": None,
                "working_days": 3,
                "cases_a_day": {"50": 10.0, "75": 1.0, "90": 0.16},
            }
        },
    }


# Metrics


def test_the_horizon_is_the_one_given_else_2_h_after_the_last_slice() -> None:
    assert account()["metrics"]["horizon"] == "2024-03-09T18:00:00.000Z"
    given = account(horizon=FIRING + 1)["metrics"]["horizon"]
    assert given == "2024-03-09T16:30:00.000Z"


def test_entities_are_counted_when_the_run_ends() -> None:
    """Not what was carried in, nor both."""
    assert account()["metrics"]["entities"] == {USER_NAME: 9, CITY_NAME: 1}
