"""The instances, tasks and runs of one program: their sessions, credentials and addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from numpy.random import Generator

from pipeline.simulate.catalogue import load_yaml, serialise
from pipeline.simulate.chance import letters, pick, stream
from pipeline.simulate.identity import Caller, access_key, assumed_role, iam_user, web_identity
from pipeline.simulate.organisation import Account, Body, Organisation, Role
from pipeline.simulate.places import Place, address_in
from pipeline.simulate.records import DAY, stamp
from pipeline.simulate.signin import role_resource
from pipeline.simulate.whereabouts import fixed_address

CREDENTIALS: Final = 6 * 3600
"""Seconds for which temporary credentials last."""
RARER: Final = 0.4
"""How much rarer each further city of CI machines is, so that some come up late."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of program, of world.yaml."""

    kind: str
    share: float
    session: str
    """What its role sessions are called after: `instance`, `task`, `epoch`, … or the name itself;
    `user`: it has no role but an IAM user."""
    where: str
    """`ec2`, `office`, or `runner` (a CI machine in a city that changes)."""
    rhythm: str
    """`steady`, `work` (as people do), `nightly` or `random`."""
    agent: str
    rounds: Sequence[str]
    web: bool = False
    """Its role is for tokens of another identity provider."""


@cache
def load_kinds() -> tuple[Kind, ...]:
    """The kinds of programs, in the order of the file."""
    return tuple(Kind(**one) for one in load_yaml("world.yaml")["machines"])


class Exchange(NamedTuple):
    """A token that becomes a session of the role: who brings it, and the call's body."""

    caller: Caller
    body: Body


class Fleet:
    """All that runs under one name."""

    def __init__(
        self, organisation: Organisation, account: Account, name: str, kind: Kind, chance: Generator
    ) -> None:
        self.organisation, self.account, self.name, self.kind = organisation, account, name, kind
        self.seed, self.epoch = organisation.spec.seed, organisation.spec.epoch
        self.role: Role = organisation.role(account, name)
        self.size = int(chance.integers(1, 5))
        self._user_id = "AIDA" + letters(chance, "BASE", 17)
        self._key = access_key(chance, lasting=True)
        self._callers: dict[tuple[int, int], Caller] = {}

    def where(self, chance: Generator, slot: int, begin: float) -> tuple[str, Place]:
        """The address from which one of them calls at a moment, and where that is."""
        if self.kind.where == "runner":
            runners = self.organisation.atlas.runners
            place = pick(chance, runners, [RARER**i for i in range(len(runners))])
            return address_in(chance, place.home), place
        if self.kind.where == "office":
            place = self.organisation.offices[0]
            return fixed_address(self.seed, place, "office"), place
        place = self.organisation.atlas.regions[self.account.region]
        line = stream(self.seed, "machine address", self.name, slot, self._life(begin))
        return address_in(line, place.home), place

    def caller(self, slot: int, begin: float) -> tuple[Caller, Exchange | None]:
        """The credentials of one of them at a moment, and how they came where that is recorded."""
        if self.kind.session == "user":
            return iam_user(self.account, self.name, self._user_id, self._key), None
        turn = int(begin // CREDENTIALS)
        known = self._callers.get((slot, turn))
        if known:
            return known, None
        caller = self._fresh(stream(self.seed, "key", self.name, slot, turn), slot, begin)
        self._callers = {key: old for key, old in self._callers.items() if key[1] >= turn - 1}
        self._callers[slot, turn] = caller
        return caller, self._exchange(caller, begin) if self.kind.web else None

    def stolen(self, chance: Generator, begin: float) -> Caller:
        """Other credentials of the first of them."""
        if self.kind.session == "user":
            key = access_key(chance, lasting=True)
            return iam_user(self.account, self.name, self._user_id, key)
        return self._fresh(chance, 0, begin)

    def _fresh(self, chance: Generator, slot: int, begin: float) -> Caller:
        key = access_key(chance, lasting=False)
        extra: dict[str, object] = {"webIdFederationData": {}}
        if self.kind.session == "instance":
            extra["ec2RoleDelivery"] = "2.0"
        elif self.kind.web:
            extra["webIdFederationData"] = {"federatedProvider": self._provider()}
        return assumed_role(self.role, self._session(slot, begin), key, stamp(begin), extra=extra)

    def _session(self, slot: int, begin: float) -> str:
        chance = stream(self.seed, "session", self.name, slot, self._life(begin))
        match self.kind.session:
            case "instance":
                return "i-0" + letters(chance, "hex", 16)
            case "task":
                return letters(chance, "hex", 32)
            case "epoch":
                return str(int(begin // CREDENTIALS * CREDENTIALS * 10**9) + slot)
            case "function":
                return self.name
            case name:
                return name

    def _life(self, begin: float) -> int:
        """Number of the generation: instances and tasks are replaced every few days."""
        return int(begin - self.epoch) // DAY // (2 + self.size)

    def _provider(self) -> str:
        host = f"oidc.eks.{self.account.region}.amazonaws.com/id/0A8EE4AACD210C1A"
        if self.kind.where == "runner":
            host = "token.actions.githubusercontent.com"
        return f"arn:aws:iam::{self.account.id}:oidc-provider/{host}"

    def _exchange(self, caller: Caller, begin: float) -> Exchange:
        subject = f"system:serviceaccount:apps:{self.name}"
        if self.kind.where == "runner":
            subject = f"repo:acme/{self.name}:ref:refs/heads/main"
        arn = f"arn:aws:iam::{self.account.id}:role/{self.name}"
        answer = {
            "credentials": {"sessionToken": "***", "expiration": stamp(begin + CREDENTIALS)},
            "subjectFromWebIdentityToken": subject,
            "assumedRoleUser": {
                "assumedRoleId": f"{self.role.id}:{caller.session}",
                "arn": caller.arn,
            },
            "provider": self._provider(),
            "audience": "sts.amazonaws.com",
        }
        body = Body(
            request=serialise({"roleArn": arn, "roleSessionName": caller.session}),
            response=serialise(answer),
            resources=role_resource(self.role),
        )
        return Exchange(web_identity(self._provider(), subject), body)
