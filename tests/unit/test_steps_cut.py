"""How a replay is cut: every object in one step, every step's end behind what it reads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps import LONG_DAYS, PATIENCE_MS, Step, cut, date_of, days_of, horizon_at, whole
from transforms.firing import DELIVERY_DELAY_MS, known_at, time_of, timing

DAY_MS = 86_400_000
SLICE_MS = 900_000
LAG = 9
"""Slices that a step ends behind its last folder date: 2 h and 15 minutes."""
MARCH_2 = 20_514
"""Days from 1970 to 2026-03-02."""


def folder(day: int, mark: str = "a") -> str:
    """An object in the folder of a day of March."""
    return f"/logs/AWSLogs/1/CloudTrail/eu-west-1/2026/03/{day:02}/{mark}.json.gz"


def named(day: int, mark: str = "a") -> str:
    """An object whose name alone tells its delivery."""
    return f"/flat/1_CloudTrail_eu-west-1_202603{day:02}T0830Z_{mark}.json.gz"


def end_of(day: int, lag: int = LAG) -> int:
    """The last firing of a step whose last folder date is a day of March."""
    return (MARCH_2 + day - 1) * 96 - lag - 1


def span(first: float, last: float) -> tuple[int, int]:
    """(first, last) event time, in days of March, as 2.5 for noon of the second."""
    return tuple(round((MARCH_2 - 2 + day) * DAY_MS) for day in (first, last))  # type: ignore[return-value]


def test_the_day_of_an_object_is_its_folders_else_its_names() -> None:
    assert date_of(folder(2)) == date_of(named(2)) == MARCH_2
    assert date_of("/logs/2026/03/02/1_CloudTrail_eu-west-1_20260309T0830Z_x.json.gz") == MARCH_2
    for undated in ("/logs/x.json", "/logs/2026/02/30/x.json", "/logs/1999/01/01/x.json"):
        assert date_of(undated) is None


def test_days_are_counted_from_the_first_to_the_last() -> None:
    assert days_of([folder(2)]) == 1
    assert days_of([folder(9), named(2), folder(3)]) == 8
    assert days_of([]) is None
    assert days_of([folder(2), "/logs/x.json"]) is None
    assert LONG_DAYS == 7


def test_a_step_reads_one_folder_date_and_ends_two_hours_and_a_quarter_behind_it() -> None:
    steps = cut([folder(2), folder(2, "b"), folder(3), folder(5)], 1, None)
    assert steps == [
        Step("2026-03-02", [folder(2), folder(2, "b")], end_of(2)),
        Step("2026-03-03", [folder(3)], end_of(3)),
        Step("2026-03-05", [folder(5)], None),
    ]
    ends = datetime.fromtimestamp((steps[0].until + 1) * SLICE_MS / 1000, UTC)  # type: ignore[operator]
    assert f"{ends:%Y-%m-%d %H:%M}" == "2026-03-02 21:45"


def test_a_step_of_several_days() -> None:
    steps = cut([folder(day) for day in (2, 3, 4, 5, 6, 9)], 3, None)
    assert [(step.name, step.names, step.until) for step in steps] == [
        ("2026-03-02+3d", [folder(2), folder(3), folder(4)], end_of(4)),
        ("2026-03-05+3d", [folder(5), folder(6)], end_of(7)),
        ("2026-03-08+3d", [folder(9)], None),
    ]


def test_no_step_goes_beyond_the_run() -> None:
    until = end_of(3) - 5
    steps = cut([folder(2), folder(3), folder(4)], 1, until)
    assert [step.until for step in steps] == [end_of(2), until, until]


def test_the_order_of_delivery_within_a_step_stays() -> None:
    names = [folder(3, "z"), named(3, "y"), folder(2, "x"), folder(3, "a")]
    assert [step.names for step in cut(names, 1, None)] == [
        [folder(2, "x")],
        [folder(3, "z"), named(3, "y"), folder(3, "a")],
    ]


def test_an_object_without_a_date_belongs_to_the_day_of_its_last_event() -> None:
    """And no step goes beyond the first event of what a later one reads; nothing is delivered late
    where nothing says when it was delivered.
    """
    spans = {"a": span(2.1, 2.9), "b": span(2.5, 3.5), "c": span(4.1, 4.2)}
    steps = cut(["a", "b", "c", "empty"], 1, None, spans)
    assert [step.names for step in steps] == [["empty", "a"], ["b"], ["c"]]
    noon = (spans["b"][0]) // SLICE_MS - 1
    assert [step.until for step in steps] == [noon, end_of(3, 0), None]


def test_with_dated_and_undated_objects_a_step_minds_both() -> None:
    spans = {"a": span(4.0, 4.5)}
    steps = cut([folder(2), folder(3), "a"], 1, None, spans)
    assert [step.names for step in steps] == [[folder(2)], [folder(3)], ["a"]]
    assert [step.until for step in steps] == [end_of(2), end_of(3), None]
    steps = cut([folder(2), folder(3), "a"], 1, None, {"a": span(2.25, 4.5)})
    early = span(2.25, 2)[0] // SLICE_MS - 1
    assert [step.until for step in steps] == [early, early, None]


def test_what_cannot_be_cut_is_one_step() -> None:
    assert cut([], 1, 7) == [whole([], 7)] == [Step("all", [], 7)]
    assert cut(["x", "y"], 1, None) == [Step("all", ["x", "y"], None)]


days = st.integers(1, 28)
undated = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.floats(1, 29), st.floats(0, 3)).map(lambda it: span(it[0], it[0] + it[1])),
)


@given(
    st.lists(st.one_of(days.map(folder), days.map(named)), unique=True),
    undated,
    st.integers(1, 9),
    st.one_of(st.none(), st.integers((MARCH_2 - 5) * 96, (MARCH_2 + 40) * 96)),
)
def test_every_object_is_in_one_step_and_no_step_outruns_a_later_one(
    dated: list[str], spans: dict[str, tuple[int, int]], length: int, until: int | None
) -> None:
    names = [*dated, *spans, "empty"]
    steps = cut(names, length, until, spans)
    assert sorted(name for step in steps for name in step.names) == sorted(names)
    assert len({step.name for step in steps}) == len(steps)
    ends = [step.until for step in steps]
    assert ends[-1] == until
    known = [end for end in ends if end is not None]
    assert known == sorted(known)
    assert len(known) >= len(ends) - 1, "only the last step may end when nothing is due"
    for number, step in enumerate(steps[:-1]):
        later = [name for other in steps[number + 1 :] for name in other.names]
        for name in later:
            date = date_of(name)
            if name in spans:
                assert step.until is not None
                assert (step.until + 1) * SLICE_MS <= spans[name][0]
            elif date is not None:
                assert step.until is not None
                assert step.until < date * 96 - LAG, "what is delivered late lies in a later folder"


@pytest.mark.parametrize("length", [1, 2, 7])
def test_where_a_step_ends_does_not_depend_on_what_comes_later(length: int) -> None:
    """A run that goes on when more folders are there finds the steps that are done unchanged."""
    names = [folder(day) for day in range(2, 20)]
    few, many = cut(names[:9], length, None), cut(names, length, None)
    assert many[: len(few) - 1] == few[:-1]


# The horizon of an incremental run


MINUTE = 60_000
times = st.integers(MARCH_2 * DAY_MS, (MARCH_2 + 60) * DAY_MS)


def test_a_horizon_follows_the_clock_while_there_are_deliveries() -> None:
    now = MARCH_2 * DAY_MS + 31 * MINUTE
    assert time_of(horizon_at(now, now - MINUTE)) == MARCH_2 * DAY_MS + 15 * MINUTE
    assert horizon_at(now, now - PATIENCE_MS) == horizon_at(now, now)
    assert PATIENCE_MS == 90 * MINUTE


def test_a_horizon_waits_for_a_source_that_is_silent() -> None:
    newest = MARCH_2 * DAY_MS + 4 * MINUTE
    late = {horizon_at(newest + days * DAY_MS, newest) for days in (1, 30, 27_000)}
    assert [time_of(horizon) for horizon in late] == [newest + 86 * MINUTE]


def test_something_new_moves_a_horizon_on_though_it_was_delivered_long_ago() -> None:
    newest, now = MARCH_2 * DAY_MS, (MARCH_2 + 9) * DAY_MS
    before = horizon_at(now, newest)
    assert horizon_at(now, newest, before) == before + 1
    assert horizon_at(now, newest, before - 3) == before
    assert horizon_at(newest + 15 * MINUTE, newest, before) < before, "not beyond the clock"


@given(
    newest=times, now=times, lag=st.integers(0, DELIVERY_DELAY_MS - 1), gap=st.integers(0, DAY_MS)
)
def test_what_comes_in_time_is_never_too_late(newest: int, now: int, lag: int, gap: int) -> None:
    """Whatever the clock said before: an event that is delivered within 15 minutes is learned."""
    arrival = newest + gap
    slice_ = (arrival - lag) // SLICE_MS
    known = max(known_at(slice_, arrival), horizon_at(now, newest) + 1)
    assert timing(slice_, known) != "too_late"
