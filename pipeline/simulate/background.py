"""What AWS itself, its services, partners and the root user do in an account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from pipeline.simulate.catalogue import load_catalogue, load_yaml, serialise
from pipeline.simulate.chance import draw, letters, pick, stream, uuids
from pipeline.simulate.identity import (
    access_key,
    assumed_role,
    aws_service,
    other_account,
    root,
    service_event,
)
from pipeline.simulate.organisation import Account, Body, Organisation
from pipeline.simulate.places import address_in
from pipeline.simulate.records import DAY, Call, stamp
from pipeline.simulate.signin import console_login
from pipeline.simulate.whereabouts import fixed_address

SWEEP_SHARE: Final = 0.5
"""Of the background's calls, what AWS Config's sweeps over the buckets make."""
BUCKETS_A_SWEEP: Final = 12


class Background:
    """Everything in one account that no person and no program of the organisation does."""

    def __init__(self, organisation: Organisation, account: Account) -> None:
        self.organisation, self.account = organisation, account
        self.spec = organisation.spec
        self.region = account.region
        self.per_day = 0.0
        self._due = [0.0, 0.0]
        chance = stream(self.spec.seed, "background", account.name)
        self.partner = letters(chance, "digit", 12)
        self.partner_id = "AROA" + letters(chance, "BASE", 17)
        self.tasks, self.weights = self._tasks()
        root_days = chance.integers(0, self.spec.days, 2).tolist()
        self.root_days = set(root_days) if chance.random() < 0.4 else set()

    def plan(self, calls: int) -> None:
        """Spread so many calls evenly over the days."""
        self.per_day = calls / self.spec.days

    def lanes(self) -> dict[tuple[str, str], float]:
        """Which share of its calls each account and region records."""
        return {(self.account.id, self.region): 1.0}

    def calls(self, day: int) -> list[Call]:
        """What happens on a day."""
        chance = stream(self.spec.seed, "background", self.account.name, day)
        begin = float(self.spec.epoch + day * DAY)
        made = self._root(chance, begin) if day in self.root_days else []
        self._due[0] += self.per_day * SWEEP_SHARE
        self._due[1] += self.per_day * (1 - SWEEP_SHARE)
        sweep = len(load_yaml("world.yaml")["sweep"])
        while self._due[0] >= sweep:
            buckets = min(BUCKETS_A_SWEEP, int(self._due[0] // sweep))
            made += self._sweep(chance, begin + float(chance.uniform(0, DAY - 60)), buckets)
            self._due[0] -= buckets * sweep
        count = int(self._due[1])
        self._due[1] -= count
        # Events come in clusters: a scale-out, a delivery of logs.
        clusters = np.sort(chance.uniform(0, DAY - 60, count // 20 + 1))
        times = (
            begin
            + clusters[chance.integers(0, len(clusters), count)]
            + chance.exponential(6, count)
        )
        for time, task in zip(times.tolist(), draw(chance, self.weights, count), strict=True):
            made.append(self.tasks[task](chance, time))
        return made

    def _tasks(self) -> tuple[list[Callable[[Generator, float], Call]], np.ndarray[Any, Any]]:
        world = load_yaml("world.yaml")
        kinds: Sequence[tuple[str, Callable[..., Call]]] = (
            ("services", self._service),
            ("service_events", self._event),
            ("linked_roles", self._linked),
            ("partners", self._partner),
        )
        tasks: list[Callable[[Generator, float], Call]] = []
        weights = []
        for name, make in kinds:
            for one in world[name]:
                tasks.append(lambda chance, time, one=one, make=make: make(chance, time, one))  # type: ignore[misc]
                weights.append(one["weight"])
        return tasks, np.array(weights, dtype=np.float64)

    def _service(self, chance: Generator, time: float, one: dict[str, Any]) -> Call:
        action = load_catalogue()[one["action"]]
        variant = int(chance.integers(97))
        body = self.organisation.body(action, self.account, self.region, variant)
        if action.name == "AssumeRole":
            body = self._assumed(chance, time, variant)
        name = one["name"]
        return Call(
            time,
            aws_service(name),
            action,
            self.account,
            self.region,
            name,
            name,
            body,
            shared=uuids(chance, 1)[0],
        )

    def _assumed(self, chance: Generator, time: float, variant: int) -> Body:
        role = f"arn:aws:iam::{self.account.id}:role/<role>"
        template = serialise(
            [{"accountId": self.account.id, "type": "AWS::IAM::Role", "ARN": role}]
        )
        request = serialise({"roleArn": role, "roleSessionName": "<name>"})
        answer = {
            "accessKeyId": access_key(chance, lasting=False),
            "sessionToken": "***",
            "expiration": stamp(time + 3600),
        }
        salt = str(variant)

        def fill(text: str) -> str:
            return self.organisation.fill(text, self.account, self.region, salt)

        return Body(fill(request), serialise({"credentials": answer}), fill(template))

    def _event(self, chance: Generator, time: float, one: dict[str, Any]) -> Call:
        action = load_catalogue()[one["action"]]
        name = f"{action.service}.amazonaws.com"
        detail = {"SecretId": "<secret>", "VersionId": uuids(chance, 1)[0]}
        note = self.organisation.fill(serialise(detail), self.account, self.region, action.key)
        body = Body(additional=note, kind="AwsServiceEvent")
        caller = service_event(self.account, name)
        return Call(time, caller, action, self.account, self.region, name, name, body)

    def _linked(self, chance: Generator, time: float, one: dict[str, Any]) -> Call:
        service = one["service"]
        role = self.organisation.role(self.account, one["role"], f"/aws-service-role/{service}/")
        hour = time // 3600 * 3600
        key = access_key(stream(self.spec.seed, "linked", role.id, hour), lasting=False)
        caller = assumed_role(role, one["session"], key, stamp(hour)).through(service)
        action = load_catalogue()[pick(chance, one["actions"])]
        body = self.organisation.body(action, self.account, self.region, int(chance.integers(97)))
        return Call(time, caller, action, self.account, self.region, service, service, body)

    def _partner(self, chance: Generator, time: float, one: dict[str, Any]) -> Call:
        action = load_catalogue()[one["action"]]
        agent: str = pick(chance, load_yaml("world.yaml")["agents"][one["agent"]])
        caller = other_account(self.partner_id, self.partner)
        line = stream(self.spec.seed, "partner", self.account.name, int(time // (5 * DAY)))
        address = address_in(line, self.organisation.atlas.regions["us-east-1"].home)
        body = self.organisation.body(action, self.account, self.region, int(chance.integers(97)))
        return Call(
            time,
            caller,
            action,
            self.account,
            self.region,
            address,
            agent,
            body,
            shared=uuids(chance, 1)[0],
        )

    def _sweep(self, chance: Generator, begin: float, buckets: int) -> list[Call]:
        """AWS Config asks bucket after bucket all it wants to know; many answers are errors."""
        service = "config.amazonaws.com"
        role = self.organisation.role(
            self.account, "AWSServiceRoleForConfig", f"/aws-service-role/{service}/"
        )
        key = access_key(chance, lasting=False)
        caller = assumed_role(role, "AWSConfig-Describe", key, stamp(begin)).through("AWS Internal")
        catalogue = load_catalogue()
        made, time = [], begin
        for bucket in chance.integers(0, 7, buckets).tolist():
            for key_, odds in load_yaml("world.yaml")["sweep"].items():
                time += float(chance.exponential(0.03))
                action = catalogue[key_]
                error = None
                if (
                    odds
                    and stream(self.spec.seed, "bucket", self.account.name, bucket, key_).random()
                    < odds[0]
                ):
                    error = (odds[1], odds[2])
                body = self.organisation.body(action, self.account, self.region, bucket)
                made.append(
                    Call(
                        time,
                        caller,
                        action,
                        self.account,
                        self.region,
                        "AWS Internal",
                        "AWS Internal",
                        body,
                        error,
                    )
                )
        return made

    def _root(self, chance: Generator, begin: float) -> list[Call]:
        """Now and then somebody needs the root user, for bills mostly."""
        time = begin + float(chance.uniform(8, 16)) * 3600
        address = fixed_address(self.spec.seed, self.organisation.offices[0], "office")
        agent = load_yaml("world.yaml")["agents"]["console"][0]
        caller = root(self.account, access_key(chance, lasting=False), stamp(time))
        catalogue = load_catalogue()
        keys = [
            "signin:ConsoleLogin",
            "ce:GetCostAndUsage",
            "budgets:DescribeBudgets",
            "iam:GetAccountSummary",
            "support:DescribeCases",
        ]
        made = []
        for step, key in enumerate(keys[: int(chance.integers(2, 6))]):
            action = catalogue[key]
            body = (
                console_login("Success", mfa=True)
                if step == 0
                else self.organisation.body(action, self.account, self.region, step)
            )
            made.append(
                Call(
                    time + 9 * step, caller, action, self.account, self.region, address, agent, body
                )
            )
        return made
