"""An entity keeps 2,000 values of a kind: what there is no room for is counted, and told.

DESIGN.md, "Bounded state".
"""

from __future__ import annotations

from math import fsum

import pytest
from factory import at, cell, hash_of
from stepped import ELASTIC, WINDOW, Stepped, group, habitual

from schemas.anomaly import Candidate
from schemas.rule import Detector

DAY = 96
FIRST = 20_000 * DAY
"""First slice of a day; the entities below are full by its firing."""
END = FIRST
both = pytest.mark.parametrize("of", [WINDOW, ELASTIC], ids=["window", "elastic"])


def of_kind(candidates: list[Candidate], action: str) -> list[Candidate]:
    return [each for each in candidates if each.action == action]


# 2,000 actions


def full(of: Detector, number: int = 2_000) -> Stepped:
    """An entity of so many actions, A0000 and on, done in one slice and learned."""
    fold = Stepped(of)
    actions = {f"A{n:04}": None for n in range(number)}
    found = fold.fire(FIRST - 30, group(FIRST - 30, **actions))
    found += fold.fire(FIRST - 22)
    assert not of_kind(found, "overflow")
    assert len(fold.state.history.actions.row) == number
    return fold


def lived(fold: Stepped, slice_: int, *actions: str) -> list[Candidate]:
    """What is said of a slice, at its firing and when it is settled."""
    found = fold.fire(slice_, group(slice_, **dict.fromkeys(actions)))
    return found + fold.fire(slice_ + 8)


@both
def test_the_2000th_action_is_learned_and_the_2001st_is_not(of: Detector) -> None:
    fold = full(of, 1_999)
    assert not of_kind(lived(fold, FIRST, "B1"), "overflow")
    assert fold.cells().get("overflow", 0) == 0
    (told,) = of_kind(lived(fold, FIRST + 10, "B2"), "overflow")
    assert fold.state.history.actions.seen("B1") == (1, FIRST)
    assert fold.state.history.actions.seen("B2") == (0, None)
    assert (told.score, told.slice) == (100.0, FIRST + 10)
    assert fold.counts()[f"latest|largest|{of.name}"] == 2_000


@both
def test_of_several_the_first_by_name_takes_the_last_place(of: Detector) -> None:
    for actions in (("B2", "B1", "B3"), ("B3", "B1", "B2")):
        fold = full(of, 1_999)
        (told,) = of_kind(lived(fold, FIRST, *actions), "overflow")
        assert fold.state.history.actions.seen("B1") == (1, FIRST)
        assert told.factors[0].value == 2
        assert fold.cells()["overflow"] == 2


@both
def test_what_is_known_keeps_counting(of: Detector) -> None:
    fold = full(of)
    history = fold.state.history
    before = history.masses.total
    lived(fold, FIRST, "A0007", "B1", "B2")
    assert history.actions.seen("A0007") == (2, FIRST)
    assert history.mass("A0007") > 1.9 * history.mass("A0008") > 0
    assert (history.buckets, history.latest) == (2, FIRST)
    assert history.mass("B1") == 0
    assert history.masses.total == pytest.approx(fsum(history.masses.all()), rel=1e-12)
    assert before < history.masses.total < before + 1, "one action more, of three"
    assert history.profile().n_actions == 2_000


@both
def test_the_overflow_tells_when_how_many_and_shows_their_events(of: Detector) -> None:
    fold = full(of)
    cells = {
        "A0001": cell(at(FIRST, 1), ids=(hash_of("known"),)),
        "B1": cell(at(FIRST, 5), ids=(hash_of("1"),), place=("Oslo",)),
        "B2": cell(at(FIRST, 3), ids=(hash_of("2"),), place=("Lima",)),
    }
    before = fold.cells()["candidates"]
    found = fold.fire(FIRST, group(FIRST, **cells))
    assert bool(of_kind(found, "overflow")) is (of is ELASTIC), "told when it is to be learned"
    found += fold.fire(FIRST + 8)
    assert fold.cells()["candidates"] == before + len(found)
    (told,) = of_kind(found, "overflow")
    assert told.firing == (FIRST if of is ELASTIC else FIRST + 8)
    assert (told.score, told.probability, told.timing) == (100.0, None, "on_time")
    assert (told.cell.first, told.cell.last) == (at(FIRST, 3), at(FIRST, 5))
    assert told.cell.ids == tuple(sorted(map(hash_of, "12")))
    assert told.cell.place == ("Lima", "Oslo")
    (factor,) = told.factors
    assert (factor.name, factor.value) == ("overflow", 2)
    assert "2,000" in factor.words


@both
def test_an_overflow_is_told_once_a_utc_day(of: Detector) -> None:
    fold = full(of)
    slices = [FIRST, FIRST + 9, FIRST + DAY - 1, FIRST + DAY, FIRST + 2 * DAY - 1, FIRST + 4 * DAY]
    told = []
    for slice_ in slices:
        told += of_kind(lived(fold, slice_, f"B{slice_}"), "overflow")
    assert [each.slice for each in told] == [FIRST, FIRST + DAY, FIRST + 4 * DAY]
    assert fold.cells()["overflow"] == len(slices)
    assert len(fold.state.history.actions.row) == 2_000


