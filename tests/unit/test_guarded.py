"""Names that are made up, and first times without end: what they can do to peers.

docs/decisions/0018.
"""

from __future__ import annotations

from random import Random

import pytest
from factory import BY_CITY, BY_USER, at, detector, event, rule
from histories import Job, on_time, pairs_of
from weighed import DAY, NOW, USER, Weighed, factor, user

from schemas.change import Change
from schemas.rule import Detector, Rule, Where, detectors
from transforms.contrast import Popularity

GUARDED = rule("guarded", detector=detector("contrast", guarded=True))
both = pytest.mark.parametrize("of", [USER, GUARDED], ids=["plain", "guarded"])


def told(of: Rule, who: str, *actions: str) -> Change:
    """What entered a history."""
    return Change(of.detector.key, who, NOW - 8, NOW, {"actions": list(actions)})


def made_up(number: int, first: str = "Made") -> list[str]:
    return [f"{first}-{n}" for n in range(number)]


# Names


@both
@pytest.mark.parametrize("liars", [1, 3])
def test_names_that_one_entity_alone_has_do_not_count_where_that_is_guarded(
    of: Rule, liars: int
) -> None:
    found = []
    for number in (0, 500):
        fold = Weighed(of)
        fold.fire(NOW, *(told(of, f"honest-{n}", "Get", "Put") for n in range(50)))
        fold.fire(NOW, *(told(of, f"liar-{n}", *made_up(number, f"M{n}")) for n in range(liars)))
        fold.resume(NOW)
        (said,) = fold.fire(NOW, user("alice", of=of.detector))
        found.append(factor(said, "what"))
    assert (found[0] == found[1]) is (of is GUARDED)
    assert of is GUARDED or found[1] < found[0] - 1, "all the rest looks usual"


def test_two_entities_make_a_name_count() -> None:
    table = Popularity(guarded=True)
    for entity, sums in (("a", (0, 0)), ("b", (2, 1)), ("c", (3, 1))):
        table.enter("Get", 1, entity)
        assert (table.total, table.kinds) == sums
    for sums in ((2, 1), (0, 0), (0, 0)):
        table.leave("Get")
        assert (table.total, table.kinds) == sums
    assert table.fans == {}


@pytest.mark.parametrize("seed", range(5))
def test_the_sums_are_those_of_the_values_that_are_there(seed: int) -> None:
    rng, table = Random(seed), Popularity(guarded=True)
    for step in range(400):
        name = f"A{int(rng.paretovariate(0.7)) % 40}"
        if rng.random() < 0.55 or not table.fans:
            table.enter(name, step, "x")
        else:
            table.leave(rng.choice(sorted(table.fans)))
        shared = [fans for fans in table.fans.values() if fans > 1]
        assert (table.total, table.kinds) == (sum(shared), len(shared))


def test_what_is_typical_has_a_number_where_nobody_shares_anything() -> None:
    fold = Weighed(GUARDED)
    fold.fire(NOW, told(GUARDED, "alice", "New"))
    habit = user("alice", of=GUARDED.detector)
    assert habit.own is not None
    habit.own.window[0] = type(habit.own.window[0])("New", 5)
    (said,) = fold.fire(NOW, habit)
    assert factor(said, "company") <= 0


# First times


def sightings(fold: Weighed, of: Rule, slice_: int = NOW) -> tuple[int, int]:
    day = fold.state.scope.of(of.detector.key).days[slice_ // DAY]
    return day.sightings, day.failed


@both
def test_of_an_entity_20_first_times_a_day_count_where_that_is_guarded(of: Rule) -> None:
    fold = Weighed(of)
    for slice_ in range(NOW, NOW + 4):
        scanner = [user("scanner", slice_, action=f"S{n}", failed=True, of=of.detector)
                   for n in range(9)]  # fmt: skip
        fold.fire(slice_, *scanner, user("alice", slice_, of=of.detector))
        fold.resume(slice_)
    assert sightings(fold, of) == ((24, 20) if of is GUARDED else (40, 36))
    fold.fire(NOW + DAY, user("scanner", NOW + DAY, of=of.detector))
    assert sightings(fold, of, NOW + DAY) == (1, 0), "a new day"
    assert fold.state.scope.of(of.detector.key).days[NOW // DAY].booked == {}, (
        "and the old is closed"
    )


def test_which_of_them_count_is_not_a_matter_of_order() -> None:
    found = set()
    given = [user("scanner", NOW - n % 2, NOW, f"S{n:02}", failed=n > 10, of=GUARDED.detector)
             for n in range(40)]  # fmt: skip
    for seed in range(10):
        fold = Weighed(GUARDED)
        fold.fire(NOW, *Random(seed).sample(given, len(given)))
        found.add(sightings(fold, GUARDED))
    assert len(found) == 1


@pytest.mark.parametrize("number", [19, 300])
def test_the_excess_of_a_flood_is_not_booked(number: int) -> None:
    """Through both stages: a scanner with hundreds of first times in a slice counts 20 times."""
    of = rule(detector=detector("contrast", BY_USER))
    habit = [event(at(NOW + n), "Get") for n in range(6)]
    scan = [event(at(NOW + 20, n / 10), f"S{n}", error="AccessDenied") for n in range(number)]
    job = Job((of,)).run(pairs_of(on_time([*habit, *scan]), detectors([of])), NOW + 20)
    fold = Weighed(of)
    (state,) = job.states["weigh"].values()
    fold.state, _, _ = fold.fold.load(b"organisation", state)
    assert sightings(fold, of) == (min(number, 20), min(number, 20))
    assert len(job.told["anomalies"]) == min(number, 21), "and one flood"


# The rule


def test_it_is_a_part_of_what_a_detector_is() -> None:
    document = {
        "name": "mine",
        "function": "rare",
        "by_field": "event.action",
        "partition_fields": list(BY_USER),
        "guarded": True,
    }
    of = Detector.parse(document, Where("r"))
    assert of.key == USER.detector.key + "/guarded"
    assert of.fingerprint() == USER.detector.fingerprint() | {"guarded": True}
    assert Detector.told("mine", of.fingerprint()) == of


def test_the_users_of_a_guarded_city_are_guarded() -> None:
    city = detector("contrast", BY_CITY, guarded=True)
    assert all(each.guarded for each in detectors([rule(detector=city)]))
