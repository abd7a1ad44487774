"""The first stage of `contrast`: what is new to an entity, and what is sent along with it.

contrast.md, §1 and §2.
"""

from __future__ import annotations

import pytest
from factory import at, cell
from stepped import CONTRAST, WINDOW, Stepped, group

from schemas.anomaly import Candidate, Habit, Own
from schemas.slice import Cell
from transforms.history import DAY, History, Learned

END = 20_000 * DAY
MEMORY = 8_640
"""Slices of 90 days; written again here, so that a change of it does not pass unseen."""


def known(slices: int, **changes: object) -> Stepped:
    """An entity that did Get once in each of so many slices, the last of them END − 9."""
    fold = Stepped(CONTRAST)
    for slice_ in range(END - 8 - slices, END - 8):
        fold.fire(slice_, group(slice_, Get=cell(at(slice_), **changes)))
    return fold


def names(candidates: list[Candidate]) -> list[str]:
    return [each.action for each in candidates]


def own_of(candidates: list[Candidate]) -> Own:
    (only,) = candidates
    assert only.own is not None
    return only.own


# What is a candidate


@pytest.mark.parametrize(("n", "told"), [(4, []), (5, ["New"])])
def test_an_entity_is_judged_from_five_learned_slices_on(n: int, told: list[str]) -> None:
    fold = known(n)
    assert names(fold.fire(END, group(END, New=None, Get=None))) == told
    cells = fold.cells()
    assert cells["cells"] == n + 2
    assert cells.get("judged", 0) == len(told)
    assert cells["too_young"] == 2 - len(told), "the first Get, too"
    assert cells["known"] == n


def test_n_counts_pairs_of_an_action_and_a_slice() -> None:
    fold = Stepped(CONTRAST)
    fold.fire(END - 8, group(END - 8, **dict.fromkeys("ABCDE")))
    own = own_of(fold.fire(END, group(END, New=None)))
    assert (own.n_actions, own.t_actions) == (5, 5)


def test_the_history_is_that_of_eight_slices_before() -> None:
    fold = known(9)
    fold.fire(END - 8, group(END - 8, Get=None))
    fold.fire(END - 7, group(END - 7, Get=None))
    assert own_of(fold.fire(END, group(END, New=None))).n_actions == 10


@pytest.mark.parametrize("back", [1, 7, 8, 9])
def test_what_was_done_in_the_window_or_before_is_not_new(back: int) -> None:
    """It is new once, `back` slices before."""
    fold = known(20)
    new = []
    for slice_ in range(END - 9, END + 1):
        actions = {"New": None} if slice_ in (END - back, END) else {}
        new += fold.fire(slice_, group(slice_, **actions))
    assert [(each.action, each.slice) for each in new] == [("New", END - back)]
    assert fold.cells()["known"] == 20


def test_what_is_done_later_does_not_make_it_known() -> None:
    """A slice that comes late is judged by those before it, as it would have been in time."""
    fold = known(9)
    assert names(fold.fire(END + 1, group(END + 1, New=None, Other=None))) == ["New", "Other"]
    (late,) = fold.fire(END + 3, group(END, END + 3, New=None))
    assert (late.action, late.slice, late.timing) == ("New", END, "late")
    assert late.own is not None
    assert late.own.window == [Habit("New", 0)]


def test_an_action_is_judged_once_in_a_slice() -> None:
    fold = known(9)
    assert names(fold.fire(END, group(END, New=None))) == ["New"]
    assert fold.fire(END + 1, group(END, END + 1, New=None)) == []


def test_the_peers_give_the_score() -> None:
    (told,) = known(9).fire(END, group(END, New=None))
    assert (told.scorer, told.score, told.probability, told.factors) == ("contrast", None, None, [])
    assert (told.seen, told.seen_last) == (0, None)


def test_of_a_flood_20_ask_the_peers_and_the_rest_waits_for_their_answer() -> None:
    fold = known(9)
    told = fold.fire(END, group(END, **dict.fromkeys(f"New{n:02}" for n in range(23))))
    (flood,) = [each for each in told if each.own is None]
    assert (flood.action, flood.score, flood.factors[0].value) == ("flood", None, 3)
    assert len(told) == 21
    cells = fold.cells()
    assert (cells["judged"], cells["flood_excess"], cells["known"]) == (20, 3, 8)


