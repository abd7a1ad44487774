"""A cell is a semilattice: which events there are decides, never their order, grouping or number.

The oracle is `reference/plain_cell.py`, which works a cell out from its events alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import reduce
from itertools import permutations
from typing import NamedTuple

import pytest
from factory import BY_CITY, at, detector, event, hash_of, packed
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import plain_cell

from schemas.entity import decode_key
from schemas.event import Event
from schemas.rule import Detector
from schemas.slice import CONTEXTS, EVIDENCE, SMALLEST, Cell, merge, number_of
from schemas.slices import Group, events_of, opened, unpack
from transforms.score import ScoreFold

SLICE = 1_900_000
USER, CITY = detector("window"), detector("window", BY_CITY)
laws = settings(deadline=None, derandomize=True, max_examples=150)


def cell_of(events: Iterable[Event], of: Detector) -> Cell:
    """The oracle's cell."""
    return plain_cell.cell_of(events, of_user=of is USER)


# Events, cells, and ways to deal them out


def drawn_event(number: int, variety: int, rng: random.Random) -> Event:
    """One of `variety` or so events, in fields that are few or many as the variety is."""

    def one_of(prefix: str, few: int) -> str:
        return f"{prefix}{rng.randrange(min(few, variety))}"

    return event(
        at(SLICE, number % variety),
        "Get",
        one_of("user", 90),
        id=f"id{number % variety}",
        account="111122223333",
        person=rng.choice(["", one_of("p", 20) + "@example.org"]),
        service=rng.choice(["", "", "cloudformation.amazonaws.com"]),
        address=f"203.{rng.randrange(min(variety, 200))}.113.7",
        city=one_of("city", 90),
        agent=one_of("agent", 90) + "/1.0",
        region=one_of("region", 5),
        error=rng.choice(["", "", one_of("error", 4)]),
        write=rng.random() < 0.2,
        origin=one_of("object", 5),
    )


class Hand(NamedTuple):
    """Events of few kinds or many (more than 16 ids, more than 64 places), and a dealer."""

    variety: int
    number: int
    seed: int

    @property
    def rng(self) -> random.Random:
        return random.Random(self.seed)

    def events(self) -> list[Event]:
        return [drawn_event(n, self.variety, self.rng_of(n)) for n in range(self.number)]

    def rng_of(self, number: int) -> random.Random:
        return random.Random(self.seed * 1000 + number)


few = st.builds(Hand, st.sampled_from([1, 2, 5, 20]), st.integers(1, 30), st.integers(0, 10_000))
many = st.builds(Hand, st.just(300), st.integers(50, 300), st.integers(0, 10_000))
hands = few | many


def as_one_user(events: Iterable[Event]) -> list[Event]:
    """The same events, all of them one user's."""
    return [
        event(
            e.time,
            e.action,
            "alice",
            id=e.id,
            person=e.actor.person,
            service=e.actor.service,
            address=e.source.address,
            city=e.source.city,
            agent=e.agent,
            region=e.region,
            error=e.error,
            write=e.write,
            origin=e.origin,
        )
        for e in events
    ]


def as_one_city(events: Iterable[Event]) -> list[Event]:
    """The same events, all of them from one city, some by nobody with a name."""
    return [
        event(
            e.time,
            e.action,
            "" if e.actor.user == "user0" else e.actor.user,
            id=e.id,
            person=e.actor.person,
            kind="AWSAccount" if e.actor.user == "user0" else "IAMUser",
            address=e.source.address,
            agent=e.agent,
            region=e.region,
            error=e.error,
            write=e.write,
            origin=e.origin,
        )
        for e in events
    ]


KINDS = pytest.mark.parametrize(("of", "alike"), [(USER, as_one_user), (CITY, as_one_city)])
Alike = Callable[[Iterable[Event]], list[Event]]


def deal(events: list[Event], rng: random.Random) -> list[list[Event]]:
    """The events as up to five bundles, in any order, some of them in several bundles."""
    bundles: list[list[Event]] = [[] for _ in range(rng.randint(1, 5))]
    for each in events:
        for bundle in rng.choices(bundles, k=rng.choice([1, 1, 2])):
            bundle.append(each)
    for bundle in bundles:
        rng.shuffle(bundle)
    return [bundle for bundle in bundles if bundle]


