"""Rows of counts: added up once each, whatever was repeated, and carried from run to run."""

import itertools
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from factory import anomaly, rule

from pipeline.accounting import run_document
from pipeline.chain import _account
from pipeline.files import read_json
from pipeline.runners import prepare
from pipeline.sinks import ACCOUNT, WriteAccount, account
from schemas.counts import ROW, Row, add_up, follow, nested
from schemas.selection import SELECTION, Selection

RULES = (rule("mine"), rule("yours"))
IDS = {each.uuid: each.id for each in RULES}
FIRING = 1_900_000


@pytest.mark.parametrize(
    ("rows", "total"),
    [
        ([], {}),
        ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
        ([{"a": 1}, {"a": 2}, {"a": -3}], {"a": 0}),
        ([{"latest|slice": 5}, {"latest|slice": 9}, {"latest|slice": 7}], {"latest|slice": 9}),
        ([{"latest|slice": -1}, {"latest|slice": -1}], {"latest|slice": -1}),
        ([{"held|x|entities": 1}, {"held|x|entities": 2}], {"held|x|entities": 3}),
    ],
)
def test_rows_add_up(rows: list[dict[str, int]], total: dict[str, int]) -> None:
    assert add_up(rows) == total
    assert add_up(reversed(rows)) == total
    assert add_up([add_up(rows[:1]), add_up(rows[1:])]) == total, "in parts, as Beam combines"


def test_counts_become_a_tree() -> None:
    assert nested({"b|y": 2, "a": 1, "b|x|z": 3}) == {"a": 1, "b": {"x": {"z": 3}, "y": 2}}


# Runs in a row


@pytest.mark.parametrize(
    ("before", "after", "both"),
    [
        ({}, {}, {}),
        ({"records|read": 3}, {"records|read": 4}, {"records|read": 7}),
        ({"records|read": 3}, {}, {"records|read": 3}),
        ({"latest|slice": 9}, {"latest|slice": 7}, {"latest|slice": 9}),
        ({"held|x|entities": 5}, {"held|x|entities": 2}, {"held|x|entities": 2}),
        ({"held|x|entities": 5}, {"held|y|entities": 2}, {"held|y|entities": 2}),
        ({"held|x|entities": 5}, {}, {}),
        ({}, {"held|x|entities": 2}, {"held|x|entities": 2}),
    ],
)
def test_of_runs_in_a_row_counts_add_up_and_what_is_held_is_the_last_ones(
    before: dict[str, int], after: dict[str, int], both: dict[str, int]
) -> None:
    given = dict(before), dict(after)
    assert follow(before, after) == both
    assert (before, after) == given, "left as they were"


def test_three_runs_in_a_row_may_be_taken_together_in_any_way() -> None:
    runs = [
        {"a": 1, "held|x": 7, "latest|slice": 3},
        {"a": 2, "held|y": 8, "latest|slice": 9},
        {"b": 5, "held|x": 9, "latest|slice": 4},
    ]
    for first, second, third in itertools.permutations(runs):
        last = follow(follow(first, second), third)
        assert follow(first, follow(second, third)) == last
        assert (last["a"], last["b"], last["latest|slice"]) == (3, 5, 9)
        held = {name for name in last if name.startswith("held|")}
        assert held == {name for name in third if name.startswith("held|")}


# The account of one graph


def written(folder: Path, rows: list[bytes], selections: list[bytes]) -> dict[str, Any]:
    """account.json as WriteAccount makes it on the job's own runner."""
    options = prepare(beam.options.pipeline_options.PipelineOptions([]))
    with beam.Pipeline(options=options) as pipeline:
        counts = pipeline | "Rows" >> beam.Create(rows)
        chosen = pipeline | "Selections" >> beam.Create(selections)
        (counts, chosen) | WriteAccount(folder, IDS)
    return read_json(folder / ACCOUNT)


UNITS = [
    ("read a#0", {"objects|read": 4, "records|read": 60, "records|events": 60}),
    ("read b#0", {"objects|read": 3, "records|read": 40, "records|unreadable": 40}),
    ("slices a#0", {"detectors|users|counted": 50}),
    ("score x", {"latest|slice": 3, "held|users|entities": 1}),
    ("score y", {"latest|slice": 8, "held|users|entities": 1}),
]


def selection(of: int = 0, firing: int = FIRING, **held: Any) -> Selection:
    given = {"alerts": [], "new": 0, "cut": [], "suppressed": [], "expired": []} | held
    return Selection(rule_id=RULES[of].uuid, firing=firing, **given)


def test_a_row_that_was_written_again_counts_once(tmp_path: Path) -> None:
    rows = [ROW.encode(Row(unit, counts)) for unit, counts in UNITS]
    chosen = [SELECTION.encode(selection(new=1, cut=[80.0]))]
    once = written(tmp_path / "once", rows, chosen)
    assert once["counts"] == {
        "objects|read": 7,
        "records|read": 100,
        "records|events": 60,
        "records|unreadable": 40,
        "detectors|users|counted": 50,
        "held|users|entities": 2,
        "latest|slice": 8,
    }
    assert [(each["rule"], each["new"]) for each in once["firings"]] == [("mine", 1)]
    assert written(tmp_path / "thrice", [*rows, *reversed(rows), rows[0]], chosen) == once


def test_of_two_rows_of_a_unit_one_counts_whole(tmp_path: Path) -> None:
    first, second = ({"records|read": n, "records|events": n} for n in (10, 11))
    rows = [ROW.encode(Row("read a#0", counts)) for counts in (first, second)]
    counts = written(tmp_path, rows, [])["counts"]
    assert (counts["records|read"], counts["records|events"]) in {(10, 10), (11, 11)}


def test_a_graph_that_counted_nothing_is_missed(tmp_path: Path) -> None:
    told = _account(tmp_path / ACCOUNT)
    assert told == {"counts": {}, "firings": []}
    header = {
        **{"started": "", "configuration": {}, "versions": {}, "carried_in": {}},
        "listing": {"listed": 7, "skipped": {}},
    }
    accounting = run_document(header, told["counts"], told["firings"], RULES)["accounting"]
    assert accounting["records"]["read"] == 0
    assert accounting["gaps"] == ["objects listed = read: 7 ≠ 0"]


def test_firings_come_in_order_whatever_order_they_arrive_in() -> None:
    alert = anomaly(RULES[0], 99.0, FIRING)
    said = [
        SELECTION.encode(selection(of, FIRING + n, new=n, alerts=[alert][:n]))
        for n in range(2)
        for of in range(2)
    ]
    ordered = account(said, IDS)["firings"]
    assert account(reversed(said), IDS)["firings"] == ordered
    assert [each["firing"] for each in ordered] == sorted(each["firing"] for each in ordered)
    uuids = {each.id: each.uuid for each in RULES}
    by_rule = [(each["firing"], uuids[each["rule"]]) for each in ordered]
    assert by_rule == sorted(by_rule)
    assert [each["alerts"] for each in ordered] == [0, 0, 1, 1]
