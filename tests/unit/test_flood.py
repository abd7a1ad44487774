"""Of more than 20 candidates of an entity in a slice 20 are told one by one, the rest as a flood.

DESIGN.md, "Bounded state".
"""

from __future__ import annotations

import pytest
from factory import at, cell, hash_of
from stepped import ELASTIC, WINDOW, Stepped, group, habitual

from schemas.anomaly import Candidate
from schemas.rule import Detector

END = 20_000 * 96
"""The first slice after the habits below."""
both = pytest.mark.parametrize("of", [WINDOW, ELASTIC], ids=["window", "elastic"])


def of_kind(candidates: list[Candidate], action: str) -> list[Candidate]:
    return [each for each in candidates if each.action == action]


def new(*names: str, second: int = 0) -> dict[str, object]:
    """Cells of actions, a second after the other; each of one event."""
    return {
        name: cell(at(END, second + n), ids=(hash_of(name),), place=(f"of {name}",))
        for n, name in enumerate(names)
    }


def many(number: int, prefix: str = "New") -> list[str]:
    return [f"{prefix}{n:02}" for n in range(number)]


def experienced(of: Detector) -> Stepped:
    """An entity with so long a history that 30 new actions at once are rare for either scorer."""
    return habitual(900, END, of)


def names(candidates: list[Candidate]) -> list[str]:
    return sorted(each.action for each in candidates)


def closes(fold: Stepped, told: list[Candidate]) -> dict[str, int]:
    """The equations of the cells' counts; `told`: all that was said."""
    cells = fold.cells()
    fates = ("judged", "known", "flood_excess")
    assert cells["cells"] == sum(cells.get(fate, 0) for fate in fates)
    assert cells["candidates"] == len(told)
    return cells


@both
@pytest.mark.parametrize("number", [19, 20])
def test_20_candidates_are_told_one_by_one(of: Detector, number: int) -> None:
    fold = experienced(of)
    told = fold.fire(END, group(END, **new(*many(number))))
    assert names(told) == many(number)
    assert closes(fold, told).get("flood_excess", 0) == 0


@both
@pytest.mark.parametrize("number", [21, 25, 30])
def test_of_more_the_rest_is_one_flood(of: Detector, number: int) -> None:
    fold = experienced(of)
    told = fold.fire(END, group(END, **new(*many(number))))
    assert names(told) == [*many(20), "flood"]
    (flood,) = of_kind(told, "flood")
    (factor,) = flood.factors
    assert (factor.name, factor.value) == ("flood", number - 20)
    assert factor.words.startswith(f"{number - 20} ")
    assert flood.score == max(each.score or 0 for each in told if each is not flood) > 0
    assert flood.cell.ids == tuple(sorted(map(hash_of, many(number)[20:])))[:16]
    assert (flood.cell.first, flood.cell.last) == (at(END, 20), at(END, number - 1))
    assert flood.cell.place == tuple(f"of {name}" for name in many(number)[20:])
    assert (flood.slice, flood.firing, flood.timing, flood.seen) == (END, END, "on_time", 0)
    cells = closes(fold, told)
    assert cells["flood_excess"] == number - 20
    assert cells["judged"] == 3 * 900 + 20


@both
def test_the_first_20_are_those_of_the_earliest_time_then_of_the_name(of: Detector) -> None:
    fold = experienced(of)
    cells = new("Y", "X", "Z") | new(*many(22), second=2)
    last = {"B": cell(at(END, 21)), "A": cell(at(END, 21))}  # as late as New19
    told = fold.fire(END, group(END, **(last | cells)))
    assert names(told) == sorted(["Y", "X", "Z", *many(17), "flood"])
    fold = experienced(of)
    told = fold.fire(END, group(END, **(new(*many(19)) | {n: cell(at(END, 50)) for n in "CBA"})))
    assert names(told) == sorted([*many(19), "A", "flood"])


def test_the_score_of_a_flood_is_the_highest_of_the_20_not_of_the_rest() -> None:
    """What was done before is less rare than what is new, and it comes first here."""
    fold, seldom = seldom_done(), many(20, "Seldom")
    told = fold.fire(END, group(END, **(new(*seldom) | new(*many(3), second=30))))
    alone = seldom_done().fire(END, group(END, **new(*many(1))))
    assert names(told) == sorted([*seldom, "flood"])
    highest = max(each.score or 0 for each in told if each.action != "flood")
    assert of_kind(told, "flood")[0].score == highest < (alone[0].score or 0)


