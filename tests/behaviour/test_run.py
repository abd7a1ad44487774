"""`raretrail run`, whole: what it reads, counts and finds equals what is known by other means."""

from __future__ import annotations

from figures import FOLDERS, PLACES, USERS, alerted, files_of, matches
from town import ALERTED_OF_CITIES, ALERTED_OF_USERS, Done, Town, cells_of


def test_it_ends_well_and_leaves_its_files_and_no_others(done: Done) -> None:
    assert (done.status, done.err) == (0, "")
    assert files_of(done.output) == sorted([*FOLDERS, "anomalies/all-DIGEST.avro"])


def test_every_figure_equals_a_count_by_other_means(town: Town, done: Done) -> None:
    matches(town, done, town.deliveries)
    accounting = done.run["accounting"]
    assert accounting["objects"] == {
        "listed": len(town.delivered),
        "read": len(town.delivered),
        "unreadable": 0,
        "skipped": {},
    }
    assert accounting["records"]["read"] == len(town.deliveries) > len(town.calls)
    assert done.dead == []


def test_repeated_records_count_once_in_cells(town: Town, done: Done) -> None:
    """The cells of 15 events and fewer are counted exactly; one of 40 is an estimate."""
    cells = done.run["accounting"]["cells"]
    for name, entity in ((USERS, "user"), (PLACES, "city")):
        once = sum(bool(cells_of([call], entity)) for call in town.calls)
        assert abs(cells[name]["distinct_events"] - once) <= 20
        assert cells[name]["distinct_events"] < done.run["accounting"]["detectors"][name]["counted"]


def test_it_alerts_on_what_was_planted_and_on_nothing_else(done: Done) -> None:
    assert alerted(done, USERS) == ALERTED_OF_USERS
    assert alerted(done, PLACES) == ALERTED_OF_CITIES
    assert len(done.alerts) == len(ALERTED_OF_USERS) + len(ALERTED_OF_CITIES)
    rules = done.run["accounting"]["alerts"].values()
    assert [rule["suppressed"] for rule in rules] == [1, 1]
    assert sorted(rule["alerts"] for rule in rules) == [3, 4]
