"""The evidence of an alert: its events in small, and the records that prove them, bounded."""

import json

import pytest
from documents import GONE, LIMIT, canonical, described, evidence, found, proof
from factory import ACCOUNT
from made import encode, record

from transforms.read import raw_record


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
