"""What becomes an alert, at each edge of "SelectAlerts, exactly" (DESIGN.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from factory import anomaly, at, candidate, detector, event, packed, rule

from schemas.anomaly import ANOMALY, CANDIDATE, Anomaly
from schemas.rule import Rule
from schemas.selection import SELECTION, Selection
from schemas.state import RULE_STATE
from transforms import rarity
from transforms.alert import RuleFold, SelectFold, select
from transforms.fold import replay
from transforms.peers import WeighFold
from transforms.score import ScoreFold

RULE = rule()
START = 1_900_000


def chosen(anomalies: Iterable[Anomaly], of: Rule = RULE) -> dict[int, Selection]:
    """Firing → what the rule says at it."""
    said = replay(SelectFold((of,)), of.uuid.encode(), [ANOMALY.encode(a) for a in anomalies])
    selections = [SELECTION.decode(data) for tag, data in said if tag == "selections"]
    return {selection.firing: selection for selection in selections}


def ids(selection: Selection) -> list[str]:
    return [alert.id for alert in selection.alerts]


def many(number: int, score: float = 80.0, slice_: int = START, **kwargs: Any) -> list[Anomaly]:
    """Anomalies of as many users, all alike but for their ids."""
    return [anomaly(RULE, score, slice_, user=f"user{n}", **kwargs) for n in range(number)]


# Threshold


@pytest.mark.parametrize(
    ("score", "passes"),
    [(74.999, False), (74.9999, False), (75.0, True), (75.0001, True), (None, False)],
)
def test_an_alert_needs_the_threshold(score: float | None, passes: bool) -> None:
    elements = [CANDIDATE.encode(candidate(score, START))]
    said = list(replay(WeighFold((RULE,)), b"organisation", elements))
    assert [tag for tag, _ in said].count("anomalies") == 1, "all anomalies are kept"
    assert [tag for tag, _ in said].count("alertable") == passes


@pytest.mark.parametrize(
    ("raw", "rounded", "passes"),
    [(74.99994, 74.9999, False), (74.99996, 75.0, True), (75.00004, 75.0, True)],
)
def test_a_score_is_rounded_before_it_meets_the_threshold(
    raw: float, rounded: float, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Certain(rarity.Window):
        def judge(self, history: Any, actions: Iterable[str]) -> dict[str, float]:
            return dict.fromkeys(actions, 0.05 * 500 ** (-(raw / 100 - 0.05) / 0.95))

    monkeypatch.setitem(rarity.SCORERS, "window", Certain())
    ((key, data),) = packed([event(at(START))], detector())
    scored = replay(ScoreFold((detector(),)), key, [data])
    (found,) = [value[1] for tag, value in scored if tag == "candidates"]
    assert CANDIDATE.decode(found).score == rounded
    said = replay(WeighFold((RULE,)), b"organisation", [found])
    assert [tag for tag, _ in said].count("alertable") == passes


# Cap and order


@pytest.mark.parametrize("number", [99, 100, 101])
def test_at_most_100_alerts_a_firing(number: int) -> None:
    first = chosen(many(number))[START]
    assert len(first.alerts) == min(number, 100)
    assert first.cut == [80.0] * max(0, number - 100)
    assert first.new == number


def test_the_highest_come_first_then_the_earliest_then_the_smallest_id() -> None:
    high = anomaly(RULE, 80.0001, START, user="high", first=at(START, 9))
    early = anomaly(RULE, 80.0, START, user="early", first=at(START, 1))
    late = [anomaly(RULE, 80.0, START, user=u, first=at(START, 2), id=u) for u in "ab"]
    everything = [*late, early, high]
    for order in (everything, everything[::-1]):
        assert ids(chosen(order)[START]) == [high.id, early.id, "a", "b"]


def test_of_101_equals_the_one_with_the_greatest_id_is_cut() -> None:
    anomalies = many(101)
    by_id = sorted(found.id for found in anomalies)
    for order in (anomalies, anomalies[::-1]):
        said = chosen(order)
        assert ids(said[START]) == by_id[:100]
        assert ids(said[START + 1]) == by_id[100:]


def test_of_101_equals_the_latest_is_cut_whatever_its_id() -> None:
    anomalies = [*many(100), anomaly(RULE, 80.0, START, user="late", first=at(START, 1), id="0")]
    assert ids(chosen(anomalies)[START + 1]) == ["0"]


# Waiting


def test_what_was_cut_waits_and_meets_the_new() -> None:
    first = many(101, 80.0)
    better = many(100, 90.0, START + 1)
    said = chosen([*first, *(replace_user(found, f"other{n}") for n, found in enumerate(better))])
    assert [len(said[START + n].alerts) for n in range(3)] == [100, 100, 1]
    assert [said[START + n].new for n in range(3)] == [101, 100, 0]
    assert said[START + 1].cut == [80.0]
    assert said[START + 2].alerts[0].score == 80.0
    assert sorted(said) == [START, START + 1, START + 2]


def replace_user(found: Anomaly, user: str) -> Anomaly:
    return anomaly(RULE, found.score, found.slice, user=user)


def crowd(firings: int, of: Rule) -> list[Anomaly]:
    """At each of so many firings, a better one than anything before takes the only place."""
    return [anomaly(of, 90.0 + n, START + n, user=f"crowd{n}") for n in range(firings)]


def test_the_last_chance_is_at_the_7th_firing_after() -> None:
    one = rule(max_alerts=1)
    unlucky = anomaly(one, 80.0, START)
    said = chosen([unlucky, *crowd(7, one)], one)
    assert ids(said[START + 7]) == [unlucky.id]
    assert not said[START + 7].expired


def test_at_the_8th_firing_after_it_has_expired() -> None:
    one = rule(max_alerts=1)
    unlucky = anomaly(one, 80.0, START)
    said = chosen([unlucky, *crowd(8, one)], one)
    assert said[START + 8].expired == [80.0]
    assert said[START + 7].cut == [80.0]
    assert not any(unlucky.id in ids(selection) for selection in said.values())
    assert sorted(said) == list(range(START, START + 9))


def test_waiting_is_counted_from_the_firing_at_which_it_became_known() -> None:
    one = rule(max_alerts=1)
    late = anomaly(one, 80.0, START - 5, firing=START)
    assert ids(chosen([late, *crowd(7, one)], one)[START + 7]) == [late.id]


@pytest.mark.parametrize(("minutes", "firings"), [(15, 1), (60, 4), (1440, 96)])
def test_the_look_back_is_the_time_to_wait(minutes: int, firings: int) -> None:
    one = rule(max_alerts=1, lookback_minutes=minutes)
    unlucky = anomaly(one, 80.0, START)
    assert ids(chosen([unlucky, *crowd(firings - 1, one)], one)[START + firings - 1])
    assert chosen([unlucky, *crowd(firings, one)], one)[START + firings].expired == [80.0]


# Once


@pytest.mark.parametrize("apart", [1, 7, 8])
@pytest.mark.parametrize("first_alerted", ["earlier", "later"])
def test_an_alert_suppresses_the_same_less_than_8_slices_away(
    apart: int, first_alerted: str
) -> None:
    """Later slices are alerted first where an earlier one's events come late."""
    slices = (START, START + apart) if first_alerted == "earlier" else (START + apart, START)
    first = anomaly(RULE, 80.0, slices[0], firing=START + 10)
    second = anomaly(RULE, 99.0, slices[1], firing=START + 11)
    said = chosen([first, second])
    assert ids(said[START + 10]) == [first.id]
    assert ids(said[START + 11]) == ([] if apart < 8 else [second.id])
    assert said[START + 11].suppressed == ([99.0] if apart < 8 else [])


