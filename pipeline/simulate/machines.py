"""Programs: roles with a handful of calls, made again and again."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.random import Generator

from pipeline.simulate.catalogue import Action, load_catalogue, load_yaml, serialise
from pipeline.simulate.chance import letters, pick, stream
from pipeline.simulate.identity import Caller, access_key, assumed_role, iam_user, web_identity
from pipeline.simulate.organisation import Account, Body, Organisation
from pipeline.simulate.places import address_in
from pipeline.simulate.records import DAY, Call, stamp
from pipeline.simulate.whereabouts import fixed_address

NEW_PER_CALL: Final = 0.3 / 1000
"""New actions a call, after the first week."""
MOST_ACTIONS: Final = 6
SIZES: Final = (0.18, 0.24, 0.22, 0.16, 0.12, 0.08)
"""Share of roles with 1, 2, … 6 actions."""
CREDENTIALS: Final = 6 * 3600
"""Seconds for which a machine's temporary credentials last."""


class Machine:
    """One role of programs, or one IAM user of a program."""

    def __init__(self, organisation: Organisation, number: int) -> None:
        self.organisation = organisation
        self.spec = spec = organisation.spec
        world = load_yaml("world.yaml")
        chance = stream(spec.seed, "machine", number)
        kinds = world["machines"]
        # The first machines are one of each kind, so that a small organisation has all of them.
        self.kind = (
            kinds[number]
            if number < len(kinds)
            else pick(chance, kinds, [k["share"] for k in kinds])
        )
        self.name = f"{pick(chance, world['words'])}-{pick(chance, world['things'])}-{self.kind['kind']}-{number}"
        self.account: Account = pick(
            chance, organisation.accounts, [a.share for a in organisation.accounts]
        )
        self.region = self.account.region
        self.role = organisation.role(self.account, self.name)
        self.level = float(np.exp(0.8 * chance.standard_normal()).clip(0.3, 6))
        catalogue = load_catalogue()
        pool = [catalogue[key] for key in self.kind["rounds"]]
        size = draw_size(chance)
        self.actions = [pool[i] for i in chance.permutation(len(pool))[:size].tolist()]
        self.rest = [action for action in pool if action not in self.actions]
        self.likely = [1.0, *chance.uniform(0.5, 1.0, size - 1).tolist()]
        self.repeats = int(pick(chance, (1, 1, 2, 3)))
        self.fails = float(chance.uniform(0.004, 0.011))
        self.fleet = int(chance.integers(1, 5))
        self.agent: str = pick(chance, world["agents"][self.kind["agent"]])
        self.offset = int(chance.integers(0, 12)) * 300
        self.user_id = "AIDA" + letters(chance, "BASE", 17)
        self.key = access_key(chance, lasting=True)
        self.web = bool(self.kind.get("web"))
        self._callers: dict[tuple[int, int], Caller] = {}
        self._due = 0.0
        self._per_day: list[float] = []
        self._news: list[float] = []

    @property
    def user(self) -> str:
        """user.name of its calls."""
        return self.name

    def plan(self, calls: int) -> None:
        """Spread so many calls over the days, and say when it learns something new."""
        chance = stream(self.spec.seed, "machine", self.name, "plan")
        days = np.arange(self.spec.days) + self.spec.start.weekday()
        quiet = 0.3 if self.kind["rhythm"] == "work" else 1.0
        likely = np.where(days % 7 > 4, quiet, 1.0) * chance.uniform(0.8, 1.2, self.spec.days)
        self._per_day = (likely * (calls / likely.sum())).tolist()
        count = int(chance.poisson(NEW_PER_CALL * calls))
        self._news = sorted(chance.uniform(0, self.spec.days, count).tolist())

    def lanes(self) -> dict[tuple[str, str], float]:
        """Which share of its calls each account and region records."""
        return {(self.account.id, self.region): 1.0}

    def calls(self, day: int) -> list[Call]:
        """What it does on a day; days are asked for in order."""
        chance = stream(self.spec.seed, "machine", self.name, day)
        self._due += self._per_day[day]
        count = round(self._due)
        self._due -= count
        self._learn(chance, day)
        made: list[Call] = []
        rounds = max(1, round(count / (self.repeats * sum(self.likely) + (0.2 if self.web else 0))))
        begins = self._begins(chance, rounds)
        while len(made) < count:
            begin = begins.pop(0) if begins else float(chance.integers(0, DAY))
            made += self._round(chance, self.spec.epoch + day * DAY + begin)
        return made[:count]

    def _learn(self, chance: Generator, day: int) -> None:
        while self._news and self._news[0] < day + 1:
            self._news.pop(0)
            if self.rest and len(self.actions) < MOST_ACTIONS:
                self.actions.append(self.rest.pop(int(chance.integers(len(self.rest)))))
                self.likely.append(0.6)

    def _begins(self, chance: Generator, rounds: int) -> list[float]:
        """When a day's rounds begin, in seconds: schedules keep to five minutes, events do not."""
        rhythm = self.kind["rhythm"]
        if rhythm == "steady":
            even = np.arange(rounds) * (DAY / rounds) + self.offset
            times = np.floor(even % DAY / 900) * 900 + chance.exponential(8.0, rounds)
        elif rhythm == "nightly":
            times = 3600 * (1 + self.offset // 900) + np.sort(chance.exponential(900, rounds))
        elif rhythm == "work":
            times = 3600 * (7 + 11 * chance.beta(1.6, 1.7, rounds))
        else:
            times = chance.uniform(0, DAY, rounds)
        # Runs come in clusters: one event starts several.
        together = chance.random(rounds) < 0.85
        times = np.minimum(times, DAY - 60.0)
        for i in range(1, rounds):
            if together[i] and rhythm != "steady":
                times[i] = times[i - 1] + 2.0
        found: list[float] = np.sort(times).tolist()
        return found

    def _round(self, chance: Generator, begin: float) -> list[Call]:
        slot = int(chance.integers(self.fleet))
        address = self._address(chance, slot, begin)
        caller, made = self._caller(slot, begin, address)
        time = begin + 0.4
        rolls = chance.random(len(self.actions)).tolist()
        for action, likely, roll in zip(self.actions, self.likely, rolls, strict=True):
            if roll > likely:
                continue
            for _ in range(self.repeats):
                time += float(chance.exponential(0.07))
                made.append(self._call(chance, time, caller, action, address))
        return made

    def _call(
        self, chance: Generator, time: float, caller: Caller, action: Action, address: str
    ) -> Call:
        variant = int(chance.integers(97))
        error = None
        if chance.random() < self.fails:
            error = pick(chance, (("ThrottlingException", "Rate exceeded"), *action.errors[1:]))
        body = self.organisation.body(action, self.account, self.region, variant % 3)
        return Call(
            time, caller, action, self.account, self.region, address, self.agent, body, error
        )

    def _address(self, chance: Generator, slot: int, begin: float) -> str:
        where = self.kind["where"]
        atlas = self.organisation.atlas
        if where == "runner":
            return address_in(chance, pick(chance, atlas.runners).home)
        if where == "office":
            return fixed_address(self.spec.seed, self.organisation.offices[0], "office")
        return self.own_address(slot, begin)

    def own_address(self, slot: int, begin: float) -> str:
        """The address of one of its instances."""
        life = self._life(begin)
        line = stream(self.spec.seed, "machine address", self.name, slot, life)
        return address_in(line, self.organisation.atlas.regions[self.region].home)

    def _life(self, begin: float) -> int:
        """Number of the generation of instances, tasks and deployments."""
        return int(begin - self.spec.epoch) // DAY // (2 + self.fleet)

    def session(self, slot: int, begin: float) -> str:
        """The session name of one of its instances."""
        kind = self.kind["session"]
        chance = stream(self.spec.seed, "session", self.name, slot, self._life(begin))
        if kind == "instance":
            return "i-0" + letters(chance, "hex", 16)
        if kind == "task":
            return letters(chance, "hex", 32)
        if kind == "epoch":
            return str(int(begin // CREDENTIALS * CREDENTIALS * 10**9) + slot)
        return {"function": self.name, "monitor": "acme-monitor"}.get(kind, kind)

    def fresh_caller(self, chance: Generator, begin: float) -> Caller:
        """Other credentials of its first instance."""
        if self.kind["session"] == "user":
            return iam_user(self.account, self.name, self.user_id, access_key(chance, lasting=True))
        key = access_key(chance, lasting=False)
        return assumed_role(
            self.role, self.session(0, begin), key, stamp(begin), extra=self._extra()
        )

    def _extra(self) -> dict[str, object] | None:
        if self.kind["session"] == "instance":
            return {"webIdFederationData": {}, "ec2RoleDelivery": "2.0"}
        if self.web:
            return {
                "webIdFederationData": {"federatedProvider": self._provider(), "attributes": {}}
            }
        return None

    def _caller(self, slot: int, begin: float, address: str) -> tuple[Caller, list[Call]]:
        """Its credentials, and the call that got them where it was recorded under its name."""
        if self.kind["session"] == "user":
            return iam_user(self.account, self.name, self.user_id, self.key), []
        turn = int(begin // CREDENTIALS)
        caller = self._callers.get((slot, turn))
        if caller is not None:
            return caller, []
        key = access_key(stream(self.spec.seed, "key", self.name, slot, turn), lasting=False)
        session = self.session(slot, begin)
        caller = assumed_role(self.role, session, key, stamp(begin), extra=self._extra())
        self._callers = {k: c for k, c in self._callers.items() if k[1] >= turn - 1}
        self._callers[slot, turn] = caller
        return caller, [self._exchange(caller, begin, address)] if self.web else []

    def _provider(self) -> str:
        host = (
            "token.actions.githubusercontent.com"
            if self.kind["where"] == "runner"
            else f"oidc.eks.{self.region}.amazonaws.com/id/0A8EE4AACD210C1A"
        )
        return f"arn:aws:iam::{self.account.id}:oidc-provider/{host}"

    def _exchange(self, caller: Caller, begin: float, address: str) -> Call:
        """A token of another identity provider becomes a session of the role."""
        subject = f"system:serviceaccount:apps:{self.name}"
        if self.kind["where"] == "runner":
            subject = f"repo:acme/{self.name}:ref:refs/heads/main"
        arn = f"arn:aws:iam::{self.account.id}:role/{self.name}"
        body = Body(
            request=serialise({"roleArn": arn, "roleSessionName": caller.session}),
            response=serialise(
                {
                    "credentials": {
                        "sessionToken": "***",
                        "expiration": stamp(begin + CREDENTIALS),
                    },
                    "subjectFromWebIdentityToken": subject,
                    "assumedRoleUser": {
                        "assumedRoleId": f"{self.role.id}:{caller.session}",
                        "arn": caller.arn,
                    },
                    "provider": self._provider(),
                    "audience": "sts.amazonaws.com",
                }
            ),
            resources=serialise(
                [{"accountId": self.account.id, "type": "AWS::IAM::Role", "ARN": arn}]
            ),
        )
        action = load_catalogue()["sts:AssumeRoleWithWebIdentity"]
        user = web_identity(self._provider(), subject)
        return Call(begin, user, action, self.account, self.region, address, self.agent, body)


def draw_size(chance: Generator) -> int:
    """How many actions a machine's role has."""
    return int(pick(chance, range(1, MOST_ACTIONS + 1), SIZES))
