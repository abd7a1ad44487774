"""Objects -> readings: every shape and every damage, on records made by hand."""

import base64
import gzip
import io
import json
import zlib
from unittest.mock import patch

import pytest
from made import document, encode, lines, record, zipped

from schemas.event import RAW_LIMIT
from transforms import gunzip, pieces, read, scan, unwrap
from transforms.parse import canonical
from transforms.read import ObjectReader, raw_record

ONE, TWO, THREE = (record(number) for number in (1, 2, 3))
IDS = [each["eventID"] for each in (ONE, TWO, THREE)]
BOM = b"\xef\xbb\xbf"
BOMB = b"[" * 100_000 + b"]" * 100_000


def read_all(data, buried=0):
    """What `read` gives, having checked that it closes, and that a stream gives the same and so
    does a reader that is never quick.
    """
    reader = ObjectReader()
    reading = reader.read("o", data)
    assert reading.records == len(reading.events) + len(reading.dead) + buried
    with patch.object(read._Gathering, "take", lambda self, raw: False):
        assert ObjectReader().read("o", data) == reading
    parts = list(reader.read_stream("o", io.BytesIO(data)))
    assert [event for part in parts for event in part.events] == reading.events
    assert [letter for part in parts for letter in part.dead] == reading.dead
    assert sum(part.records for part in parts) == reading.records
    assert sum(part.skipped for part in parts) == reading.skipped
    return reading


def ids(data):
    reading = read_all(data)
    assert not reading.dead, reading.dead[0].reason
    return [event.id for event in reading.events]


def subscription(*messages):
    events = [{"id": "1", "timestamp": 1, "message": message} for message in messages]
    return {"messageType": "DATA_MESSAGE", "logEvents": events}


def packed(value):
    return {"awslogs": {"data": base64.b64encode(zipped(encode(value))).decode()}}


def bridge(value):
    return {"version": "0", "detail-type": "AWS API Call via CloudTrail", "detail": value}