# What is sent along


def streamed(slice_: int, *networks: str) -> Cell:
    """A cell of a user without a person behind it, from these networks."""
    return cell(at(slice_), stream=tuple(("", "", network) for network in networks))


def test_the_window_has_the_different_actions_that_share_a_stream() -> None:
    fold = known(9)
    fold.fire(END - 8, group(END - 8, Settled=streamed(END - 8, "1.1")))
    fold.fire(END - 7, group(END - 7, Get=streamed(END - 7, "2.2"), Edge=streamed(END - 7, "1.1")))
    fold.fire(END - 1, group(END - 1, Put=streamed(END - 1, "3.3"), Edge=streamed(END - 1, "4.4")))
    told = fold.fire(
        END,
        group(END, New=streamed(END, "1.1", "2.2"), Beside=streamed(END, "2.2"), Far=cell(at(END))),
    )
    own = {each.action: each.own for each in told}
    assert own["New"] is not None
    assert own["New"].window == [
        *(Habit("Beside", 0), Habit("Edge", 0), Habit("Get", 9), Habit("New", 0)),
    ]
    assert own["Far"] is not None
    assert own["Far"].window == [Habit("Far", 0)], "itself, though it has no stream at all"


def test_counts_of_its_places_and_tools_are_those_of_the_history() -> None:
    fold = known(9, place=("Oslo", "Rome"), tool=("cli",))
    fold.fire(END - 8, group(END - 8, Get=cell(at(END - 8), place=("Oslo",))))
    own = own_of(
        fold.fire(END, group(END, New=cell(at(END), place=("Lima", "Oslo"), tool=("sdk",))))
    )
    assert (own.n_places, own.t_places, own.places) == (19, 2, {"Oslo": 10})
    assert (own.n_tools, own.t_tools, own.tools) == (9, 1, {})


def test_what_came_too_late_has_beside_it_what_came_with_it() -> None:
    fold = known(9)
    fold.fire(END + 30)
    late = group(END, END + 30, New=streamed(END, "1.1"))
    beside = group(END + 1, END + 30, Get=streamed(END + 1, "1.1"))
    own = own_of(fold.fire(END + 30, late, beside))
    assert own.window == [Habit("Get", 9), Habit("New", 0)]
    assert fold.fire(END + 31, group(END, END + 31, New=None)) == [], (
        "remembered, though not learned"
    )


# What the peers are told


def test_what_enters_a_history_is_told_when_it_is_learned_and_once() -> None:
    fold = Stepped(CONTRAST)
    fold.fire(END, group(END, Put=cell(at(END), place=("Oslo",)), Get=cell(at(END), tool=("cli",))))
    fold.fire(END + 7, group(END + 7, Get=cell(at(END + 7), tool=("cli",))))
    assert fold.changes == []
    fold.fire(END + 8)
    (told,) = fold.changes
    assert (told.slice, told.firing, told.left) == (END, END + 8, {})
    assert told.entered == {"actions": ["Get", "Put"], "places": ["Oslo"], "tools": ["cli"]}
    assert told.detector == CONTRAST.key
    assert told.entity == '["111122223333","alice"]'
    fold.fire(END + 15)
    assert len(fold.changes) == 1, "nothing new"


def test_an_entity_that_leaves_tells_all_its_values() -> None:
    fold = Stepped(CONTRAST)
    fold.fire(END, group(END, Put=cell(at(END), place=("Oslo",)), Get=cell(at(END), tool=("cli",))))
    fold.fire(END + 8)
    fold.fire(END + 180 * DAY)
    assert len(fold.changes) == 1
    fold.fire(END + 180 * DAY + 1)
    entered, left = fold.changes
    assert left.left == entered.entered
    assert (left.entered, left.slice, left.firing) == ({}, END, END + 180 * DAY + 1)
    fold.fire(END + 180 * DAY + 2)
    assert len(fold.changes) == 2


def test_a_value_that_leaves_is_told() -> None:
    fold = Stepped(CONTRAST)
    for slice_, action in ((END, "Old"), (END + MEMORY + 1, "Get")):
        fold.fire(slice_, group(slice_, **{action: None}))
        fold.fire(slice_ + 8)
    assert fold.changes[1].entered == {"actions": ["Get"]}
    assert fold.changes[1].left == {"actions": ["Old"]}


