"""Programs: roles with a handful of calls, made again and again."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.random import Generator

from pipeline.simulate.catalogue import Action, load_catalogue, load_yaml
from pipeline.simulate.chance import Floats, about, pick, stream
from pipeline.simulate.fleet import Fleet, Kind, load_kinds
from pipeline.simulate.identity import Caller
from pipeline.simulate.organisation import Account, Organisation
from pipeline.simulate.records import DAY, Call

NEW_PER_CALL: Final = 0.3 / 1000
"""New actions a call."""
SIZES: Final = (0.18, 0.24, 0.22, 0.16, 0.12, 0.08)
"""Share of roles with 1, 2, … 6 actions; none ever has more."""
CLOCKED: Final = 0.7
"""Share of runs that begin at a quarter of an hour even where the rhythm is another."""
TOKEN: Final = "sts:AssumeRoleWithWebIdentity"
TOGETHER: Final = 0.85
"""Share of runs that start with another: one event starts several."""


class Machine:
    """One role of programs, or one IAM user of a program."""

    def __init__(self, organisation: Organisation, number: int) -> None:
        self.organisation = organisation
        self.spec = organisation.spec
        world, kinds = load_yaml("world.yaml"), load_kinds()
        chance = stream(self.spec.seed, "machine", number)
        # The first are one of each kind, so that a small organisation has all of them.
        self.kind: Kind = pick(chance, kinds, [kind.share for kind in kinds])
        if number < len(kinds):
            self.kind = kinds[number]
        word, thing = pick(chance, world["words"]), pick(chance, world["things"])
        self.name = f"{word}-{thing}-{self.kind.kind}-{number}"
        accounts = organisation.accounts
        self.account: Account = pick(chance, accounts, [account.share for account in accounts])
        self.level = about(chance, 1.0, 0.8, 0.3, 6.0)
        """How much it does, beside the others."""
        self.fleet = Fleet(organisation, self.account, self.name, self.kind, chance)
        pool = [load_catalogue()[key] for key in self.kind.rounds]
        size = int(pick(chance, range(1, len(SIZES) + 1), SIZES))
        order = chance.permutation(len(pool)).tolist()
        self.actions: list[Action] = [pool[i] for i in order[:size]]
        self._rest = [pool[i] for i in order[size:]]
        self._likely: list[float] = [1.0, *chance.uniform(0.5, 1.0, size - 1).tolist()]
        self._repeats = int(pick(chance, (1, 1, 2, 3)))
        self._fails = float(chance.uniform(0.004, 0.011))
        self._agent: str = pick(chance, world["agents"][self.kind.agent])
        self._offset = int(chance.integers(0, 12)) * 300
        self._per_day: list[float] = []
        self._lessons: list[float] = []
        self._due = 0.0

    def plan(self, calls: int) -> None:
        """Spread so many calls over the days, and say when it learns something new."""
        chance = stream(self.spec.seed, "machine", self.name, "plan")
        days = np.arange(self.spec.days) + self.spec.start.weekday()
        quiet = 0.3 if self.kind.rhythm == "work" else 1.0
        likely = np.where(days % 7 > 4, quiet, 1.0) * chance.uniform(0.8, 1.2, self.spec.days)
        self._per_day = (likely * (calls / likely.sum())).tolist()
        count = int(chance.poisson(NEW_PER_CALL * calls))
        self._lessons = sorted(chance.uniform(0, self.spec.days, count).tolist())

    def volumes(self) -> dict[str, Floats]:
        """How many calls each account will record, day by day."""
        return {self.account.id: np.array(self._per_day)}

    def calls(self, day: int) -> list[Call]:
        """What it does on a day; days are asked for in order."""
        chance = stream(self.spec.seed, "machine", self.name, day)
        self._due += self._per_day[day]
        count = round(self._due)
        self._due -= count
        self._learn(chance, day)
        made: list[Call] = []
        rounds = max(1, round(count / (self._repeats * sum(self._likely))))
        begins = self._begins(chance, rounds).tolist()
        while len(made) < count:
            begin = begins.pop(0) if begins else float(chance.uniform(0, DAY))
            made += self._run(chance, self.spec.epoch + day * DAY + begin)
        return made[:count]

    def _learn(self, chance: Generator, day: int) -> None:
        while self._lessons and self._lessons[0] < day + 1:
            self._lessons.pop(0)
            if self._rest and len(self.actions) < len(SIZES):
                self.actions.append(self._rest.pop(int(chance.integers(len(self._rest)))))
                self._likely.append(0.6)

    def _begins(self, chance: Generator, runs: int) -> Floats:
        """When a day's runs begin, in seconds: schedules keep to the quarter hours."""
        if self.kind.rhythm == "steady":
            even = (np.arange(runs) * (DAY / runs) + self._offset) % DAY
            return np.sort(np.floor(even / 900) * 900 + chance.exponential(8.0, runs))
        if self.kind.rhythm == "nightly":
            times = 3600 * (1 + self._offset // 900) + chance.exponential(900, runs)
        elif self.kind.rhythm == "work":
            times = 3600 * (7 + 11 * chance.beta(1.6, 1.7, runs))
        else:
            times = chance.uniform(0, DAY, runs)
        clocked = chance.random(runs) < CLOCKED
        times = np.where(clocked, np.floor(times / 900) * 900, times)
        times = np.minimum(times + chance.exponential(8.0, runs), DAY - 60.0)
        for i in range(1, runs):
            if chance.random() < TOGETHER:
                times[i] = times[i - 1] + 2.0
        return np.sort(times)

    def _run(self, chance: Generator, begin: float) -> list[Call]:
        slot = int(chance.integers(self.fleet.size))
        address, _ = self.fleet.where(chance, slot, begin)
        caller, exchange = self.fleet.caller(slot, begin)
        made, region = [], self.account.region
        if exchange:
            action, (bearer, body) = load_catalogue()[TOKEN], exchange
            call = Call(begin, bearer, action, self.account, region, address, self._agent, body)
            made.append(call)
        time = begin + 0.4
        rolls = chance.random(len(self.actions)).tolist()
        for action, likely, roll in zip(self.actions, self._likely, rolls, strict=True):
            for _ in range(self._repeats if roll < likely else 0):
                time += float(chance.exponential(0.07))
                made.append(self._call(chance, time, caller, action, address))
        return made

    def _call(
        self, chance: Generator, time: float, caller: Caller, action: Action, address: str
    ) -> Call:
        account, region = self.account, self.account.region
        body = self.organisation.body(action, account, region, int(chance.integers(3)))
        error = None
        if chance.random() < self._fails:
            error = pick(chance, (("ThrottlingException", "Rate exceeded"), *action.errors[1:]))
        return Call(time, caller, action, account, region, address, self._agent, body, error)
