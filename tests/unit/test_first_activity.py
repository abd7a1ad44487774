"""The new and the nameless: what has no history to ask is judged by what its peers do.

S is what + outcome + kind, by hand: with nobody else known, what is −ln(V · share) with V at least
1, and outcome and kind are ln 1 before any first sighting.
"""

from __future__ import annotations

import math

import pytest
from factory import BY_CITY, at, candidate, cell, detector, rule
from msgspec.structs import replace
from stepped import CONTRAST, WINDOW, Stepped, group, habitual
from weighed import DAY, NOW, USER, Weighed, flood, of_rule, user

from schemas.anomaly import Candidate
from schemas.change import Change
from schemas.rule import FIRST_ACTIVITY, RuleError, Where, detectors, first_of
from transforms.calibrate import seldom

FIRST = rule("first", detector=detector("contrast", function=FIRST_ACTIVITY, name="new-users"))


def basis(found: list[Candidate]) -> list[tuple[str, str]]:
    return [(one.action, one.basis) for one in found]


# --- stage 1: what is sent


def test_all_that_a_new_entity_does_in_its_first_slice_is_sent_once() -> None:
    fold = Stepped(CONTRAST)
    assert basis(fold.fire(10, group(10, Get=None, Put=None))) == [
        ("Get", FIRST_ACTIVITY),
        ("Put", FIRST_ACTIVITY),
    ]
    assert fold.fire(11, group(11, List=None)) == []
    assert fold.cells()["new_entities"] == 1
    assert fold.cells()["too_young"] == 3


def test_of_two_slices_that_become_known_together_the_first_is_the_first() -> None:
    fold = Stepped(CONTRAST)
    found = fold.fire(11, group(11, Get=None), group(10, 11, Put=None))
    assert [(one.action, one.slice, one.timing) for one in found] == [("Put", 10, "late")]


def test_an_action_that_comes_late_into_the_first_slice_is_not_its_first_activity() -> None:
    fold = Stepped(CONTRAST)
    fold.fire(10, group(10, Get=None))
    assert fold.fire(12, group(10, 12, Put=None)) == []


def test_who_is_known_by_what_came_too_late_alone_is_told_once() -> None:
    fold = Stepped(CONTRAST)
    assert [one.timing for one in fold.fire(30, group(10, 30, Get=None))] == ["too_late"]
    assert fold.fire(31, group(11, 31, Put=None)) == []


def test_who_was_forgotten_is_new_again() -> None:
    fold = habitual(6, 100, CONTRAST)
    leaves = fold.state.leaves
    assert leaves is not None
    assert basis(fold.fire(leaves, group(leaves, Get=None))) == [("Get", FIRST_ACTIVITY)]
    assert fold.cells()["new_entities"] == 2


def test_other_scorers_know_no_first_activity() -> None:
    fold = Stepped(WINDOW)
    assert {one.basis for one in fold.fire(10, group(10, Get=None))} <= {"history"}
    assert "new_entities" not in fold.cells()


def test_no_more_than_a_hundred_of_the_first_slice_are_sent_the_earliest() -> None:
    cells = {f"A{n:03}": cell(at(10, 200 - n)) for n in range(120)}
    found = Stepped(CONTRAST).fire(10, group(10, **cells))
    assert [one.action for one in found] == [f"A{n:03}" for n in range(20, 120)]


def root() -> Stepped:
    fold = Stepped(CONTRAST)
    name = fold.state.key.entity
    fold.state.key = type(fold.state.key)(CONTRAST.key, "organisation", (name[0], "root"))
    return fold


def test_each_new_thing_that_root_does_is_sent_while_its_history_is_short() -> None:
    fold = root()
    first = fold.fire(10, group(10, Get=None))
    assert sorted(basis(first)) == [("Get", FIRST_ACTIVITY), ("Get", "root")]
    assert basis(fold.fire(11, group(11, Get=None, Put=None))) == [("Put", "root")]
    assert fold.cells()["judged"] == 2
    assert "too_young" not in {name for name, number in fold.cells().items() if number}


