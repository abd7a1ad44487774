"""People: teams, hours, habits that grow, tools, several ways in, journeys."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator

from pipeline.simulate.catalogue import Action, load_catalogue, load_yaml
from pipeline.simulate.chance import (
    Floats,
    about,
    draw,
    draw_distinct,
    letters,
    pick,
    stream,
)
from pipeline.simulate.identity import Caller, access_key, assumed_role, iam_user
from pipeline.simulate.organisation import Account, Organisation, Role
from pipeline.simulate.records import DAY, Call, stamp
from pipeline.simulate.signin import sign_in
from pipeline.simulate.whereabouts import Whereabouts

TOOLS: Final = ("console", "cli", "boto3", "terraform")
FIRST_FAILS: Final = 0.2
"""Share of first tries that fail."""
WEEKEND: Final = 0.06
"""How much happens on a day of the weekend, beside a working day."""


class Access(NamedTuple):
    """One way in: as an IAM user, or through a role."""

    account: Account
    kind: str
    """`iam`, `sso`, or `role` (a shared role that an IAM user assumes)."""
    role: Role | None
    weight: float

    @property
    def read_only(self) -> bool:
        """Whether it lets its user change nothing."""
        return self.role is not None and "ReadOnly" in self.role.name


class Sitting(NamedTuple):
    """A stretch of work: when it begins, how many calls it makes, how many of them in a new field."""

    begin: float
    calls: int
    project: int = 0


@cache
def team_weights(team: str) -> Floats:
    """How often a member of the team makes each call of the catalogue, relatively."""
    world = load_yaml("world.yaml")
    liked = {**world["everyone"], **world["teams"][team]["services"]}
    other = world["everyone"]["other"]
    return np.array(
        [a.weight * liked.get(a.service, other) for a in load_catalogue().values()],
        dtype=np.float64,
    )


@cache
def reads() -> Floats:
    """1 for each call of the catalogue that changes nothing, else 0."""
    return np.array([float(a.read) for a in load_catalogue().values()])


class Person:
    """Somebody, with habits and all of four weeks of life planned."""

    def __init__(self, organisation: Organisation, number: int) -> None:
        self.organisation = organisation
        self.spec = organisation.spec
        world = load_yaml("world.yaml")
        self.name = full_name(self.spec.seed, number)
        chance = stream(self.spec.seed, "person", self.name)
        teams = world["teams"]
        self.team: str = pick(chance, list(teams), [t["share"] for t in teams.values()])
        self.level = about(chance, 1.0, 0.75, 0.15, 6.0)
        """How much this person does, beside the others."""
        self.accesses = self._ways_in(chance, teams[self.team])
        self.user_id = "AIDA" + letters(chance, "BASE", 17)
        self.key = access_key(chance, lasting=True)
        self.whereabouts = Whereabouts(organisation, self.name, chance)
        self.tools = chance.dirichlet([1.6, 1.2, 0.5, 0.35 if self.team != "platform" else 0.9])
        self.agents = {tool: pick(chance, world["agents"][tool]) for tool in TOOLS}
        self.fails = float(chance.uniform(0.03, 0.075))
        self.quick = float(chance.uniform(0.78, 0.93))
        self.curious = about(chance, 2.5, 0.5, 1.0, 8.0)
        """New actions a thousand calls, beside what projects and rare habits bring."""
        self.morning = float(chance.normal(8.6, 0.8))
        self.actions: list[Action] = list(load_catalogue().values())
        self._choose_habits(chance)
        self.met: set[int] = set()
        self.sittings: list[list[Sitting]] = [[] for _ in range(self.spec.days)]

    @property
    def places(self) -> set[tuple[str, str]]:
        """Cities this person is ever seen in."""
        return self.whereabouts.places

    def _choose_habits(self, chance: Generator) -> None:
        wide = 3.0 if chance.random() < 0.05 else 1.0
        size = int(about(chance, wide * 33.0 * self.level**0.5, 0.5, 18, 240))
        exponent = float(chance.uniform(0.95, 1.6))
        self.liking = team_weights(self.team) * chance.lognormal(0.0, 0.9, len(self.actions))
        self.habits = draw_distinct(chance, self.liking, size)
        self.weights = np.arange(1, len(self.habits) + 1, dtype=np.float64) ** -exponent

    def _ways_in(self, chance: Generator, team: dict[str, object]) -> list[Access]:
        organisation = self.organisation
        names: dict[str, float] = team["accounts"]  # type: ignore[assignment]
        permissions: list[str] = team["permissions"]  # type: ignore[assignment]
        style = pick(chance, ("sso", "iam", "role"), (64, 24, 12))
        found: dict[str, Access] = {}
        for name, weight in names.items():
            account = organisation.account(name)
            if account.id in found or (found and chance.random() < 0.35):
                continue
            kind = style if not found or style == "sso" else "role"
            role = None
            if kind == "sso":
                careful = name in ("production", "security") and chance.random() < 0.6
                role = organisation.sso_role(account, permissions[1 if careful else 0])
            elif kind == "role":
                role = organisation.role(account, f"{self.team}-shared")
            weight *= float(chance.uniform(0.5, 1.5)) * (1.0 if found else 4.0)
            found[account.id] = Access(account, kind, role, weight)
            if style == "iam" and chance.random() < 0.6:
                break
        return list(found.values())

    @property
    def home_account(self) -> Account:
        """Where an IAM user of this person lives."""
        if self.accesses[0].kind == "iam":
            return self.accesses[0].account
        return self.organisation.account("shared-services")

    def plan(self, calls: int) -> None:
        """Spread so many calls over the days, in sittings of about fifty."""
        chance = stream(self.spec.seed, "person", self.name, "plan")
        first = self.spec.start.weekday()
        busy = [WEEKEND if (first + day) % 7 > 4 else 1.0 for day in range(self.spec.days)]
        likely = np.array(busy) * chance.uniform(0.3, 1.7, self.spec.days)
        while calls > 0:
            size = min(calls, int(about(chance, 40.0, 0.65, 4, 400)))
            calls -= size
            day = draw(chance, likely, 1)[0]
            hour = self.morning + float(chance.beta(1.6, 1.7)) * 9.0
            begin = self.spec.epoch + day * DAY + (hour - self.whereabouts.utc(day)) % 24 * 3600
            new = 0
            if chance.random() < size / 1800:
                new = min(int(about(chance, 5.0, 0.5, 3, 14)), size // 3)
            self.sittings[day].append(Sitting(begin, size, new))
        for sittings in self.sittings:
            sittings.sort()

    def lanes(self) -> dict[tuple[str, str], float]:
        """Which share of this person's calls each account and region records, about."""
        total = sum(access.weight for access in self.accesses)
        return {(a.account.id, a.account.region): a.weight / total for a in self.accesses}

    def calls(self, day: int) -> list[Call]:
        """What this person does on a day; days are asked for in order."""
        made: list[Call] = []
        for number, sitting in enumerate(self.sittings[day]):
            made += self._sit(day, number, sitting)
        return made

    def _sit(self, day: int, number: int, sitting: Sitting) -> list[Call]:
        chance = stream(self.spec.seed, "person", self.name, day, number)
        access = self.way_in(chance)
        tool = pick(chance, TOOLS, self.tools.tolist())
        address = self.whereabouts.address(chance, day)
        caller = self.caller(chance, access, sitting.begin, tool == "console")
        agent = self.agents[tool]
        region = access.account.region
        if chance.random() < 0.06:
            region = pick(chance, ("us-east-1", "eu-central-1", "eu-west-1"))
        made = sign_in(self, chance, access, caller, sitting.begin, tool, address, agent)
        picks = self._pick(chance, sitting, access.read_only)
        scripted = tool in ("boto3", "terraform")
        gaps = chance.exponential(0.05, len(picks))
        pauses = chance.random(len(picks)) > (max(self.quick, 0.88) if scripted else self.quick)
        gaps[pauses] = np.minimum(22.0 * np.exp(1.1 * chance.standard_normal(pauses.sum())), 900)
        times = (sitting.begin + len(made) * 1.5 + np.cumsum(gaps)).tolist()
        rolls, variants = (
            chance.random(len(picks)).tolist(),
            chance.integers(0, 97, len(picks)).tolist(),
        )
        for time, index, roll, variant in zip(times, picks, rolls, variants, strict=True):
            action = self.actions[index]
            error = None
            if roll < (self.fails if index in self.met else FIRST_FAILS):
                error = action.errors[variant % len(action.errors)] if action.errors else None
            self.met.add(index)
            body = self.organisation.body(action, access.account, region, variant)
            call = Call(time, caller, action, access.account, region, address, agent, body, error)
            made.append(call)
            if error is None and action.key in _echoes():
                made += echo(self.organisation, call, variant)
        return made[: sitting.calls]

    def way_in(self, chance: Generator, mighty: bool = False) -> Access:
        """One of this person's ways in; a `mighty` one lets change things, if there is one."""
        fitting = [a for a in self.accesses if not (mighty and a.read_only)] or self.accesses
        return pick(chance, fitting, [a.weight for a in fitting])

    def caller(self, chance: Generator, access: Access, begin: float, console: bool) -> Caller:
        """Fresh credentials for one of this person's ways in."""
        created = stamp(begin)
        if access.role is None:
            if console:
                key = access_key(chance, lasting=False)
                return iam_user(access.account, self.name, self.user_id, key, created, mfa=True)
            return iam_user(access.account, self.name, self.user_id, self.key)
        session = self.email if access.kind == "sso" else self.name
        key = access_key(chance, lasting=False)
        return assumed_role(
            access.role, session, key, created, console=console, mfa=access.kind == "role"
        )

    @property
    def email(self) -> str:
        """The session name that single sign-on gives."""
        return f"{self.name}@{self.organisation.domain}"

    def _pick(self, chance: Generator, sitting: Sitting, read_only: bool) -> list[int]:
        """Which actions a sitting makes: habits, mostly of two services, and what is new."""
        names = [self.actions[i].service for i in self.habits]
        focus = {names[i] for i in draw(chance, self.weights, 2)}
        bent = self.weights * np.where([name in focus for name in names], 2.2, 1.0)
        allowed = reads() if read_only else np.ones(len(self.actions))
        bent *= allowed[self.habits]
        picks = [self.habits[i] for i in draw(chance, bent, sitting.calls)]
        again = (chance.random(len(picks)) < 0.22).tolist()
        for i in range(1, len(picks)):
            if again[i]:
                picks[i] = picks[i - 1]
        for index in self._explore(
            chance, int(chance.poisson(self.curious * len(picks) / 1000)), allowed
        ):
            picks[int(chance.integers(len(picks)))] = index
        if sitting.project:
            self._begin_project(chance, picks, sitting.project, allowed)
        return picks

    def _begin_project(
        self, chance: Generator, picks: list[int], size: int, allowed: Floats
    ) -> None:
        """A burst of calls never made before, of one service or two."""
        service = self.actions[draw(chance, self._unknown(), 1)[0]].service
        inside = np.array([a.service == service for a in self.actions])
        at = int(chance.integers(0, max(len(picks) - 2 * size, 1)))
        for step, index in enumerate(self._explore(chance, size, allowed * np.where(inside, 1.0, 0.004))):
            picks[min(at + 2 * step, len(picks) - 1)] = index

    def _unknown(self) -> Floats:
        weights = self.liking**0.7
        weights[self.habits] = 0.0
        return weights

    def _explore(self, chance: Generator, count: int, bias: Floats) -> list[int]:
        """Actions not met before; most of them stay, as lesser habits."""
        if not count:
            return []
        found = draw_distinct(chance, self._unknown() * bias, count)
        for index in found:
            if chance.random() < 0.7:
                self.habits.append(index)
                rank = int(chance.integers(8, 40))
                weight = self.weights[min(rank, len(self.weights) - 1)]
                self.weights = np.append(self.weights, weight)
        return found


