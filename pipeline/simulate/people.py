"""People: teams, hours, habits that grow, tools, several ways in, journeys."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.random import Generator

from pipeline.simulate.catalogue import Action, load_yaml
from pipeline.simulate.chance import Floats, about, draw, letters, pick, stream
from pipeline.simulate.echoes import echo
from pipeline.simulate.habits import Habits, actions
from pipeline.simulate.identity import Caller, access_key, assumed_role, iam_user
from pipeline.simulate.organisation import Account, Organisation, Role
from pipeline.simulate.records import DAY, Call, stamp
from pipeline.simulate.signin import Ticket, sign_in
from pipeline.simulate.whereabouts import Whereabouts

TOOLS: Final = ("console", "cli", "boto3", "terraform")
SCRIPTED: Final = ("boto3", "terraform")
FIRST_FAILS: Final = 0.2
"""Share of first tries that fail."""
WEEKEND: Final = 0.06
"""How much happens on a day of the weekend, beside a working day."""
PROJECTS: Final = 1 / 1500
"""Projects begun, a call."""
STRAY: Final = 0.06
"""Share of sittings in a region that is not the account's."""


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
    """A stretch of work."""

    begin: float
    calls: int
    access: Access
    project: int
    """How many of the calls are of a field that is new to the person."""


