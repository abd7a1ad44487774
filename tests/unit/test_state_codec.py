"""What is remembered between runs, as bytes: exact, versioned, the same on every machine."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from factory import anomaly, at, candidate, detector, event, rule
from histories import HABIT, START, Alice, Delivery, known_after, on_time, pairs_of
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas.state
from schemas.anomaly import ANOMALY, CANDIDATE, Anomaly, Candidate, Factor
from schemas.change import CHANGE, Change
from schemas.codec import SchemaError
from schemas.entity import EntityKey
from schemas.event import Event
from schemas.slice import Cell, Evidence
from schemas.state import (
    ENTITY_STATE,
    RULE_STATE,
    SCOPE_STATE,
    AlertedKey,
    DayState,
    EntityState,
    HeldSlice,
    HistoryState,
    PopularityState,
    RuleState,
    ScopeState,
    Values,
    VerdictState,
    WatchedState,
    column,
    doubles,
    integers,
)
from transforms.alert import SelectFold
from transforms.fold import Fold, Replay
from transforms.peers import WeighFold
from transforms.score import ScoreFold

WINDOW = detector("window")
RULE = rule(threshold=1, max_alerts=1, interval_minutes=30)
SCORE, WEIGH, SELECT = ScoreFold((WINDOW,)), WeighFold((RULE,)), SelectFold((RULE,))
ALICE = EntityKey(WINDOW.key, "organisation", ("111122223333", "alice")).encode()
SCOPE, UUID = b"organisation", RULE.uuid.encode()
B = START + 80
laws = settings(deadline=None, derandomize=True, max_examples=150)


def again(fold: Fold[Any, Any], key: bytes, data: bytes) -> bytes | None:
    """A state that was loaded and saved."""
    return Replay(fold, key, [data]).save()


# Round trips

doubles_of_all_kinds = st.floats(allow_nan=False)
slices = st.integers(0, 2**31 - 1)
texts = st.text(max_size=6)


@st.composite
def values(draw: st.DrawFn) -> Values:
    names = draw(st.lists(texts, max_size=4, unique=True))

    def numbers(kind: str, each: st.SearchStrategy[Any]) -> bytes:
        drawn = draw(st.lists(each, min_size=len(names), max_size=len(names)))
        return struct.pack(f"<{len(names)}{kind}", *drawn)

    return Values(
        names=names,
        count=numbers("I", st.integers(0, 2**32 - 1)),
        last=numbers("i", slices),
        day=draw(st.integers(-1, 30_000)),
    )


evidence = st.builds(
    Evidence,
    time=st.integers(0, 2**45),
    hash=st.binary(min_size=8, max_size=8),
    **dict.fromkeys(
        [name for name in Evidence.__struct_fields__ if name not in ("time", "hash")], texts
    ),
)
tuples = st.lists(texts, max_size=3, unique=True).map(lambda some: tuple(sorted(some)))
cells = st.builds(
    Cell,
    first=st.integers(0, 2**45),
    last=st.integers(0, 2**45),
    ids=st.lists(st.binary(min_size=8, max_size=8), max_size=3).map(tuple),
    failed=st.booleans(),
    write=st.booleans(),
    stream=st.lists(st.tuples(texts, texts, texts), max_size=2).map(tuple),
    evidence=st.lists(evidence, max_size=2).map(tuple),
    **dict.fromkeys(("place", "tool", "users", "account", "region", "error"), tuples),
)
FAR = 2**40
"""No firing: of a state that is only loaded and saved nothing is due."""


@st.composite
def histories(draw: st.DrawFn) -> HistoryState:
    actions = draw(values())
    masses = draw(st.lists(doubles_of_all_kinds, min_size=3, max_size=3))[: len(actions.names)]
    return HistoryState(
        since=draw(slices),
        latest=draw(slices),
        buckets=draw(st.integers(0, 10**4)),
        total=draw(doubles_of_all_kinds),
        masses=struct.pack(f"<{len(masses)}d", *masses),
        hours=Random(draw(st.integers(0, 99))).choices(range(2**16), k=168),
        actions=actions,
        places=draw(values()),
        tools=draw(values()),
    )


@st.composite
def entity_states(draw: st.DrawFn) -> EntityState:
    """Not all of them can come to be; what a state may hold is what is asked for."""
    done = draw(st.integers(0, 2**31))
    pending = sorted(draw(st.sets(st.integers(0, 2**31), max_size=3)))
    due = sorted(draw(st.sets(st.integers(done + 1, FAR), max_size=3)))
    held = [(slice_, draw(st.integers(0, FAR)), True) for slice_ in pending]
    held += [(draw(st.integers(0, 2**31)), firing, False) for firing in due]
    return EntityState(
        done=done,
        history=draw(histories()),
        held=[
            HeldSlice(
                slice=slice_,
                firing=firing,
                known=known,
                delivered=draw(st.integers(0, 10**9)),
                candidates=draw(st.integers(0, 10**4)),
                highest=draw(doubles_of_all_kinds),
                cells=dict(sorted(draw(st.dictionaries(texts, cells, max_size=2)).items())),
            )
            for slice_, firing, known in held
        ],
        strays=dict(sorted(draw(st.dictionaries(texts, slices, max_size=3)).items())),
        full_day=draw(st.integers(-1, 30_000)),
    )


@laws
@given(entity_states())
def test_an_entity_is_the_same_after_it_was_saved(state: EntityState) -> None:
    """Floats bit for bit: the bytes are equal."""
    data = ENTITY_STATE.encode(state)
    assert ENTITY_STATE.decode(data) == state
    assert again(SCORE, ALICE, data) == data


@laws
@given(doubles_of_all_kinds, doubles_of_all_kinds)
def test_masses_are_kept_bit_for_bit(total: float, mass: float) -> None:
    state = Alice(WINDOW).run(on_time(HABIT[:3]), B).state
    state.history.total = total
    state.history.masses = struct.pack("<3d", mass, -mass, 0.1)
    saved = again(SCORE, ALICE, ENTITY_STATE.encode(state))
    assert saved is not None
    found = ENTITY_STATE.decode(saved)
    assert struct.pack("<d", found.history.total) == struct.pack("<d", total)
    assert found.history.masses == state.history.masses


def test_an_entity_with_all_there_can_be_goes_on_as_if_it_had_not_been_saved() -> None:
    """Pending and not due, judged in part, a stray, a full day; saved again and again."""
    deliveries = [
        *on_time(HABIT),
        *on_time(event(at(B + n), f"New{n % 2}") for n in range(12)),
        *(known_after(event(at(B + n, 2), f"Late{n}"), n) for n in range(12)),
        *on_time(event(at(B + 12), f"Many{n}") for n in range(2_010)),
    ]
    end = B + 30
    single, steps = Alice(WINDOW).run(deliveries, end), Alice(WINDOW).run(deliveries, START)
    for horizon in (*range(START + 50, B, 7), *range(B, end + 1, 3)):
        steps.run([], horizon)
    assert steps.saved == single.saved
    assert steps.candidates == single.candidates
    assert steps.late == single.late
    state = single.state
    assert len(state.history.actions.names) == 2_000
    assert state.full_day == (B + 12) // 96
    late, refused = {f"Late{n}" for n in range(8, 12)}, {f"Many{n}" for n in range(2_010)}
    kept = set(state.history.actions.names)
    assert set(state.strays) == late | (refused - kept) | {"flood"}


def found(score: float, slice_: int, action: str) -> Anomaly:
    return anomaly(RULE, score, slice_, action)


def test_a_rule_is_the_same_after_it_was_saved() -> None:
    state = RuleState(
        done=110,
        waiting=[found(99.1234, 108, "A"), found(0.1 + 0.2, 109, "B")],
        alerted=[
            AlertedKey("organisation", {"user.name": "alice"}, "A", [100, 109, 101]),
            AlertedKey("other", {"cloud.account.id": "1", "user.name": "bob"}, "B", [110]),
        ],
        later=[found(88.5, 111, "A"), found(88.5, 112, "A")],
    )
    data = RULE_STATE.encode(state)
    assert RULE_STATE.decode(data) == state
    assert again(SELECT, UUID, data) == data


def test_a_scope_is_the_same_after_it_was_saved() -> None:
    state = scope_state(later=[candidate(88.5, 111, "A"), candidate(None, 112, "B")])
    data = SCOPE_STATE.encode(state)
    assert SCOPE_STATE.decode(data) == state
    assert again(WEIGH, SCOPE, data) == data


def scope_state(later: list[Candidate]) -> ScopeState:
    """With all there can be: peers, a closed and an open day, verdicts, changes to come."""
    popular = PopularityState(
        names=["Get", "Zap"],
        fans=struct.pack("<2I", 2, 1),
        first=struct.pack("<2i", 7, 9),
        by=["alice", "bob"],
    )
    nothing = PopularityState(names=[], fans=b"", first=b"", by=[])
    days = [
        DayState(0, 7, 2, 3, 2, [4.5, 0.1 + 0.2], {}),
        DayState(1, 2, 0, 1, 0, [], {"alice": -1.25, "bob": 2.5}),
    ]
    return ScopeState(
        done=110,
        watched={"one": WatchedState(99, popular, nothing, popular, days)},
        verdicts=[
            VerdictState("one", 109, "A", "alice", 0.1 + 0.2, [Factor("what", 0.3, "rare")]),
            VerdictState("one", 109, "A", "bob", -1.0, []),
        ],
        later=later,
        changes=[Change("one", "alice", 104, 112, {"actions": ["Zap"]}, {"places": ["Oslo"]})],
    )


def test_of_what_nothing_is_known_nothing_is_saved() -> None:
    for fold, key in cast(Any, ((SCORE, ALICE), (WEIGH, SCOPE), (SELECT, UUID))):
        assert Replay(fold, key, []).save() is None


def states() -> list[tuple[Any, bytes, bytes]]:
    """Of each kind (fold, key, a saved state)."""
    entity = Alice(WINDOW).run(on_time(HABIT[:3]), START).saved
    assert entity is not None
    scope = SCOPE_STATE.encode(scope_state([candidate(88.5, 111)]))
    rule_ = RULE_STATE.encode(RuleState(110, [found(88.5, 110, "A")], [], []))
    return [(SCORE, ALICE, entity), (WEIGH, SCOPE, scope), (SELECT, UUID, rule_)]


def test_a_fold_tells_its_state_from_all_else() -> None:
    ((_, packed),) = pairs_of(on_time(HABIT[:1]), [WINDOW])
    items = (packed, CANDIDATE.encode(candidate(1, 5)), ANOMALY.encode(found(1, 5, "A")))
    for number, (fold, _, _) in enumerate(states()):
        assert not any(fold.holds(item) for item in items)
        held = [fold.holds(data) for _, _, data in states()]
        assert held == [other == number for other in range(3)]


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_state_of_another_version_is_refused(kind: int) -> None:
    """Neither read as a state nor taken for an item: the error names both versions."""
    fold, key, data = states()[kind]
    other = data[:2] + bytes([data[2] ^ 1]) + data[3:]
    assert not fold.holds(other)
    for use in (lambda: Replay(fold, key, [other]), lambda: fold.load(key, other)):
        with pytest.raises(SchemaError, match=f"another schema .{other[2:10].hex()}., expected"):
            use()


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_two_states_of_one_key_are_refused(kind: int) -> None:
    fold, key, data = states()[kind]
    with pytest.raises(ValueError, match="2 saved states of one key"):
        Replay(fold, key, [data, data])


# The order of the input


def saved(fold: Any, key: bytes, elements: Sequence[bytes], until: int) -> set[bytes | None]:
    """The states that some elements come to, in 20 orders."""
    out = set()
    for seed in range(20):
        walk = Replay(fold, key, Random(seed).sample(elements, len(elements)))
        for _ in walk.fire(until):
            pass
        out.add(walk.save())
    return out


def bundles(*deliveries: Delivery) -> list[bytes]:
    """Each in a bundle of its own."""
    return [data for each in deliveries for _, data in pairs_of([each], [WINDOW])]


def shuffled(start: int) -> list[Event]:
    return [
        event(at(start + n % 3, n), action, agent=f"tool{n}/1", city=f"City{n}")
        for n, action in enumerate(("Put", "Get", "List", "Get", "Put", "Zap", "Add"))
    ]


def test_an_entitys_bytes_do_not_depend_on_the_order_of_what_was_learned() -> None:
    assert len(saved(SCORE, ALICE, bundles(*on_time(shuffled(B))), B + 20)) == 1


def test_an_entitys_bytes_do_not_depend_on_the_order_of_what_is_pending_or_a_stray() -> None:
    strays = [known_after(each, 10) for each in shuffled(B - 5)]
    late = [known_after(each, 2) for each in shuffled(B)]
    assert len(saved(SCORE, ALICE, bundles(*on_time(shuffled(B + 1)), *late, *strays), B + 7)) == 1


def test_an_entitys_bytes_do_not_depend_on_the_order_of_what_is_not_due() -> None:
    assert len(saved(SCORE, ALICE, bundles(*on_time(shuffled(B))), B - 1)) == 1


def test_a_scopes_bytes_do_not_depend_on_the_order_of_what_is_not_due() -> None:
    later = [CANDIDATE.encode(candidate(50, 111, action)) for action in "CAB"]
    assert len(saved(WEIGH, SCOPE, later, 110)) == 1


def test_a_scopes_bytes_do_not_depend_on_the_order_of_changes() -> None:
    changes = [
        Change("one", who, 100, firing, {"actions": [who, "Get"]}, {})
        for who in ("bob", "alice", "carol")
        for firing in (108, 111)
    ]
    assert len(saved(WEIGH, SCOPE, [CHANGE.encode(change) for change in changes], 110)) == 1


def test_a_scopes_bytes_do_not_depend_on_who_leaves_before_another_comes() -> None:
    """At one firing the last peer who had an action leaves, and another has it."""
    changes = [
        Change("one", "alice", 90, 98, {"actions": ["Get"]}, {}),
        Change("one", "alice", 90, 108, {}, {"actions": ["Get"]}),
        Change("one", "bob", 100, 108, {"actions": ["Get"]}, {}),
    ]
    assert len(saved(WEIGH, SCOPE, [CHANGE.encode(change) for change in changes], 110)) == 1


def test_a_rules_bytes_do_not_depend_on_the_order_of_what_is_not_due() -> None:
    later = [ANOMALY.encode(found(50, 111, action)) for action in "CAB"]
    assert len(saved(SELECT, UUID, later, 110)) == 1


def test_a_rules_bytes_do_not_depend_on_the_order_of_what_it_chose_from() -> None:
    """At firing 109 the rule acts: one alert, the others wait, cut."""
    new = [ANOMALY.encode(found(50, 109, action)) for action in "CABD"]
    assert len(saved(SELECT, UUID, new, 109)) == 1


def test_a_rules_bytes_do_not_depend_on_the_order_of_what_waits_for_it_to_act() -> None:
    """At firing 110 a rule of every 30 minutes does not act."""
    new = [ANOMALY.encode(found(50, 110, action)) for action in "CAB"]
    assert len(saved(SELECT, UUID, new, 110)) == 1


# Machines of the other byte order


@pytest.fixture
def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """`schemas.state` takes the machine for one of the other byte order."""
    other = "big" if struct.pack("=H", 1) == struct.pack("<H", 1) else "little"
    monkeypatch.setattr(schemas.state, "sys", SimpleNamespace(byteorder=other))


def test_columns_are_little_endian() -> None:
    assert column(array("I", [1, 2**32 - 1])) == b"\1\0\0\0\xff\xff\xff\xff"
    assert column(array("i", [-2])) == b"\xfe\xff\xff\xff"
    assert column(array("d", [0.1])) == struct.pack("<d", 0.1)
    assert integers("i", b"\xfe\xff\xff\xff").tolist() == [-2]
    assert doubles(struct.pack("<d", 0.1)).tolist() == [0.1]


@pytest.mark.usefixtures("swapped")
def test_a_machine_of_the_other_byte_order_swaps_both_ways() -> None:
    """Here that shows as the bytes of the other order; there they are little-endian."""
    numbers = array("I", [1, 2**32 - 2])
    assert column(numbers) == struct.pack(">2I", *numbers)
    assert numbers.tolist() == [1, 2**32 - 2], "the column itself was swapped"
    assert integers("I", struct.pack(">2I", 1, 7)).tolist() == [1, 7]
    assert doubles(struct.pack(">d", 0.1)).tolist() == [0.1]


@pytest.mark.usefixtures("swapped")
def test_that_machine_reads_what_it_saved() -> None:
    one = Alice(WINDOW).run(on_time(HABIT), B)
    assert one.saved is not None
    assert again(SCORE, ALICE, one.saved) == one.saved
    assert one.run([Delivery(event(at(B + 1), "New"))], B + 1).candidates
