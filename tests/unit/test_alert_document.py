"""Alerts as documents: ECS names, one value or a list, and nothing of the run."""

import json
import os
import socket
from typing import Any

import msgspec
import pytest
from documents import CITY, RULE, described, evidence, flat, found
from factory import ACCOUNT, detector, rule

ECS = [
    "@timestamp",
    "message",
    "ecs.version",
    "event.kind",
    "event.dataset",
    "event.action",
    "event.provider",
    "event.outcome",
    "user.name",
    "user.id",
    "service.name",
    "cloud.account.id",
    "cloud.region",
    "cloud.provider",
    "source.address",
    "source.ip",
    "source.geo.city_name",
    "source.geo.country_iso_code",
    "user_agent.original",
    "error.code",
]
KIBANA = [
    "uuid",
    "status",
    "workflow_status",
    "reason",
    "severity",
    "risk_score",
    "original_time",
    "rule.uuid",
    "rule.rule_id",
    "rule.name",
    "rule.version",
    "rule.description",
    "rule.tags",
    "rule.references",
    "rule.false_positives",
    "rule.note",
]
BY_PROVIDER = rule("other", detector=detector(by_field="event.provider", name="by-provider"))


def every_document() -> list[dict[str, Any]]:
    return [
        described(),
        described(found(events=())),
        described(found(CITY), CITY),
        described(found(events=tuple(evidence(n, city=f"c{n}", error=f"e{n}") for n in range(3)))),
    ]


@pytest.mark.parametrize("document", every_document())
def test_names_are_those_of_ecs_and_kibana_or_ours(document: dict[str, Any]) -> None:
    ours = document.pop("raretrail")
    assert {"score", "probability", "factors", "entity", "evidence", "profile"} <= set(ours)
    known = {*ECS, *(f"kibana.alert.{name}" for name in KIBANA)}
    assert set(flat(document)) <= known
    for name in document:
        dotted = name.startswith("kibana.") or "." not in name
        assert dotted, f"{name} must be nested"
    assert all(value not in ("", [], None) for name, value in flat(document).items() if name in ECS)


def test_what_a_table_shows() -> None:
    document = described()
    leaves = flat(document)
    expected = {
        "@timestamp": "2026-03-02T11:30:00.000Z",
        "event.kind": "signal",
        "event.dataset": "aws.cloudtrail",
        "event.action": "DeleteTrail",
        "event.provider": "cloudtrail.amazonaws.com",
        "event.outcome": "success",
        "user.name": "alice",
        "cloud.provider": "aws",
        "cloud.account.id": ACCOUNT,
        "cloud.region": "eu-west-1",
        "source.address": "81.2.69.144",
        "source.geo.city_name": "London",
        "source.geo.country_iso_code": "GB",
        "user_agent.original": "aws-cli/2.15",
        "kibana.alert.uuid": found().id,
        "kibana.alert.status": "active",
        "kibana.alert.workflow_status": "open",
        "kibana.alert.severity": "low",
        "kibana.alert.risk_score": 21,
        "kibana.alert.original_time": "2026-03-02T11:00:00.000Z",
        "kibana.alert.rule.uuid": RULE.uuid,
        "kibana.alert.rule.rule_id": "mine",
        "kibana.alert.rule.name": "mine",
        "kibana.alert.rule.version": 1,
        "kibana.alert.rule.tags": ["AWS", "Rarity"],
        "kibana.alert.rule.references": ["https://example.com/a"],
        "kibana.alert.rule.false_positives": ["Work that changes hands."],
        "kibana.alert.rule.note": "## What to do",
    }
    assert {name: leaves[name] for name in expected} == expected
    assert document["message"] == document["kibana.alert.reason"]
    assert (
        "alice in account 111122223333 called DeleteTrail from London, GB once"
        in (document["message"])
    )


