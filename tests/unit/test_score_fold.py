"""One entity's fold: when it learns, against what it judges, what it forgets and what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from factory import ACCOUNT, at, cell, detector, event, hash_of, packed
from reference import plain_loop
from stepped import Stepped, group, habitual

from schemas.anomaly import CANDIDATE, Candidate, Habit
from schemas.counts import ROW
from schemas.event import Event
from schemas.rule import Detector
from transforms.fold import replay
from transforms.score import ScoreFold

WINDOW, ELASTIC = detector("window"), detector("elastic")
START = 1_900_000
DAYS_180 = 180 * 24 * 4


def habit(slices: Iterable[int], actions: Sequence[str] = ("Get", "List", "Put")) -> list[Event]:
    """The same few actions in each slice."""
    return [event(at(slice_, 1), action) for slice_ in slices for action in actions]


HABIT = habit(range(START, START + 60))
END = START + 60
"""The first slice after the habit."""


def judged(events: Iterable[Event], of: Detector = WINDOW) -> list[Candidate]:
    """The candidates of one user's events."""
    return [CANDIDATE.decode(data) for tag, data in said(events, of) if tag == "candidates"]


def said(events: Iterable[Event], of: Detector) -> list[tuple[str, bytes]]:
    ((key, data),) = packed(events, of)
    out = replay(ScoreFold((of,)), key, [data])
    return [(tag, value[1] if tag == "candidates" else value) for tag, value in out]


def only(candidates: Iterable[Candidate], action: str, slice_: int) -> Candidate:
    (found,) = [c for c in candidates if (c.action, c.slice) == (action, slice_)]
    return found


