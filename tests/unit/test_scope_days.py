"""The second stage of `contrast`: days are booked and closed, and a score comes of them.

contrast.md, §2 and §4; DESIGN.md, "Bounded state".
"""

from __future__ import annotations

import math

import pytest
from factory import ACCOUNT, rule
from weighed import CITY, DAY, NOW, USER, Weighed, city, factor, flood, of_rule, user

from schemas.anomaly import Factor
from schemas.entity import entity_text
from schemas.rule import Rule

# Days


def day_of(fold: Weighed, slice_: int, of: Rule = USER) -> tuple[int, int, int, dict[str, float]]:
    day = fold.state.scope.of(of.detector.key).days[slice_ // DAY]
    return day.sightings, day.failed, day.wrote, day.open


def test_what_is_late_is_booked_on_the_day_of_its_slice() -> None:
    fold, last = Weighed(), 20_000 * DAY + DAY - 1
    (found,) = fold.fire(last + 3, user("a", last, last + 3, failed=True, write=True))
    who = entity_text((ACCOUNT, "a"))
    assert day_of(fold, last) == (1, 1, 1, {who: found.surprise})
    assert set(fold.state.scope.of(USER.detector.key).days) == {last // DAY}


def test_what_is_too_late_is_told_and_never_booked() -> None:
    fold = Weighed()
    told = fold.fire(NOW + 8, user("a", NOW, NOW + 8), city(slice_=NOW, firing=NOW + 8))
    assert len(told) == 2
    assert all(watched.days == {} for watched in fold.state.scope.watched.values())


def test_of_an_entity_the_highest_s_of_a_day_is_kept() -> None:
    fold, who = Weighed(), entity_text((ACCOUNT, "a"))
    told = [found for n, action in ((500, "A"), (5_000, "B"), (50, "C"))
            for found in fold.fire(NOW, user("a", n=n, action=action))]  # fmt: skip
    assert day_of(fold, NOW) == (3, 0, 0, {who: told[1].surprise})


def test_a_city_is_a_sighting_before_the_meeting_and_judged_after_it() -> None:
    fold = Weighed()
    fold.fire(NOW, city("traveller", write=True))
    assert day_of(fold, NOW, CITY) == (1, 0, 1, {})


def test_what_is_judged_together_is_booked_after_all_of_it() -> None:
    told = Weighed().fire(NOW, *(user(f"u{n}", failed=True) for n in range(9)))
    assert {factor(each, "outcome") for each in told} == {0.0}


@pytest.mark.parametrize(("into", "closed"), [(0, False), (7, False), (8, True), (95, True)])
def test_a_day_is_closed_two_hours_after_its_end(into: int, closed: bool) -> None:
    fold, slice_ = Weighed(), 20_001 * DAY + into
    fold.fire(NOW, *(user(f"u{n}", failed=True) for n in range(9)))
    (found,) = fold.fire(slice_, user("z", slice_))
    assert factor(found, "outcome") == (math.log(0.5 / (1 - 10 / 11)) if closed else 0.0)


@pytest.mark.parametrize(("days", "counts"), [(30, True), (31, False)])
def test_sightings_are_those_of_30_closed_days(days: int, counts: bool) -> None:
    fold, slice_ = Weighed(), NOW + days * DAY
    fold.fire(NOW, *(user(f"u{n}", write=True) for n in range(9)))
    (found,) = fold.fire(slice_, user("z", slice_))
    assert (factor(found, "kind") != 0.0) is counts


def worked(days: int, of: Rule = USER, fold: Weighed | None = None) -> Weighed:
    """A scope in which three users were candidates on each of so many days before NOW's."""
    fold = fold or Weighed(of)
    for day in range(days, 0, -1):
        slice_ = NOW - day * DAY
        fold.fire(slice_, *(user(f"u{n}", slice_, n=100 * 10**n) for n in range(3)))
    return fold


@pytest.mark.parametrize(("days", "scored"), [(3, False), (4, True)])
def test_scores_begin_after_four_closed_days(days: int, scored: bool) -> None:
    fold = worked(days)
    (found,) = fold.fire(NOW, user("z", n=100_000))
    assert (found.score is not None, found.rate is not None) == (scored, scored)
    assert found.surprise is not None
    at_ = "held|scopes|organisation|contrast-by-user"
    assert fold.counts()[f"{at_}|since"] == (NOW if scored else -1)


def test_a_calibration_looks_back_28_days() -> None:
    """28 days after the first of four, it is one of the 28; a day later it is not."""
    for later, scored in ((24, True), (25, False)):
        slice_ = NOW + later * DAY
        (found,) = worked(4).fire(slice_, user("z", slice_))
        assert (found.score is not None) is scored


def test_each_rule_has_its_own_number_of_cases() -> None:
    seldom = rule("seldom", detector=USER.detector, cases_per_day=0.5)
    told = worked(4, fold=Weighed(USER, seldom)).fire(NOW, user("z", n=5_000))
    (usual,), (rare,) = of_rule(told, USER), of_rule(told, seldom)
    assert usual.rate == rare.rate is not None
    assert (usual.score or 0) > (rare.score or 0)


# Floods


def test_a_flood_has_the_highest_s_and_score_of_its_slice() -> None:
    fold = worked(4)
    mine = [user("a", n=100 * n, action=f"New{n}") for n in (2, 50, 3)]
    other = [user("b", n=10**6), user("a", NOW - 1, NOW, n=10**6)]
    told = fold.fire(NOW, flood(mine[0]), *mine, *other)
    (found,) = [each for each in told if each.action == "flood"]
    (highest,) = [each for each in told if each.action == "New50"]
    assert found.surprise == highest.surprise
    assert found.score == highest.score is not None
    assert found.factors == [Factor("flood", 3.0, "3 more"), *highest.factors]
    assert day_of(fold, NOW)[0] == 5, "what is in excess is not booked"


def test_a_flood_that_is_told_later_has_the_s_of_those_before() -> None:
    fold = Weighed()
    (said,) = fold.fire(NOW, user("a"))
    fold.resume(NOW)
    told = fold.fire(NOW + 3, flood(user("a", firing=NOW + 3)), user("a", NOW + 3, n=10**6))
    (found,) = [each for each in told if each.action == "flood"]
    assert found.surprise == said.surprise


def test_a_flood_of_a_city_has_the_highest_of_those_that_are_not_usual() -> None:
    met, travel = city("a", action="Met"), city("b", action="Travel", n=10**6)
    told = Weighed().fire(NOW, user("a", action="Met"), met, travel, flood(met))
    (found,) = [each for each in told if each.action == "flood"]
    assert found.surprise == of_rule(told, USER)[0].surprise


def test_a_flood_of_a_city_that_is_told_later_has_the_s_of_those_before() -> None:
    fold = Weighed()
    (said,) = fold.fire(NOW, city())
    (found,) = fold.fire(NOW + 3, flood(city(firing=NOW + 3)))
    assert found.surprise == said.surprise