def test_root_is_as_others_once_its_history_is_long_enough() -> None:
    fold = root()
    for slice_ in range(10, 15):
        fold.fire(slice_, group(slice_, Get=None))
    found = fold.fire(40, group(40, Put=None))
    assert basis(found) == [("Put", "history")]
    assert found[0].own is not None


def test_a_flood_of_roots_is_one_of_root() -> None:
    found = root().fire(10, group(10, **{f"A{n:02}": cell(at(10, n)) for n in range(25)}))
    told = [one for one in found if one.basis == "root"]
    assert len(told) == 21
    assert told[-1].action == "flood"


# --- stage 2: what is said


def new(
    action: str = "Get", name: str = "alice", slice_: int = NOW, **changes: object
) -> Candidate:
    """One of the things that a new user does first."""
    given = replace(user(name, slice_, action=action, **changes), own=None)
    return replace(given, basis=FIRST_ACTIVITY)


def knows(action: str, *names: str, slice_: int = NOW - 8) -> list[Change]:
    key = USER.detector.key
    return [Change(key, name, slice_, NOW, {"actions": [action]}, {}) for name in names]


def test_the_oddest_of_what_a_new_user_did_is_told_and_its_sum_is_s() -> None:
    fold = Weighed(USER, FIRST)
    fold.fire(NOW, *knows("Get", "bob", "carol", "dave"), *knows("Put", "bob"))
    (found,) = fold.fire(NOW + 1, new("Get", slice_=NOW + 1), new("Put", slice_=NOW + 1))
    assert (found.action, found.rule_id, found.basis) == ("Put", FIRST.uuid, FIRST_ACTIVITY)
    share = 1.5 / (4 + 0.5 * (2 + 50))
    assert found.surprise == pytest.approx(-math.log(2 * share))
    assert [factor.name for factor in found.factors] == ["what", "outcome", "kind"]


def test_the_smallest_name_is_told_of_equally_odd_ones() -> None:
    (found,) = Weighed(FIRST).fire(NOW, new("Put"), new("Get"), new("List"))
    assert found.action == "Get"


def test_a_failure_or_a_write_makes_it_odder_once_first_sightings_do_neither() -> None:
    """ln(½ / f) of contrast.md, §3, with f = 1/(n + 2) of those that failed among n."""
    fold = Weighed(USER, FIRST)
    fold.fire(NOW, *(user(f"u{n}", action=f"A{n}") for n in range(30)))
    later = NOW + 2 * DAY
    (found,) = fold.fire(later, new("B", slice_=later), new("Z", slice_=later, failed=True))
    assert found.action == "Z"
    outcome = next(each.value for each in found.factors if each.name == "outcome")
    assert outcome == pytest.approx(math.log(0.5 / (1 / 32)))


def test_it_is_booked_for_itself_and_never_among_the_others() -> None:
    """Also while no rule asks for it."""
    fold = Weighed(USER)
    assert fold.fire(NOW, new("Get"), new("Put"), new("Get", "bob")) == []
    watched = fold.state.scope.watched
    day = NOW // DAY
    assert len(watched[first_of(USER.detector.key)].days[day].open) == 2
    assert day not in watched[USER.detector.key].days


def test_what_came_too_late_is_told_and_not_booked() -> None:
    fold = Weighed(FIRST)
    assert len(fold.fire(NOW + 9, new("Get", firing=NOW + 9))) == 1
    assert not fold.state.scope.of(first_of(USER.detector.key)).days


def calibrated(*rules: object) -> Weighed:
    """A scope whose users have been judged on ten days, of whom none was new."""
    fold = Weighed(*(rules or (USER, FIRST)))  # type: ignore[arg-type]
    for back in range(12, 1, -1):
        then = NOW - back * DAY
        fold.fire(then, *(user(f"u{n}", then, n=50 + n) for n in range(6)))
    return fold