@pytest.mark.parametrize(
    "other", [{"user": "bob"}, {"action": "StopLogging"}, {"scope": "111122223333"}]
)
def test_another_entity_action_or_scope_is_not_suppressed(other: dict[str, str]) -> None:
    said = chosen([anomaly(RULE, 80.0, START), anomaly(RULE, 80.0, START + 1, **other)])
    assert [len(said[START + n].alerts) for n in range(2)] == [1, 1]


def test_in_one_walk_the_higher_suppresses_the_lower() -> None:
    lower = anomaly(RULE, 80.0, START - 1, firing=START)
    higher = anomaly(RULE, 81.0, START, firing=START)
    (only,) = chosen([lower, higher]).values()
    assert (ids(only), only.suppressed) == ([higher.id], [80.0])


def test_what_is_cut_suppresses_nothing_and_what_is_suppressed_takes_no_place() -> None:
    two = rule(max_alerts=2)
    alerted = anomaly(two, 80.0, START, user="a")
    again = anomaly(two, 99.0, START + 1, user="a")
    others = [anomaly(two, score, START + 1, user=u) for score, u in ((90.0, "b"), (85.0, "c"))]
    cut = anomaly(two, 84.0, START + 1, user="d")
    lower = anomaly(two, 83.0, START + 2, user="d", firing=START + 1)
    said = chosen([alerted, again, *others, cut, lower], two)[START + 1]
    assert ids(said) == [found.id for found in others]
    assert (said.suppressed, said.cut) == ([99.0], [84.0, 83.0])


