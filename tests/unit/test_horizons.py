"""A run that goes on where another ended: what it takes up, and what it forgets."""

from __future__ import annotations

import pytest
from factory import at, detector
from histories import (
    NAME,
    START,
    WINDOW,
    Alice,
    B,
    Delivery,
    alice,
    does,
    known_after,
    on_time,
    told,
)

from schemas.rule import Detector

ELASTIC = detector("elastic")


# What a run takes up


@pytest.mark.parametrize(
    ("behind", "firing", "timing"),
    [
        (-5, 5, "on_time"),
        (-1, 1, "on_time"),
        (0, 1, "late"),
        (6, 1, "late"),
        (7, 1, "too_late"),
        (30, 1, "too_late"),
    ],
)
@pytest.mark.parametrize("saved", [True, False])
def test_what_was_to_be_known_before_a_run_is_known_at_its_first_firing(
    behind: int, firing: int, timing: str, saved: bool
) -> None:
    """H0 is firing B; a slice so many before it. A key without a state learns H0 of the run."""
    event_ = Delivery(does(B - behind))
    if saved:
        found = alice(until=B).run([event_], B + 20)
        assert told(found, "New") == [(-behind, firing, timing)]
    else:
        found = Alice(WINDOW).run([event_], B + 20, after=B)
        assert [one.known_at for one in found.late] == [at(B + 2)] * (timing == "too_late")
    assert found.counts[f"{NAME}{timing}"] == 1
    assert (found.learned.get("New", 0) == 1) is (timing != "too_late")


@pytest.mark.parametrize(("after", "done"), [(B + 3, B), (B, B + 3)])
def test_h0_is_the_later_of_the_runs_and_the_keys(after: int, done: int) -> None:
    found = alice(until=done).run([Delivery(does(B))], B + 10, after=after)
    assert told(found, "New") == [(0, 4, "late")]


def test_a_pending_slice_names_the_firing_that_knew_it() -> None:
    (held,) = alice(until=B).run([Delivery(does(B))], B + 3).state.held
    assert (held.slice, held.firing, held.known) == (B, B + 1, True)


def test_what_is_late_by_its_arrival_is_not_known_earlier_for_h0() -> None:
    found = alice(until=B + 1).run([known_after(does(B), 5)], B + 10)
    assert told(found, "New") == [(0, 5, "late")]


def test_what_is_not_due_waits_in_the_state() -> None:
    """And is judged at its own firing by the next run, as it would have been in this one."""
    later = [Delivery(does(B + 5)), known_after(does(B + 4), 3)]
    found = alice(until=B - 1)
    found.run(later, B + 4)
    assert not found.candidates
    assert found.counts[f"held|{WINDOW.name}|not_due"] == 2
    assert [(one.slice, one.firing, one.known) for one in found.state.held] == [
        (B + 5, B + 5, False),
        (B + 4, B + 7, False),
    ]
    found.run([], B + 20)
    assert told(found, "New") == [(5, 5, "on_time"), (4, 7, "late")]
    assert found.saved == alice().run(later, B + 20).saved


# What it forgets

LAST = START + 59
"""The last slice of the habit."""
AFTER = 100
"""Slices, instead of 180 days."""


@pytest.mark.parametrize("of", [WINDOW, ELASTIC])
@pytest.mark.parametrize(("idle", "known"), [(AFTER, True), (AFTER + 1, False)])
@pytest.mark.parametrize("cut", [None, *range(AFTER - 2, AFTER + 4)])
def test_forgetting_is_exact_wherever_a_run_is_cut(
    of: Detector, idle: int, known: bool, cut: int | None
) -> None:
    """The firing of slice b is b − LAST slices after the end of the last learned one."""
    new = Delivery(does(LAST + idle))
    found = alice(of, forget_after=AFTER)
    if cut is not None:
        early = [new] if new.known <= LAST + cut else []
        found.run(early, LAST + cut)
        found.run([] if early else [new], LAST + idle + 20)
    else:
        found.run([new], LAST + idle + 20)
    assert bool(found.candidates) is known
    assert found.state.history.since == (START if known else LAST + idle)
    assert found.learned == ({"Get": 60, "List": 60, "Put": 60, "New": 1} if known else {"New": 1})


@pytest.mark.parametrize(("idle", "known"), [(AFTER, True), (AFTER + 1, False)])
def test_an_entity_leaves_and_says_so_at_that_firing(idle: int, known: bool) -> None:
    for found in (alice(forget_after=AFTER), alice(until=LAST + 50, forget_after=AFTER)):
        found.run([], LAST + idle)
        assert (found.saved is not None) is known
        assert found.counts.get(f"{NAME}forgotten", 0) == (not known)
        assert found.counts[f"held|{WINDOW.name}|entities"] == known


def test_what_is_pending_when_a_run_is_cut_keeps_an_entity() -> None:
    """On time in the last slice before it would leave; learned in the next run."""
    for cut in range(AFTER, AFTER + 9):
        found = alice(forget_after=AFTER)
        found.run([Delivery(does(LAST + AFTER))], LAST + cut)
        found.run([], LAST + AFTER + 30)
        assert found.state.history.since == START, cut
        assert found.learned["New"] == 1


def test_what_is_too_late_keeps_no_entity() -> None:
    """What came too late at that very firing is judged by nothing, and remembered."""
    for stray in (does(LAST + AFTER - 20), does(LAST + 5)):
        late = known_after(stray, LAST + AFTER + 1 - stray.time // 900_000)
        found = alice(forget_after=AFTER).run([late], LAST + AFTER + 1)
        assert not found.candidates
        assert found.counts[f"{NAME}forgotten"] == 1
        assert (found.state.history.since, list(found.state.strays)) == (-1, ["New"])


def test_what_is_forgotten_takes_its_strays_along() -> None:
    stray = known_after(does(B), 8)
    found = alice(forget_after=AFTER).run([stray], LAST + AFTER)
    assert list(found.state.strays) == ["New"]
    assert found.run([], LAST + AFTER + 1).saved is None


def test_a_late_part_of_a_slice_that_is_pending_lets_no_entity_leave() -> None:
    """It was pending before this firing; that more of it became known now changes nothing."""
    first, more = does(LAST + AFTER - 1, "Get"), does(LAST + AFTER - 1, "Put")
    end = LAST + AFTER + 30
    replayed = alice(forget_after=AFTER).run(on_time([first, more]), end)
    for firings in range(8):
        found = alice(forget_after=AFTER).run([Delivery(first), known_after(more, firings)], end)
        assert found.saved == replayed.saved, firings


def test_what_is_late_keeps_an_entity_only_until_it_has_left() -> None:
    """The last slice that keeps it, when it is known: its own firing, the one at which the entity
    would leave, and the one after, which finds nobody.
    """
    last, end = does(LAST + AFTER, "Get"), LAST + AFTER + 30
    replayed = alice(forget_after=AFTER).run(on_time([last]), end)
    kept = [
        alice(forget_after=AFTER).run([known_after(last, firings)], end).saved == replayed.saved
        for firings in range(4)
    ]
    assert kept == [True, True, False, False]