def test_other_scorers_tell_their_peers_nothing() -> None:
    fold = Stepped(WINDOW)
    fold.fire(END, group(END, Get=None))
    fold.fire(END + 8)
    assert fold.changes == []


# What is forgotten


def history(*learned: tuple[int, str]) -> History:
    """Of actions, each learned in a slice."""
    made = History(aged=False, memory=MEMORY)
    for slice_, actions in learned:
        made.learn(slice_, actions, (), ())
    return made


def rows(of: History) -> dict[str, int]:
    return {name: of.actions.of(name) for name in sorted(of.actions.row)}


@pytest.mark.parametrize(("age", "left"), [(MEMORY, {}), (MEMORY + 1, {"actions": ["A"]})])
def test_values_leave_after_90_days(age: int, left: dict[str, list[str]]) -> None:
    made = history((END - 9, "AB"), (END, "AB"), (END + 1, "B"))
    learned = made.learn(END + age, ["B"], (), ())
    assert learned == Learned(left=left)
    assert rows(made) == {"B": 4} if left else {"A": 2, "B": 4}
    assert made.actions.n == sum(rows(made).values())


def test_values_of_the_slice_that_purges_keep_their_count() -> None:
    made = history((END, "AB"), (END + 1, "AB"))
    assert made.learn(END + 200 * DAY, ["A"], (), ()) == Learned(left={"actions": ["B"]})
    assert rows(made) == {"A": 3}
    assert made.actions.seen("A") == (3, END + 200 * DAY)


def test_only_the_first_slice_of_a_day_purges() -> None:
    """A is 90 days old in the second slice of the day, and leaves with the first of the next."""
    today = END + MEMORY
    made = history((END + 5, "A"), (END + 50, "B"), (today, "C"))
    assert made.learn(today + 20, ["C"], (), ()).left == {}
    assert made.learn(today + DAY - 1, ["C"], (), ()).left == {}
    assert rows(made) == {"A": 1, "B": 1, "C": 3}
    assert made.learn(today + DAY, ["C"], (), ()).left == {"actions": ["A", "B"]}


def test_each_kind_is_purged_by_the_first_slice_that_brings_a_value_of_it() -> None:
    today = END + MEMORY
    made = History(aged=False, memory=MEMORY)
    made.learn(END + 5, ["A"], ["Oslo"], ["cli"])
    assert made.learn(today, ["B"], ["Rome"], ()).left == {}
    assert made.learn(today + 9, ["B"], (), ["sdk"]).left == {"tools": ["cli"]}
    assert made.learn(today + 10, ["B"], ["Rome"], ()).left == {}
    later = today + DAY
    assert made.learn(later, ["B"], (), ()).left == {"actions": ["A"]}
    assert made.learn(later + 1, ["B"], ["Rome"], ()).left == {"places": ["Oslo"]}


def test_what_left_is_new_again() -> None:
    made = history((END, "A"), (END + MEMORY + DAY, "B"))
    assert made.learn(END + MEMORY + DAY + 1, ["A"], (), ()).entered == {"actions": ["A"]}
    assert rows(made) == {"A": 1, "B": 1}


def resumed(made: History) -> History:
    again = History(aged=False, memory=MEMORY)
    again.restore(made.state())
    return again


def test_a_day_is_purged_once_whatever_run_it_is_in() -> None:
    today = END + MEMORY
    again = resumed(history((END + 5, "A"), (today, "B")))
    assert again.learn(today + 9, ["B"], (), ()).left == {}
    assert again.learn(today + DAY, ["B"], (), ()).left == {"actions": ["A"]}


def test_a_day_is_purged_once_where_there_was_no_room() -> None:
    today = END + MEMORY
    made = History(aged=False, memory=MEMORY)
    made.learn(END + 5, [f"A{n:04}" for n in range(1_000)], (), ())
    made.learn(END + 50, [f"B{n:04}" for n in range(1_000)], (), ())
    assert made.learn(today, ["C"], (), ()) == Learned(refused=["C"])
    again = resumed(made)
    assert made.learn(today + 9, ["C"], (), ()) == again.learn(today + 9, ["C"], (), ())
