"""What `contrast` says and remembers depends neither on order nor on where a run was cut."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from factory import ACCOUNT, BY_CITY, at, candidate, cell, detector, event, rule
from histories import Job, on_time, pairs_of
from msgspec.structs import replace

from schemas.anomaly import CANDIDATE, Candidate, Habit, Own
from schemas.entity import entity_text
from schemas.rule import Detector, Rule, detectors
from transforms.fold import Replay
from transforms.history import DAY, History
from transforms.judge import FLOOD
from transforms.own import MEMORY
from transforms.peers import WeighFold

B = 1_900_000
MIDNIGHT = 19_800 * DAY
USERS = detector("contrast")
OWN = Own(50, 5, 20, 2, 0, 0, {}, {}, [Habit("A", 0)])


def found(of: Detector, action: str, place: str = "Oslo", **changes: Any) -> Candidate:
    """A candidate that asks the peers."""
    users = changes.pop("users", ())
    plain = candidate(None, B, action, of=of)
    where = cell(at(B), place=(place,), users=users)
    return replace(plain, **({"scorer": "contrast", "own": OWN, "cell": where} | changes))


def outcomes(rules: tuple[Rule, ...], candidates: Sequence[Candidate]) -> set[Any]:
    """(anomalies, state) that candidates of one firing come to, in 20 orders."""
    out = set()
    items = [CANDIDATE.encode(one) for one in candidates]
    for seed in range(20):
        walk = Replay(WeighFold(rules), b"organisation", Random(seed).sample(items, len(items)))
        said = [value for tag, value in walk.fire(B) if tag == "anomalies"]
        out.add((tuple(sorted(said)), walk.save()))
    return out


def test_a_flood_says_the_same_in_any_order_of_what_is_equally_odd() -> None:
    """Two places that nobody has ever been in are equally odd, and have other words."""
    flood = found(USERS, FLOOD, own=None)
    given = [found(USERS, "A", "Oslo"), found(USERS, "B", "Rome"), flood]
    assert len(outcomes((rule(detector=USERS),), given)) == 1


def test_a_city_carries_the_verdict_of_its_own_detector_of_users() -> None:
    """Cities are weighed with tools, users by one rule without: a companion weighs them with."""
    cities = detector("contrast", BY_CITY, with_tool=True)
    rules = (rule("users", detector=USERS), rule("cities", detector=cities))
    users, _, companion = detectors(rules)
    alice, london = (
        entity_text((ACCOUNT, "alice")),
        dict(zip(BY_CITY, ("GB", "London"), strict=True)),
    )
    city = found(cities, "A", "alice", entity=london, users=(alice,))
    assert len(outcomes(rules, [found(users, "A"), found(companion, "A"), city])) == 1


def test_values_leave_once_a_day_wherever_a_history_was_saved() -> None:
    """The first slice of a day, of which nothing was learned for want of room, purged already."""
    one = History(aged=False, memory=MEMORY)
    one.learn(3 + MIDNIGHT, ["Old"], [], [])
    one.learn(200 + MIDNIGHT, ["Get", *(f"A{n}" for n in range(1_998))], [], [])
    one.learn(MIDNIGHT + MEMORY + 2, ["Refused"], [], [])
    other = History(aged=False, memory=MEMORY)
    other.restore(one.state())
    for history in (one, other):
        history.learn(MIDNIGHT + MEMORY + 6, ["Get"], [], [])
    assert one.state() == other.state()


def test_a_single_run_knows_who_has_left_as_steps_do() -> None:
    """alice, who alone had it, is forgotten before bob does it for the first time."""
    start = MIDNIGHT
    events = [event(at(start + n), action, "alice") for n in range(40) for action in ("Get", "Put")]
    for day in range(21):
        events += [event(at(start + day * DAY + n), "Get", "bob") for n in range(0, 40, 2)]
    events.append(event(at(start + 20 * DAY + 39), "Put", "bob"))
    said = []
    for horizons in ([None], [start + day * DAY for day in (5, 19, 22)]):
        job = Job((rule("mine", detector=USERS, threshold=1.0),), 14 * DAY)
        first = pairs_of(on_time(events), job.detectors)
        for number, horizon in enumerate(horizons):
            job.run(first if number == 0 else [], horizon)
        said.append(sorted(job.told["anomalies"]))
    assert said[0] == said[1]
    assert len(said[0]) == 1