def actions_by_slice(events: Iterable[Event]) -> dict[int, set[str]]:
    slices: dict[int, set[str]] = {}
    for each in events:
        slices.setdefault(each.time // 900_000, set()).add(each.action)
    return slices


# Firing by firing


def test_a_slice_is_learned_8_firings_after_its_own_and_not_before() -> None:
    fold = Stepped()
    fold.fire(START, group(START, Get=None))
    for firing in range(START + 1, START + 8):
        assert fold.fold.due(fold.state) == START + 8
        fold.fire(firing)
        assert fold.state.history.buckets == 0, firing - START
    fold.fire(START + 8)
    assert (fold.state.history.since, fold.state.history.buckets) == (START, 1)
    assert fold.fold.due(fold.state) is None


def test_elastic_learns_a_slice_at_its_own_firing_and_once() -> None:
    fold = Stepped(ELASTIC)
    fold.fire(START, group(START, Get=None))
    assert fold.state.history.buckets == 1
    fold.fire(START + 8)
    assert fold.state.history.buckets == 1


def test_slices_are_due_at_the_firing_at_which_they_became_known() -> None:
    ((_, data),) = packed(habit([START, START + 5]), WINDOW)
    due = [(firing, item.slice) for firing, item in ScoreFold((WINDOW,)).read(data)]
    assert due == [(START, START), (START + 5, START + 5)]


@pytest.mark.parametrize(("apart", "seen"), [(1, 0), (7, 0), (8, 1), (9, 1)])
def test_settlement_is_exact_at_the_edge(apart: int, seen: int) -> None:
    """At firing b + 8 slice b is learned before slice b + 8 is judged."""
    events = [*HABIT, event(at(END), "New"), event(at(END + apart), "New")]
    found = only(judged(events), "New", END + apart)
    assert found.seen == seen
    assert found.seen_last == (at(END + 1) if seen else None)
    assert found.firing == found.slice == END + apart


def test_window_judges_against_slices_up_to_b_minus_8_only() -> None:
    """What happens in the 7 slices before, and beside, changes no score."""
    alone = [*HABIT, event(at(END + 20), "New")]
    between = habit(range(END + 13, END + 21), ["A", "B", "C", "D"])
    crowded = [*alone, *between]
    score = only(judged(alone), "New", END + 20).probability
    assert only(judged(crowded), "New", END + 20).probability == score
    earlier = [*crowded, *habit([END + 12], ["A"])]
    assert only(judged(earlier), "New", END + 20).probability != score


def test_a_burst_does_not_dilute_itself_for_window_and_does_for_elastic() -> None:
    one = [*HABIT, event(at(END), "New0")]
    burst = [*HABIT, *(event(at(END), f"New{n}") for n in range(2))]
    for of, same in ((WINDOW, True), (ELASTIC, False)):
        alone = only(judged(one, of), "New0", END).probability
        among = only(judged(burst, of), "New0", END).probability
        assert alone is not None and among is not None  # noqa: PT018
        assert (among == alone) is same
        assert among >= alone


@pytest.mark.parametrize("of", [WINDOW, ELASTIC])
def test_probabilities_are_those_of_the_plain_loop(of: Detector) -> None:
    events = [*HABIT, event(at(END), "New"), *habit([END + 3], ["Get", "New", "Newer"])]
    plain = {"window": plain_loop.window, "elastic": plain_loop.elastic}[of.scorer]
    expected = plain(actions_by_slice(events))
    found = {(c.action, c.slice): c for c in judged(events, of)}
    assert found.keys() == expected.keys()
    assert len(found) >= 3
    for key, candidate in found.items():
        assert candidate.probability == pytest.approx(expected[key].probability, rel=1e-9)
        assert candidate.score == pytest.approx(expected[key].score, abs=0.5e-4 + 1e-9)


def test_nothing_is_rare_without_a_history() -> None:
    assert not judged(habit([START], ["A", "B"]))
    assert not judged(habit([START], ["A", "B"]), ELASTIC)


# Late cells of a pending slice


def test_a_pending_cell_is_not_judged_again() -> None:
    fold = settled_habit()
    first = fold.fire(END, group(END, New=cell(at(END, 5), ids=(hash_of("a"),))))
    again = group(END, END + 2, New=cell(at(END, 1), ids=(hash_of("b"),)), Newer=None)
    second = fold.fire(END + 2, again)
    assert [c.action for c in first] == ["New"]
    assert [(c.action, c.slice, c.firing) for c in second] == [("Newer", END, END + 2)]
    counts = fold.counts()
    cells = "cells|window-by-user|"
    assert counts[f"{cells}cells"] == counts[f"{cells}judged"] == 180 + 2


def test_a_late_cell_is_merged_and_learned_once() -> None:
    fold = settled_habit()
    fold.fire(END, group(END, New=cell(at(END, 5), ids=(hash_of("a"),))))
    fold.fire(END + 2, group(END, END + 2, New=cell(at(END, 1), ids=(hash_of("b"),))))
    merged = fold.state.pending[END].cells["New"]
    assert (merged.first, merged.last, len(merged.ids)) == (at(END, 1), at(END, 5), 2)
    fold.fire(END + 8)
    assert fold.state.history.actions.seen("New") == (1, END)
    assert fold.state.history.buckets == 61
    assert fold.counts()["cells|window-by-user|distinct_events"] == 180 + 2


def settled_habit() -> Stepped:
    """An entity with 60 slices of habit, all of them learned by firing END."""
    return habitual(60, END)


# Forgetting


@pytest.mark.parametrize(("idle", "known"), [(DAYS_180, True), (DAYS_180 + 1, False)])
@pytest.mark.parametrize("of", [WINDOW, ELASTIC])
def test_an_entity_is_forgotten_after_180_days_and_not_a_slice_before(
    idle: int, known: bool, of: Detector
) -> None:
    """The firing of slice b is (b − last) slices after the end of the last learned one."""
    events = [*HABIT, event(at(END - 1 + idle), "New")]
    found = [c for c in judged(events, of) if c.action == "New"]
    assert bool(found) is known
    assert all(c.profile.since == at(START) for c in found)


def test_an_entity_is_not_forgotten_while_a_slice_is_pending() -> None:
    """The slice before is not yet learned when 180 days are over, but it will be."""
    last = END - 1
    events = [
        *HABIT,
        event(at(last + DAYS_180 - 3), "Get"),
        event(at(last + DAYS_180 + 1), "New"),
        event(at(last + DAYS_180 + 9), "Newer"),
    ]
    candidates = judged(events)
    assert only(candidates, "New", last + DAYS_180 + 1).profile.since == at(START)
    assert only(candidates, "Newer", last + DAYS_180 + 9).profile.since == at(START)


def test_a_forgotten_entity_begins_anew() -> None:
    again = END + DAYS_180 + 100
    events = [*HABIT, *habit(range(again, again + 60)), event(at(again + 70), "New")]
    found = only(judged(events), "New", again + 70)
    assert found.profile.since == at(again)
    assert found.profile.slices == 60
    assert only(judged(events), "New", again + 70).probability == pytest.approx(
        only(judged([*HABIT, event(at(END + 10), "New")]), "New", END + 10).probability, rel=1e-12
    )


# What a candidate says


def test_the_profile_is_the_history_before_the_window() -> None:
    """Since when, how often at which hour of the week, and the 20 most frequent by name."""
    hours = [START + 5 * n for n in range(100)]
    events = [
        event(at(slice_, 1), action, city=city, agent="Boto3/1.34")
        for n, slice_ in enumerate(hours)
        for action, city in [
            ("Get", "London" if n % 2 else "Lagos"),
            (f"Seldom{n % 25:02}", "London"),
        ]
    ]
    last = hours[-1] + 3
    events += [event(at(last, 1), "New", city="Lima"), event(at(last - 3, 2), "Late", city="Oslo")]
    found = only(judged(events), "New", last)

    before = [each for each in events if each.time // 900_000 <= last - 8]
    slices = sorted({each.time // 900_000 for each in before})
    expected_hours = [0] * 168
    for slice_ in slices:
        start = datetime.fromtimestamp(slice_ * 900, UTC)
        expected_hours[start.weekday() * 24 + start.hour] += 1
    profile = found.profile
    assert profile.since == at(slices[0])
    assert profile.latest == at(slices[-1] + 1)
    assert profile.slices == len(slices)
    assert profile.hours == expected_hours
    assert profile.actions == top_20(before, lambda e: e.action)
    assert profile.places == top_20(before, lambda e: e.source.place)
    assert profile.n_actions == len({each.action for each in before}) == 26
    assert profile.n_places == 2


def top_20(events: Iterable[Event], value: Any) -> list[Habit]:
    """By number of slices, then by name."""
    slices = Counter(name for name, _ in {(value(e), e.time // 900_000) for e in events})
    ranked = sorted(slices.items(), key=lambda item: (-item[1], item[0]))
    return [Habit(name, count) for name, count in ranked[:20]]


@pytest.mark.parametrize(
    ("time", "hour_of_week"),
    [
        ("2026-03-02T00:00:00", 0),  # a Monday
        ("2026-03-02T00:59:59", 0),
        ("2026-03-02T01:00:00", 1),
        ("2026-03-08T23:45:00", 167),
        ("1970-01-01T00:00:00", 3 * 24),
    ],
)
def test_hours_of_the_week_begin_on_monday(time: str, hour_of_week: int) -> None:
    fold = Stepped()
    slice_ = int(datetime.fromisoformat(f"{time}+00:00").timestamp()) // 900
    fold.fire(slice_, group(slice_, Get=None))
    fold.fire(slice_ + 8)
    hours = fold.state.history.profile().hours
    assert (hours[hour_of_week], sum(hours)) == (1, 1)


def test_a_candidate_names_its_entity_and_carries_its_cell() -> None:
    new = event(at(END, 2), "New", id="id", error="AccessDenied", write=True)
    found = only(judged([*HABIT, new, new]), "New", END)
    assert found.entity == {"cloud.account.id": ACCOUNT, "user.name": "alice"}
    assert (found.scope, found.detector, found.scorer) == ("organisation", WINDOW.key, "window")
    assert (found.cell.ids, found.cell.failed, found.cell.write) == ((hash_of("id"),), True, True)
    assert [evidence.id for evidence in found.cell.evidence] == ["id"]
    (factor,) = found.factors
    assert (factor.name, factor.value) == ("rarity", found.probability)


# Accounting


@pytest.mark.parametrize("of", [WINDOW, ELASTIC])
def test_counts_close(of: Detector) -> None:
    events = [*HABIT, *HABIT[:30], event(at(END), "New", id="a"), event(at(END, 1), "New", id="b")]
    ((_, row),) = [each for each in said(events, of) if each[0] == "counts"]
    counts = ROW.decode(row).counts
    name = of.name
    assert counts[f"cells|{name}|cells"] == counts[f"cells|{name}|judged"] == 181
    assert counts[f"cells|{name}|distinct_events"] == 182
    assert counts[f"cells|{name}|on_time"] == len(events), "deliveries, repeated ones too"
    assert counts[f"held|{name}|entities"] == 1
    assert counts[f"held|{name}|actions"] == counts[f"latest|largest|{name}"] == 4
    assert counts[f"held|{name}|unsettled"] == counts[f"held|{name}|not_due"] == 0
    assert counts["latest|slice"] == END


def test_each_entity_has_a_row_of_its_own() -> None:
    names = set()
    for account in (ACCOUNT, "444455556666"):
        for of in (WINDOW, ELASTIC):
            ((key, data),) = packed([event(at(START), account=account)], of)
            ((_, row),) = replay(ScoreFold((of,)), key, [data])
            names.add(ROW.decode(row).unit)
    assert len(names) == 4
