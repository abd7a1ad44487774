"""What comes late, and what comes too late, in the fold of one entity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from factory import BY_USER, at, detector, hash_of
from histories import (
    NAME,
    WINDOW,
    Alice,
    B,
    Delivery,
    alice,
    does,
    known_after,
    on_time,
    pairs_of,
    told,
)
from reference import plain_loop

from schemas.late import TOO_LATE
from schemas.rule import Detector
from transforms.fold import replay
from transforms.score import ScoreFold

ELASTIC = detector("elastic")
CONTRAST = detector("contrast")
settling = pytest.mark.parametrize("of", [WINDOW, CONTRAST], ids=["window", "contrast"])
"""Scorers that learn a slice when it is settled."""
STRAYS = 90 * 96
"""Firings in 90 days."""


def plainly(slices: Iterable[Sequence[str]], action: str, learn: bool) -> float:
    """The page's probability of an action, after slices of actions; itself learned or not."""
    counts = plain_loop.Counts()
    for actions in slices:
        counts.learn(actions)
    if learn:
        counts.learn([action])
    return plain_loop.probability(counts.mass, action)


# Late


@pytest.mark.parametrize(
    ("after", "timing"), [(0, "on_time"), (1, "late"), (7, "late"), (8, "too_late")]
)
@settling
def test_an_event_is_judged_at_the_firing_that_knows_it_and_marked(
    of: Detector, after: int, timing: str
) -> None:
    found = alice(of).run([known_after(does(B), after)], B + 10)
    assert told(found, "New") == [(0, after, timing)]
    assert len(found.late) == (timing == "too_late")
    assert (found.learned.get("New", 0) == 1) is (timing != "too_late")


@pytest.mark.parametrize("firings", [0, 1, 7])
def test_arrivals_are_exact_to_the_millisecond(firings: int) -> None:
    """What comes T + 15 minutes after is not known to the firing of T, but to the next."""
    edge = at(B + firings + 2)
    for arrival, after in ((edge - 1, firings), (edge, firings + 1)):
        (found,) = alice().run([Delivery(does(B), arrival)], B + 20).candidates
        assert found.firing == B + after


def test_a_late_event_is_judged_against_the_history_as_it_is_then() -> None:
    """Slice B is learned at firing B + 8, before that firing judges what is late of B + 4."""
    habit = ["Get", "List", "Put"]
    events = on_time([*(does(B, action) for action in habit), does(B, "Other")])
    for after, learned in ((3, 60), (4, 61)):
        found = alice().run([*events, known_after(does(B + 4), after)], B + 4 + after)
        (new,) = [one for one in found.candidates if one.action == "New"]
        slices = [habit] * 60 + [[*habit, "Other"]]
        assert new.profile.slices == learned
        assert new.probability == pytest.approx(plainly(slices[:learned], "New", True), rel=1e-9)
        assert new.probability is not None
        assert new.score == round(plain_loop.score(new.probability), 4)


@pytest.mark.parametrize(("after", "seen"), [(6, 0), (7, 1)])
def test_settlement_comes_before_judging_what_is_late(after: int, seen: int) -> None:
    """New of slice B is learned at B + 8, when New of slice B + 1 is 7 firings late."""
    found = alice().run([Delivery(does(B)), known_after(does(B + 1), after)], B + 20)
    (second,) = [one for one in found.candidates if one.slice == B + 1]
    assert (second.seen, second.seen_last) == (seen, at(B + 1) if seen else None)
    assert found.learned["New"] == 2


@settling
def test_late_events_leave_the_state_of_a_replay(of: Detector) -> None:
    events = [does(B + n, action, n) for n in range(12) for action in ("Get", f"New{n % 3}")]
    late = [known_after(each, n % 8) for n, each in enumerate(events)]
    assert alice(of).run(late, B + 40).saved == alice(of).run(on_time(events), B + 40).saved