def seldom_done() -> Stepped:
    """An entity that did 20 actions twice, and others all the time."""
    fold = habitual(1_200, END - 30)
    for slice_ in (END - 20, END - 19):
        fold.fire(slice_, group(slice_, **dict.fromkeys(many(20, "Seldom"))))
    for firing in range(END - 18, END):
        fold.fire(firing)
    return fold


# Late candidates


@both
def test_late_candidates_of_the_slice_do_not_exceed_the_20(of: Detector) -> None:
    fold = experienced(of)
    told = fold.fire(END, group(END, **new(*many(15))))
    assert names(told) == many(15)
    late = fold.fire(END + 1, group(END, END + 1, **new(*many(8, "Late"))))
    assert names(late) == sorted([*many(5, "Late"), "flood"])
    assert {each.timing for each in late} == {"late"}
    assert of_kind(late, "flood")[0].factors[0].value == 3
    told += late
    more = fold.fire(END + 7, group(END, END + 7, **new(*many(4, "Later"))))
    assert more == [], "a slice has one flood"
    cells = closes(fold, told)
    assert cells["flood_excess"] == 3 + 4
    assert cells["judged"] == 3 * 900 + 20


@both
def test_a_slice_of_exactly_20_is_flooded_by_the_next(of: Detector) -> None:
    fold = experienced(of)
    told = fold.fire(END, group(END, **new(*many(20))))
    late = fold.fire(END + 1, group(END, END + 1, **new("Late")))
    assert names(late) == ["flood"]
    assert fold.fire(END + 2, group(END, END + 2, **new("Later"))) == []
    assert closes(fold, told + late)["flood_excess"] == 2


@both
def test_candidates_are_counted_from_run_to_run(of: Detector) -> None:
    fold = experienced(of)
    fold.fire(END, group(END, **new(*many(15))))
    fold.resume(END)
    late = fold.fire(END + 1, group(END, END + 1, **new(*many(8, "Late"))))
    assert names(late) == sorted([*many(5, "Late"), "flood"])
    fold.resume(END + 1)
    assert fold.fire(END + 2, group(END, END + 2, **new("Later"))) == []


@both
def test_each_slice_has_20_of_its_own(of: Detector) -> None:
    fold = experienced(of)
    told = fold.fire(END, group(END, **new(*many(22))))
    late = group(END, END + 1, **new("Late"))
    following = group(END + 1, **dict.fromkeys(many(22, "Next")))
    more = fold.fire(END + 1, late, following)
    assert {each.slice for each in more} == {END + 1}
    told += more
    assert names(more) == [*many(20, "Next"), "flood"]
    assert [each.slice for each in of_kind(told, "flood")] == [END, END + 1]


@pytest.mark.parametrize("before", [15, 20])
def test_the_20_of_a_flood_are_those_of_all_firings(before: int) -> None:
    """New actions are told on time; what comes late was done before, and is less rare."""
    fold = seldom_done()
    told = fold.fire(END, group(END, **new(*many(before))))
    late = fold.fire(END + 1, group(END, END + 1, **new(*many(20, "Seldom"))))
    told += [each for each in late if each.action != "flood"]
    assert len(told) == 20
    (flood,) = of_kind(late, "flood")
    assert flood.score == max(each.score or 0 for each in told)


# An id once issued is not issued again


def issued(candidates: list[Candidate]) -> list[tuple[str, int]]:
    """What the ids of anomalies of one entity are made of."""
    return sorted((each.action, each.slice) for each in candidates)


@both
def test_what_comes_too_late_gives_no_second_flood_of_a_slice(of: Detector) -> None:
    fold = experienced(of)
    told = fold.fire(END, group(END, **new(*many(25))))
    told += fold.fire(END + 20, group(END, END + 20, **new(*many(25, "Stray"))))
    told += fold.fire(END + 21, group(END, END + 21, **new(*many(25, "Other"))))
    assert of_kind(told, "flood")
    assert len(issued(told)) == len(set(issued(told)))
