"""Alerts as documents: ECS names, one value or a list, and the records that prove them."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from factory import ACCOUNT, BY_CITY, anomaly, at, cell, detector, hash_of, rule
from made import assumed_role, document, encode, lines, record, zipped

from schemas.alert import alert_document
from schemas.anomaly import Anomaly, Factor, Habit, Profile
from schemas.rule import Rule
from schemas.selection import SELECTION, Selection
from schemas.slice import Evidence
from transforms.describe import DescribeAlerts, _DescribeAlerts
from transforms.read import ObjectReader, raw_record

SLICE_AT = 1_969_388
"""2026-03-02T11:00:00Z"""
LIMIT = 8_192
GONE = "the object that held the record cannot be read any more"

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

RULE = rule(
    "mine",
    tags=("AWS", "Rarity"),
    guide="## What to do",
    references=("https://example.com/a",),
    false_positives=("Work that changes hands.",),
    threshold=70.0,
)
CITY = rule("yours", detector=detector(fields=BY_CITY))
BY_PROVIDER = rule("other", detector=detector(by_field="event.provider", name="by-provider"))


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


def every_document() -> list[dict[str, Any]]:
    return [
        described(),
        described(found(events=())),
        described(found(CITY), CITY),
        described(found(events=tuple(evidence(n, city=f"c{n}", error=f"e{n}") for n in range(3)))),
    ]


# Fields


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


# Evidence


def proof(body: bytes | None) -> dict[str, Any]:
    (only,) = described(bodies=[body])["raretrail"]["evidence"]
    return only


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_evidence_shows_the_event_in_small() -> None:
    shown = proof(None)
    expected = {
        "event_id": record()["eventID"],
        "time": "2026-03-02T11:00:00.000Z",
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
    }
    assert {name: shown[name] for name in expected} == expected


def test_evidence_shows_the_record_and_what_was_asked_for() -> None:
    body = canonical(record(requestParameters={"bucketName": "b", "key": "é ☃"}))
    shown = proof(body)
    assert shown["body"] == body.decode()
    assert json.loads(shown["request_parameters"]) == {"bucketName": "b", "key": "é ☃"}
    assert (shown["body_bytes"], shown["body_cut"]) == (len(body), False)
    assert "body_absent" not in shown


@pytest.mark.parametrize(
    "parameters",
    [None, "text", 5, [], {}, {"nested": {"requestParameters": 1}}, [{"a": None}], True, 1e300],
)
def test_request_parameters_of_any_kind(parameters: object) -> None:
    body = canonical({**record(), "requestParameters": parameters})
    assert json.loads(proof(body)["request_parameters"]) == parameters


def test_a_record_without_request_parameters() -> None:
    shown = proof(canonical(record(requestParameters=None)))
    assert shown["request_parameters"] in (None, "null")


def padded(size: int, letter: str) -> bytes:
    """A record of so many bytes, as far as the letter allows, that ends in letters."""
    start = len(canonical({"eventID": "e", "zzz": ""}))
    width = len(letter.encode())
    room = size - start
    return canonical({"eventID": "e", "zzz": "x" * (room % width) + letter * (room // width)})


@pytest.mark.parametrize("letter", ["x", "é", "☃", "𝄞"])
@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + 2, LIMIT + 3, 3 * LIMIT])
def test_a_body_is_cut_at_8192_bytes_and_marked(size: int, letter: str) -> None:
    body = padded(size, letter)
    assert len(body) == size
    shown = proof(body)
    assert shown["body_bytes"] == size
    assert shown["body_cut"] is (size > LIMIT)
    kept = shown["body"].encode()
    assert body.startswith(kept)
    assert "\ufffd" not in shown["body"]
    whole = min(size, LIMIT)
    assert whole - (len(letter.encode()) - 1) <= len(kept) <= whole


def test_request_parameters_are_cut_at_the_same_bound() -> None:
    shown = proof(canonical(record(requestParameters={"policy": "é" * LIMIT})))
    assert LIMIT - 1 <= len(shown["request_parameters"].encode()) <= LIMIT
    assert shown["body_cut"] is True


def test_a_record_that_cannot_be_read_any_more_is_null_with_the_fixed_reason() -> None:
    shown = proof(None)
    assert (shown["body"], shown["request_parameters"]) == (None, None)
    assert shown["body_absent"] == GONE


def test_a_body_for_each_event() -> None:
    judged = found(events=tuple(evidence(n) for n in range(3)))
    bodies = [canonical(record(0)), None, canonical(record(2))]
    shown = described(judged, bodies=bodies)["raretrail"]["evidence"]
    assert [each["body"] and json.loads(each["body"])["eventID"] for each in shown] == [
        record(0)["eventID"],
        None,
        record(2)["eventID"],
    ]
    with pytest.raises(ValueError, match="zip"):
        described(judged, bodies=bodies[:2])


@pytest.mark.parametrize("depth", [10, 100, *range(850, 1000, 10), 2_000, 100_000])
def test_no_depth_of_a_record_breaks_a_document(depth: int) -> None:
    text = encode(record(5, requestParameters=0)).replace(
        b'"requestParameters": 0', b'"requestParameters": ' + b"[" * depth + b"]" * depth
    )
    shown = proof(raw_record(text, record(5)["eventID"]))
    assert (shown["body"] is None) is ("body_absent" in shown)


# The records, fetched from where they lie


def chosen(*anomalies: Anomaly) -> bytes:
    selection = Selection(RULE.uuid, SLICE_AT, list(anomalies), len(anomalies), [], [], [])
    return SELECTION.encode(selection)


def describe(data: bytes) -> list[dict[str, Any]]:
    function = _DescribeAlerts((RULE,))
    function.start_bundle()
    function.process(data, MIN_TIMESTAMP)
    described = [windowed.value for windowed in function.finish_bundle()]
    return [json.loads(line) for _, _, lines_ in described for line in lines_]


@pytest.mark.parametrize(
    "held",
    [
        document(*(record(n) for n in range(5))),
        zipped(document(*(record(n) for n in range(5)))),
        zipped(lines(*(record(n) for n in range(2)))) + zipped(lines(*map(record, range(2, 5)))),
        lines(*({"detail": record(n)} for n in range(5))),
        encode([record(n) for n in range(5)]),
    ],
    ids=["Records", "gzip", "members", "EventBridge", "list"],
)
def test_records_are_fetched_from_their_object(tmp_path: Path, held: bytes) -> None:
    path = tmp_path / "object"
    path.write_bytes(held)
    events = tuple(evidence(n, origin=str(path)) for n in (0, 1, 4))
    (shown,) = describe(chosen(found(events=events)))
    assert [each["body"] for each in shown["raretrail"]["evidence"]] == [
        canonical(record(n)).decode() for n in (0, 1, 4)
    ]
    assert str(tmp_path) not in json.dumps(shown)


@pytest.mark.parametrize("held", [None, b"", b"damaged", document(record(8)), zipped(b"x")[:-5]])
def test_records_that_are_gone(tmp_path: Path, held: bytes | None) -> None:
    path = tmp_path / "object"
    if held is not None:
        path.write_bytes(held)
    (shown,) = describe(chosen(found(events=(evidence(0, origin=str(path)),))))
    (only,) = shown["raretrail"]["evidence"]
    assert (only["body"], only["body_absent"]) == (None, GONE)


def test_a_record_without_an_id_is_fetched_by_its_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(
        document(record(1), record(2, eventID=None, userIdentity=assumed_role("r", "s")))
    )
    event = ObjectReader().read(str(path), path.read_bytes()).events[1]
    (shown,) = describe(chosen(found(events=(evidence(id=event.id, origin=str(path)),))))
    assert '"sessionIssuer"' in shown["raretrail"]["evidence"][0]["body"]


def test_ranks_and_order_and_many_objects(tmp_path: Path) -> None:
    anomalies = []
    for number in range(40):
        path = tmp_path / f"{number}.json"
        path.write_bytes(document(record(number)))
        anomalies.append(found(events=(evidence(number, origin=str(path)),)))
    documents = describe(chosen(*anomalies))
    assert [each["raretrail"]["rank"] for each in documents] == list(range(1, 41))
    for number, each in enumerate(documents):
        assert each["raretrail"]["evidence"][0]["body"] == canonical(record(number)).decode()


def test_a_firing_without_alerts_has_no_documents() -> None:
    assert describe(chosen()) == []
    assert DescribeAlerts((RULE,)).rules == (RULE,)
