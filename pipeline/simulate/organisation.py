"""The organisation: its accounts and what they hold, its roles, its offices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from numpy.random import Generator

from pipeline.simulate.catalogue import Action, load_yaml
from pipeline.simulate.chance import letters, pick, stream, uuids
from pipeline.simulate.places import Atlas, Place, load_atlas
from pipeline.simulate.spec import Simulation

VARIANTS: Final = 7
"""Bodies that one kind of call has in one account and region."""

MAIN_REGIONS: Final = ("eu-west-1", "eu-central-1", "us-east-1")
OFFICES: Final = 4
REMOTE: Final = 8
"""Cities without an office where people live."""
VISITED: Final = 16
"""Further cities that people travel to; the rest of the atlas is new to the organisation."""
EXITS: Final = 3
"""Offices whose city the VPN has an exit in."""

_RANDOM = re.compile(r"<(hex|HEX|BASE|digit|mixed)(\d+)>")
_WORD = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account and the names of what it holds."""

    name: str
    id: str
    share: float
    region: str
    inventory: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Role:
    """An IAM role."""

    account: Account
    name: str
    id: str
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Body:
    """What a call asked and got, serialised."""

    request: str = "null"
    response: str = "null"
    resources: str = ""
    additional: str = ""
    kind: str = "AwsApiCall"


class Organisation:
    """Accounts, places and roles, all from the seed; what one asks for is made when asked for."""

    def __init__(self, spec: Simulation) -> None:
        self.spec = spec
        self.atlas: Atlas = load_atlas()
        chance = stream(spec.seed, "organisation")
        self.id = "o-" + "".join(c.lower() for c in letters(chance, "BASE", 10))
        self.region = pick(chance, MAIN_REGIONS)
        order = chance.permutation(len(self.atlas.cities)).tolist()
        cities = [self.atlas.cities[i] for i in order]
        self.offices = cities[:OFFICES]
        self.homes = cities[: OFFICES + REMOTE]
        self.visited = cities[: OFFICES + REMOTE + VISITED]
        self.exits: list[Place] = self.offices[:EXITS]
        self.moved: Place = self.visited[-1]
        """The city to which the first exit of the VPN moves one day."""
        self.moving = int(chance.integers(spec.days // 4, spec.days))
        self.accounts = tuple(self._account(i) for i in range(spec.accounts))
        self.domain = "acme.example"
        self._roles: dict[tuple[str, str], Role] = {}
        self._bodies: dict[tuple[str, str, str, int], Body] = {}

    @property
    def strange_cities(self) -> list[Place]:
        """Cities in which the organisation has never been, nor its machines."""
        known = {place.key for place in self.visited}
        known |= {place.key for place in self.atlas.regions.values()}
        known |= {place.key for place in self.atlas.runners}
        return [place for place in self.atlas.cities if place.key not in known]

    def exit(self, number: int, day: int) -> Place:
        """Where an exit of the VPN is on a day."""
        return self.moved if number == 0 and day >= self.moving else self.exits[number]

    def account(self, name: str) -> Account:
        """An account by its name, or the one that stands for it in a smaller organisation."""
        for account in self.accounts:
            if account.name == name:
                return account
        return self.accounts[crc32(name.encode()) % len(self.accounts)]

    def role(self, account: Account, name: str, path: str = "/") -> Role:
        """A role by name."""
        key = (account.id, name)
        if key not in self._roles:
            chance = stream(self.spec.seed, "role", account.name, name)
            self._roles[key] = Role(account, name, "AROA" + letters(chance, "BASE", 17), path)
        return self._roles[key]

    def sso_role(self, account: Account, permissions: str) -> Role:
        """The role that single sign-on made for a permission set in an account."""
        chance = stream(self.spec.seed, "sso", account.name, permissions)
        name = f"AWSReservedSSO_{permissions}_{letters(chance, 'hex', 16)}"
        return self.role(account, name, f"/aws-reserved/sso.amazonaws.com/{self.region}/")

    def body(self, action: Action, account: Account, region: str, variant: int) -> Body:
        """The body of a call, one of `VARIANTS`."""
        key = (account.id, region, action.key, variant % VARIANTS)
        body = self._bodies.get(key)
        if body is None:
            salt = f"{action.key}{variant % VARIANTS}"
            additional = _S3_EXTRA if action.service == "s3" else ""
            parts = (action.request, action.response, action.resources, additional)
            body = Body(*(self.fill(part, account, region, salt) for part in parts))
            self._bodies[key] = body
        return body

    def fill(self, text: str, account: Account, region: str, salt: str, **extra: str) -> str:
        """Put the account's own names where a template has `<word>`."""
        if "<" not in text:
            return text
        given = {"account": account.id, "region": region, **extra}
        chance = stream(self.spec.seed, "fill", account.name, salt)
        given["uuid"] = uuids(chance, 1)[0]

        def own(match: re.Match[str]) -> str:
            word = match[1]
            names = account.inventory.get(word, ())
            chosen = names[crc32(f"{salt}{word}".encode()) % len(names)] if names else match[0]
            return given.get(word, chosen)

        return _random(chance, _WORD.sub(own, text))

    def _account(self, number: int) -> Account:
        known: Sequence[Mapping[str, Any]] = load_yaml("world.yaml")["accounts"]
        sandbox: Mapping[str, Any] = {"name": f"sandbox-{number}", "share": 4}
        one = known[number] if number < len(known) else sandbox
        name: str = one["name"]
        chance = stream(self.spec.seed, "account", name)
        digits = "123456789"[int(chance.integers(9))] + letters(chance, "digit", 11)
        inventory = {
            kind: tuple(_name(chance, pattern, name) for _ in range(count))
            for kind, (count, pattern) in load_yaml("world.yaml")["inventory"].items()
        }
        region = self.region if chance.random() < 0.75 else pick(chance, MAIN_REGIONS)
        return Account(name, digits, float(one["share"]), region, inventory)


_S3_EXTRA: Final = (
    '{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":0,'
    '"AuthenticationMethod":"AuthHeader","x-amz-id-2":"<mixed75>=","bytesTransferredOut":4<digit2>}'
)


def _random(chance: Generator, text: str) -> str:
    """Put random letters where a template has an alphabet and a number, as in `<hex16>`."""
    return _RANDOM.sub(lambda match: letters(chance, match[1], int(match[2])), text)


def _name(chance: Generator, pattern: str, account_name: str) -> str:
    world = load_yaml("world.yaml")
    text = pattern.replace("<account_name>", account_name)
    text = text.replace("<word>", pick(chance, world["words"]))
    text = text.replace("<thing>", pick(chance, world["things"]))
    return _random(chance, text)
