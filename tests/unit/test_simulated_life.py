"""Simulated life is as hard as life: facts measured on real trails, each held as a range."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

import numpy as np
import pytest

from pipeline.simulate.people import Person
from pipeline.simulate.places import address_in, load_atlas
from pipeline.simulate.records import DAY, Call
from pipeline.simulate.simulation import Life
from pipeline.simulate.spec import Simulation
from pipeline.simulate.stories import HABIT, load_stories
from pipeline.simulate.whereabouts import fixed_address

SPEC = Simulation(seed=11, accounts=5, people=50, machines=45, events=110_000, attacks=False)
WEEK = 7 * DAY
ADMINISTRATORS = {"platform", "security", "operations"}


@dataclass
class Town:
    """Everybody's calls in four weeks, each in order of time."""

    life: Life
    people: dict[str, list[Call]]
    machines: dict[str, list[Call]]
    accounts: list[Call]

    def person(self, name: str) -> Person:
        return next(each for each in self.life.people if each.name == name)


@pytest.fixture(scope="module")
def town() -> Town:
    life = Life(SPEC)
    calls: dict[str, list[Call]] = {
        name: sorted(
            (call for day in range(SPEC.days) for call in actor.calls(day)),
            key=lambda call: call.time,
        )
        for name, actor in life.actors.items()
    }

    def of(kind: str) -> dict[str, list[Call]]:
        return {name.removeprefix(kind): c for name, c in calls.items() if name.startswith(kind)}

    accounts = [call for some in of("account ").values() for call in some]
    return Town(life, of("person "), of("machine "), accounts)


def firsts(calls: Iterable[Call]) -> list[Call]:
    """The calls that somebody makes for the first time."""
    met: dict[str, Call] = {}
    for call in calls:
        met.setdefault(call.action.name, call)
    return list(met.values())


def novelty(lives: Iterable[Sequence[Call]], weeks: range) -> float:
    """New (somebody, action) pairs per 1,000 calls in some weeks, the first of which is 0."""

    def within(call: Call) -> bool:
        return int(call.time - SPEC.epoch) // WEEK in weeks

    lives = list(lives)
    new = sum(within(call) for calls in lives for call in firsts(calls))
    return 1000 * new / sum(within(call) for calls in lives for call in calls)


def failing(calls: Iterable[Call]) -> float:
    return fmean(call.error is not None for call in calls)


# ---- what people and machines do


def test_people_keep_doing_new_things_and_machines_do_not(town: Town) -> None:
    assert 22 <= novelty(town.people.values(), range(1, 4)) <= 30
    assert 15 <= novelty(town.people.values(), range(3, 4)) <= 30  # it does not run dry
    assert novelty(town.machines.values(), range(1, 4)) <= 1


def test_people_know_many_actions_and_machines_few(town: Town) -> None:
    known = [len(firsts(calls)) for calls in town.people.values()]
    assert 30 <= median(known) <= 100
    assert np.quantile(known, 0.95) >= 80
    assert 120 <= max(known) <= 240
    assert all(len(firsts(calls)) <= 7 for calls in town.machines.values())  # a token among them


def test_habits_fall_off_as_in_life(town: Town) -> None:
    steep = []
    for calls in town.people.values():
        counts = [n for _, n in Counter(c.action.name for c in calls).most_common() if n > 2]
        if len(counts) > 5:
            ranks = np.log(np.arange(len(counts)) + 1)
            steep.append(-np.polyfit(ranks, np.log(counts), 1)[0])
    assert np.quantile(steep, 0.1) >= 0.9
    assert np.quantile(steep, 0.9) <= 1.6


def test_errors_are_of_people_machines_and_sweeps(town: Town) -> None:
    everybody = [call for calls in town.people.values() for call in calls]
    assert 0.06 <= failing(everybody) <= 0.10
    assert 0.005 <= failing(c for calls in town.machines.values() for c in calls) <= 0.01
    sweeps = [c for c in town.accounts if "AWSServiceRoleForConfig" in c.caller.arn]
    assert 0.3 <= failing(sweeps) <= 0.4
    first = [call for calls in town.people.values() for call in firsts(calls)]
    assert failing(first) >= 2 * failing(everybody)


def test_some_sittings_lack_a_right(town: Town) -> None:
    barred = 0
    for calls in town.people.values():
        failed = [call.error is not None for call in calls]
        barred += any(sum(failed[i : i + 20]) >= 12 for i in range(0, len(failed), 20))
    assert 0.15 <= barred / len(town.people) <= 0.7


def test_work_comes_in_sittings(town: Town) -> None:
    gaps, sizes = [], []
    for calls in town.people.values():
        size = 1
        for before, after in pairwise(calls):
            if (gap := after.time - before.time) < 1800:
                gaps.append(gap)
                size += 1
            else:
                sizes.append(size)
                size = 1
    assert 0.7 <= fmean(gap < 1 for gap in gaps) <= 0.9
    assert 40 <= fmean(sizes) <= 60


# ---- what looks like an attack


def attack_calls() -> list[set[str]]:
    """The calls of each story of an attack."""
    return [
        {deed.call.split(":")[1] for deed in story.deeds if deed.call != HABIT}
        for story in load_stories()
        if story.technique != "none"
    ]


def test_new_things_come_in_bursts_as_long_as_attacks(town: Town) -> None:
    usual = median(map(len, attack_calls()))
    bursts = 0
    for calls in town.people.values():
        later = [c.time for c in firsts(calls) if c.time >= SPEC.epoch + WEEK]
        while later:
            burst = [time for time in later if time < later[0] + 7200]
            bursts += len(burst) >= usual
            later = later[len(burst) :]
    assert bursts / 15 >= 2  # a working day


