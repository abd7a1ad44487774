"""Alerts get their records from the objects in which they lie."""

import json
from pathlib import Path
from typing import Any

import pytest
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from documents import GONE, RULE, SLICE_AT, canonical, evidence, found
from made import assumed_role, document, encode, lines, record, zipped

from schemas.anomaly import Anomaly
from schemas.selection import SELECTION, Selection
from transforms.describe import DescribeAlerts, _DescribeAlerts
from transforms.read import ObjectReader


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
