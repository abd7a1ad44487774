"""The factors of `contrast`, by hand: contrast.md §3 and its worked example."""

from __future__ import annotations

import math
from typing import Any

import pytest
from factory import at, cell

from schemas.anomaly import Habit, Own
from transforms.contrast import Peers, Popularity, Sightings, judge


def popularity(pairs: int, kinds: int, **fans: int) -> Popularity:
    """Values of which some are named; the others share what is left of the pairs."""
    table = Popularity(fans=dict(fans), pairs=pairs)
    for number in range(kinds - len(fans)):
        table.fans[f"other{number}"] = 1
    return table


def own(window: list[Habit] | None = None, **changes: Any) -> Own:
    given = {
        "n_actions": 419,
        "t_actions": 57,
        "n_places": 39,
        "t_places": 3,
        "n_tools": 0,
        "t_tools": 0,
        "places": {"Barcelona": 30},
        "tools": {},
        "window": [Habit("DeleteFlowLogs", 0)] if window is None else window,
    }
    return Own(**{**given, **changes})


PEERS = Peers(
    actions=popularity(6867, 563, DeleteFlowLogs=1, Usual=40, Rare=2),
    places=popularity(665, 54, Barcelona=39),
    tools=popularity(100, 10, cli=50),
)
SEEN = Sightings(4132, 214, 572)


def factors(mine: Own, write: bool = True, failed: bool = False, **rest: Any) -> dict[str, float]:
    """Name → value of the judgement of DeleteFlowLogs at home."""
    happened = cell(at(1), place=("Barcelona",), tool=("cli",), write=write, failed=failed)
    _, told = judge(mine, happened, "DeleteFlowLogs", PEERS, SEEN, **rest)
    return {factor.name: factor.value for factor in told}


def test_the_worked_example() -> None:
    happened = cell(at(1), place=("Barcelona",), write=True)
    surprise, told = judge(own(), happened, "DeleteFlowLogs", PEERS, SEEN)
    assert {factor.name: round(factor.value, 3) for factor in told} == {
        "habit": 2.454,
        "what": 2.139,
        "place": -0.680,
        "looks": 0.0,
        "company": 0.0,
        "outcome": -0.640,
        "kind": 1.283,
    }
    assert surprise == pytest.approx(4.556, abs=5e-4)
    words = {factor.name: factor.words for factor in told}
    assert words["habit"] == "does something new in 1 of 12 of its actions"
    assert words["what"] == "1 peer does it: 8.5 times rarer than an average action"
    assert words["place"] == "from Barcelona in 30 of 39 quarter-hours"
    assert words["kind"] == "a write, as 14 % of first sightings are"


@pytest.mark.parametrize(
    ("fans", "words"),
    [
        (0, "no peer does it, which weighs as 25.5 times rarer than an average action"),
        (1, "1 peer does it: 8.5 times rarer than an average action"),
        (2, "2 peers do it: 5.1 times rarer than an average action"),
        (3_000, "3,000 peers do it: 235.5 times more common than an average action"),
    ],
)
def test_how_many_peers_do_it_is_told_and_what_that_weighs(fans: int, words: str) -> None:
    actions = popularity(6867, 563, **({"New": fans} if fans else {}))
    _, told = judge(own([Habit("New", 0)]), cell(at(1)), "New", Peers(actions), SEEN)
    assert told[1].words == words


def test_s_is_the_sum_of_its_factors() -> None:
    happened = cell(at(1), place=("Barcelona",), tool=("cli",), write=True)
    surprise, told = judge(own(n_tools=9, t_tools=1), happened, "New", PEERS, SEEN, True)
    assert [factor.name for factor in told][3] == "tool"
    assert surprise == math.fsum(sorted(factor.value for factor in told))


@pytest.mark.parametrize(("n", "speaks"), [(4, False), (5, True)])
def test_places_speak_from_five_slices_on(n: int, speaks: bool) -> None:
    assert (factors(own(n_places=n, places={}))["place"] != 0.0) is speaks


def test_home_is_no_alibi() -> None:
    """However usual a place is, it takes no more than ln 2 from S."""
    at_home = own(n_places=10**6, t_places=1, places={"Barcelona": 10**6})
    assert -math.log(2) <= factors(at_home)["place"] < -0.68


def test_of_several_places_the_least_fitting_counts() -> None:
    happened = cell(at(1), place=("Barcelona", "Lagos"))
    _, told = judge(own(), happened, "New", PEERS, SEEN)
    _, alone = judge(own(), cell(at(1), place=("Lagos",)), "New", PEERS, SEEN)
    assert told[2].value == alone[2].value > 0
    assert told[2].words == "from Lagos never before in 39 quarter-hours"


def test_what_is_done_beside_looks_less_odd_and_its_company_less_foreign() -> None:
    window = [Habit("DeleteFlowLogs", 0), Habit("Usual", 100), Habit("New", 0)]
    told = factors(own(window))
    assert told["looks"] == -math.log(3)
    gain = math.log((100 / 419) / (40 / 6867))
    assert gain > 3
    assert told["company"] == -math.log(1 + 3.0), "one habit speaks for 3 at most"
    common = own([Habit("DeleteFlowLogs", 0), Habit("Usual", 1)])
    assert factors(common)["company"] == 0.0, "never less than nothing"


def test_failures_and_writes_count_by_how_rare_they_are_among_first_sightings() -> None:
    assert factors(own(), failed=True)["outcome"] == math.log(0.5 / (215 / 4134))
    assert factors(own(), write=False)["kind"] == math.log(0.5 / (1 - 573 / 4134))
    _, told = judge(own(), cell(at(1), failed=True), "New", PEERS, Sightings())
    assert told[4 + 1].value == 0.0, "of nothing nothing is known"


def test_a_value_that_its_last_entity_loses_is_gone() -> None:
    table = Popularity()
    table.enter("Get", 7, "b")
    table.enter("Get", 7, "a")
    table.enter("Get", 6, "c")
    assert (table.pairs, table.fans["Get"], table.first["Get"]) == (3, 3, (6, "c"))
    for _ in range(3):
        table.leave("Get")
    assert (table.pairs, table.fans, table.first) == (0, {}, {})
    assert table.share("Get") == 0.5 / 25


def test_hostile_names_are_made_harmless_in_words() -> None:
    window = [Habit("New", 0), Habit("\x1b[2J\n<b>", 50)]
    PEERS.actions.fans["\x1b[2J\n<b>"] = 1
    _, told = judge(own(window), cell(at(1), place=("\x1b[1m",)), "New", PEERS, SEEN)
    assert all(factor.words.isprintable() for factor in told)
