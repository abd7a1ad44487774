"""What calibration does in the lives of organisations: docs/concepts/scores.md states it."""

from __future__ import annotations

from collections.abc import Iterable

from factory import rule
from msgspec.structs import replace
from weighed import DAY, NOW, USER, Weighed, user

from schemas.rule import Rule


def lived(days: Iterable[tuple[int, int]], *rules: Rule) -> Weighed:
    """A scope in which, so many days before NOW, so many users did something new.

    The n-th of a day is as odd as the n-th of any other.
    """
    fold = Weighed(*(rules or (USER,)))
    for before, users in sorted(days, reverse=True):
        then = NOW - before * DAY
        fold.fire(then, *(user(f"u{n}", then, n=400 // (n + 1) + 5) for n in range(users)))
    return fold


def highest(fold: Weighed, users: int, at: int = NOW) -> list[float | None]:
    """The scores of so many users of one more such day, highest first."""
    found = fold.fire(at, *(user(f"u{n}", at, n=400 // (n + 1) + 5) for n in range(users)))
    return sorted((one.score for one in found), key=lambda score: -(score or 0))


def working_days(fold: Weighed) -> int:
    name = USER.detector.name
    return fold.counts()[f"held|scopes|organisation|{name}|days"]


def over(scores: list[float | None], threshold: float = 74.0) -> int:
    """Cases, but for a hair: that most first times succeed makes each day a little less odd."""
    return sum(score is not None and score >= threshold for score in scores)


def test_an_ordinary_day_has_as_many_cases_as_the_rule_says() -> None:
    for cases in (1.0, 3.0, 8.0):
        counted = replace_cases(cases)
        scores = highest(lived(((d, 40) for d in range(2, 16)), counted), 40)
        assert over(scores) == cases


def replace_cases(cases: float) -> Rule:
    return rule("users", detector=USER.detector, cases_per_day=cases)


def test_in_a_tiny_organisation_each_first_time_is_a_case_unless_fewer_are_asked_for() -> None:
    """Two users a day are fewer than three cases: 75 holds none of them back."""
    days = [(d, 2) for d in range(2, 16)]
    assert over(highest(lived(days), 2)) == 2
    assert over(highest(lived(days, replace_cases(1.0)), 2)) == 1


def test_a_single_user_is_scored_and_is_a_case() -> None:
    assert over(highest(lived((d, 1) for d in range(2, 16)), 1)) == 1


def test_who_is_active_on_three_days_only_has_no_score() -> None:
    assert highest(lived([(d, 5) for d in (9, 5, 2)]), 5) == [None] * 5


def test_weekends_and_holidays_are_no_working_days() -> None:
    """A fifth of the users is there: such days count for nothing, and bring few cases."""
    workdays = [(d, 40) for d in range(2, 22) if d % 7 not in (0, 1)]
    quiet = [(d, 8) for d in range(2, 22) if d % 7 in (0, 1)]
    fold = lived(workdays + quiet)
    scores = highest(fold, 40)
    assert working_days(fold) == len(workdays)
    assert over(scores) == over(highest(lived(workdays), 40)) == 3


def test_a_source_that_was_off_for_a_week_changes_nothing() -> None:
    """Days without anybody are left out, so that the days before go on speaking."""
    before = [(d, 40) for d in range(9, 25)]
    fold = lived(before)
    assert over(highest(fold, 40)) == 3
    assert working_days(fold) == len(before)


def test_a_source_that_was_off_for_four_weeks_has_no_score_until_four_days_are_closed() -> None:
    fold = lived((d, 40) for d in range(30, 40))
    scored = []
    for day in range(6):
        at = NOW + day * DAY
        scored.append(None not in highest(fold, 40, at))
    assert scored == [False] * 4 + [True] * 2


def test_tenfold_growth_brings_too_many_cases_until_the_new_days_are_the_most() -> None:
    """Then the small days are no working days any more, and the number is as it was."""
    small, large = 12, 120
    cases = []
    fold = lived((d, small) for d in range(2, 16))
    for day in range(20):
        at = NOW + day * DAY
        found = fold.fire(at, *(user(f"u{n}", at, n=4000 // (n + 1) + 5) for n in range(large)))
        cases.append(over([one.score for one in found]))
    assert cases[0] > 3
    assert cases[-1] == 3
    settled = next(day for day, number in enumerate(cases) if number == 3)
    assert 4 <= settled <= 15
    assert set(cases[settled:]) == {3}


def test_a_rule_scoped_to_accounts_is_calibrated_in_each_by_itself() -> None:
    fold, other = lived((d, 40) for d in range(2, 16)), Weighed(USER)
    assert None not in highest(fold, 40)
    lone = other.fire(NOW, replace(user("u0", n=405), scope="444455556666"))
    assert [one.score for one in lone] == [None]
