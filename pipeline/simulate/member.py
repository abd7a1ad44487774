"""Somebody as the organisation knows them: the ways in, and the credentials that these give."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from numpy.random import Generator

from pipeline.simulate.catalogue import load_yaml
from pipeline.simulate.chance import letters, pick
from pipeline.simulate.identity import Caller, access_key, assumed_role, iam_user
from pipeline.simulate.organisation import Account, Organisation, Role
from pipeline.simulate.records import stamp

STYLES: Final = {"sso": 58, "iam": 22, "role": 20}
PLAIN: Final = 0.15
"""Share of people whose name at single sign-on is no e-mail address."""
SESSIONS: Final = ("<name>", "<name>", "botocore-session-<second>", "AWSCLI-Session", "admin")
"""What people, or their tools, call a session of a role that they assume."""


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


class Member:
    """A name, an IAM user or an entry of the directory, and ways in."""

    def __init__(self, organisation: Organisation, name: str, team: str, chance: Generator) -> None:
        self.organisation, self.name, self.team = organisation, name, team
        self.user_id = "AIDA" + letters(chance, "BASE", 17)
        self.key = access_key(chance, lasting=True)
        self.mfa = bool(chance.random() < 0.85)
        """Whether this person's IAM user has a second factor."""
        self._login = name if chance.random() < PLAIN else f"{name}@{organisation.domain}"
        self._session: str = pick(chance, SESSIONS)
        self.accesses = self._ways_in(chance, load_yaml("world.yaml")["teams"][team])

    def _ways_in(self, chance: Generator, team: dict[str, Any]) -> list[Access]:
        """Accounts of the team, the first of them most used; careful people read in some."""
        style = pick(chance, list(STYLES), list(STYLES.values()))
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
    def login(self) -> str:
        """The name at single sign-on, which becomes the session's."""
        return self._login

    @property
    def home_account(self) -> Account:
        """Where the IAM user of this person lives."""
        if self.accesses[0].kind == "iam":
            return self.accesses[0].account
        return self.organisation.account("shared-services")

    @property
    def user(self) -> Caller:
        """The IAM user of this person, with its lasting key."""
        return iam_user(self.home_account, self.name, self.user_id, self.key)

    def way_in(self, chance: Generator, mighty: bool = False) -> Access:
        """One of the ways in; a `mighty` one lets change things, if there is one."""
        fitting = [a for a in self.accesses if not (mighty and a.read_only)] or self.accesses
        return pick(chance, fitting, [a.weight for a in fitting])

    def caller(self, chance: Generator, access: Access, begin: float, console: bool) -> Caller:
        """Fresh credentials for one of the ways in."""
        created, key = stamp(begin), access_key(chance, lasting=False)
        if access.role is None:
            if console:
                return iam_user(access.account, self.name, self.user_id, key, created, self.mfa)
            return iam_user(access.account, self.name, self.user_id, self.key)
        single = access.kind == "sso"
        session = self.login if single else self._named(begin)
        return assumed_role(access.role, session, key, created, console=console, mfa=not single)

    def _named(self, begin: float) -> str:
        return self._session.replace("<name>", self.name).replace("<second>", str(int(begin)))