def test_a_late_part_of_a_cell_is_merged_and_not_judged_again() -> None:
    parts = [does(B, "New", 5), does(B, "New", 1), does(B, "New", 9)]
    found = alice().run([known_after(part, n) for n, part in enumerate(parts)], B + 7)
    assert told(found, "New") == [(0, 0, "on_time")]
    (held,) = found.state.held
    cell = held.cells["New"]
    assert (cell.first, cell.last, len(cell.ids)) == (at(B, 1), at(B, 9), 3)
    assert found.counts[f"{NAME}late"] == 2
    assert found.counts[f"{NAME}judged"] == 1
    found.run([], B + 8)
    assert found.learned["New"] == 1
    assert found.counts[f"{NAME}distinct_events"] == 3


@settling
def test_a_pending_cell_is_not_judged_again_after_it_was_saved(of: Detector) -> None:
    found = alice(of).run([Delivery(does(B, "New", 5))], B)
    found.run([known_after(does(B, "New", 1), 3), known_after(does(B, "Newer", 1), 3)], B + 3)
    assert told(found, "New") == [(0, 0, "on_time")]
    assert told(found, "Newer") == [(0, 3, "late")]


@settling
def test_candidates_of_a_slice_are_told_one_by_one_up_to_20_however_late(of: Detector) -> None:
    """The rest is one flood, once; also over a saved state."""
    found = alice(of).run(on_time(does(B, f"A{n:02}", n) for n in range(15)), B + 1)
    found.run([known_after(does(B, f"B{n:02}", n), 2) for n in range(10)], B + 2)
    found.run([known_after(does(B, f"C{n:02}", n), 3) for n in range(10)], B + 3)
    actions = [one.action for one in found.candidates if one.basis == "history"]
    expected = [f"A{n:02}" for n in range(15)] + [f"B{n:02}" for n in range(5)] + ["flood"]
    assert actions == expected


# Too late


def test_what_is_too_late_is_kept_counted_and_never_learned() -> None:
    found = alice()
    before = found.state
    stray = [does(B, "New", 2), does(B, "New", 4), does(B, "Get", 6)]
    found.run([known_after(each, 8) for each in stray], B + 100)
    get, new = sorted(found.late, key=lambda one: one.action)
    assert (new.slice_start, new.slice_end) == (at(B), at(B + 1))
    assert new.known_at == at(B + 9)
    assert (new.detector, new.scope) == (WINDOW.key, "organisation")
    assert new.entity == dict(zip(BY_USER, ("111122223333", "alice"), strict=True))
    assert (new.count, new.count_exact, new.cell.first, new.cell.last) == (
        *(2, True),
        *(at(B, 2), at(B, 4)),
    )
    assert [one.id for one in new.cell.evidence] == [one.id for one in stray[:2]]
    assert (new.judged, get.judged) == (True, False)
    assert told(found, "New") == [(0, 8, "too_late")]
    assert (found.state.history, found.state.held) == (before.history, [])
    counted = {name: found.counts[f"{NAME}{name}"] for name in ("too_late", "cells", "judged")}
    assert counted == {"too_late": 3, "cells": 2, "judged": 1}
    assert found.counts[f"{NAME}known"] == 1
    assert found.counts[f"{NAME}distinct_events"] == 3
    assert not found.counts.get(f"{NAME}late")


def test_bundles_of_what_is_too_late_are_one_cell() -> None:
    fold, of = ScoreFold((WINDOW,)), WINDOW
    parts = [known_after(does(B, "New", n), 9) for n in (5, 3, 3)]
    bundles = [pair for part in parts for pair in pairs_of([part], [of])]
    key = bundles[0][0]
    out = list(replay(fold, key, [data for _, data in bundles]))
    (late,) = [TOO_LATE.decode(value) for tag, value in out if tag == "late"]
    assert late.cell.ids == tuple(
        sorted(hash_of(f"alice New {at(B, seconds)}") for seconds in (3, 5))
    )


@settling
def test_what_history_knows_is_not_judged_when_it_comes_too_late(of: Detector) -> None:
    """Learned at this very firing is known, too: a redelivery 8 firings later is nothing new."""
    found = alice(of).run([Delivery(does(B)), known_after(does(B), 8)], B + 20)
    assert told(found, "New") == [(0, 0, "on_time")]
    assert [one.judged for one in found.late] == [False]
    assert found.learned["New"] == 1


