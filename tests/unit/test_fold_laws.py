"""The laws of the three folds: what may be done to the input, or to the run, without a difference.

Each law is held over hundreds of small histories: two users and their cities, a habit, and what
else they do; judged by all scorers, chosen by rules that act at different intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, reduce
from random import Random

from factory import BY_CITY, SLICE, at, detector, event, rule
from histories import Delivery, Job, Walk, by_firing, dealt, known_after, nonzero, pairs_of
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.anomaly import ANOMALY
from schemas.counts import follow
from schemas.event import Event
from schemas.late import TOO_LATE
from schemas.rule import Rule
from schemas.selection import SELECTION
from transforms.fold import replay
from transforms.score import FORGET_AFTER

RULES = (
    rule("often", detector=detector("window"), threshold=10, max_alerts=1),
    rule(
        "seldom",
        detector=detector("elastic", BY_CITY),
        threshold=5,
        max_alerts=2,
        interval_minutes=30,
        lookback_minutes=60,
    ),
    rule("users", detector=detector("contrast"), threshold=40, max_alerts=2),
    rule("cities", detector=detector("contrast", BY_CITY), threshold=40, max_alerts=2),
)
SETTLING = (RULES[0], *RULES[2:])
"""`elastic` has no settlement: of it only the first law is claimed."""
START = 1_900_000
SOON = 20
"""Slices, for entities that are forgotten while one looks."""
LENGTH = 48
"""Over the end of a day, which is closed 8 firings later."""
END = START + LENGTH + 40
"""When all is learned."""
CITIES = {"alice": "London", "bob": "Lagos"}


def does(slice_: int, action: str, user: str, seconds: float = 1, city: str = "") -> Event:
    return event(at(slice_, seconds), action, user, city=city or CITIES[user])


HABIT = [
    Delivery(does(START - 9 - n, action, user))
    for n in range(60)
    for user in CITIES
    for action in ("Get", "List", "Put")
]
DAYS = [
    Delivery(does((START // 96 - day) * 96 + 20 + after, action, user))
    for day in range(2, 7)
    for user in CITIES
    for after, action in (
        *((after, action) for after in (0, 1) for action in ("Get", "List", "Put")),
        (15, f"Odd{day}-{user}"),
    )
]
"""Days on which both do what they always do, and one thing that is new: `contrast` is calibrated by
four of them.
"""
ACTIONS = ("Get", "New0", "New1", "New2", "New3", "New4")

events = st.builds(
    does,
    st.integers(START, START + LENGTH - 1),
    st.sampled_from(ACTIONS),
    st.sampled_from(sorted(CITIES)),
    st.sampled_from([0, 1, 899.999]),
    st.sampled_from(["", "", "Oslo", "Lagos"]),
)
on_time_one = st.builds(
    lambda event_, share: Delivery(event_, None if share is None else soon(event_, share)),
    events,
    st.sampled_from([None, 0, 0.5, 1]),
)
late_one = st.builds(known_after, events, st.integers(0, 7))
too_late_one = st.builds(known_after, events, st.integers(8, 30))
on_time = st.lists(on_time_one, min_size=1, max_size=12)
late = st.lists(late_one, min_size=1, max_size=12)
too_late = st.lists(too_late_one, min_size=1, max_size=6)
a_few = st.lists(st.one_of(on_time_one, late_one, too_late_one), min_size=1, max_size=5)
seeds = st.integers(0, 999)
laws = settings(deadline=None, derandomize=True, max_examples=150)


def soon(event_: Event, share: float) -> int:
    """An arrival on time: by share from the event itself to the last millisecond."""
    last = (event_.time // SLICE + 2) * SLICE - 1
    return event_.time + round(share * (last - event_.time))


@cache
def habit(rules: tuple[Rule, ...], forget_after: int) -> Job:
    """A job that has learned the habit."""
    job = Job(rules, forget_after)
    return job.run(pairs_of([*DAYS, *HABIT], job.detectors), START - 1)


def job_of(
    rules: tuple[Rule, ...] = RULES, forget_after: int = FORGET_AFTER, walk: Walk = replay
) -> Job:
    return Job(rules, forget_after, walk).follow(habit(rules, forget_after))


def once(job: Job, deliveries: Sequence[Delivery], until: int = END) -> Job:
    """A job after one run over one bundle."""
    return job.run(pairs_of(deliveries, job.detectors), until)


def assert_same(job: Job, expected: Job) -> None:
    """Anomalies, selections and states."""
    for tag in ("anomalies", "selections", "late"):
        assert job.told[tag] == expected.told[tag], tag
    assert job.entities == expected.entities
    assert job.waiting == expected.waiting
    assert job.states["weigh"] == expected.states["weigh"]


# On time


@laws
@given(on_time, seeds)
def test_order_bundles_repetition_and_delay_change_nothing(
    deliveries: list[Delivery], seed: int
) -> None:
    """A delivery on time may come at another time, too, as long as that is on time."""
    rng = Random(seed)
    again = [
        Delivery(one.event, rng.choice([None, soon(one.event, rng.random())]))
        for one in deliveries
        if rng.random() < 0.3
    ]
    job = job_of(forget_after=SOON)
    job.run(dealt(rng, [*deliveries, *again], job.detectors), END, rng)
    replayed = [Delivery(one.event) for one in deliveries]
    assert_same(job, once(job_of(forget_after=SOON), replayed))
    assert_judged_once(job)


horizons = st.lists(st.integers(START, END - 1), max_size=5, unique=True).map(sorted)


@laws
@given(on_time, horizons, st.integers(START, END), seeds)
def test_a_run_may_be_cut_at_any_horizons(
    deliveries: list[Delivery], cuts: list[int], end: int, seed: int
) -> None:
    """Each event comes in the run that it is due in, or in one before."""
    rng = Random(seed)
    deliveries = [one for one in deliveries if one.known <= end]
    cuts = [*(cut for cut in cuts if cut < end), end]
    runs: list[list[Delivery]] = [[] for _ in cuts]
    for one in deliveries:
        latest = next(n for n, cut in enumerate(cuts) if one.known <= cut)
        runs[rng.choice([latest, latest, rng.randint(0, latest)])].append(one)
    job = job_of(forget_after=SOON)
    for run, cut in zip(runs, cuts, strict=True):
        job.run(dealt(rng, run, job.detectors), cut, rng)
    expected = once(job_of(forget_after=SOON), deliveries, end)
    assert_same(job, expected)
    assert counted(job) == counted(expected)


def counted(job: Job) -> dict[str, int]:
    """All that its runs counted, as of one run; but for maxima at the end of each."""
    counts = nonzero(reduce(follow, job.told.rows))
    return {name: number for name, number in counts.items() if not name.startswith("latest|")}


@laws
@given(a_few, seeds)
def test_firing_by_firing_is_one_bounded_replay(deliveries: list[Delivery], seed: int) -> None:
    """As the unbounded mode goes: after each firing the state is saved, and read again."""
    job = job_of(forget_after=SOON, walk=by_firing)
    job.run(dealt(Random(seed), deliveries, job.detectors), END, Random(seed))
    assert_same(job, once(job_of(forget_after=SOON), deliveries))


# Late


@laws
@given(late, seeds)
def test_late_events_leave_the_histories_of_a_replay(deliveries: list[Delivery], seed: int) -> None:
    rng = Random(seed)
    again = [known_after(one.event, rng.randrange(8)) for one in deliveries if rng.random() < 0.3]
    job = job_of(SETTLING)
    job.run(dealt(rng, [*deliveries, *again], job.detectors), END, rng)
    replayed = once(job_of(SETTLING), [Delivery(one.event) for one in deliveries])
    assert job.histories == replayed.histories
    assert not job.told["late"]
    assert_judged_once(job)


@laws
@given(late, too_late, horizons, seeds)
def test_runs_cut_anywhere_say_of_late_events_what_one_run_says(
    some: list[Delivery], more: list[Delivery], cuts: list[int], seed: int
) -> None:
    """Each comes in the run in which it becomes known; `elastic`, too."""
    rng = Random(seed)
    job, before = job_of(), START - 1
    for cut in [*cuts, END]:
        mine = [one for one in [*some, *more] if before < one.known <= cut]
        job.run(dealt(rng, mine, job.detectors), cut, rng)
        before = cut
    expected = once(job_of(), [one for one in [*some, *more] if one.known <= END])
    assert_same(job, expected)
    assert counted(job) == counted(expected)


# Too late


@laws
@given(late, too_late, seeds)
def test_what_is_too_late_changes_no_history_and_no_other_judgement(
    deliveries: list[Delivery], more: list[Delivery], seed: int
) -> None:
    job = once(job_of(SETTLING), deliveries)
    with_more = job_of(SETTLING)
    with_more.run(dealt(Random(seed), [*deliveries, *more], job.detectors), END, Random(seed))
    assert with_more.histories == job.histories
    found = [ANOMALY.decode(data) for data in with_more.told["anomalies"]]
    in_time = [ANOMALY.encode(one) for one in found if one.timing != "too_late"]
    assert sorted(in_time) == job.told["anomalies"]
    records = [TOO_LATE.decode(data) for data in with_more.told["late"]]
    evidence = {item.id for record in records for item in record.cell.evidence}
    assert evidence == {one.event.id for one in more}
    assert_judged_once(with_more)


@laws
@given(on_time, st.lists(st.integers(8, 60), min_size=1, max_size=3), seeds)
def test_a_redelivery_of_what_was_learned_is_no_anomaly_and_no_alert(
    deliveries: list[Delivery], delays: list[int], seed: int
) -> None:
    """A second trail, a queue, a backfill: at any time after, and more than once."""
    again = [known_after(one.event, delay) for one in deliveries for delay in delays]
    job, end = job_of(SETTLING), END + 60
    job.run(dealt(Random(seed), [*deliveries, *again], job.detectors), end, Random(seed))
    expected = once(job_of(SETTLING), deliveries, end)
    assert job.told["anomalies"] == expected.told["anomalies"]
    assert job.told["selections"] == expected.told["selections"]
    assert job.histories == expected.histories
    assert not any(TOO_LATE.decode(data).judged for data in job.told["late"])


def assert_judged_once(job: Job) -> None:
    ids = [ANOMALY.decode(data).id for data in job.told["anomalies"]]
    assert len(ids) == len(set(ids))


# That these histories are worth looking at


def test_these_histories_have_anomalies_alerts_cuts_and_what_expires() -> None:
    many = [Delivery(does(START + n, f"New{n % 5}", user)) for n in range(9) for user in CITIES]
    job = once(job_of(forget_after=SOON), many)
    selections = [SELECTION.decode(data) for data in job.told["selections"]]
    for number in ("alerts", "cut", "suppressed", "expired"):
        assert sum(len(getattr(one, number)) for one in selections), number
    anomalies = [ANOMALY.decode(data) for data in job.told["anomalies"]]
    assert {one.scorer for one in anomalies} == {"window", "elastic", "contrast"}
    scored = [one for one in anomalies if one.scorer == "contrast" and one.score is not None]
    assert {one.rule_id for one in scored} == {rule_.uuid for rule_ in RULES[2:]}
    assert job.told.rows[0]["cells|window-by-user|forgotten"] > 0
