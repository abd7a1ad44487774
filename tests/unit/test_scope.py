"""The second stage of `contrast`: users and cities meet.

contrast.md, §2 and §5.
"""

from __future__ import annotations

import math

import pytest
from factory import BY_CITY, candidate, detector, rule
from weighed import CITY, DAY, NOW, USER, Weighed, city, factor, of_rule, user

from schemas.anomaly import anomaly as anomaly_of
from schemas.change import Change
from schemas.rule import companion, detectors, user_fields

# Users and cities meet


def test_a_city_carries_the_highest_s_of_its_users_that_are_candidates() -> None:
    a, b, c = user("a", n=50), user("b", n=5_000), user("c", n=50_000)
    told = Weighed().fire(NOW, city("a", "b", "d"), c, a, b)
    by_name = {each.entity["user.name"]: each for each in of_rule(told, USER)}
    (found,) = of_rule(told, CITY)
    assert found.surprise == by_name["b"].surprise
    assert found.factors == by_name["b"].factors
    surprises = [by_name[name].surprise or 0.0 for name in "abc"]
    assert surprises[0] < surprises[1] < surprises[2], "c has not been in the city"


@pytest.mark.parametrize("order", [1, -1])
def test_of_equally_odd_users_it_is_the_first_by_name(order: int) -> None:
    users = [user("a", place=("Oslo",)), user("b", place=("Rome",))][::order]
    told = Weighed().fire(NOW, *users, city("b", "a"))
    one, other = of_rule(told, USER)
    assert one.surprise == other.surprise
    (found,) = of_rule(told, CITY)
    assert any("Oslo" in each.words for each in found.factors)


def test_what_is_usual_for_its_users_is_not_judged() -> None:
    fold = Weighed()
    told = fold.fire(NOW, user("a"), city("b", "c"), city("a", name="Paris"))
    assert [each.entity[BY_CITY[1]] for each in of_rule(told, CITY)] == ["Paris"]
    assert fold.counts()[f"usual|{CITY.detector.name}"] == 1
    assert fold.counts()[f"weighed|{CITY.detector.name}"] == 2
    assert fold.counts().get(f"usual|{USER.detector.name}", 0) == 0


@pytest.mark.parametrize(
    "other", [{"action": "Other"}, {"slice_": NOW - 1, "firing": NOW}], ids=["action", "slice"]
)
def test_only_the_same_action_and_slice_match(other: dict[str, int]) -> None:
    told = Weighed().fire(NOW, user("a", **other), city("a"))  # type: ignore[arg-type]
    assert of_rule(told, USER)
    assert of_rule(told, CITY) == []


def test_what_nobody_with_a_name_did_has_the_s_of_the_city() -> None:
    (found,) = Weighed().fire(NOW, city(n=400))
    assert factor(found, "habit") == -math.log((0.6 * 10 + 2) / (400 + 2))
    assert found.surprise == math.fsum(sorted(each.value for each in found.factors))


def test_cities_have_peers_and_days_of_their_own() -> None:
    fold = Weighed()
    entered = Change(USER.detector.key, "x", NOW - 8, NOW, {"actions": ["New", "Old"]})
    fold.fire(NOW, entered, *(user(f"u{n}", failed=True) for n in range(20)))
    of_user, of_city = fold.fire(NOW + DAY, user(slice_=NOW + DAY), city(slice_=NOW + DAY))
    assert factor(of_user, "what") == -math.log(2 * 1.5 / (2 + 26))
    assert factor(of_city, "what") == -math.log(1 * 0.5 / (0 + 25))
    assert factor(of_user, "outcome") == math.log(0.5 / (1 - 21 / 22))
    assert factor(of_city, "outcome") == 0.0


@pytest.mark.parametrize("between", [False, True])
def test_a_city_that_is_late_finds_what_was_said_of_its_users(between: bool) -> None:
    fold = Weighed()
    (said,) = fold.fire(NOW, user("a"))
    if between:
        fold.resume(NOW)
    (found,) = fold.fire(NOW + 7, city("a", firing=NOW + 7))
    assert (found.surprise, found.factors) == (said.surprise, said.factors)
    assert found.timing == "late"
    fold.fire(NOW + 8)
    assert fold.state.scope.verdicts == {}


# Who is judged where no rule asks for users


def test_cities_bring_a_detector_of_users_along() -> None:
    city_, users = detectors([CITY])
    assert city_ == CITY.detector
    assert (users.partition_fields, users.scorer, users.name) == (
        ("cloud.account.id", "user.name"),
        "contrast",
        "users-of-by-city",
    )
    assert users == USER.detector, "so that they share their state with the rule of users"


def test_it_has_all_else_from_the_city() -> None:
    special = detector("contrast", BY_CITY, scope="account", with_tool=True, by_field="error.code")
    _, users = detectors([rule(detector=special)])
    assert (users.scope, users.with_tool, users.by_field) == ("account", True, "error.code")


@pytest.mark.parametrize("change", [{"scope": "account"}, {"with_tool": True}])
def test_a_rule_of_users_that_are_judged_differently_is_no_companion(
    change: dict[str, object],
) -> None:
    other = rule("other", detector=detector("contrast", **change))
    assert len(detectors([CITY, other])) == 3
    assert len(detectors([CITY, USER])) == len(detectors([USER, CITY])) == 2


def test_other_scorers_bring_none() -> None:
    plain = rule("plain", detector=detector("window", BY_CITY, name="plain"))
    assert detectors([plain]) == [plain.detector]


def test_a_city_carries_the_verdict_of_a_user_whom_no_rule_asks_for() -> None:
    fold = Weighed(CITY)
    (found,) = fold.fire(NOW, user("a", n=5_000), city("a"))
    assert found.rule_id == CITY.uuid
    assert factor(found, "habit") == -math.log((0.6 * 10 + 2) / (5_000 + 2))
    assert fold.counts()["weighed|users-of-by-city"] == 1


def test_users_by_other_fields_are_a_companion_and_name_the_users_of_cells() -> None:
    by_name = rule("by-name", detector=detector("contrast", ("user.name",), name="by-name"))
    found = detectors([CITY, by_name])
    assert found == [CITY.detector, by_name.detector]
    assert user_fields(found) == ("user.name",)
    assert companion(CITY.detector, found) == by_name.detector


@pytest.mark.parametrize("order", [[1, -1], [-1, 1]])
def test_a_city_carries_what_its_own_companion_says(order: list[int]) -> None:
    with_tool = rule("tool", detector=detector("contrast", with_tool=True, name="with-tool"))
    for way in order:
        both = [user("a"), user("a", n=5_000, of=with_tool.detector)][::way]
        told = Weighed(USER, CITY, with_tool).fire(NOW, *both, city("a"))
        assert of_rule(told, CITY)[0].surprise == of_rule(told, USER)[0].surprise


# What passes


def test_other_scorers_pass_with_the_score_that_they_gave() -> None:
    plain = rule("plain", detector=detector("window"))
    fold = Weighed(plain)
    given = candidate(80.5, NOW, of=plain.detector)
    assert fold.fire(NOW, given) == [anomaly_of(given, plain.uuid)]
    assert fold.fold.save(fold.state, {}, NOW) is None
