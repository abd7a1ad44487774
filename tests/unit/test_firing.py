"""Time, exact at its edges: when an event becomes known, what is late, when a timer is due."""

from __future__ import annotations

import pytest
from factory import SLICE, at, detector, event
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.event import Event, EventBatch
from schemas.slices import Group, unpack
from transforms.cells import Bundle
from transforms.firing import (
    DELIVERY_DELAY_MS,
    STEP_LAG_MS,
    WINDOW,
    due_time,
    fired_by,
    known_at,
    last_firing,
    time_of,
    timing,
)

DELAY = 15 * 60 * 1000
START = 1_900_000
T = at(START + 1)
"""When the firing of slice START happens: at its end."""

slices = st.integers(-1_000, 3_000_000)
times = st.integers(at(-1_000), at(3_000_000))
steps = st.integers(0, 3)
laws = settings(max_examples=300, deadline=None, derandomize=True)


def test_the_constants_are_those_of_the_page() -> None:
    assert DELIVERY_DELAY_MS == DELAY
    assert WINDOW == 8
    assert STEP_LAG_MS == (2 * 60 + 15) * 60 * 1000


def test_a_firing_happens_at_the_end_of_the_slice_that_it_judges() -> None:
    assert time_of(START) == T
    assert time_of(0) == SLICE
    assert time_of(-1) == 0


# Known


@pytest.mark.parametrize(
    ("arrival", "firings"),
    [
        (at(START), 0),
        (T, 0),
        (T + DELAY - 1, 0),
        (T + DELAY, 1),
        (T + SLICE + DELAY - 1, 1),
        (T + SLICE + DELAY, 2),
        (T + 7 * SLICE + DELAY - 1, 7),
        (T + 7 * SLICE + DELAY, 8),
        (T + 1000 * SLICE + DELAY, 1001),
    ],
)
def test_an_event_becomes_known_at_the_first_firing_that_waited_for_it(
    arrival: int, firings: int
) -> None:
    assert known_at(START, arrival) == START + firings


@pytest.mark.parametrize("arrival", [None, 0, -at(5), at(START - 500)])
def test_no_event_becomes_known_before_its_own_firing(arrival: int | None) -> None:
    """None is a replay; an arrival before the event is a clock that is wrong."""
    assert known_at(START, arrival) == START


@laws
@given(slices, times)
def test_known_is_the_first_firing_whose_time_and_delay_are_after_the_arrival(
    slice_: int, arrival: int
) -> None:
    firing = known_at(slice_, arrival)
    assert firing >= slice_
    assert firing == slice_ or arrival >= time_of(firing - 1) + DELAY
    assert arrival < time_of(firing) + DELAY


@laws
@given(slices, times)
def test_what_arrives_before_a_timer_is_known_to_it(slice_: int, arrival: int) -> None:
    """The watermark that lets a timer go says that everything before it has arrived."""
    assert arrival < due_time(known_at(slice_, arrival), step=0)
    assert known_at(slice_, arrival) == max(slice_, fired_by(arrival, step=0) + 1)


@pytest.mark.parametrize(
    ("arrival", "firing"),
    [(None, START), (T + DELAY - 1, START), (T + DELAY, START + 1), (T + 9 * SLICE, START + 9)],
)
def test_events_are_counted_under_the_firing_that_their_arrival_gives(
    arrival: int | None, firing: int
) -> None:
    (group,) = groups([event(at(START, 899.999))], arrival)
    assert (group.slice, group.firing) == (START, firing)


def test_one_bundle_keeps_apart_what_becomes_known_at_different_firings() -> None:
    events = [event(at(START, 1), "Get"), event(at(START + 2, 1), "Get")]
    found = [(g.slice, g.firing) for g in groups(events, T + SLICE + DELAY)]
    assert found == [(START, START + 2), (START + 2, START + 2)]


def groups(events: list[Event], arrival: int | None) -> list[Group]:
    bundle = Bundle((detector(),))
    bundle.add(EventBatch("unit", events, arrival))
    ((_, data),) = bundle.flush()
    return list(unpack(data))


# On time, late, too late


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (-1, "on_time"),
        (0, "on_time"),
        (1, "late"),
        (7, "late"),
        (8, "too_late"),
        (9, "too_late"),
        (100_000, "too_late"),
    ],
)
def test_late_is_what_comes_before_its_slice_is_settled(after: int, expected: str) -> None:
    assert timing(START, START + after) == expected


@pytest.mark.parametrize(
    ("arrival", "expected"),
    [
        (T + DELAY - 1, "on_time"),
        (T + DELAY, "late"),
        (T + 7 * SLICE + DELAY - 1, "late"),
        (T + 7 * SLICE + DELAY, "too_late"),
    ],
)
def test_arrivals_are_late_to_the_millisecond(arrival: int, expected: str) -> None:
    assert timing(START, known_at(START, arrival)) == expected


# Timers


@laws
@given(slices)
def test_the_last_firing_of_a_time_is_the_inverse_of_its_time(firing: int) -> None:
    assert last_firing(time_of(firing)) == firing
    assert last_firing(time_of(firing) - 1) == firing - 1
    assert last_firing(time_of(firing) + SLICE - 1) == firing


@laws
@given(times)
def test_the_last_firing_is_the_last_that_is_not_after_a_time(time: int) -> None:
    assert time_of(last_firing(time)) <= time < time_of(last_firing(time) + 1)


@laws
@given(slices, steps, st.integers(0, SLICE - 1))
def test_a_timer_stands_for_its_firing_until_the_next_is_due(
    firing: int, step: int, after: int
) -> None:
    assert fired_by(due_time(firing, step), step) == firing
    assert fired_by(due_time(firing, step) - 1, step) == firing - 1
    assert fired_by(due_time(firing, step) + after, step) == firing


@laws
@given(slices, steps)
def test_steps_fire_a_millisecond_apart_and_all_before_the_next_firing(
    firing: int, step: int
) -> None:
    assert due_time(firing, 0) == time_of(firing) + DELAY
    assert due_time(firing, step + 1) == due_time(firing, step) + 1
    assert due_time(firing, step) < due_time(firing + 1, 0)