@cache
def _echoes() -> dict[str, tuple[str, int, list[Action]]]:
    catalogue = load_catalogue()
    return {
        key: (service, count, [catalogue[each] for each in calls])
        for key, (service, count, calls) in load_yaml("world.yaml")["echoes"].items()
    }


def echo(organisation: Organisation, call: Call, variant: int) -> list[Call]:
    """What an AWS service then does on the caller's behalf."""
    service, count, actions = _echoes()[call.action.key]
    caller = call.caller.through(service)
    made = []
    for step in range(count):
        action = actions[(variant + step) % len(actions)]
        body = organisation.body(action, call.account, call.region, variant + step)
        time = call.time + 0.15 * (step + 1)
        made.append(
            call._replace(
                time=time, caller=caller, action=action, body=body, address=service, agent=service
            )
        )
    return made


def full_name(seed: int, number: int) -> str:
    """The name of the n-th person, whoever else there is."""
    world = load_yaml("world.yaml")
    chance = stream(seed, "names")
    firsts = chance.permutation(len(world["first_names"])).tolist()
    lasts = chance.permutation(len(world["last_names"])).tolist()
    turn = number // len(lasts)
    first = world["first_names"][firsts[(number + turn * 7) % len(firsts)]]
    return f"{first}.{world['last_names'][lasts[number % len(lasts)]]}"