def group_of(bundles: Iterable[list[Event]], of: Detector) -> Group:
    """What the fold has after all of the bundles have come."""
    detectors = (USER, CITY) if of is CITY else (USER,)
    whole = Group(SLICE, SLICE)
    for bundle in bundles:
        for key, data in packed(bundle, *detectors):
            if key.startswith(f'["{of.key}"'.encode()):
                for group in unpack(data):
                    assert (group.slice, group.firing) == (SLICE, SLICE)
                    whole.absorb(group)
    return whole


# The laws


cells = hands.map(lambda hand: cell_of(as_one_user(hand.events()), USER))


@laws
@given(cells)
def test_merge_is_idempotent(a: Cell) -> None:
    assert merge(a, a) == a
    assert merge(a, merge(a, a)) == a


@laws
@given(cells, cells)
def test_merge_is_commutative_and_absorbs(a: Cell, b: Cell) -> None:
    both = merge(a, b)
    assert both == merge(b, a)
    assert merge(both, a) == merge(both, b) == both


@laws
@given(cells, cells, cells)
def test_merge_is_associative(a: Cell, b: Cell, c: Cell) -> None:
    merged = {reduce(merge, order) for order in permutations((a, b, c))}
    merged.add(merge(a, merge(b, c)))
    assert len(merged) == 1


@laws
@given(hands)
def test_merged_cells_are_the_cell_of_all_events(hand: Hand) -> None:
    events = as_one_user(hand.events())
    parts = [cell_of(bundle, USER) for bundle in deal(events, hand.rng)]
    assert reduce(merge, parts) == cell_of(events, USER)


@laws
@given(cells, cells)
def test_what_is_bounded_stays_bounded(a: Cell, b: Cell) -> None:
    both = merge(a, b)
    assert len(both.ids) <= SMALLEST == 16
    assert len(both.evidence) <= EVIDENCE == 3
    for name in ("place", "tool", "stream", "users", "account", "region", "error"):
        values, union = getattr(both, name), {*getattr(a, name), *getattr(b, name)}
        assert len(values) == min(len(union), CONTEXTS)
        assert CONTEXTS == 64
        assert list(values) == sorted(set(values))
        assert set(values) <= union


# From events to packed slices and back


@KINDS
@laws
@given(hands)
def test_any_bundles_in_any_order_open_to_the_cell_of_the_events(
    of: Detector, alike: Alike, hand: Hand
) -> None:
    events = alike(hand.events())
    group = group_of(deal(events, hand.rng), of)
    assert list(group.cells) == ["Get"]
    expected = cell_of(events, of)
    assert opened(group.cells["Get"]) == expected
    assert events_of(group.cells["Get"]) == number_of(expected.ids)[0]


def learned(bundles: Iterable[list[Event]], of: Detector) -> tuple[set[str], set[str]]:
    """Places and tools that an entity's history has, once the slice is settled."""
    detectors = (USER, CITY) if of is CITY else (USER,)
    fold = ScoreFold(detectors)
    pairs = [pair for bundle in bundles for pair in packed(bundle, *detectors)]
    (key,) = {key for key, _ in pairs if decode_key(key).detector == of.key}
    state = fold.begin(key)
    groups = [group for k, data in pairs if k == key for _, group in fold.read(data)]
    list(fold.fire(state, groups, SLICE))
    list(fold.fire(state, [], SLICE + 8))
    assert state.history.buckets == 1
    return set(state.history.places.row), set(state.history.tools.row)


@KINDS
@laws
@given(hands)
def test_places_and_tools_that_are_learned_do_not_depend_on_the_bundles(
    of: Detector, alike: Alike, hand: Hand
) -> None:
    events = alike(hand.events())
    assert learned(deal(events, hand.rng), of) == learned([events], of)


