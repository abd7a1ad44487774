"""The real sets: counted by other means, read both ways, and mutated."""

import functools
import gzip
import io
import json
import random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import ALICE, assumed_role, document, encode, lines, record, zipped

from transforms.read import ObjectReader, _Gathering, raw_record

# name: records, and how many of them are no events, counted by hand
SETS = {
    "boogy-1679": (1679, 0),
    "flaws-cloud-slice": (185, 0),
    "grycap-2017": (142, 0),
    "misc-fixtures": (148, 20),  # 19 have no time that is one, 1 is an Insight
    "opensearch-catalog-840": (840, 0),
    "otrf-ec2-proxy-s3-exfil": (103, 0),
    "panther-rule-samples": (453, 15),  # 15 have no time that is one
    "traildiscover": (314, 0),
    "umccr-eventversion-examples": (21, 0),
    "zmallen-stratus-datadog": (15, 0),
}

MADE = [
    record(1),
    record(2, userIdentity=assumed_role("Dev", "jo@example.com"), errorCode="AccessDenied"),
    record(3, eventName="ConsoleLogin", responseElements={"ConsoleLogin": "Failure"}),
    record(4, eventID=None, readOnly="false"),
    record(5, userIdentity={"type": "AWSService", "invokedBy": "lambda.amazonaws.com"}),
    {"detail": record(6)},
    record(7, requestParameters={"text": "}{ é ☃", "deep": [[[{"a": [1.5, None, True]}]]]}),
]

ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(["", "-", "none", "2021-12-02 22:11:26.5", "aws:s3", "IAMUser", "Root"])
    | st.sampled_from(["ConsoleLogin", "UserAuthentication", "AwsCloudTrailInsight", "10.0.0.1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = [
    *("eventTime", "eventName", "eventID", "eventSource", "awsRegion", "sourceIPAddress"),
    *("userAgent", "userIdentity", "recipientAccountId", "errorCode", "errorMessage", "readOnly"),
    *("eventType", "responseElements", "additionalEventData", "requestParameters", "s3", "detail"),
    *("Records", "logEvents", "awslogs", "event", "event.original", "_source", "digestStartTime"),
]
IDENTITY_FIELDS = [*ALICE, "invokedBy", "sessionContext", "onBehalfOf"]


def path_of(shared, name):
    return shared / "data" / "sets" / f"{name}.ndjson.gz"


@functools.cache
def records_of(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def both_ways(data, policy="role"):
    """The reading, which must not depend on whether its records were read quickly."""
    quick = ObjectReader(policy).read("o", data)
    with patch.object(_Gathering, "take", lambda self, raw: False):
        careful = ObjectReader(policy).read("o", data)
    assert quick == careful
    return quick


def sound(reading):
    """Check what holds for every reading of any bytes."""
    assert reading.records == len(reading.events) + len(reading.dead)
    for event in reading.events:
        strings = [
            getattr(part, name)
            for part in (event, event.actor, event.source)
            for name in part.__struct_fields__
        ]
        assert all(value.encode() is not None for value in strings if isinstance(value, str))
        assert event.action
        assert event.id
        assert len(event.hash) == 8
        assert isinstance(event.time, int)
    for letter in reading.dead:
        assert letter.reason
        assert letter.reason.encode()
        assert letter.raw_size >= len(letter.raw)
    return reading


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_read_whole(name, shared):
    path = path_of(shared, name)
    records, dead = SETS[name]
    reading = sound(both_ways(path.read_bytes()))
    assert len(records_of(path)) == records == reading.records
    assert len(reading.dead) == dead
    wanted = [each.get("eventName") for each in records_of(path)]
    lost = {letter.position for letter in reading.dead}
    kept = [name for position, name in enumerate(wanted) if position not in lost]
    assert [event.action for event in reading.events] == kept


@pytest.mark.parametrize("policy", ["session", "principal", "issuer"])
@pytest.mark.parametrize("name", SETS)
def test_a_set_is_read_alike_both_ways_under_every_policy(name, policy, shared):
    sound(both_ways(path_of(shared, name).read_bytes(), policy))


@pytest.mark.parametrize("name", SETS)
def test_the_shape_of_a_set_does_not_matter(name, shared):
    records = records_of(path_of(shared, name))
    reader = ObjectReader()
    expected = reader.read("o", lines(*records))
    twelves = b"".join(document(*records[n : n + 12]) for n in range(0, len(records), 12))
    for data in (document(*records), json.dumps(records, indent=1).encode(), zipped(twelves)):
        reading = reader.read("o", data)
        assert [event.id for event in reading.events] == [event.id for event in expected.events]
        assert reading.events == expected.events
        assert [d.position for d in reading.dead] == [d.position for d in expected.dead]


@pytest.mark.parametrize("name", ["umccr-eventversion-examples", "grycap-2017"])
def test_the_record_of_every_event_is_found(name, shared):
    data = path_of(shared, name).read_bytes()
    wanted = {
        json.dumps(each, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        for each in records_of(path_of(shared, name))
    }
    for event in ObjectReader().read("o", data).events:
        assert raw_record(data, event.id) in wanted


def test_the_set_of_csv_is_refused(shared):
    data = (shared / "data" / "sets" / "otrf-s3-honeybucket.csv.gz").read_bytes()
    reading = both_ways(data)
    assert (reading.events, reading.records, len(reading.dead)) == ([], 1, 1)
    assert "begins with 'Event Type,Event Name" in reading.dead[0].reason


def test_caches_change_nothing(shared):
    reader = ObjectReader()
    for name in [*SETS, *SETS]:
        data = path_of(shared, name).read_bytes()
        assert reader.read("o", data) == ObjectReader().read("o", data)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    base=st.sampled_from(MADE),
    changes=st.dictionaries(st.sampled_from(FIELDS), ANY_JSON, max_size=3),
    identity=st.dictionaries(st.sampled_from(IDENTITY_FIELDS), ANY_JSON, max_size=2),
    shape=st.sampled_from([document, lines, lambda *records: encode(records)]),
)
def test_mutated_values_are_read_alike_both_ways(base, changes, identity, shape):
    changed = base | changes
    if isinstance(changed.get("userIdentity"), dict):
        changed["userIdentity"] = changed["userIdentity"] | identity
    reading = sound(both_ways(shape(MADE[0], changed, MADE[1])))
    assert reading.events[0].id == MADE[0]["eventID"]
    assert reading.events[-1].id == MADE[1]["eventID"]


def mutated(data, chance):
    """Bytes with a few taken out, put in, changed or doubled, at places that `chance` chooses."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                del data[at : at + chance.choice([1, 1, 2, 50])]
            case 1:
                data[at:at] = chance.choice(
                    [b"{", b"}", b"[", b"]", b'"', b",", b"\n", b"\\", b"}{"]
                )
            case 2:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 3:
                data[at:at] = data[at : at + chance.choice([1, 20, 700])]
            case 4:
                data[at:at] = chance.choice(
                    [b"NaN", b"\xff", b"\\ud800", b"\0", b"9" * 30, b"null"]
                )
    return bytes(data)


@pytest.mark.parametrize("seed", range(300))
def test_mutated_bytes_are_read_alike_both_ways(seed):
    chance = random.Random(seed)
    shape = chance.choice([document, lines, lambda *records: encode(records)])
    data = mutated(shape(*MADE), chance)
    reading = sound(both_ways(data))
    for event in reading.events:
        found = raw_record(data, event.id)
        assert found is not None
        assert json.loads(found)["eventName"] == event.action
    sound(ObjectReader().read("o", mutated(zipped(data), chance)))


@pytest.mark.parametrize("name", SETS)
def test_real_records_mutated(name, shared):
    chance = random.Random(name)
    records = records_of(path_of(shared, name))
    for _ in range(40):
        some = chance.sample(records, min(4, len(records)))
        sound(both_ways(mutated(chance.choice([document, lines])(*some), chance)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.binary() | st.text(alphabet='[]{}",:\\ \n0eatd').map(str.encode))
def test_any_bytes_at_all(data):
    for each in (data, b"\x1f\x8b" + data, zipped(data), b'{"Records":[' + data):
        reading = sound(both_ways(each))
        parts = list(ObjectReader().read_stream("o", io.BytesIO(each)))
        assert sum(part.records for part in parts) == reading.records