def test_what_is_ours() -> None:
    ours = described()["raretrail"]
    expected = {
        "score": 90.1234,
        "threshold": 70.0,
        "scorer": "window",
        "probability": 0.0001,
        "surprise": None,
        "factors": [
            {"name": "rarity", "value": 0.0001, "words": "1 in 10,000 of what this entity does"}
        ],
        "scope": "organisation",
        "entity": {"cloud.account.id": ACCOUNT, "user.name": "alice"},
        "firing": "2026-03-02T11:30:00.000Z",
        "rank": 3,
        "timing": "on_time",
        "slice_start": "2026-03-02T11:00:00.000Z",
        "slice_end": "2026-03-02T11:15:00.000Z",
        "count": 1,
        "count_exact": True,
        "failed": False,
        "write": False,
        "seen_before": 2,
        "seen_last": "2026-03-01T11:00:00.000Z",
        "places": ["London"],
        "tools": ["aws-cli"],
    }
    assert {name: ours[name] for name in expected} == expected
    profile = ours["profile"]
    assert profile["since"] == "2026-01-31T11:00:00.000Z"
    assert profile["latest"] == "2026-03-02T09:00:00.000Z"
    assert profile["actions"] == [{"name": "GetObject", "count": 5}]
    assert len(profile["hours"]) == 168


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], None),
        ([""], None),
        (["a"], "a"),
        (["a", "a"], "a"),
        (["a", ""], "a"),
        (["b", "a"], ["a", "b"]),
        (["c", "a", "b"], ["a", "b", "c"]),
    ],
)
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("event.provider", "provider"),
        ("source.address", "address"),
        ("source.geo.city_name", "city"),
        ("source.geo.country_iso_code", "country"),
        ("user_agent.original", "agent"),
    ],
)
def test_one_value_stands_alone_and_several_are_a_sorted_list(
    name: str, field: str, values: list[str], shown: object
) -> None:
    events = tuple(evidence(n, **{field: value}) for n, value in enumerate(values))
    assert flat(described(found(events=events))).get(name) == shown


@pytest.mark.parametrize(
    ("in_cell", "name", "shown"),
    [
        ({"failed": True}, "event.outcome", "failure"),
        ({"failed": False}, "event.outcome", "success"),
        ({"error": ("AccessDenied",)}, "error.code", "AccessDenied"),
        ({"error": ("AccessDenied", "Throttling")}, "error.code", ["AccessDenied", "Throttling"]),
        ({"region": ("eu-west-1", "us-east-1")}, "cloud.region", ["eu-west-1", "us-east-1"]),
        ({"region": ()}, "cloud.region", None),
        ({"write": True}, "raretrail.write", True),
    ],
)
def test_what_a_cell_says(in_cell: dict[str, Any], name: str, shown: object) -> None:
    assert flat(described(found(**in_cell))).get(name) == shown


def test_a_city_is_told_with_those_who_called_from_it() -> None:
    entity = {"source.geo.country_iso_code": "NG", "source.geo.city_name": "Lagos"}
    users = tuple(json.dumps([account, user]) for account, user in (("1", "al"), ("2", "bo")))
    events = tuple(
        evidence(number, city="Lagos", country="NG", user_name=user)
        for number, user in enumerate(("bo", "al"))
    )
    judged = found(CITY, events=events, users=users, account=("1", "2"))
    leaves = flat(described(msgspec.structs.replace(judged, entity=entity), CITY))
    assert leaves["source.geo.city_name"] == "Lagos"
    assert leaves["source.geo.country_iso_code"] == "NG"
    assert leaves["user.name"] == ["al", "bo"]
    assert leaves["cloud.account.id"] == ["1", "2"]
    assert "al, bo called DeleteTrail from Lagos, NG" in leaves["message"]


def test_what_a_rule_counts_by_stands_under_its_own_name() -> None:
    judged = msgspec.structs.replace(found(BY_PROVIDER), action="sts.amazonaws.com")
    leaves = flat(described(judged, BY_PROVIDER))
    assert leaves.get("event.action") != "sts.amazonaws.com", "a provider is no action"
    assert leaves["event.provider"] == "sts.amazonaws.com"


@pytest.mark.parametrize("document", every_document())
def test_nothing_depends_on_the_run(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for word in ("/secret", "object.json.gz", socket.gethostname(), os.getcwd()):
        assert word not in text


def test_strange_values_are_kept_and_still_json() -> None:
    text = '\x00\x1b[2J\u2028\u202e"\\' + "x" * 10_000
    judged = found(events=(evidence(agent=text, address=text),), error=(text,))
    leaves = flat(described(msgspec.structs.replace(judged, action=text)))
    for name in ("event.action", "user_agent.original", "source.address", "error.code"):
        assert leaves[name] == text
    assert len(leaves["message"]) < 500


@pytest.mark.parametrize("value", [None, 2.2e-308, 0.0, 0.034999])
def test_probabilities_at_the_edge(value: float | None) -> None:
    judged = msgspec.structs.replace(found(), probability=value)
    assert described(judged)["raretrail"]["probability"] == value