@both
def test_of_slices_that_are_settled_together_the_earliest_tells(of: Detector) -> None:
    """A firing that comes late finds several due; a day has one overflow all the same."""
    fold = full(of)
    groups = [group(FIRST + n, **{f"B{n}": None}) for n in (2, 0, 1)]
    if of is ELASTIC:
        told = [each for one in groups[1:] + groups[:1] for each in fold.fire(one.slice, one)]
    else:
        told = fold.fire(FIRST + 2, *groups)
    told += fold.fire(FIRST + 20)
    assert [each.slice for each in of_kind(told, "overflow")] == [FIRST]


@both
def test_an_action_there_is_no_room_for_is_counted_each_time(of: Detector) -> None:
    fold = full(of)
    for number in range(3):
        lived(fold, FIRST + 10 * number, "B1")
    assert fold.cells()["overflow"] == 3


@both
def test_the_day_is_remembered_from_run_to_run(of: Detector) -> None:
    fold = full(of)
    assert of_kind(lived(fold, FIRST, "B1"), "overflow")
    fold.resume(FIRST + 8)
    assert not of_kind(lived(fold, FIRST + 20, "B2"), "overflow")
    assert fold.cells()["overflow"] == 1
    fold.resume(FIRST + 28)
    assert of_kind(lived(fold, FIRST + DAY, "B3"), "overflow")


@both
def test_an_entity_that_begins_anew_has_room_again(of: Detector) -> None:
    fold = full(of)
    assert of_kind(lived(fold, FIRST, "B1"), "overflow")
    again = FIRST + 181 * DAY
    fold.fire(again)
    assert not of_kind(lived(fold, again + 1, "B1"), "overflow")
    assert list(fold.state.history.actions.row) == ["B1"]
    assert fold.cells()["forgotten"] == 1


@both
def test_the_saved_state_of_a_full_entity_does_not_grow(of: Detector) -> None:
    """Once it remembers 2,000 actions that there was no room for, too."""
    fold = full(of)
    sizes = set()
    for number in range(60):
        slice_ = FIRST + 10 * number
        lived(fold, slice_, *(f"Fresh{number:02}{n:02}" for n in range(50)))
        if number >= 40:
            assert len(fold.state.strays) == 2_000
            sizes.add(len(fold.fold.save(fold.state, {}, slice_ + 8) or b""))
    assert max(sizes) - min(sizes) < 100, "numbers take a byte more or less"


# 2,000 places and tools


@both
@pytest.mark.parametrize("kind", ["place", "tool"])
def test_places_and_tools_are_bounded_too(of: Detector, kind: str) -> None:
    """A cell names 64 of either, so that many cells bring more than there is room for."""
    fold = Stepped(of)
    for part in range(50):
        values = [f"{part:02} {n:02}" for n in range(41)]
        cells = {"Get": cell(at(FIRST + 10 * part), **{kind: tuple(values)})}
        fold.fire(FIRST + 10 * part, group(FIRST + 10 * part, **cells))
        fold.fire(FIRST + 10 * part + 8)
    table = {"place": fold.state.history.places, "tool": fold.state.history.tools}[kind]
    assert len(table.row) == len(table.count) == len(table.last) == 2_000
    assert table.seen("48 31") == (1, FIRST + 480)
    assert table.seen("48 32") == table.seen("49 00") == (0, None)
    again = FIRST + 600
    fold.fire(again, group(again, Get=cell(at(again), **{kind: ("00 00", "new")})))
    fold.fire(again + 8)
    assert table.seen("00 00") == (2, again)
    assert fold.state.history.actions.seen("Get") == (51, again)
    assert fold.cells().get("overflow", 0) == 0, "of these nothing is judged"


def test_actions_that_came_too_late_are_bounded_too() -> None:
    """The 2,000 that are remembered are not judged again; others are, as often as they come.

    One of them is the flood of the slice.
    """
    fold = habitual(60, END)
    for part in range(3):
        cells = {f"Stray{part}{n:03}": None for n in range(900)}
        fold.fire(END + 20 + part, group(END, END + 20 + part, **cells))
    assert len(fold.state.strays) == 2_000
    judged = fold.cells()["judged"]
    fold.fire(END + 30, group(END, END + 30, Stray0000=None, Stray2198=None, Stray2199=None))
    assert fold.cells()["judged"] == judged + 1
    assert len(fold.state.strays) == 2_000


# An id once issued is not issued again


@pytest.mark.parametrize("case", ["no room", "late, elastic"])
def test_a_redelivery_after_settlement_is_not_judged_again(case: str) -> None:
    """Two trails deliver the same event, one of them more than 2 hours late."""
    if case == "no room":
        fold, firing = full_of_habit(), END
    else:
        fold, firing = habitual(900, END, ELASTIC), END + 1
    cells = {"New": cell(at(END), ids=(hash_of("New"),))}
    told = fold.fire(firing, group(END, firing, **cells))
    told += fold.fire(END + 8)
    assert of_kind(told, "New")
    told += fold.fire(END + 20, group(END, END + 20, **cells))
    ids = [(each.action, each.slice) for each in told]
    assert len(ids) == len(set(ids))


def full_of_habit() -> Stepped:
    """An entity that did 2,000 actions 20 times each, so that a new one is rare."""
    fold = full(WINDOW)
    for firing in range(FIRST - 22, FIRST):
        again = dict.fromkeys(fold.state.history.actions.row) if firing < FIRST - 3 else {}
        fold.fire(firing, group(firing, **again))
    return fold