def test_new_users_have_a_calibration_of_their_own() -> None:
    fold = calibrated()
    for back in range(10, 1, -1):
        then = NOW - back * DAY
        fold.fire(then, *(new(f"A{n}", f"n{n}", then) for n in range(5)))
    key = first_of(USER.detector.key)
    (found,) = fold.fire(NOW, new("Get"))
    own = fold.state.scope.of(key).calibration(NOW // DAY)
    assert own is not None
    assert found.surprise is not None
    assert found.rate == own.rate(found.surprise)
    assert fold.counts()[f"held|scopes|organisation|{FIRST.detector.name}|days"] == own.days


def test_where_new_users_are_seldom_their_number_stands_for_the_ordinary_day() -> None:
    """One in the eleven days before, less odd: the new one alone is as odd as it is."""
    fold = calibrated()
    then = NOW - 5 * DAY
    fold.fire(then, new("Get", "bob", then))
    (first, second) = fold.fire(NOW, new("Get"), new("Get", "carol"))
    days = 12
    (before,) = fold.state.scope.of(first_of(USER.detector.key)).days[NOW // DAY - 5].highest
    as_odd = 1 + (before >= (first.surprise or 0))
    assert first.rate == second.rate == as_odd / days
    assert first.score is not None
    assert first.score >= 75


def test_seldom_counts_those_that_are_at_least_as_odd() -> None:
    assert seldom([], 28, 1.0) == 1 / 28
    assert seldom([[3.0, 1.0], [1.0, 0.9]], 10, 1.0) == 4 / 10


def test_nothing_is_scored_before_users_are_calibrated() -> None:
    (found,) = Weighed(USER, FIRST).fire(NOW, new("Get"))
    assert (found.score, found.rate) == (None, None)
    assert found.surprise is not None


def test_what_root_does_is_told_by_the_rule_of_users_each_thing_by_itself() -> None:
    fold = calibrated()
    root_ = [replace(new(action, "root"), basis="root") for action in ("Get", "Put")]
    found = fold.fire(NOW, *root_)
    assert [(one.action, one.rule_id, one.basis) for one in found] == [
        ("Get", USER.uuid, "root"),
        ("Put", USER.uuid, "root"),
    ]
    assert all(one.score and one.score >= 75 for one in found)
    assert NOW // DAY not in fold.state.scope.watched[USER.detector.key].days


def test_a_flood_of_root_takes_the_score_of_those_of_root() -> None:
    fold = calibrated()
    one = replace(new("Get", "root"), basis="root")
    found = of_rule(fold.fire(NOW, one, flood(one)), USER)
    assert {each.action for each in found} == {"Get", "flood"}
    assert len({each.score for each in found}) == 1
    assert None not in {each.score for each in found}


def test_the_calibration_of_what_is_new_goes_through_a_snapshot() -> None:
    one, other = calibrated(), calibrated()
    for fold in (one, other):
        fold.fire(NOW, new("Get", "bob"))
    other.resume(NOW)
    later = NOW + 2 * DAY
    assert one.fire(later, new("Get", slice_=later)) == other.fire(later, new("Get", slice_=later))


# --- the rule


def test_a_rule_of_what_is_new_goes_by_the_histories_of_the_other() -> None:
    assert detectors([FIRST, USER]) == detectors([USER, FIRST]) == [USER.detector]
    assert [each.name for each in detectors([FIRST, USER])] == [USER.detector.name]
    assert detectors([FIRST]) == [USER.detector]
    city = detector("contrast", BY_CITY, function=FIRST_ACTIVITY, name="new-cities")
    assert len(detectors([rule(detector=city)])) == 2, "cities are weighed by their users"


def test_no_other_scorer_can_judge_what_is_new() -> None:
    document = {"name": "n", "function": FIRST_ACTIVITY, "by_field": "event.action"}
    document |= {"partition_fields": ["user.name"], "scorer": "window"}  # type: ignore[dict-item]
    with pytest.raises(RuleError, match="'window' cannot judge first_activity"):
        type(USER.detector).parse(document, Where("r.yaml"))


def test_a_candidate_says_what_it_goes_by_unless_it_goes_by_history() -> None:
    assert candidate(None, 3).basis == "history"
