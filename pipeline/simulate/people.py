"""People: teams, hours, habits that grow, tools, several ways in, journeys."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator

from pipeline.simulate.catalogue import load_yaml
from pipeline.simulate.chance import Floats, about, draw, pick, stream
from pipeline.simulate.chores import chore
from pipeline.simulate.echoes import echo
from pipeline.simulate.habits import Habits, actions
from pipeline.simulate.member import Access, Member
from pipeline.simulate.organisation import Organisation
from pipeline.simulate.records import DAY, Call
from pipeline.simulate.signin import Ticket, sign_in
from pipeline.simulate.tools import SCRIPTED, Toolbox
from pipeline.simulate.whereabouts import Whereabouts

FIRST_FAILS: Final = 0.2
"""Share of first tries that fail."""
WEEKEND: Final = 0.06
"""How much happens on a day of the weekend, beside a working day."""
PROJECTS: Final = 1 / 1300
"""Projects begun, a call."""
STRAY: Final = 0.06
"""Share of sittings in a region that is not the account's."""
BARRED: Final = 0.02
"""Share of sittings in which a right is missing, so that most calls fail."""
JOINING: Final = 0.08
"""Share of people who come after the first day."""


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
        chance = stream(self.spec.seed, "person", self.name)
        teams = load_yaml("world.yaml")["teams"]
        self.team: str = pick(chance, list(teams), [team["share"] for team in teams.values()])
        self.level = about(chance, 1.0, 0.75, 0.15, 6.0)
        """How much this person does in a day, beside the others."""
        joins = chance.random() < JOINING
        self.first = int(chance.integers(0, self.spec.days)) if joins else 0
        """The first day."""
        self.member = Member(organisation, self.name, self.team, chance)
        self.whereabouts = Whereabouts(organisation, self.name, chance)
        self.tools = Toolbox(chance, self.team, self.spec.days)
        self.fails = float(chance.uniform(0.035, 0.085))
        self.quick = float(chance.uniform(0.78, 0.93))
        """Share of calls that follow at once."""
        self.morning = float(chance.normal(8.6, 0.8))
        self.habits = Habits(chance, self.team, self.level)
        self.sittings: list[list[Sitting]] = [[] for _ in range(self.spec.days)]
        self._met: set[int] = set()

    @property
    def share(self) -> float:
        """How much this person does in all, beside the others."""
        return self.level * (1 - self.first / self.spec.days)

    def plan(self, calls: int) -> None:
        """Spread so many calls over the days, in sittings of about fifty."""
        chance = stream(self.spec.seed, "person", self.name, "plan")
        days = np.arange(self.spec.days) + self.spec.start.weekday()
        likely = np.where(days % 7 > 4, WEEKEND, 1.0) * chance.uniform(0.3, 1.7, self.spec.days)
        likely[: self.first] = 0.0
        while calls > 0:
            size = min(calls, int(about(chance, 40.0, 0.65, 4, 400)))
            calls -= size
            day = draw(chance, likely, 1)[0]
            hour = self.morning + float(chance.beta(1.6, 1.7)) * 9.0 - self.whereabouts.utc(day)
            begin = self.spec.epoch + day * DAY + hour % 24 * 3600
            new = 0
            if chance.random() < size * PROJECTS:
                new = min(int(about(chance, 5.0, 0.5, 3, 14)), size // 3)
            self.sittings[day].append(Sitting(begin, size, self.member.way_in(chance), new))
        for sittings in self.sittings:
            sittings.sort(key=lambda sitting: sitting.begin)

    def volumes(self) -> dict[str, Floats]:
        """How many calls each account will record, day by day."""
        found = {access.account.id: np.zeros(self.spec.days) for access in self.member.accesses}
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
        access, tool = sitting.access, self.tools.pick(chance)
        region = access.account.region
        if chance.random() < STRAY:
            region = pick(chance, ("us-east-1", "eu-central-1", "eu-west-1"))
        console = tool == "console"
        caller = self.member.caller(chance, access, sitting.begin, console)
        route, agent = self.whereabouts.route(chance, day), self.tools.agent(tool, day)
        ticket = Ticket(sitting.begin, access.account.region, route[0], agent)
        made = sign_in(self.member, chance, access, caller, ticket, console)
        picks = self._picks(chance, sitting)
        times = sitting.begin + 1.5 * len(made) + self._pace(chance, len(picks), tool)
        barred = 0.7 if chance.random() < BARRED else 0.0
        rolls = chance.random(len(picks)).tolist()
        variants = chance.integers(0, 97, len(picks)).tolist()
        for step, (time, index) in enumerate(zip(times.tolist(), picks, strict=True)):
            action, address = actions()[index], route[step * len(route) // len(picks)]
            error = self._error(index, rolls[step], variants[step], barred)
            body = self.organisation.body(action, access.account, region, variants[step])
            call = Call(time, caller, action, access.account, region, address, agent, body, error)
            made.append(call)
            if error is None:
                made += echo(self.organisation, call, variants[step])
        return made[: sitting.calls]

    def _picks(self, chance: Generator, sitting: Sitting) -> list[int]:
        """The actions of a sitting: habits, what is new, and what has to be done."""
        read_only = sitting.access.read_only
        todo = [] if read_only else chore(chance, self.team)
        if 2 * len(todo) > sitting.calls:
            todo = []
        return self.habits.pick(chance, sitting.calls, sitting.project, todo, read_only)

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
        self, index: int, roll: float, variant: int, barred: float
    ) -> tuple[str, str] | None:
        odds = max(barred, self.fails if index in self._met else FIRST_FAILS)
        self._met.add(index)
        errors = actions()[index].errors
        return errors[variant % len(errors)] if errors and roll < odds else None


def full_name(seed: int, number: int) -> str:
    """The name of the n-th person, whoever else there is."""
    world = load_yaml("world.yaml")
    chance = stream(seed, "names")
    firsts = chance.permutation(world["first_names"]).tolist()
    lasts = chance.permutation(world["last_names"]).tolist()
    first = firsts[(number + number // len(lasts) * 7) % len(firsts)]
    return f"{first}.{lasts[number % len(lasts)]}"
