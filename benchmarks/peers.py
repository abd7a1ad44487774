"""The second stage of `contrast` at scale: `python -m benchmarks.peers [--users N] [--days N]`.

One scope with so many users, warm after a month, judges what its entities send it day by day, as a
long replay goes in steps: the state of the day before, a day's candidates and changes as bytes, the
anomalies of both rules as bytes, the state. Printed as CPU time, so that a busy machine does not
matter; making the stream is not counted. Then one firing of a live job at the busiest time of day,
which loads and saves the state, too.

Rates are those of the worked example in contrast.md, §6 (360 users: 4,132 first sightings in 30
days, 6,867 pairs), and of `make run`'s organisation (cities and changes for each candidate of a
user). Users come and go. Candidates are as large as that organisation's, about 2.5 kB.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Final

from msgspec.structs import replace

from pipeline.rules import load_rules
from schemas.anomaly import CANDIDATE, Candidate, Habit, Own, Profile
from schemas.change import CHANGE, Change
from schemas.entity import ORGANISATION, entity_text
from schemas.event import SLICE_MS
from schemas.rule import Rule, detectors
from schemas.slice import Cell, Evidence, hash_of
from transforms.firing import WINDOW, Course
from transforms.fold import STATE, Replay, replay
from transforms.history import DAY
from transforms.peers import WeighFold
from transforms.watched import Day

GOAL = 2_000
"""Times real time, on one core."""
START = 20_500
"""First day, counted from 1970."""
SIGHTINGS: Final = 4_132 / 30 / 360
"""Candidates a user and day."""
PAIRS: Final = 6_867 / 360
"""Actions in the history of a user."""
TURNOVER: Final = 0.002
"""Users that come, and that leave, each day."""
CITIES: Final = (0.78, 0.57, 0.37)
"""For each candidate of a user: candidates of cities; changes of users; of cities."""
KEY: Final = ORGANISATION.encode()


class Organisation:
    """A scope and what happens in it."""

    def __init__(self, rules: Sequence[Rule], users: int, seed: int = 1) -> None:
        self.users, self.fold = users, WeighFold(tuple(rules))
        self._rng = random.Random(seed)
        found = detectors(rules)
        (self._of_users,) = [one.key for one in found if one.of_users]
        (self._of_cities,) = [one.key for one in found if not one.of_users]
        self._names = [f"DescribeSomething{number:04d}" for number in range(3_000)]
        self._zipf = list(accumulate(1 / rank for rank in range(1, 3_001)))
        self._places = [f"Town {number}" for number in range(400)]
        self._hours = [1 + 9 * (32 <= slice_ < 72) for slice_ in range(DAY)]
        self._fresh = 0
        self._profiles = [self._profile() for _ in range(64)]
        self._evidence = [self._one_event(number) for number in range(256)]

    def warm(self) -> bytes:
        """The state after a month."""
        state = self.fold.begin(KEY)
        for key, entities in ((self._of_users, self.users), (self._of_cities, len(self._places))):
            watched = state.scope.of(key)
            self._fill(watched.peers.actions.enter, self._names, int(entities * PAIRS))
            self._fill(watched.peers.places.enter, self._places, entities * 2)
            self._fill(watched.peers.tools.enter, ["boto3", "aws-cli", "Terraform"], entities)
            seen = int(self.users * SIGHTINGS)
            for day in range(START - 30, START):
                highest = sorted((self._rng.gauss(-2, 2) for _ in range(64)), reverse=True)
                watched.days[day] = Day(seen, seen // 20, seen // 7, seen // 2, highest)
        saved = self.fold.save(state, {}, START * DAY - 1)
        assert saved is not None
        return saved

    def _fill(self, enter: object, names: Sequence[str], pairs: int) -> None:
        weights = self._zipf[: len(names)]
        drawn = self._rng.choices(names, cum_weights=weights, k=pairs)
        for name in (*names, *drawn):
            enter(name, (START - 30) * DAY, "somebody")  # type: ignore[operator]

    def elements(self, day: int) -> Iterator[bytes]:
        """What entities tell their peers on a day, in no order."""
        for _ in range(int(self.users * SIGHTINGS)):
            user = self._candidate(day)
            yield CANDIDATE.encode(user)
            cities, changes, of_cities = (self._rng.random() < chance for chance in CITIES)
            if cities:
                yield CANDIDATE.encode(self._city(user))
            if changes:
                yield CHANGE.encode(self._change(self._of_users, user))
            if of_cities:
                yield CHANGE.encode(self._change(self._of_cities, user))
        for number in range(int(self.users * TURNOVER)):
            known = {
                "actions": sorted({*self._some(self._names[:300], int(PAIRS))}),
                "places": sorted({*self._some(self._places[:20], 2)}),
                "tools": ["boto3"],
            }
            told = partial(Change, self._of_users, f"guest {day} {number}")
            yield CHANGE.encode(told((day - 1) * DAY, day * DAY + number % DAY, known))
            yield CHANGE.encode(told((day - 180) * DAY, day * DAY + number % DAY, {}, known))

    def _some(self, names: Sequence[str], number: int) -> list[str]:
        return self._rng.choices(names, cum_weights=self._zipf[: len(names)], k=number)

    def _candidate(self, day: int) -> Candidate:
        (into,) = self._rng.choices(range(DAY), self._hours)
        slice_ = day * DAY + into
        (action,) = self._some(self._names, 1)
        if self._rng.random() < 0.01:
            action, self._fresh = f"Fresh{self._fresh}", self._fresh + 1
        habits = sorted({*self._some(self._names[:300], 15), action})
        n = self._rng.randint(5, 2_000)
        place = self._some(self._places, 1)
        return Candidate(
            detector=self._of_users,
            scorer="contrast",
            scope=ORGANISATION,
            entity={"cloud.account.id": "111122223333", "user.name": self._name()},
            action=action,
            slice=slice_,
            firing=slice_ + (self._rng.randrange(WINDOW) if self._rng.random() < 0.02 else 0),
            cell=self._cell(slice_, place),
            profile=self._rng.choice(self._profiles),
            own=Own(
                n_actions=n,
                t_actions=self._rng.randint(1, 1 + n // 8),
                n_places=n,
                t_places=2,
                n_tools=n,
                t_tools=1,
                places=dict.fromkeys(place, n // 2),
                tools={"boto3": n},
                window=[Habit(name, 0 if name == action else n // 20 + 1) for name in habits],
            ),
        )

    def _name(self) -> str:
        return f"willow-shipping-worker-{self._rng.randrange(self.users)}"

    def _cell(self, slice_: int, place: list[str]) -> Cell:
        time_ = slice_ * SLICE_MS
        return Cell(
            first=time_,
            last=time_ + 1,
            ids=(hash_of(str(self._rng.random())),),
            failed=self._rng.random() < 0.05,
            write=self._rng.random() < 0.14,
            place=tuple(place),
            tool=("boto3",),
            stream=(("", "somebody@example.org", "203.0"),),
            users=(),
            account=("111122223333",),
            region=("eu-west-1",),
            error=(),
            evidence=tuple(self._rng.choices(self._evidence, k=self._rng.choice((1, 1, 2)))),
        )

    def _city(self, user: Candidate) -> Candidate:
        """What was as new to the user's city."""
        who = entity_text(tuple(user.entity.values()))
        entity = {"source.geo.country_iso_code": "GB", "source.geo.city_name": user.cell.place[0]}
        cell = replace(user.cell, users=(who,), place=(who,))
        return replace(user, detector=self._of_cities, entity=entity, cell=cell)

    def _change(self, detector: str, of: Candidate) -> Change:
        """That it was learned two hours later."""
        entered = {"actions": [of.action]}
        if self._rng.random() < 0.15:
            entered["places"] = list(of.cell.place)
        left = {}
        if detector == self._of_users and self._rng.random() < 0.3:
            left["actions"] = self._some(self._names[:300], 1)
        who = entity_text(tuple(of.entity.values()))
        return Change(detector, who, of.slice, of.slice + WINDOW, entered, left)

    def _profile(self) -> Profile:
        known = [Habit(name, 30) for name in self._rng.sample(self._names, 20)]
        hours = [self._rng.randrange(9) for _ in range(168)]
        latest = START * DAY * SLICE_MS
        return Profile(0, latest, sum(hours), hours, 60, 2, known, [Habit("Town 1", 30)])

    def _one_event(self, number: int) -> Evidence:
        user = self._name()
        return Evidence(
            time=START * DAY * SLICE_MS,
            hash=hash_of(str(number)),
            origin=f"logs/AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/02/{number:060}.gz",
            id=f"{number:036}",
            provider="ec2.amazonaws.com",
            user_name=user,
            arn=f"arn:aws:sts::111122223333:assumed-role/{user}/somebody@example.org",
            access_key="ASIA0123456789ABCDEF",
            session="somebody@example.org",
            agent="Boto3/1.34.51 md/Botocore#1.34.51 ua/2.0 os/linux#6.1.0 md/arch#x86_64",
            address="203.0.113.7",
            country="GB",
            city="London",
            account="111122223333",
            region="eu-west-1",
            error="",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Exit status 1 below the goal."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", allow_abbrev=False)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=3)
    given = parser.parse_args(argv)
    world = Organisation(load_rules(), given.users)
    state, spent, messages = world.warm(), 0.0, 0
    said: Counter[str] = Counter()
    for day in range(START, START + given.days):
        elements = list(world.elements(day))
        messages += len(elements)
        course = Course(day * DAY - 1, day * DAY + DAY - 1, keep=True)
        began = time.process_time()
        for tag, value in replay(world.fold, KEY, [state, *elements], course):
            said[tag] += 1
            if tag == STATE:
                state = value
        spent += time.process_time() - began
    speed = given.days * 86_400 / spent
    met = "met" if speed >= GOAL else "MISSED"
    each = spent / messages
    rate = f"{messages / given.days:,.0f} messages a day in {1e6 * each:.0f} µs"
    print(f"{given.users:,} users: {rate}")
    print(f"{speed:,.0f} × real time on one core, goal {GOAL:,}: {met}")
    print(f"state {len(state) / 1e6:.1f} MB, {said['anomalies']:,} anomalies")
    day = START + given.days
    peak = [data for data in world.elements(day) if 0 <= _due(data) - day * DAY - 60 < 1]
    began = time.process_time()
    walk = Replay(world.fold, KEY, [state, *peak], day * DAY + 59)
    found = sum(tag == "anomalies" for tag, _ in walk.fire(day * DAY + 60))
    walk.save()
    live = time.process_time() - began
    print(f"a live firing with {len(peak):,} messages, {found:,} anomalies: {live:.1f} s")
    print(f"most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    return 0 if speed >= GOAL else 1


def _due(data: bytes) -> int:
    return (CHANGE.decode(data) if CHANGE.wrote(data) else CANDIDATE.decode(data)).firing


if __name__ == "__main__":
    sys.exit(main())