def test_suppressed_is_dropped_for_good() -> None:
    first, second = anomaly(RULE, 80.0, START), anomaly(RULE, 80.0, START + 7)
    third = anomaly(RULE, 80.0, START + 8)
    said = chosen([first, second, third])
    assert ids(said[START + 8]) == [third.id]
    assert sorted(said) == [START, START + 7, START + 8], "and it suppresses nothing itself"


def test_a_key_is_remembered_as_long_as_it_can_matter_and_not_longer() -> None:
    """24 firings: a look-back of 8, and the 2 hours and the lateness that slices may be apart."""
    state = RuleFold(RULE)
    assert select(state, [anomaly(RULE, 80.0, START)], START).alerts
    for firing in range(START + 1, START + 24):
        select(state, [], firing)
        assert state.alerted, firing
    select(state, [], START + 24)
    assert not state.alerted
    assert state.due is None


def test_keys_of_what_was_cut_are_not_remembered() -> None:
    state = RuleFold(rule(max_alerts=1))
    select(state, [anomaly(RULE, 80.0 + n, START, user=f"u{n}") for n in range(3)], START)
    data = SelectFold((state.rule,)).save(state, {}, START)
    assert data is not None
    (only,) = RULE_STATE.decode(data).alerted
    assert (only.entity["user.name"], only.slices) == ("u2", [START])


# Intervals


@pytest.mark.parametrize(("minutes", "every"), [(15, 1), (30, 2), (60, 4)])
def test_a_rule_acts_when_its_interval_ends(minutes: int, every: int) -> None:
    """By the clock, not from the first anomaly on."""
    slow = rule(interval_minutes=minutes)
    for slice_ in range(START, START + 8):
        found = anomaly(slow, 80.0, slice_)
        said = chosen([found], slow)
        (acted,) = [firing for firing, selection in said.items() if selection.alerts]
        assert (acted + 1) % every == 0
        assert slice_ <= acted < slice_ + every


def test_between_its_intervals_a_rule_cuts_and_suppresses_nothing() -> None:
    slow = rule(interval_minutes=60, max_alerts=1)
    hour = START - (START + 1) % 4  # a firing at a full hour
    assert (hour + 1) % 4 == 0
    anomalies = [anomaly(slow, 80.0 + n, hour + 1 + n, user=f"u{n}") for n in range(3)]
    said = chosen(anomalies, slow)
    assert sorted(said) == [hour + 1, hour + 2, hour + 3, hour + 4, hour + 8, hour + 9]
    for firing in (hour + 1, hour + 2, hour + 3):
        assert said[firing].new == 1
        quiet = said[firing].alerts + said[firing].cut + said[firing].suppressed
        assert not quiet
    assert [alert.score for alert in said[hour + 4].alerts] == [82.0]
    assert said[hour + 4].cut == [81.0, 80.0]
    assert [alert.score for alert in said[hour + 8].alerts] == [81.0]
    assert said[hour + 9].expired == [80.0]


def test_what_waits_for_an_interval_expires_in_between() -> None:
    slow = rule(interval_minutes=60, lookback_minutes=60, max_alerts=1)
    hour = START - (START + 1) % 4
    anomalies = [anomaly(slow, 80.0 + n, hour + 3, user=f"u{n}") for n in range(2)]
    said = chosen(anomalies, slow)
    assert said[hour + 4].cut == [80.0]
    assert said[hour + 7].expired == [80.0]
    assert sorted(said) == [hour + 3, hour + 4, hour + 7]


# Rules among themselves


def test_each_rule_has_a_walk_of_its_own() -> None:
    strict, loose = rule("strict"), replace(rule("loose"), threshold=20.0)
    elements = [CANDIDATE.encode(candidate(50.0, START)), CANDIDATE.encode(candidate(90.0, START))]
    said = list(replay(WeighFold((strict, loose)), b"organisation", elements))
    alertable = [value[0].decode() for tag, value in said if tag == "alertable"]
    assert sorted(alertable) == sorted([strict.uuid, loose.uuid, loose.uuid])
    found = [ANOMALY.decode(value) for tag, value in said if tag == "anomalies"]
    assert len({each.id for each in found}) == 2
    assert {each.rule_id for each in found} == {strict.uuid, loose.uuid}