@settling
def test_what_is_pending_is_not_judged_when_it_comes_too_late(of: Detector) -> None:
    """Pending since long, or since this very firing."""
    for pending in (B + 20, B + 13):
        found = alice(of).run([Delivery(does(pending)), known_after(does(B), 20)], B + 20)
        assert [c.slice for c in found.candidates if c.basis == "history"] == [pending]
        assert [one.judged for one in found.late] == [False]


@pytest.mark.parametrize(("apart", "judged"), [(0, 1), (1, 1), (STRAYS, 1), (STRAYS + 1, 2)])
@settling
def test_what_came_too_late_is_remembered_for_90_days(
    of: Detector, apart: int, judged: int
) -> None:
    """Of another slice even; in one run, and from one to the next."""
    first, second = known_after(does(B), 8), known_after(does(B + 3), 5 + max(apart, 3))
    apart = second.known - first.known
    one = alice(of).run([first, second], second.known)
    two = alice(of).run([first], first.known).run([second], second.known)
    for found in (one, two):
        assert len(found.late) == 2
        assert sum(each.judged for each in found.late) == (2 if apart > STRAYS else 1)
        assert len(told(found, "New")) == judged
    assert one.saved == two.saved


def test_each_time_it_is_seen_a_stray_is_remembered_for_90_days_more() -> None:
    strays = [known_after(does(B), 8 + n * STRAYS) for n in range(3)]
    found = alice(forget_after=10**6).run(strays, B + 9 + 2 * STRAYS)
    assert len(told(found, "New")) == 1


def test_of_an_entity_of_which_only_strays_are_known_nothing_is_kept_after_90_days() -> None:
    stray = known_after(does(B), 8)
    for until, kept in ((stray.known + STRAYS, True), (stray.known + STRAYS + 1, False)):
        assert (Alice(WINDOW).run([stray], until).saved is not None) is kept
        again = Alice(WINDOW).run([stray], stray.known + 1).run([], until)
        assert (again.saved is not None) is kept


@settling
def test_a_redelivery_of_an_old_event_changes_no_history(of: Detector) -> None:
    events = [does(B + n, action) for n in range(3) for action in ("Get", "New")]
    once = alice(of).run(on_time(events), B + 200)
    again = [known_after(each, n) for n in (8, 50, 150) for each in events]
    twice = alice(of).run([*on_time(events), *again], B + 200)
    assert twice.candidates == once.candidates
    assert len(twice.late) == 18
    state = twice.state
    assert set(state.strays) == {"Get", "New"}
    state.strays = {}
    assert state == once.state


# elastic


def test_elastic_judges_late_cells_by_present_counts_and_does_not_learn_them() -> None:
    habit = ["Get", "List", "Put"]
    for late, mass in ((does(B, "New"), True), (does(B, "Seldom"), False)):
        found = alice(ELASTIC).run(on_time([does(B, "Get"), does(B + 1, "Seldom")]), B + 2)
        before = found.state
        found.run([known_after(late, 5)], B + 20)
        (judged,) = [one for one in found.candidates if one.firing == B + 5]
        slices = [*[habit] * 60, ["Get"], ["Seldom"]]
        expected = plainly(slices, late.action, learn=mass)
        assert judged.timing == "late"
        assert judged.probability == pytest.approx(expected, rel=1e-9)
        after = found.state
        assert (after.history, after.held) == (before.history, [])
        assert (after.history.buckets, after.history.latest) == (62, B + 1)


def test_elastic_does_not_judge_a_late_part_of_a_pending_cell() -> None:
    found = alice(ELASTIC).run([Delivery(does(B)), known_after(does(B, "New", 5), 3)], B + 20)
    assert told(found, "New") == [(0, 0, "on_time")]
    assert found.learned["New"] == 1


def test_elastic_neither_learns_what_is_too_late() -> None:
    found = alice(ELASTIC).run([known_after(does(B), 8)], B + 20)
    assert told(found, "New") == [(0, 8, "too_late")]
    assert "New" not in found.learned
