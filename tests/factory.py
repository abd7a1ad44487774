"""Plain values for tests: events, rules and anomalies, with every field that matters settable."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.anomaly import Anomaly, Candidate, Profile
from schemas.anomaly import anomaly as anomaly_of
from schemas.event import Actor, Event, EventBatch, Source
from schemas.rule import Detector, Rule
from schemas.slice import Cell
from transforms.cells import Bundle

SLICE = 900_000
"""Milliseconds of a slice; written again here, so that a change of it does not pass unseen."""
ACCOUNT = "111122223333"
BY_USER = ("cloud.account.id", "user.name")
BY_CITY = ("source.geo.country_iso_code", "source.geo.city_name")


def at(slice_: int, seconds: float = 0) -> int:
    """A time in milliseconds: so many seconds into a slice."""
    return slice_ * SLICE + round(seconds * 1000)


def hash_of(text: str) -> bytes:
    """The hash of an event id, as the page has it: 8 bytes of BLAKE2b."""
    return blake2b(text.encode(), digest_size=8).digest()


def event(
    time: int,
    action: str = "GetObject",
    user: str = "alice",
    *,
    id: str = "",  # noqa: A002
    account: str = ACCOUNT,
    person: str = "",
    arn: str = "",
    kind: str = "IAMUser",
    service: str = "",
    address: str = "203.0.113.7",
    country: str = "GB",
    city: str = "London",
    agent: str = "aws-cli/2.15",
    region: str = "eu-west-1",
    error: str = "",
    write: bool = False,
    origin: str = "a.json.gz",
) -> Event:
    """One event. Its tool is the agent up to the slash, its id by default (user, action, time)."""
    id_ = id or f"{user} {action} {time}"
    return Event(
        time=time,
        action=action,
        id=id_,
        hash=hash_of(id_),
        actor=_actor(user, account, person, arn, kind, service),
        source=_source(address, country, city),
        provider=f"{action[:3].lower()}.amazonaws.com",
        region=region,
        account=account,
        agent=agent,
        tool=agent.partition("/")[0],
        error=error,
        failed=bool(error),
        write=write,
        origin=origin,
    )


@cache
def _actor(user: str, account: str, person: str, arn: str, kind: str, service: str) -> Actor:
    arn = arn or f"arn:aws:iam::{account}:user/{user}"
    return Actor(
        user=user,
        user_name=user,
        user_id=f"AIDA{user}",
        kind=kind,
        account=account,
        arn=arn,
        access_key=f"AKIA{user}",
        session=person,
        person=person,
        service=service,
    )


@cache
def _source(address: str, country: str, city: str) -> Source:
    network = ".".join(address.split(".")[:2])
    return Source(address, address, country, city, place=city or country, network=network)


def batch(events: Iterable[Event], unit: str = "unit") -> EventBatch:
    """A batch of a replay."""
    return EventBatch(unit, list(events))


def packed(events: Iterable[Event], *detectors: Detector) -> list[tuple[bytes, bytes]]:
    """(entity key, packed slices), as CountSlices makes them of one bundle."""
    bundle = Bundle(detectors)
    bundle.add(batch(events))
    return list(bundle.flush())


def detector(scorer: str = "window", fields: tuple[str, ...] = BY_USER, **changes: Any) -> Detector:
    """A detector of rare actions, by default of users."""
    name = f"{scorer}-by-{'user' if fields == BY_USER else 'other'}"
    given = {"name": name, "function": "rare", "by_field": "event.action"} | changes
    return Detector(partition_fields=fields, scorer=scorer, **given)


def rule(name: str = "mine", **changes: Any) -> Rule:
    """A rule with the defaults of the two ordered ones: threshold 75, cap 100, 15 min, 2 h."""
    given = {
        "uuid": f"{hash_of(name).hex()}-0000-4000-8000-000000000000"[8:],
        "id": name,
        "name": name,
        "description": "A rule of the tests.",
        "detector": detector(),
    } | changes
    return Rule(**given)


def cell(first: int, **changes: Any) -> Cell:
    """A cell of one event."""
    given: dict[str, Any] = dict.fromkeys(
        ("place", "tool", "stream", "users", "account", "region", "error", "evidence"), ()
    )
    given |= {"first": first, "last": first, "ids": (hash_of(str(first)),)}
    return Cell(**(given | {"failed": False, "write": False} | changes))


NOBODY = Profile(None, None, 0, [0] * 168, 0, 0, [], [])


def candidate(
    score: float | None,
    slice_: int,
    action: str = "DeleteTrail",
    user: str = "alice",
    *,
    firing: int | None = None,
    first: int | None = None,
    scope: str = "organisation",
    of: Detector | None = None,
) -> Candidate:
    """A candidate, by default on time and of one event at the start of its slice."""
    return Candidate(
        detector=(of or detector()).key,
        scorer="window",
        scope=scope,
        entity={"cloud.account.id": ACCOUNT, "user.name": user},
        action=action,
        slice=slice_,
        firing=slice_ if firing is None else firing,
        score=score,
        cell=cell(at(slice_) if first is None else first),
        profile=NOBODY,
    )


def anomaly(of: Rule, *args: Any, id: str = "", **kwargs: Any) -> Anomaly:  # noqa: A002
    """What a candidate of these arguments is for a rule, under an id of its own if one is given."""
    found = anomaly_of(candidate(*args, **kwargs), of.uuid)
    return msgspec.structs.replace(found, id=id) if id else found