TEXT_ONE, TEXT_TWO, TEXT_THREE = (json.dumps(each) for each in (ONE, TWO, THREE))
SHAPES = {
    "Records": document(ONE, TWO, THREE),
    "pretty Records": json.dumps({"Records": [ONE, TWO, THREE]}, indent=2).encode(),
    "Records in lines": b'{"Records": [\n' + b",\n".join(map(encode, (ONE, TWO, THREE))) + b"\n]}",
    "Records not first": encode({"a": [{}], "Records": [ONE, TWO, THREE]}),
    "Records not last": encode({"Records": [ONE, TWO, THREE], "b": {"c": 1}}),
    "BOM": BOM + document(ONE, TWO, THREE),
    "list": encode([ONE, TWO, THREE]),
    "list of lists": encode([[ONE, TWO], [[THREE]], []]),
    "lines": lines(ONE, TWO, THREE),
    "lines without an end": lines(ONE, TWO, THREE)[:-1],
    "lines of DOS": lines(ONE, TWO, THREE).replace(b"\n", b"\r\n"),
    "lines and blank ones": b"\n\n" + lines(ONE) + b"\n \n" + lines(TWO, THREE) + b"\n",
    "lines with BOMs": b"".join(BOM + lines(each) for each in (ONE, TWO, THREE)),
    "lines of shapes": lines([ONE], {"Records": [TWO]}, bridge(THREE)),
    "pretty records": b"\n".join(json.dumps(each, indent=2).encode() for each in (ONE, TWO, THREE)),
    "concatenated": b"".join(map(encode, (ONE, TWO, THREE))),
    "concatenated with spaces": b"  ".join(map(encode, (ONE, TWO, THREE))),
    "concatenated documents": document(ONE) + document(TWO) + document(THREE),
    "lines, some concatenated": lines(ONE) + encode(TWO) + encode(THREE),
    "EventBridge": lines(bridge(ONE), bridge(TWO), bridge(THREE)),
    "EventBridge of Records": encode(bridge({"Records": [ONE, TWO, THREE]})),
    "log events": encode(subscription(TEXT_ONE, TEXT_TWO, TEXT_THREE)),
    "concatenated log events": encode(subscription(TEXT_ONE))
    + encode(subscription(TEXT_TWO, TEXT_THREE)),
    "a message of several": encode(subscription(f"{TEXT_ONE}\n{TEXT_TWO}{TEXT_THREE}")),
    "awslogs": encode(packed(subscription(TEXT_ONE, TEXT_TWO, TEXT_THREE))),
    "awslogs of Records": encode(packed({"Records": [ONE, TWO, THREE]})),
    "awslogs twice": encode(packed(packed({"Records": [ONE, TWO, THREE]}))),
    "Elastic": lines(*({"event": {"original": text}} for text in (TEXT_ONE, TEXT_TWO, TEXT_THREE))),
    "Elastic, dotted": lines(
        *({"@timestamp": "x", "event.original": text} for text in (TEXT_ONE, TEXT_TWO, TEXT_THREE))
    ),
    "Elastic, from a search": lines(
        {"_index": "i", "_source": {"event": {"original": TEXT_ONE}}},
        {"_index": "i", "_source": {"event.original": TEXT_TWO}},
        {"_index": "i", "_source": THREE},
    ),
    "envelopes in Records": document(bridge(ONE), subscription(TEXT_TWO), packed([THREE])),
    "a message that is an envelope": encode(
        subscription(json.dumps(bridge(ONE)), json.dumps({"Records": [TWO, THREE]}))
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape):
    data = SHAPES[shape]
    assert ids(data) == IDS
    assert ids(zipped(data)) == IDS


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_is_found_again_in_every_shape(shape):
    for data in (SHAPES[shape], zipped(SHAPES[shape])):
        assert raw_record(data, IDS[1]) == canonical(encode(TWO))
        assert raw_record(data, "another") is None


def test_a_record_without_an_id_is_found_by_its_hash():
    nameless = record(eventID=None, requestParameters={"é": 1})
    for data in (document(ONE, nameless), json.dumps(nameless, indent=1).encode()):
        event = read_all(data).events[-1]
        found = raw_record(zipped(data), event.id)
        assert found == canonical(encode(nameless))
        assert "é" in found.decode()


def test_a_record_may_lie_in_eight_envelopes():
    assert ids(b'{"detail": ' * 8 + encode(ONE) + b"}" * 8) == IDS[:1]
    assert ids(b'{"detail": ' * 7 + document(ONE, TWO, THREE) + b"}" * 7) == IDS


def test_what_has_a_time_or_an_action_is_a_record_whatever_else_it_has():
    for change in ({"Records": [TWO]}, {"detail": TWO}, {"event.original": TEXT_TWO}):
        for value in (ONE | change, change | ONE):
            assert ids(encode(value)) == ids(document(value)) == IDS[:1]
    for nothing in ({"eventTime": None}, {"eventName": None}, {"detail": None, "logEvents": None}):
        assert ids(encode(nothing | {"Records": [ONE, TWO, THREE]})) == IDS
    (letter,) = read_all(encode({"eventTime": "x", "Records": [ONE]})).dead
    assert "eventTime" in letter.reason


def test_a_record_is_not_found_in_what_cannot_be_read():
    for data in (b"", b"x", zipped(document(ONE))[:-9], document(5, {}), document(ONE)[:-2]):
        assert raw_record(data, IDS[0]) is None


def test_a_number_beyond_all_numbers_where_nothing_is_read_does_not_matter():
    data = document(record(1, requestParameters="@")).replace(b'"@"', b"1e999")
    assert ids(data) == IDS[:1]
    assert raw_record(data, IDS[0]) is None, "but it has no canonical form"
    data = document(record(1, requestParameters="@")).replace(b'"@"', b"9" * 400)
    assert ids(data) == IDS[:1]
    assert b"9" * 400 in raw_record(data, IDS[0])


@pytest.mark.parametrize("data", [b"", b"  \n", BOM, b"[]", b'{"Records": []}', b"[[], []]"])
def test_nothing_is_in_an_empty_object(data):
    for each in (data, zipped(data)):
        reading = read_all(each)
        assert (reading.records, reading.skipped) == (0, 0)


def test_a_control_message_is_skipped():
    control = subscription("CWL CONTROL MESSAGE: Checking health of destination.")
    control["messageType"] = "CONTROL_MESSAGE"
    for data in (encode(control), encode(packed(control)), document(control, ONE)):
        reading = read_all(data)
        assert (reading.skipped, reading.dead) == (1, [])
    assert [event.id for event in reading.events] == IDS[:1]


# gzip


def test_gzip_of_several_members_and_padding():
    members = zipped(lines(ONE)) + zipped(b"") + zipped(lines(TWO, THREE))
    assert ids(members) == IDS
    assert ids(members + bytes(1000)) == IDS
    assert ids(zipped(lines(ONE)) + bytes(7) + zipped(lines(TWO, THREE))) == IDS
    same = zipped(document(ONE))
    assert ids(same + same + same) == [IDS[0]] * 3, "members that are alike are all there"


def test_a_line_may_lie_across_members():
    text = lines(ONE, TWO, THREE)
    assert ids(zipped(text[:700]) + zipped(text[700:])) == IDS


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_chunks_of_any_size(monkeypatch, size):
    monkeypatch.setattr(gunzip, "_READ", size)
    monkeypatch.setattr(gunzip, "_CHUNK", size)
    data = zipped(lines(ONE, TWO)) + bytes(3) + zipped(lines(THREE))
    stream = gunzip.Inflated(io.BytesIO(data))
    assert b"".join(stream) == lines(ONE, TWO, THREE)
    assert (stream.problem, stream.size, stream.head) == ("", len(data), data)


def damaged(data):
    flipped = bytearray(data)
    flipped[-6] ^= 1  # in the checksum
    return {
        "cut": data[: len(data) // 2],
        "cut in the header": data[:5],
        "cut in the checksum": data[:-4],
        "checksum": bytes(flipped),
        "method": data[:2] + b"\x07" + data[3:],
        "garbage behind": data + b"garbage",
        "half a member behind": data + data[:20],
        "one byte behind": data + b"\x1f",
    }


IN_A_MEMBER = ["cut", "cut in the header", "cut in the checksum", "checksum", "method"]
BEHIND_MEMBERS = ["garbage behind", "half a member behind", "one byte behind"]


@pytest.mark.parametrize("text", [document(ONE, TWO, THREE), json.dumps(ONE, indent=1).encode()])
@pytest.mark.parametrize("damage", IN_A_MEMBER)
def test_a_document_in_damaged_gzip_is_refused_whole(damage, text):
    data = damaged(zipped(text))[damage]
    reading = read_all(data)
    (letter,) = reading.dead
    assert not reading.events
    assert (letter.position, letter.raw, letter.raw_size) == (-1, data, len(data))
    assert "gzip data" in letter.reason


@pytest.mark.parametrize("text", [document(ONE, TWO, THREE), lines(ONE, TWO, THREE)])
@pytest.mark.parametrize("damage", BEHIND_MEMBERS)
def test_whole_members_before_the_damage_survive(damage, text):
    reading = read_all(damaged(zipped(text))[damage])
    assert [event.id for event in reading.events] == IDS
    (letter,) = reading.dead
    assert letter.position == -1
    assert "gzip data" in letter.reason


def test_lines_before_a_cut_survive():
    text = lines(ONE, TWO) + encode(THREE)
    compressor = zlib.compressobj(wbits=31)
    data = compressor.compress(text[:-20]) + compressor.flush(zlib.Z_SYNC_FLUSH)
    reading = read_all(data)
    assert [event.id for event in reading.events] == IDS[:2]
    (letter,) = reading.dead
    assert letter.raw == encode(THREE)[:-20]
    assert "ends early" in letter.reason


def test_all_text_before_a_cut_is_given_however_small_the_chunks(monkeypatch):
    compressor = zlib.compressobj(wbits=31)
    data = compressor.compress(b"x" * 100_000) + compressor.flush(zlib.Z_SYNC_FLUSH)
    monkeypatch.setattr(gunzip, "_CHUNK", 1000)
    stream = gunzip.Inflated(io.BytesIO(data))
    assert b"".join(stream) == b"x" * 100_000
    assert "ends early" in stream.problem


def test_a_bomb_is_refused_whole_for_its_output(monkeypatch):
    for module in (pieces, unwrap):
        monkeypatch.setattr(module, "TEXT_LIMIT", 1 << 20)
    for module in (pieces, read):
        monkeypatch.setattr(module, "PIECE", 1 << 16)
    bomb = zipped(b'{"Records": [' + b" " * (1 << 20) + b"]}")
    (letter,) = read_all(bomb).dead
    assert letter.position == -1
    assert "more than 1,048,576 bytes" in letter.reason
    within = read_all(document(packed(" " * (1 << 20)), ONE))
    assert [event.id for event in within.events] == IDS[:1]
    assert "more than 1,048,576 bytes" in within.dead[0].reason
    several = packed(" " * (1 << 19))
    assert len(read_all(document(several, several, several)).dead) == 3
    assert "more than" in read_all(document(several, several, several)).dead[2].reason


def test_long_texts_of_lines_come_in_pieces(monkeypatch):
    for module in (pieces, read):
        monkeypatch.setattr(module, "PIECE", 2000)
    monkeypatch.setattr(gunzip, "_READ", 100)
    monkeypatch.setattr(gunzip, "_CHUNK", 100)
    records = [record(number) for number in range(50)]
    records[20:20] = ["bad"]
    data = zipped(lines(*records))
    readings = list(ObjectReader().read_stream("o", io.BytesIO(data)))
    assert len(readings) > 10
    assert max(reading.records for reading in readings) < 10
    whole = read_all(data)
    assert [event.id for event in whole.events] == [
        record(number)["eventID"] for number in range(50)
    ]
    assert [letter.position for letter in whole.dead] == [20]


def test_a_line_that_is_too_long_costs_only_itself(monkeypatch):
    monkeypatch.setattr(pieces, "TEXT_LIMIT", 5000)
    for module in (pieces, read):
        monkeypatch.setattr(module, "PIECE", 1000)
    monkeypatch.setattr(gunzip, "_READ", 100)
    long = record(9, requestParameters="x" * 20_000)
    reading = read_all(lines(ONE, long, TWO, long, long, THREE, long))
    assert [event.id for event in reading.events] == IDS
    assert len(reading.dead) == 4
    assert {letter.raw_size for letter in reading.dead} == {len(encode(long))}
    assert "at most 5,000" in reading.dead[0].reason


def test_one_record_of_50_megabytes_costs_only_itself():
    huge = encode(record(9, requestParameters="x" * (50 << 20)))
    reading = read_all(lines(ONE) + huge + b"\n" + lines(TWO))
    assert [event.id for event in reading.events] == IDS[:2]
    (letter,) = reading.dead
    assert letter.position == 1
    assert (letter.raw, letter.raw_size) == (huge[:RAW_LIMIT], len(huge))
    assert "at most 16,777,216" in letter.reason


# Damage within


BAD_RECORDS = {
    "no record": b"5",
    "null": b"null",
    "no time": encode(record(eventTime=None)),
    "NaN": encode(record(requestParameters={"x": float("nan")})),
    "lone surrogate": encode(record(awsRegion="\ud800")),
    "lone surrogate elsewhere": encode(record(requestParameters="\udfff")),
    "invalid UTF-8": encode(record()).replace(b"quoted", b"\xff\xfe"),
    "NUL": encode(record()).replace(b"quoted", b"\0"),
    "depth bomb": encode(record(requestParameters="@")).replace(b'"@"', BOMB),
    "number out of range": encode(record(awsRegion="@")).replace(b'"@"', b"1e999"),
    "number of 5,000 digits": encode(record(awsRegion="@")).replace(b'"@"', b"9" * 5000),
    "bad escape": encode(record()).replace(b"quoted", b"\\q"),
    "missing value": encode(record()).replace(b"true", b""),
    "brackets that do not match": b'{"a": [1, 2}]',
    "wrong type": encode(record(userIdentity=[1])),
    "map without meaning": b'{"a": 1}',
    "digest": encode({"digestStartTime": "2015-08-17T14:01:31Z", "logFiles": []}),
    "detail of no event": encode(bridge({"instance-id": "i-1", "state": "running"})),
    "detail of no map": encode(bridge("x")),
    "Records of no list": encode({"Records": {"a": 1}}),
    "awslogs without gzip": encode({"awslogs": {"data": "e30="}}),
    "awslogs without base64": encode({"awslogs": {"data": "?"}}),
    "awslogs without data": encode({"awslogs": {"x": 1}}),
    "awslogs cut": encode({"awslogs": {"data": base64.b64encode(zipped(b"{}")[:-4]).decode()}}),
    "logEvents of no list": encode({"logEvents": 5}),
    "log event without message": encode({"logEvents": [{"id": "1"}]}),
    "log event with empty message": encode(subscription("")),
    "log message of words": encode(subscription("START RequestId")),
    "Elastic document of words": encode({"event": {"original": "words"}}),
    "nine envelopes": b'{"detail": ' * 9 + encode(record()) + b"}" * 9,
    "eight and Records": b'{"detail": ' * 8 + document(record()) + b"}" * 8,
}


@pytest.mark.parametrize("bad", BAD_RECORDS)
def test_a_bad_record_costs_only_itself(bad):
    raw = BAD_RECORDS[bad]
    good = [encode(each) for each in (ONE, TWO, THREE)]
    shapes = (
        b'{"Records":[' + b", ".join([good[0], raw, *good[1:]]) + b"]}",
        b"[" + b",\n".join([good[0], raw, *good[1:]]) + b"]",
        b"\n".join([good[0], raw, *good[1:]]),
        b'{"awsRegion":1, "Records":[' + b", ".join([good[0], raw, *good[1:]]) + b"]}",
    )
    unsound = bad in {"depth bomb", "NaN", "NUL", "bad escape", "missing value"} or (
        "surrogate" in bad or "brackets" in bad
    )
    for data in shapes[: 3 if unsound else 4]:
        reading = read_all(data)
        assert [event.id for event in reading.events] == IDS
        (letter,) = reading.dead
        assert letter.position == 1
        assert letter.reason.endswith(".")
        assert "\n" not in letter.reason
        assert len(letter.reason) < 250


def test_a_dead_letter_says_what_from_where_and_why():
    bad = {"eventName": "x", "eventTime": "..."}
    reading = ObjectReader().read("bucket/key", document(ONE, bad))
    (letter,) = reading.dead
    assert (letter.origin, letter.position, letter.raw) == ("bucket/key", 1, encode(bad))
    assert letter.raw_size == len(encode(bad))
    assert letter.reason == 'eventTime is a string ("..."), not a time like 2021-12-02T22:11:26Z.'


@pytest.mark.parametrize(
    "data",
    [
        b"Event Type,Event Name\nAwsApiCall,ListObjects\n",
        b"START RequestId: 1\nEND",
        document(ONE, TWO)[:-1],
        json.dumps({"Records": [ONE, TWO]}, indent=2).encode()[:-3],
        b'{"Records": [',
        b"{",
        b"PK\x03\x04",
        "{}".encode("utf-16"),
        b"\0" * 100,
        b"{" * 100_000,
    ],
)
def test_what_is_no_json_at_all_is_refused_whole(data):
    for each in (data, zipped(data)):
        (letter,) = read_all(each).dead
        assert (letter.position, letter.raw, letter.raw_size) == (-1, each, len(each))
        assert "The object, which begins with '" in letter.reason


def test_bad_lines_cost_only_themselves():
    whole = encode(TWO)
    bad = [
        *(whole[:300], whole[:-1], whole[1:], whole[300:], b"{", b"}", b'"', b"[", b"]", b"x"),
        *(b'{"a": "', b'{"a": {"b": [', b"]]}}", b'{"a"', b"\\"),
    ]
    for line in bad:
        for place in range(4):
            mixed = [encode(ONE), encode(TWO), encode(THREE)]
            mixed.insert(place, line)
            reading = read_all(b"\n".join(mixed))
            assert [event.id for event in reading.events] == IDS, line
            assert [letter.position for letter in reading.dead] == [place]
            assert reading.dead[0].raw == line
    many = b"\n".join(bad * 20 + [encode(ONE), *bad, encode(bridge(TWO)), encode(THREE)])
    assert [event.id for event in read_all(many).events] == IDS


def test_a_bad_value_among_concatenated_ones_costs_only_itself():
    two, three = (encode({**each, "requestParameters": {}}) for each in (TWO, THREE))
    for bad in (b'{"a": {"b": 1}', b'{"a": [}', b'{"a": "x}'):
        data = lines(ONE) + bad + two + three
        reading = read_all(data)
        assert [event.id for event in reading.events] == IDS, bad
        assert [letter.raw for letter in reading.dead] == [bad]


def test_a_string_ends_with_its_line():
    parts = [encode(ONE), b'{"a": "', encode(TWO), b"}", encode(THREE)]
    reading = read_all(b"\n".join(parts))
    assert [event.id for event in reading.events] == IDS
    assert [letter.raw for letter in reading.dead] == [parts[1], parts[3]]


def test_garbage_behind_a_document_is_not_silent():
    for data in (
        document(ONE, TWO, THREE) + b"x",
        b'{"Records":[5],"a":NaN}' + lines(ONE, TWO, THREE),
    ):
        reading = read_all(data)
        assert [event.id for event in reading.events] == IDS
        assert reading.dead
    tail = b'{"Records":[' + b",".join(map(encode, (ONE, TWO, THREE))) + b'], "a": NaN}'
    reading = read_all(tail)
    assert [event.id for event in reading.events] == IDS
    assert [letter.raw for letter in reading.dead] == [b', "a": NaN}']
    assert [letter.raw for letter in read_all(b'{"Records":[ ], "a": NaN}').dead] == [
        b', "a": NaN}'
    ]


def test_many_bad_lines_take_no_more_than_linear_work(monkeypatch):
    work = []

    def counting(text, at, end):
        work.append(end - at)
        return extent(text, at, end)

    extent = unwrap.extent
    monkeypatch.setattr(unwrap, "extent", counting)
    for bad in (b"{\n" * 2000, b'{"a":{}{' * 2000, b"[{" * 2000):
        text = bad + b"\n" + lines(ONE, TWO, THREE)
        work.clear()
        assert [event.id for event in read_all(text).events] == IDS
        assert sum(work) < 50 * len(text)


def test_commas_too_many():
    data = b'{"Records":[' + encode(ONE) + b",," + encode(TWO) + b", " + encode(THREE) + b",]}"
    reading = read_all(data)
    assert [event.id for event in reading.events] == IDS
    assert [letter.position for letter in reading.dead] == [1, 4]


def test_a_list_so_dense_that_it_would_fill_the_memory_is_read_all_the_same():
    data = b'{"Records":[' + b"0," * 1000 + encode(ONE) + b"]}"
    with patch.object(unwrap, "_RAWS", None):
        reading = read_all(data)
    assert [event.id for event in reading.events] == IDS[:1]
    assert len(reading.dead) == 1000


def test_of_a_list_without_measure_the_rest_is_one_dead_letter(monkeypatch):
    monkeypatch.setattr(scan, "ELEMENTS_LIMIT", 10)
    data = b'{"Records":[' + encode(ONE) + b",0" * 1000 + b"]}"
    reading = read_all(data)
    assert [event.id for event in reading.events] == IDS[:1]
    assert len(reading.dead) == 10
    assert reading.dead[-1].raw == b",".join([b"0"] * 991) + b"]"


def test_what_is_within_a_broken_value_within_another_goes_with_it():
    broken = b'{"Records":[' + encode(TWO) + b", NaN]}"
    reading = read_all(b'{"Records":[' + encode(ONE) + b"," + broken + b"]}")
    assert [event.id for event in reading.events] == IDS[:1]
    assert [letter.raw for letter in reading.dead] == [broken]


def test_of_very_many_dead_letters_the_rest_becomes_one(monkeypatch):
    monkeypatch.setattr(read, "DEAD_LIMIT", 5)
    reading = read_all(lines(*range(8), ONE, *range(8)), buried=10)
    assert [event.id for event in reading.events] == IDS[:1]
    assert len(reading.dead) == 6
    assert reading.records == 17
    assert reading.dead[-1].position == 5
    assert reading.dead[-1].reason.startswith("11 more cannot be read, the first since: The record")


def test_positions_count_what_is_read_quickly_too():
    reading = read_all(lines(ONE, {"Records": [TWO, 5, THREE]}, bridge(6), ONE, 7))
    assert [letter.position for letter in reading.dead] == [2, 4, 6]


def test_an_origin_that_is_no_utf8_is_written_out():
    reading = ObjectReader().read("a\udcff", document(ONE, 5))
    assert reading.events[0].origin == reading.dead[0].origin == "a\\udcff"


def test_a_source_that_gives_little_at_a_time():
    class Slow(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 3))

    data = gzip.compress(lines(ONE, TWO, THREE))
    (reading,) = ObjectReader().read_stream("o", Slow(data))
    assert [event.id for event in reading.events] == IDS


def test_an_error_of_the_source_is_not_swallowed():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(ObjectReader().read_stream("o", Broken()))