def test_what_intruders_do_is_done_by_administrators_too(town: Town) -> None:
    fans: dict[str, set[str]] = defaultdict(set)
    for name, calls in town.people.items():
        for call in firsts(calls):
            fans[call.action.name].add(name)
    suspicious = set[str]().union(*attack_calls())
    assert fmean(bool(fans[name]) for name in suspicious) >= 0.6
    alone = [sum(not fans[name] for name in story) for story in attack_calls()]
    assert 0.2 <= fmean(map(bool, alone)) <= 0.65  # of the stories hold a call that nobody makes
    rare = [name for name in suspicious if 1 <= len(fans[name]) <= 3]
    teams = Counter(town.person(who).team for name in rare for who in fans[name])
    share = sum(n for team, n in teams.items() if team in ADMINISTRATORS) / teams.total()
    people = fmean(person.team in ADMINISTRATORS for person in town.life.people)
    assert share >= 1.4 * people


# ---- where from, and with what


def test_people_travel_commute_and_use_the_vpn(town: Town) -> None:
    whereabouts = [person.whereabouts for person in town.life.people]
    assert 0.1 <= fmean(bool(each.journey[0]) for each in whereabouts) <= 0.3
    assert 0.3 <= fmean(len(each.places) > 1 for each in whereabouts) <= 0.7
    moved = town.life.organisation.moved
    exits = {
        place.key: fixed_address(SPEC.seed, place, "hosting")
        for place in (*town.life.organisation.exits, moved)
    }
    seen: dict[str, set[int]] = defaultdict(set)
    for calls in town.people.values():
        for call in calls:
            seen[call.address].add(int(call.time - SPEC.epoch) // DAY)
    assert all(seen[address] for address in exits.values())
    first = town.life.organisation.exits[0]
    assert max(seen[exits[first.key]]) <= min(seen[exits[moved.key]])
    assert min(seen[exits[moved.key]]) >= SPEC.days // 4


def test_some_networks_have_no_city_and_phones_change_theirs(town: Town) -> None:
    nowhere = {
        network.split(".")[0] + "." + network.split(".")[1] + "."
        for place in load_atlas().mobile.values()
        for network in place.home
    }
    calls = [call for some in town.people.values() for call in some]
    assert 0.03 <= fmean(call.address.startswith(tuple(nowhere)) for call in calls) <= 0.12
    hops = 0
    for some in town.people.values():
        for one, other in pairwise(some):
            both = {one.address, other.address}
            roaming = all(address.startswith(tuple(nowhere)) for address in both)
            hops += roaming and len(both) == 2 and one.caller == other.caller
    assert hops >= 20


def test_networks_of_different_places_are_apart() -> None:
    chance = np.random.Generator(np.random.PCG64(1))
    owners: dict[str, str] = {}
    for country, place in load_atlas().mobile.items():
        assert len(place.home) == 2
        for _ in range(20):
            network = ".".join(address_in(chance, place.home).split(".")[:2])
            assert owners.setdefault(network, country) == country


def test_ci_machines_come_from_cities_that_were_not_seen_at_first(town: Town) -> None:
    runners = [m.name for m in town.life.machines if m.kind.where == "runner"]
    cities = {network: p.city for p in load_atlas().runners for network in p.home}
    prefix = {".".join(network.split(".")[:2]) + ".": city for network, city in cities.items()}
    seen: dict[str, int] = {}
    for name in runners:
        for call in town.machines[name]:
            city = next(c for start, c in prefix.items() if call.address.startswith(start))
            day = int(call.time - SPEC.epoch) // DAY
            seen[city] = min(seen.get(city, day), day)
    assert len(seen) >= 6
    assert max(seen.values()) >= 7


def test_roles_are_shared_and_sessions_often_name_nobody(town: Town) -> None:
    users: dict[tuple[str, str], set[str]] = defaultdict(set)
    sessions: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, calls in town.people.items():
        for call in calls:
            if call.caller.session:
                key = (call.caller.account, call.caller.user)
                users[key].add(name)
                sessions[key].append(call.caller.session)
    shared = [key for key, names in users.items() if len(names) > 1]
    assert len(shared) >= 10
    told = [session for key in shared for session in sessions[key]]
    assert len(told) >= 0.4 * sum(map(len, town.people.values()))
    assert 0.2 <= fmean("@" not in session for session in told) <= 0.6
    names = defaultdict[str, set[str]](set)
    for name, calls in town.people.items():
        for call in calls:
            names[call.caller.session].add(name)
    assert any(len(people) > 1 for session, people in names.items() if session)


def test_people_have_several_tools_and_renew_them(town: Town) -> None:
    families, renewed = [], []
    for calls in town.people.values():
        agents = {call.agent.split(" ")[0] for call in calls}
        families.append(len({agent.split("/")[0] for agent in agents}))
        direct = {agent for agent in agents if agent.startswith(("aws-cli", "Boto3"))}
        renewed.append(len(direct) > len({agent.split("/")[0] for agent in direct}))
    assert median(families) >= 3
    assert 0.15 <= fmean(renewed) <= 0.6


def test_some_people_come_later(town: Town) -> None:
    late = [p for p in town.life.people if p.first and town.people[p.name]]
    assert 1 <= len(late) <= 0.2 * len(town.life.people)
    for person in late:
        assert town.people[person.name][0].time >= SPEC.epoch + (person.first - 1) * DAY
