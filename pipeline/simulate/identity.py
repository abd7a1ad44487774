"""Who calls: CloudTrail's `userIdentity`, serialised once for each set of credentials."""

from __future__ import annotations

from dataclasses import dataclass, replace

from numpy.random import Generator

from pipeline.simulate.catalogue import serialise
from pipeline.simulate.chance import letters
from pipeline.simulate.organisation import Account, Role


@dataclass(frozen=True, slots=True)
class Caller:
    """An identity with its credentials."""

    identity: str
    """`userIdentity`, serialised."""
    user: str = ""
    """user.name as raretrail's default identity policy has it; empty for nobody."""
    account: str = ""
    """userIdentity.accountId."""
    arn: str = ""
    session: str = ""
    console: bool = False
    """Calls come from the console."""

    def through(self, service: str) -> Caller:
        """The same caller where an AWS service acts for it."""
        identity = f'{self.identity[:-1]},"invokedBy":"{service}"}}'
        return replace(self, identity=identity, console=False)


def access_key(chance: Generator, lasting: bool) -> str:
    """The id of a lasting (AKIA) or a temporary (ASIA) key."""
    return ("AKIA" if lasting else "ASIA") + letters(chance, "BASE", 16)


def iam_user(
    account: Account, name: str, user_id: str, key: str, created: str = "", mfa: bool = False
) -> Caller:
    """An IAM user, by a lasting key or (with `created`) a session of the console."""
    arn = f"arn:aws:iam::{account.id}:user/{name}"
    identity = {
        "type": "IAMUser",
        "principalId": user_id,
        "arn": arn,
        "accountId": account.id,
        "accessKeyId": key,
        "userName": name,
    }
    if created:
        identity["sessionContext"] = _attributes(created, mfa)  # type: ignore[assignment]
    return Caller(serialise(identity), name, account.id, arn, console=bool(created))


def assumed_role(
    role: Role,
    session: str,
    key: str,
    created: str,
    *,
    console: bool = False,
    mfa: bool = False,
    extra: dict[str, object] | None = None,
) -> Caller:
    """A session of a role; `extra` goes into its sessionContext."""
    arn = f"arn:aws:sts::{role.account.id}:assumed-role/{role.name}/{session}"
    identity = {
        "type": "AssumedRole",
        "principalId": f"{role.id}:{session}",
        "arn": arn,
        "accountId": role.account.id,
        "accessKeyId": key,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": role.id,
                "arn": f"arn:aws:iam::{role.account.id}:role{role.path}{role.name}",
                "accountId": role.account.id,
                "userName": role.name,
            },
            **(extra or {"webIdFederationData": {}}),
            **_attributes(created, mfa),
        },
    }
    linked = role.path.startswith("/aws-service-role/")
    return Caller(
        serialise(identity), "" if linked else role.name, role.account.id, arn, session, console
    )


def root(account: Account, key: str, created: str) -> Caller:
    """The root user at the console."""
    arn = f"arn:aws:iam::{account.id}:root"
    identity = {
        "type": "Root",
        "principalId": account.id,
        "arn": arn,
        "accountId": account.id,
        "accessKeyId": key,
        "sessionContext": _attributes(created, True),
    }
    return Caller(serialise(identity), "root", account.id, arn, console=True)


def aws_service(name: str) -> Caller:
    """An AWS service that acts for itself."""
    return Caller(serialise({"type": "AWSService", "invokedBy": name}))


def service_event(account: Account, name: str) -> Caller:
    """Nobody: a service tells of something (in such records even `type` is missing)."""
    return Caller(serialise({"accountId": account.id, "invokedBy": name}), account=account.id)


def other_account(principal: str, account_id: str) -> Caller:
    """Somebody of another account, as the account that is called sees it."""
    identity = {"type": "AWSAccount", "principalId": principal, "accountId": account_id}
    return Caller(serialise(identity), account=account_id)


def web_identity(provider: str, subject: str) -> Caller:
    """A token of another identity provider, before it becomes a role."""
    identity = {
        "type": "WebIdentityUser",
        "principalId": f"{provider}:{subject}",
        "userName": subject,
        "identityProvider": provider,
    }
    return Caller(serialise(identity), subject)


def directory_user(account: Account, user_id: str) -> Caller:
    """Somebody who signs in at IAM Identity Center."""
    identity = {
        "type": "IdentityCenterUser",
        "accountId": account.id,
        "onBehalfOf": {
            "userId": user_id,
            "identityStoreArn": f"arn:aws:identitystore::{account.id}:identitystore/d-9367a1b2c3",
        },
        "credentialId": user_id[::-1],
    }
    return Caller(serialise(identity), account=account.id)


def _attributes(created: str, mfa: bool) -> dict[str, object]:
    return {"attributes": {"creationDate": created, "mfaAuthenticated": str(mfa).lower()}}
