"""Alerts made by hand, and the documents that are made of them."""

import json
from typing import Any

import msgspec
from factory import ACCOUNT, BY_CITY, anomaly, at, cell, detector, hash_of, rule
from made import record

from schemas.alert import alert_document
from schemas.anomaly import Anomaly, Factor, Habit, Profile
from schemas.rule import Rule
from schemas.slice import Evidence

SLICE_AT = 1_969_388
"""2026-03-02T11:00:00Z"""
LIMIT = 8_192
GONE = "the object that held the record cannot be read any more"
RULE = rule(
    "mine",
    tags=("AWS", "Rarity"),
    guide="## What to do",
    references=("https://example.com/a",),
    false_positives=("Work that changes hands.",),
    threshold=70.0,
)
CITY = rule("yours", detector=detector(fields=BY_CITY))


def evidence(number: int = 0, **changes: Any) -> Evidence:
    given = {
        "time": at(SLICE_AT, number),
        "hash": hash_of(str(number)),
        "origin": "/secret/place/of/the/object.json.gz",
        "id": record(number)["eventID"],
        "provider": "cloudtrail.amazonaws.com",
        "user_name": "alice",
        "arn": "arn:aws:iam::111122223333:user/alice",
        "access_key": "AKIAEXAMPLE",
        "session": "",
        "agent": "aws-cli/2.15",
        "address": "81.2.69.144",
        "country": "GB",
        "city": "London",
        "account": ACCOUNT,
        "region": "eu-west-1",
        "error": "",
    } | changes
    return Evidence(**given)


def found(of: Rule = RULE, events: tuple[Evidence, ...] = (evidence(),), **in_cell: Any) -> Anomaly:
    """An anomaly of alice whose cell holds these events."""
    given = {
        "ids": tuple(sorted(event.hash for event in events)),
        "users": (json.dumps([ACCOUNT, "alice"]),),
        "account": (ACCOUNT,),
        "region": ("eu-west-1",),
        "place": ("London",),
        "tool": ("aws-cli",),
    } | in_cell
    return msgspec.structs.replace(
        anomaly(of, 90.1234, SLICE_AT),
        cell=cell(at(SLICE_AT), **given),
        evidence=events,
        probability=0.0001,
        factors=[Factor("rarity", 0.0001, "1 in 10,000 of what this entity does")],
        profile=Profile(
            since=at(SLICE_AT - 2880),
            latest=at(SLICE_AT - 8),
            slices=5,
            hours=[1] * 168,
            n_actions=1,
            n_places=1,
            actions=[Habit("GetObject", 5)],
            places=[Habit("London", 5)],
        ),
        seen=2,
        seen_last=at(SLICE_AT - 96),
    )


def through_json(document: dict[str, Any]) -> dict[str, Any]:
    """A document as it is read back from alerts.ndjson; NaN and the infinities are no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.dumps(document, allow_nan=False)
    line = msgspec.json.encode(document)
    assert b"\n" not in line
    return json.loads(line, parse_constant=refuse)


def described(
    anomaly: Anomaly | None = None,
    of: Rule = RULE,
    firing: int = SLICE_AT + 1,
    rank: int = 3,
    bodies: list[bytes | None] | None = None,
) -> dict[str, Any]:
    anomaly = anomaly or found(of)
    bodies = [None] * len(anomaly.evidence) if bodies is None else bodies
    return through_json(alert_document(of, anomaly, firing, rank, bodies))


def flat(node: dict[str, Any], path: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, dict):
            leaves |= flat(value, f"{path}{key}.")
        else:
            leaves[f"{path}{key}"] = value
    return leaves


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def proof(body: bytes | None) -> dict[str, Any]:
    (only,) = described(bodies=[body])["raretrail"]["evidence"]
    return only