@pytest.mark.parametrize("number", [64, 65, 100])
def test_more_than_64_users_of_a_city_are_learned_alike_from_one_bundle_and_two(
    number: int,
) -> None:
    """The same without chance: one city, one action, each user once."""
    events = [event(at(SLICE, n), "Get", f"user{n}") for n in range(number)]
    assert learned([events[:50], events[50:]], CITY) == learned([events], CITY)


@laws
@given(hands)
def test_several_slices_and_actions_come_back_each_by_itself(hand: Hand) -> None:
    rng = hand.rng
    spread = [
        event(e.time + rng.randrange(3) * 900_000, rng.choice(["Get", "Put"]), id=e.id)
        for e in as_one_user(hand.events())
    ]
    ((_, data),) = packed(spread, USER)
    found = {(g.slice, action): opened(c) for g in unpack(data) for action, c in g.cells.items()}
    cells_there = {(e.time // 900_000, e.action) for e in spread}
    assert found == {
        (slice_, action): cell_of(
            (e for e in spread if (e.time // 900_000, e.action) == (slice_, action)), USER
        )
        for slice_, action in cells_there
    }
    assert [g.slice for g in unpack(data)] == sorted({slice_ for slice_, _ in cells_there})


def test_of_one_event_in_two_objects_the_smaller_name_stays() -> None:
    a, b = (event(at(SLICE), "Get", id="one", origin=name) for name in ("a.json", "b.json"))
    for bundles in ([[a, b]], [[b, a]], [[a], [b]], [[b], [a]], [[b], [b, a]]):
        (evidence,) = opened(group_of(bundles, USER).cells["Get"]).evidence
        assert evidence.origin == "a.json"


def test_an_id_twice_in_one_object_with_other_fields_is_one_event_whatever_the_order() -> None:
    differing = [
        event(at(SLICE), "Get", id="one", city="London", region="eu-west-1"),
        event(at(SLICE), "Get", id="one", city="Lagos", region="us-east-1", error="Denied"),
        event(at(SLICE), "Get", id="one", city="Lagos", region="us-east-1", agent="b/1"),
    ]
    expected = cell_of(differing, USER)
    assert (len(expected.ids), len(expected.evidence)) == (1, 1)
    for order in permutations(differing):
        assert opened(group_of([list(order)], USER).cells["Get"]) == expected
        assert opened(group_of([[each] for each in order], USER).cells["Get"]) == expected


def test_long_texts_of_evidence_are_cut_before_they_are_compared() -> None:
    """Two records of one id that differ only behind the cut are the same evidence."""
    alike = [event(at(SLICE), "Get", id="one", agent="x" * 300 + end) for end in "ab"]
    one = opened(group_of([alike], USER).cells["Get"])
    two = opened(group_of([alike[1:], alike[:1]], USER).cells["Get"])
    assert one.evidence == two.evidence
    assert len(one.evidence[0].agent) == 256


# How many


def hashes(number: int, seed: int = 0) -> list[bytes]:
    return [hash_of(f"{seed} {n}") for n in range(number)]


def kept(ids: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(sorted(set(ids))[:16])


@pytest.mark.parametrize("number", range(1, 16))
def test_up_to_15_events_are_counted_exactly(number: int) -> None:
    assert number_of(kept(hashes(number))) == (number, True)


@pytest.mark.parametrize("number", [16, 17, 30, 100, 1_000, 20_000])
def test_more_events_are_estimated(number: int) -> None:
    estimates = [number_of(kept(hashes(number, seed))) for seed in range(60)]
    assert not any(exact for _, exact in estimates)
    assert all(max(16, number / 3) <= guess <= number * 3 for guess, _ in estimates)
    assert sum(guess for guess, _ in estimates) / 60 == pytest.approx(number, rel=0.15)


def test_the_number_of_events_does_not_depend_on_the_bundles() -> None:
    rng = random.Random(3)
    for number in (15, 16, 40, 500):
        events = [event(at(SLICE), "Get", id=f"id{n}") for n in range(number)]
        counts = {events_of(group_of(deal(events, rng), USER).cells["Get"]) for _ in range(5)}
        assert counts == {number_of(kept(hash_of(each.id) for each in events))[0]}
