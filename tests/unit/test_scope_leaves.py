"""A scope whose entities have all left is forgotten, once nothing is asked of its days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from histories import by_firing
from weighed import CITY, DAY, NOW, USER, Weighed, of_rule, user

from schemas.anomaly import ANOMALY, CANDIDATE, Anomaly, Candidate
from schemas.change import CHANGE, Change
from schemas.counts import ROW
from transforms.firing import Course
from transforms.fold import STATE, Replay, replay
from transforms.peers import WeighFold

KEY = b"organisation"
FOLD = WeighFold((USER, CITY))
LAST = NOW + 5 * DAY
"""The last slice that was judged."""
LEAVES = (LAST // DAY + 31) * DAY + 8
"""When its day is none of the 30 closed ones any more."""
VALUES = {"actions": ["Get"], "places": ["Oslo"], "tools": ["cli"]}


def data_of(items: Iterable[Candidate | Change]) -> list[bytes]:
    return [(CHANGE if isinstance(one, Change) else CANDIDATE).encode(one) for one in items]  # type: ignore[attr-defined]


def life(left: int = LAST + 10) -> list[bytes]:
    """Six days of first times; one entity has a history, and leaves it."""
    key = USER.detector.key
    days = [user(f"u{n}", NOW + day * DAY, n=100 * 3**n) for day in range(6) for n in range(3)]
    entered = Change(key, "alice", NOW - 8, NOW, VALUES)
    return data_of([*days, entered, Change(key, "alice", NOW, left, {}, VALUES)])


def walked(elements: Sequence[bytes], until: int) -> tuple[bytes | None, int | None]:
    """(what is saved at a horizon, the next firing)."""
    walk = Replay(FOLD, KEY, elements)
    for _ in walk.fire(until):
        pass
    return walk.save(), walk.due


def test_it_leaves_when_its_days_count_no_more() -> None:
    saved, due = walked(life(), LEAVES - 1)
    assert saved is not None
    assert due == LEAVES
    assert walked([saved], LEAVES) == (None, None)


def test_it_stays_while_an_entity_has_a_history() -> None:
    later = LEAVES + 100
    saved, due = walked(life(left=later), later - 1)
    assert saved is not None
    assert due == later
    assert walked([saved], later) == (None, None), "and leaves at once with the last"


def test_of_a_scope_that_was_never_asked_nothing_stays() -> None:
    """Entities came and went, and none was a candidate."""
    key = USER.detector.key
    came = Change(key, "alice", NOW - 8, NOW, VALUES)
    went = Change(key, "alice", NOW - 8, NOW + 50, {}, VALUES)
    assert walked(data_of([came, went]), NOW + 49)[0] is not None
    assert walked(data_of([came, went]), NOW + 50) == (None, None)


@pytest.mark.parametrize("after", [29, 30, 31, 32, 60])
def test_what_comes_later_is_judged_alike_in_every_mode(after: int) -> None:
    """By one run, by firings, by runs that are cut; and from 31 days on as in a new scope."""
    again = data_of([user("z", LAST + after * DAY, n=10_000)])
    whole = _anomalies(replay(FOLD, KEY, [*life(), *again], Course(None, LAST + 70 * DAY, True)))
    stepped = _anomalies(by_firing(FOLD, KEY, [*life(), *again], Course(None, None)))
    cut, saved = [], list[bytes]()
    for until in range(NOW, LAST + 70 * DAY, 5 * DAY):
        said = list(replay(FOLD, KEY, [*saved, *_due([*life(), *again], until, 5)],
                           Course(until - 5 * DAY, until, True)))  # fmt: skip
        saved = [value for tag, value in said if tag == STATE]
        cut += [value for tag, value in said if tag == "anomalies"]
    assert sorted(cut) == whole == stepped
    new = _anomalies(replay(FOLD, KEY, again))
    assert (_found(whole)[-1] == _found(new)[-1]) is (after >= 31)


def _due(elements: Iterable[bytes], until: int, days: int) -> list[bytes]:
    firings = ((next(iter(FOLD.read(data)))[0], data) for data in elements)
    return [data for firing, data in firings if until - days * DAY < firing <= until]


def _anomalies(said: Iterable[tuple[str, bytes]]) -> list[bytes]:
    return sorted(value for tag, value in said if tag == "anomalies")


def _found(said: Iterable[bytes]) -> list[Anomaly]:
    return sorted(of_rule(map(ANOMALY.decode, said), USER), key=lambda one: one.slice)


def test_a_run_in_which_it_leaves_says_how_it_was_calibrated() -> None:
    """A single run ends when all that was read is forgotten: half a year after its last event."""
    said = dict(replay(FOLD, KEY, life(left=LEAVES + 500)))
    counts = ROW.decode(said["counts"]).counts
    at_ = "held|scopes|organisation|contrast-by-user"
    assert counts[f"{at_}|days"] == 5, "those before the last"
    assert NOW < counts[f"{at_}|since"] <= LAST


def test_a_fold_that_is_moved_on_is_as_new() -> None:
    fold = Weighed()
    fold.fire(NOW, user("a"))
    fold.fire((NOW // DAY + 31) * DAY + 8)
    assert fold.state.scope.watched == {}
    assert fold.fold.save(fold.state, {}, NOW) is None
