"""The event: one CloudTrail record, normalised to ECS names, and what can go wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

SLICE_MS: Final = 15 * 60 * 1000
"""Length of a slice, in milliseconds of event time."""


class Actor(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Who made a call: the `userIdentity` of a record under one identity policy.

    Equal identities share one object, so that a batch holds each of them once.
    Absent values are the empty string.
    """

    user: str = ""
    """The detectors' user: the policy's name, `root` for the root user, empty for nobody."""
    user_name: str = ""
    """`user.name`, by the table of the `role` policy whatever the policy."""
    user_id: str = ""
    """`user.id`: principalId, or onBehalfOf.userId for Identity Center."""
    kind: str = ""
    """`aws.cloudtrail.user_identity.type`, verbatim."""
    account: str = ""
    """userIdentity.accountId."""
    arn: str = ""
    access_key: str = ""
    session: str = ""
    """The role session name of an assumed role."""
    person: str = ""
    """The person behind a role: the session name if it holds an "@"."""
    service: str = ""
    """`service.name`: the AWS service that acts for itself or on the user's behalf."""


class Source(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Where a call came from. Absent values are the empty string."""

    address: str = ""
    """`source.address`: sourceIPAddress, verbatim."""
    ip: str = ""
    """`source.ip`: the address if it parses as one, in canonical form."""
    country: str = ""
    """`source.geo.country_iso_code`."""
    city: str = ""
    """`source.geo.city_name`."""
    place: str = ""
    """What the scorers call place: city, else country, `inside` for a private address."""
    network: str = ""
    """The first two octets of IPv4, the first 9 characters of IPv6."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One CloudTrail record. Absent values are the empty string."""

    time: int
    """`@timestamp`: eventTime, in milliseconds since the epoch."""
    action: str
    """`event.action`: eventName, verbatim."""
    id: str
    """`event.id`: eventID, or the hash of the canonical record where it has none."""
    hash: bytes
    """8 bytes: BLAKE2b of the id. Its order is the order of the k smallest."""
    actor: Actor
    source: Source
    provider: str = ""
    """`event.provider`: eventSource."""
    region: str = ""
    """`cloud.region`: awsRegion."""
    account: str = ""
    """`cloud.account.id`: userIdentity.accountId, else recipientAccountId."""
    agent: str = ""
    """`user_agent.original`: userAgent, verbatim."""
    tool: str = ""
    """The family of the user agent."""
    error: str = ""
    """`error.code`: errorCode; where only a message came, its first 64 characters."""
    failed: bool = False
    """`event.outcome` is failure."""
    write: bool = False
    """readOnly is false."""
    origin: str = ""
    """Name of the object the record lies in."""


class EventBatch(msgspec.Struct, gc=False):
    """Events of one or more objects that share an arrival: at most 5,000 events or 8 MB."""

    unit: str
    """Names the batch in the accounting: the same for the same input, however often it is read."""
    events: list[Event]
    arrival: int | None = None
    """Milliseconds since the epoch; None is a replay, in which everything has always been there."""


class DeadLetter(msgspec.Struct, frozen=True):
    """Something that could not be read: what, from where, why."""

    origin: str
    """Name of the object."""
    position: int
    """Number of the record in its object, from 0; -1 for the object as a whole."""
    reason: str
    """One sentence that names the thing and its value."""
    raw: bytes
    """The bytes as they came, cut at `RAW_LIMIT`."""
    raw_size: int
    """Their number before the cut."""


RAW_LIMIT: Final = 1 << 20
"""Most bytes of raw input that a dead letter keeps; the object itself is still where it was."""


PATHS: Final = {
    "event.action": "action",
    "event.provider": "provider",
    "error.code": "error",
    "cloud.account.id": "account",
    "cloud.region": "region",
    "user.name": "actor.user",
    "user.id": "actor.user_id",
    "service.name": "actor.service",
    "source.ip": "source.ip",
    "source.address": "source.address",
    "source.geo.city_name": "source.city",
    "source.geo.country_iso_code": "source.country",
}
"""The ECS fields a detector may count by or partition by, and where each is in an event.

`user.name` is the detectors' user (the identity policy's name, or `root`); empty is absent.
"""

FIELDS: Final[dict[str, Callable[[Event], str]]] = {
    name: attrgetter(path) for name, path in PATHS.items()
}
"""How to read each of them."""


def values_of(fields: Sequence[str]) -> Callable[[Event], tuple[str, ...]]:
    """Reads fields of an event, by their ECS names, as a tuple."""
    read: Callable[[Event], Any] = attrgetter(*[PATHS[name] for name in fields])
    return read if len(fields) > 1 else lambda event: (read(event),)