class Person:
    """Somebody, with habits, and with all sittings planned."""

    def __init__(self, organisation: Organisation, number: int) -> None:
        self.organisation = organisation
        self.spec = organisation.spec
        self.name = full_name(self.spec.seed, number)
        world = load_yaml("world.yaml")
        chance = stream(self.spec.seed, "person", self.name)
        teams = world["teams"]
        self.team: str = pick(chance, list(teams), [team["share"] for team in teams.values()])
        self.level = about(chance, 1.0, 0.75, 0.15, 6.0)
        """How much this person does, beside the others."""
        self.accesses = self._ways_in(chance, teams[self.team])
        self.user_id = "AIDA" + letters(chance, "BASE", 17)
        self.key = access_key(chance, lasting=True)
        self.whereabouts = Whereabouts(organisation, self.name, chance)
        terraform = 0.9 if self.team == "platform" else 0.35
        self.tools: list[float] = chance.dirichlet([1.6, 1.2, 0.5, terraform]).tolist()
        self.agents: dict[str, str] = {tool: pick(chance, world["agents"][tool]) for tool in TOOLS}
        self.fails = float(chance.uniform(0.03, 0.075))
        self.quick = float(chance.uniform(0.78, 0.93))
        """Share of calls that follow at once."""
        self.morning = float(chance.normal(8.6, 0.8))
        self.habits = Habits(chance, self.team, self.level)
        self.sittings: list[list[Sitting]] = [[] for _ in range(self.spec.days)]
        self._met: set[int] = set()

    def _ways_in(self, chance: Generator, team: dict[str, Any]) -> list[Access]:
        """Accounts of the team, the first of them most used; careful people read in some."""
        style = pick(chance, ("sso", "iam", "role"), (64, 24, 12))
        found: dict[str, Access] = {}
        for name, weight in team["accounts"].items():
            account = self.organisation.account(name)
            if account.id in found or (found and chance.random() < 0.35):
                continue
            kind = "role" if found and style == "iam" else style
            role = None
            if kind == "sso":
                careful = name in ("production", "security") and chance.random() < 0.6
                role = self.organisation.sso_role(account, team["permissions"][careful])
            elif kind == "role":
                role = self.organisation.role(account, f"{self.team}-shared")
            used = weight * float(chance.uniform(0.5, 1.5)) * (1.0 if found else 4.0)
            found[account.id] = Access(account, kind, role, used)
            if style == "iam" and chance.random() < 0.6:
                break
        return list(found.values())

    @property
    def email(self) -> str:
        """The session name that single sign-on gives."""
        return f"{self.name}@{self.organisation.domain}"

    @property
    def home_account(self) -> Account:
        """Where the IAM user of this person lives."""
        if self.accesses[0].kind == "iam":
            return self.accesses[0].account
        return self.organisation.account("shared-services")

    def plan(self, calls: int) -> None:
        """Spread so many calls over the days, in sittings of about fifty."""
        chance = stream(self.spec.seed, "person", self.name, "plan")
        days = np.arange(self.spec.days) + self.spec.start.weekday()
        likely = np.where(days % 7 > 4, WEEKEND, 1.0) * chance.uniform(0.3, 1.7, self.spec.days)
        while calls > 0:
            size = min(calls, int(about(chance, 40.0, 0.65, 4, 400)))
            calls -= size
            day = draw(chance, likely, 1)[0]
            hour = self.morning + float(chance.beta(1.6, 1.7)) * 9.0 - self.whereabouts.utc(day)
            begin = self.spec.epoch + day * DAY + hour % 24 * 3600
            new = 0
            if chance.random() < size * PROJECTS:
                new = min(int(about(chance, 5.0, 0.5, 3, 14)), size // 3)
            self.sittings[day].append(Sitting(begin, size, self.way_in(chance), new))
        for sittings in self.sittings:
            sittings.sort(key=lambda sitting: sitting.begin)

    def volumes(self) -> dict[str, Floats]:
        """How many calls each account will record, day by day."""
        found = {access.account.id: np.zeros(self.spec.days) for access in self.accesses}
        for day, sittings in enumerate(self.sittings):
            for sitting in sittings:
                found[sitting.access.account.id][day] += sitting.calls
        return found

    def calls(self, day: int) -> list[Call]:
        """What this person does on a day; days are asked for in order."""
        made: list[Call] = []
        for number, sitting in enumerate(self.sittings[day]):
            chance = stream(self.spec.seed, "person", self.name, day, number)
            made += self._sit(chance, day, sitting)
        return made

    def _sit(self, chance: Generator, day: int, sitting: Sitting) -> list[Call]:
        access, tool = sitting.access, pick(chance, TOOLS, self.tools)
        region = access.account.region
        if chance.random() < STRAY:
            region = pick(chance, ("us-east-1", "eu-central-1", "eu-west-1"))
        caller = self.caller(chance, access, sitting.begin, tool == "console")
        address, agent = self.whereabouts.address(chance, day), self.agents[tool]
        ticket = Ticket(sitting.begin, access.account.region, address, agent)
        made = sign_in(self, chance, access, caller, ticket, tool == "console")
        picks = self.habits.pick(chance, sitting.calls, sitting.project, access.read_only)
        times = sitting.begin + 1.5 * len(made) + self._pace(chance, len(picks), tool)
        rolls = chance.random(len(picks)).tolist()
        variants = chance.integers(0, 97, len(picks)).tolist()
        for time, index, roll, variant in zip(times.tolist(), picks, rolls, variants, strict=True):
            action = actions()[index]
            error = self._error(index, action, roll, variant)
            body = self.organisation.body(action, access.account, region, variant)
            call = Call(time, caller, action, access.account, region, address, agent, body, error)
            made.append(call)
            if error is None:
                made += echo(self.organisation, call, variant)
        return made[: sitting.calls]

    def _pace(self, chance: Generator, count: int, tool: str) -> Floats:
        """Seconds from the beginning: most calls follow at once, some after a thought."""
        gaps = chance.exponential(0.05, count)
        quick = max(self.quick, 0.88) if tool in SCRIPTED else self.quick
        thoughts = chance.random(count) > quick
        slow = 22.0 * np.exp(1.1 * chance.standard_normal(int(thoughts.sum())))
        gaps[thoughts] = np.minimum(slow, 900.0)
        paced: Floats = np.cumsum(gaps)
        return paced

    def _error(
        self, index: int, action: Action, roll: float, variant: int
    ) -> tuple[str, str] | None:
        odds = self.fails if index in self._met else FIRST_FAILS
        self._met.add(index)
        return action.errors[variant % len(action.errors)] if roll < odds else None

    def way_in(self, chance: Generator, mighty: bool = False) -> Access:
        """One of this person's ways in; a `mighty` one lets change things, if there is one."""
        fitting = [a for a in self.accesses if not (mighty and a.read_only)] or self.accesses
        return pick(chance, fitting, [a.weight for a in fitting])

    def caller(self, chance: Generator, access: Access, begin: float, console: bool) -> Caller:
        """Fresh credentials for one of this person's ways in."""
        created, key = stamp(begin), access_key(chance, lasting=False)
        if access.role is None:
            if console:
                return iam_user(access.account, self.name, self.user_id, key, created, mfa=True)
            return iam_user(access.account, self.name, self.user_id, self.key)
        single = access.kind == "sso"
        session = self.email if single else self.name
        return assumed_role(access.role, session, key, created, console=console, mfa=not single)


def full_name(seed: int, number: int) -> str:
    """The name of the n-th person, whoever else there is."""
    world = load_yaml("world.yaml")
    chance = stream(seed, "names")
    firsts = chance.permutation(world["first_names"]).tolist()
    lasts = chance.permutation(world["last_names"]).tolist()
    first = firsts[(number + number // len(lasts) * 7) % len(firsts)]
    return f"{first}.{lasts[number % len(lasts)]}"
