"""State is bounded: 60 days, day by day, of what never ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from factory import BY_CITY, at, detector, event, rule
from histories import Delivery, Job, known_after, on_time, pairs_of

from schemas.event import Event
from schemas.rule import Rule
from schemas.state import ENTITY_STATE, RULE_STATE

DAY = 96
START = 19_800 * DAY + 13
"""Days, and runs, end 3 hours after midnight: what is told when a day's first slice is learned is
remembered then.
"""
FORGET_AFTER = 14 * DAY
DAYS = 60


def rule_of(fields: tuple[str, ...], scorer: str = "window") -> Rule:
    """It alerts of nearly everything, but of few at once: much waits."""
    of = detector(scorer, fields)
    return rule(f"{scorer} {fields}", detector=of, threshold=1, max_alerts=3)


def sizes(job: Job, days: Iterator[list[Delivery]]) -> dict[str, list[int]]:
    """By step the bytes of all its states, at the end of each day; a day is a run."""
    by_step: dict[str, list[int]] = {step: [] for step in job.states}
    for number, deliveries in enumerate(days):
        job.run(pairs_of(deliveries, job.detectors), START + (number + 1) * DAY - 1)
        for step, states in job.states.items():
            by_step[step].append(sum(len(key) + len(data) for key, data in states.items()))
    return by_step


def assert_level(by_day: list[int], of: int) -> None:
    """No more at the end than in the days before, from one on; and there was something."""
    before, after = by_day[of : (of + DAYS) // 2], by_day[(of + DAYS) // 2 :]
    assert len(by_day) == DAYS
    assert min(before) > 0
    assert max(after) <= 1.02 * max(before), by_day
    assert sum(after) / len(after) <= 1.02 * sum(before) / len(before), by_day


def fresh_users(per_day: int) -> Iterator[list[Delivery]]:
    """Every day users who were never seen before, in cities that were not: they do the same for
    10 hours, at the day's end something else; then nothing ever again.
    """
    for day in range(DAYS):
        events = []
        for number in range(per_day):
            user, start = f"user-{day:02}-{number}", START + day * DAY
            for slice_ in range(start, start + 40):
                events += [acts(slice_, action, user) for action in ("Get", "Put", "List")]
            events += [acts(start + 92, f"Odd{n}", user) for n in range(2)]
        yield on_time(events)


def acts(slice_: int, action: str, user: str) -> Event:
    return event(at(slice_), action, user, city=f"City of {user}")


def test_fresh_entities_every_day_level_off() -> None:
    rules = (rule_of(("cloud.account.id", "user.name")), rule_of(BY_CITY, "elastic"))
    job = Job(rules, FORGET_AFTER)
    by_step = sizes(job, fresh_users(4))
    assert_level(by_step["score"], of=20)
    assert_level(by_step["select"], of=20)
    assert set(by_step["weigh"]) == {0}
    assert len(job.states["score"]) == 2 * 4 * 14, "those of the last 14 days"
    assert len(job.told["anomalies"]) >= DAYS * 4 * 2 * 2


def test_scopes_of_fresh_entities_level_off_and_leave_with_them() -> None:
    """Days are remembered for 31; a scope that nobody is left in, as long as its days count."""
    rules = (rule_of(("cloud.account.id", "user.name"), "contrast"), rule_of(BY_CITY, "contrast"))
    job = Job(rules, FORGET_AFTER)
    by_step = sizes(job, fresh_users(4))
    assert_level(by_step["score"], of=20)
    assert_level(by_step["weigh"], of=34)
    assert_level(by_step["select"], of=20)
    last = START + (DAYS - 1) * DAY + 92
    job.run([], last + FORGET_AFTER + 1)
    assert not job.states["score"]
    assert job.states["weigh"], "its days still count"
    job.run([], (last // DAY + 31) * DAY + 8)
    assert not job.states["weigh"]


def fresh_actions(per_slice: int, late: int | None = None) -> Iterator[list[Delivery]]:
    """One user who does one thing always, and others once; all of it so many firings late."""
    for day in range(DAYS):
        events = [
            event(at(START + day * DAY + slice_), action)
            for slice_ in range(0, DAY, 2)
            for action in ("Get", *(f"Action-{day:02}-{slice_:02}-{n}" for n in range(per_slice)))
        ]
        yield on_time(events) if late is None else [known_after(each, late) for each in events]


@pytest.mark.parametrize("scorer", ["window", "elastic"])
def test_an_entity_with_fresh_actions_without_end_levels_off(scorer: str) -> None:
    """2,000 are kept; what is beyond is told once a day."""
    job = Job((rule_of(("cloud.account.id", "user.name"), scorer),), FORGET_AFTER)
    by_step = sizes(job, fresh_actions(4))
    assert_level(by_step["score"], of=20)
    assert_level(by_step["select"], of=20)
    (state,) = [ENTITY_STATE.decode(data) for data in job.states["score"].values()]
    assert len(state.history.actions.names) == 2_000
    assert state.full_day == START // DAY + DAYS


def test_fresh_actions_that_all_come_too_late_level_off() -> None:
    """Strays are remembered for 90 days, but 2,000 at most."""
    job = Job((rule_of(("cloud.account.id", "user.name")),), FORGET_AFTER)
    by_step = sizes(job, fresh_actions(2, late=8))
    assert_level(by_step["score"], of=30)
    (state,) = [ENTITY_STATE.decode(data) for data in job.states["score"].values()]
    assert len(state.strays) == 2_000
    assert state.history.since == -1


def test_what_was_alerted_or_waits_is_forgotten_downstream() -> None:
    """What waits expires after 2 hours, what was alerted is remembered for 6."""
    job = Job((rule_of(("cloud.account.id", "user.name")),), FORGET_AFTER)
    alerted = START + 92
    for until, waiting, remembered in ((7, True, True), (8, False, True), (24, False, False)):
        first = pairs_of(next(fresh_users(20)), job.detectors) if until == 7 else []
        job.run(first, alerted + until)
        states = [RULE_STATE.decode(data) for data in job.states["select"].values()]
        assert any(state.waiting for state in states) is waiting
        assert any(state.alerted for state in states) is remembered
