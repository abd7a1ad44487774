"""What AWS itself, its services, partners and the root user do in an account."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from pipeline.simulate.catalogue import load_catalogue, load_yaml, serialise
from pipeline.simulate.chance import Floats, draw, letters, pick, stream, uuids
from pipeline.simulate.identity import (
    Caller,
    access_key,
    assumed_role,
    aws_service,
    other_account,
    root,
    service_event,
)
from pipeline.simulate.organisation import VARIANTS, Account, Body, Organisation
from pipeline.simulate.places import address_in
from pipeline.simulate.records import DAY, Call, stamp
from pipeline.simulate.signin import console_login
from pipeline.simulate.whereabouts import fixed_address

SWEEPS: Final = 0.5
"""Share of the sweeps of AWS Config over the buckets."""
BUCKETS: Final = 12
"""Buckets that one sweep looks at."""
CLUSTER: Final = 20
"""Calls that come together: a scale-out, a delivery of logs."""
BILLS: Final = (
    "ce:GetCostAndUsage",
    "budgets:DescribeBudgets",
    "iam:GetAccountSummary",
    "support:DescribeCases",
)
"""What the root user is needed for, now and then."""

Task = Callable[[Generator, float], Call]


class Background:
    """Everything in one account that no person and no program of the organisation does."""

    def __init__(self, organisation: Organisation, account: Account) -> None:
        self.organisation, self.account = organisation, account
        self.spec, self.region = organisation.spec, account.region
        chance = stream(self.spec.seed, "background", account.name)
        self._partner_account = letters(chance, "digit", 12)
        self._partner_id = "AROA" + letters(chance, "BASE", 17)
        self._tasks, self._weights = self._collect()
        self._root_day = int(chance.integers(0, 2 * self.spec.days))
        self._per_day = 0.0
        self._sweeps_due = self._calls_due = 0.0

    def plan(self, calls: int) -> None:
        """Spread so many calls evenly over the days."""
        self._per_day = calls / self.spec.days

    def volumes(self) -> dict[str, Floats]:
        """How many calls each account will record, day by day."""
        return {self.account.id: np.full(self.spec.days, self._per_day)}

    def calls(self, day: int) -> list[Call]:
        """What happens on a day; days are asked for in order."""
        chance = stream(self.spec.seed, "background", self.account.name, day)
        begin = float(self.spec.epoch + day * DAY)
        made = self._bills(chance, begin) if day == self._root_day else []
        self._sweeps_due += self._per_day * SWEEPS / len(load_yaml("world.yaml")["sweep"])
        while self._sweeps_due >= 1:
            buckets = min(BUCKETS, int(self._sweeps_due))
            made += self._sweep(
                chance, begin + float(chance.integers(0, DAY // 900)) * 900, buckets
            )
            self._sweeps_due -= buckets
        self._calls_due += self._per_day * (1 - SWEEPS)
        if day == self.spec.days - 1:  # what is too little for a sweep
            self._calls_due += self._sweeps_due * len(load_yaml("world.yaml")["sweep"])
        count = round(self._calls_due)
        self._calls_due -= count
        clusters = chance.integers(0, DAY // 900, count // CLUSTER + 1) * 900.0
        times = begin + clusters[chance.integers(0, len(clusters), count)]
        times += chance.exponential(6.0, count)
        tasks = draw(chance, self._weights, count)
        made += [self._tasks[i](chance, at) for at, i in zip(times.tolist(), tasks, strict=True)]
        return made

    def _collect(self) -> tuple[list[Task], Floats]:
        """All that can happen, and how likely each is."""
        kinds: dict[str, Callable[..., Call]] = {
            "services": self._service,
            "service_events": self._event,
            "linked_roles": self._linked,
            "partners": self._partner,
        }
        things = [
            (make, one) for name, make in kinds.items() for one in load_yaml("world.yaml")[name]
        ]
        tasks: list[Task] = [partial(make, one) for make, one in things]
        return tasks, np.array([one["weight"] for _, one in things], dtype=np.float64)

    def _call(
        self,
        time: float,
        caller: Caller,
        key: str,
        variant: int,
        address: str,
        agent: str = "",
        body: Body | None = None,
    ) -> Call:
        """A call in this account; a service names itself as its agent."""
        action = load_catalogue()[key]
        body = body or self.organisation.body(action, self.account, self.region, variant)
        agent = agent or address
        return Call(time, caller, action, self.account, self.region, address, agent, body)

    def _service(self, one: dict[str, Any], chance: Generator, time: float) -> Call:
        variant, shared = int(chance.integers(97)), uuids(chance, 1)[0]
        body = None
        if one["action"] == "sts:AssumeRole":
            body = self._assumed(chance, time, variant)
        caller = aws_service(one["name"])
        call = self._call(time, caller, one["action"], variant, one["name"], body=body)
        return call._replace(shared=shared)

    def _assumed(self, chance: Generator, time: float, variant: int) -> Body:
        arn = f"arn:aws:iam::{self.account.id}:role/<role>"
        key = access_key(chance, lasting=False)
        answer = {"accessKeyId": key, "sessionToken": "***", "expiration": stamp(time + 3600)}
        resource = {"accountId": self.account.id, "type": "AWS::IAM::Role", "ARN": arn}
        request, resources = (
            self.organisation.fill(serialise(part), self.account, self.region, str(variant))
            for part in ({"roleArn": arn, "roleSessionName": "<name>"}, [resource])
        )
        return Body(request, serialise({"credentials": answer}), resources)

    def _event(self, one: dict[str, Any], chance: Generator, time: float) -> Call:
        name = one["action"].split(":")[0] + ".amazonaws.com"
        detail = serialise({"SecretId": "<secret>", "VersionId": uuids(chance, 1)[0]})
        note = self.organisation.fill(detail, self.account, self.region, one["action"])
        body = Body(additional=note, kind="AwsServiceEvent")
        return self._call(
            time, service_event(self.account, name), one["action"], 0, name, body=body
        )

    def _linked(self, one: dict[str, Any], chance: Generator, time: float) -> Call:
        service = one["service"]
        role = self.organisation.role(self.account, one["role"], f"/aws-service-role/{service}/")
        hour = time // 3600 * 3600
        key = access_key(stream(self.spec.seed, "linked", role.id, hour), lasting=False)
        caller = assumed_role(role, one["session"], key, stamp(hour)).through(service)
        action = pick(chance, one["actions"])
        return self._call(time, caller, action, int(chance.integers(97)), service)

    def _partner(self, one: dict[str, Any], chance: Generator, time: float) -> Call:
        agent: str = pick(chance, load_yaml("world.yaml")["agents"][one["agent"]])
        caller = other_account(self._partner_id, self._partner_account)
        line = stream(self.spec.seed, "partner", self.account.name, int(time // (5 * DAY)))
        address = address_in(line, self.organisation.atlas.regions["us-east-1"].home)
        variant, shared = int(chance.integers(97)), uuids(chance, 1)[0]
        call = self._call(time, caller, one["action"], variant, address, agent)
        return call._replace(shared=shared)

    def _sweep(self, chance: Generator, time: float, buckets: int) -> list[Call]:
        """AWS Config asks bucket after bucket all it wants to know; many answers are errors."""
        path = "/aws-service-role/config.amazonaws.com/"
        role = self.organisation.role(self.account, "AWSServiceRoleForConfig", path)
        key = access_key(chance, lasting=False)
        caller = assumed_role(role, "AWSConfig-Describe", key, stamp(time)).through("AWS Internal")
        made = []
        for bucket in chance.integers(0, VARIANTS, buckets).tolist():
            for question, answer in load_yaml("world.yaml")["sweep"].items():
                time += float(chance.exponential(0.03))
                call = self._call(time, caller, question, bucket, "AWS Internal")
                made.append(call._replace(error=self._lacks(bucket, question, answer)))
        return made

    def _lacks(self, bucket: int, question: str, answer: Any) -> tuple[str, str] | None:
        """The error that a bucket answers with, always or never."""
        if not answer:
            return None
        share, code, words = answer
        fate = stream(self.spec.seed, "bucket", self.account.name, bucket, question)
        return (code, words) if fate.random() < share else None

    def _bills(self, chance: Generator, begin: float) -> list[Call]:
        """The root user signs in at the console and looks at a few things."""
        time = begin + float(chance.uniform(8, 16)) * 3600
        address = fixed_address(self.spec.seed, self.organisation.offices[0], "office")
        agent: str = load_yaml("world.yaml")["agents"]["console"][0]
        caller = root(self.account, access_key(chance, lasting=False), stamp(time))
        body = console_login("Success", mfa=True)
        made = [self._call(time, caller, "signin:ConsoleLogin", 0, address, agent, body)]
        for step, key in enumerate(BILLS[: int(chance.integers(1, len(BILLS) + 1))], 1):
            made.append(self._call(time + 9 * step, caller, key, step, address, agent))
        return made
