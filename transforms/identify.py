"""Who made a call: a record's `userIdentity` under one of four policies -> Actor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from schemas.entity import ROOT
from schemas.event import Actor
from transforms.values import account, mapping, text

POLICIES: Final = ("role", "session", "principal", "issuer")
"""The identity policies; the first is the default."""

FOLDED: Final = "*"
"""Stands for the session name of a machine."""

_NAMED: Final = ("IAMUser", "WebIdentityUser", "SAMLUser", "Root")
_ISSUED: Final = ("AssumedRole", "FederatedUser")

_SERVICE_LINKED: Final = ":role/aws-service-role/"
_ASSUMED: Final = re.compile(r":assumed-role/([^/]+)/(.+)", re.DOTALL)
_LONGEST_SESSION: Final = 64  # by AWS's own rule; longer ones are never matched

_MACHINE: Final = re.compile(
    r"""
      m?i-[0-9a-f]{8,17}                                    # an instance
    | \d+                                                   # a number
    | .*[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}.*       # with a GUID in it
    | (?:.*[-_.:])?[0-9a-f]{16,}                            # hexadecimal, or ending so
    | .*\d{9,}                                              # ending in an epoch or long number
    | (?:botocore-session|aws-sdk-\w+|aws-\w+-sdk|terraform)-.*    # named by an SDK
    # ending in CloudFormation's random suffix, which unlike a word has digits and capitals:
    | .*-(?-i:(?=[A-Za-z]*\d)(?=[a-z\d]*[A-Z])[A-Za-z\d]{12,13})
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def is_machine(session: str) -> bool:
    """Whether a role session's name is made up anew for each session, by no person."""
    return (
        len(session) <= _LONGEST_SESSION
        and "@" not in session
        and _MACHINE.fullmatch(session) is not None
    )


def identify(identity: Mapping[str, Any], policy: str = "role", signed_in: str = "") -> Actor:
    """The actor of a record.

    `identity` is its `userIdentity` (empty if it has none), `signed_in` the
    `additionalEventData.UserName` of a `UserAuthentication` record, "" for any other.
    Raises RefusedError where a field has the wrong type.

    `Actor.user_name` is that of `role` under every policy. `Actor.user` is, by type:

    | type | role | session | principal | issuer |
    | --- | --- | --- | --- | --- |
    | IAMUser, WebIdentityUser, SAMLUser | userName | userName | principalId | ARN |
    | AssumedRole | issuer's userName | role/session | principalId | issuer's ARN, else own |
    | FederatedUser | issuer's userName | as role | principalId | issuer's ARN, else own |
    | IdentityCenterUser | `signed_in` | as role | onBehalfOf.userId | ARN |
    | Root | root | root | root | root |
    | AWSAccount, Unknown, any other | none | none | principalId | ARN |
    | AWSService, a service-linked role, invokedBy without a type | none | none | none | none |

    Under `session` a machine's session is `role/*`, and a role without an issuer is the one that
    its own ARN names.
    """
    kind = text(identity.get("type"), "userIdentity.type")
    name = text(identity.get("userName"), "userIdentity.userName")
    arn = text(identity.get("arn"), "userIdentity.arn")
    principal = text(identity.get("principalId"), "userIdentity.principalId")
    service = text(identity.get("invokedBy"), "userIdentity.invokedBy")
    issuer_name, issuer_arn = _issuer(identity)
    role, session = _assumed(arn, principal) if kind == "AssumedRole" else ("", "")

    is_service = kind == "AWSService" or (not kind and service != "")
    if kind == "AssumedRole" and _SERVICE_LINKED in issuer_arn:
        is_service = True
        service = service or issuer_arn.partition(_SERVICE_LINKED)[2].partition("/")[0]
    if kind == "IdentityCenterUser":
        behalf = mapping(identity.get("onBehalfOf"), "userIdentity.onBehalfOf")
        principal = text(behalf.get("userId"), "userIdentity.onBehalfOf.userId")
        name = signed_in
    elif kind in _ISSUED:
        name = issuer_name
    elif kind not in _NAMED:
        name = ""
    if is_service:
        name = ""

    user = name
    if kind == "Root":
        user = ROOT
    elif is_service:
        user = ""
    elif policy == "principal":
        user = principal
    elif policy == "issuer":
        user = issuer_arn or arn
    elif policy == "session" and session and (name or role):
        user = f"{name or role}/{FOLDED if is_machine(session) else session}"

    return Actor(
        user=user,
        user_name=name,
        user_id=principal,
        kind=kind,
        account=account(identity.get("accountId"), "userIdentity.accountId"),
        arn=arn,
        access_key=text(identity.get("accessKeyId"), "userIdentity.accessKeyId"),
        session=session,
        person=session if "@" in session else "",
        service=service,
    )


def _issuer(identity: Mapping[str, Any]) -> tuple[str, str]:
    """Name and ARN of the role or user that issued the session; "" where there is none."""
    context = mapping(identity.get("sessionContext"), "userIdentity.sessionContext")
    path = "userIdentity.sessionContext.sessionIssuer"
    issuer = mapping(context.get("sessionIssuer"), path)
    return text(issuer.get("userName"), f"{path}.userName"), text(issuer.get("arn"), f"{path}.arn")


def _assumed(arn: str, principal: str) -> tuple[str, str]:
    """Role and session name of an assumed role, from its ARN, else its principal id."""
    match = _ASSUMED.search(arn)
    if match:
        return match[1], match[2]
    return "", principal.partition(":")[2]
