"""One record -> Event: fields, times, tools, refusals; and that both ways lead to one event."""

import json
from hashlib import blake2b

import pytest
from made import ALICE, assumed_role, encode, record

from schemas.event import Event, Source
from transforms.agent import tool_of
from transforms.identify import identify
from transforms.parse import RECORD_LIMIT, Parser, canonical, fingerprint, record_id
from transforms.read import ObjectReader
from transforms.times import parse_time
from transforms.values import Memo, RefusedError


def parse(**changes):
    """The event of a record by both ways, which must agree; RefusedError if it is none."""
    raw = encode(record(**changes))
    reading = ObjectReader().read("o", raw)
    careful, refusal = None, None
    try:
        careful = Parser().careful(raw, "o")
    except RefusedError as error:
        refusal = error
    assert reading.events == ([careful] if careful else [])
    assert [letter.reason for letter in reading.dead] == ([str(refusal)] if refusal else [])
    if refusal:
        raise refusal
    return careful


def test_every_field():
    event_id = "11111111-2222-3333-4444-000000000007"
    assert parse(number=7, readOnly=False, errorCode="AccessDenied", errorMessage="no") == Event(
        time=1710318809000,
        action="GetObject",
        id=event_id,
        hash=blake2b(event_id.encode(), digest_size=8).digest(),
        actor=identify(ALICE),
        source=Source("81.2.69.144", "81.2.69.144", network="81.2"),
        provider="s3.amazonaws.com",
        region="eu-west-1",
        account="111122223333",
        agent="aws-cli/2.13.0 Python/3.11.4",
        tool="aws-cli",
        error="AccessDenied",
        failed=True,
        write=True,
        origin="o",
    )


@pytest.mark.parametrize("absent", ["", "-", "none", [], {}])
def test_absent_is_absent_everywhere(absent):
    optional = (
        *("userIdentity", "eventSource", "awsRegion", "sourceIPAddress", "userAgent", "errorCode"),
        *("errorMessage", "readOnly", "recipientAccountId", "eventType", "eventID"),
    )
    raw = encode(record(**dict.fromkeys(optional, absent)))
    event = Parser().careful(raw, "")
    bare = dict.fromkeys(optional)
    without = Parser().careful(encode(record(**bare)), "")
    assert event.id == fingerprint(raw)
    assert event.id != without.id, "the record is another one"
    empty = Event(event.time, "GetObject", event.id, event.hash, identify({}), Source())
    assert event == empty
    assert ObjectReader().read("", raw).events == [empty]


@pytest.mark.parametrize(
    ("field", "value", "attribute", "expected"),
    [
        ("recipientAccountId", 12345, "account", "000000012345"),
        ("recipientAccountId", 123456789012, "account", "123456789012"),
        ("awsRegion", 7, "region", "7"),
        ("userAgent", True, "agent", "true"),
        ("errorCode", 403, "error", "403"),
        ("eventID", 1234567, "id", "1234567"),
        ("sourceIPAddress", 1.5, "provider", "s3.amazonaws.com"),
        ("awsRegion", 10**40, "region", f"1{'0' * 40}"),
    ],
)
def test_scalars_are_their_text(field, value, attribute, expected):
    event = parse(userIdentity={"type": "Unknown"}, **{field: value})
    assert getattr(event, attribute) == expected


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"userIdentity": [1]}, "userIdentity is a list"),
        ({"userIdentity": "alice"}, 'userIdentity is a string ("alice")'),
        ({"userIdentity": 7}, "userIdentity is a number"),
        ({"userIdentity": {"sessionContext": "x"}}, "userIdentity.sessionContext is a string"),
        ({"eventTime": 1710318809}, "eventTime is a number (1710318809)"),
        ({"eventTime": None}, "eventTime is missing"),
        ({"eventTime": ["x"]}, "eventTime is a list"),
        ({"eventName": None}, "eventName is missing"),
        ({"eventName": "-"}, 'eventName is a string ("-")'),
        ({"eventName": 7}, "eventName is a number"),
        ({"eventName": {"a": 1}}, "eventName is a map"),
        ({"userAgent": ["..."]}, 'userAgent is a list (["..."])'),
        ({"sourceIPAddress": {"ip": "1.1.1.1"}}, "sourceIPAddress is a map"),
        ({"eventID": ["x"]}, "eventID is a list"),
        ({"readOnly": ["x"]}, "readOnly is a list"),
        ({"errorCode": {"x": 1}}, "errorCode is a map"),
        ({"recipientAccountId": [1]}, "recipientAccountId is a list"),
        ({"eventType": [1]}, "eventType is a list"),
        (
            {"eventName": "ConsoleLogin", "responseElements": "Failure"},
            "responseElements is a string",
        ),
        (
            {"eventName": "UserAuthentication", "additionalEventData": [1]},
            "additionalEventData is a list",
        ),
    ],
)
def test_wrong_types_are_refused_by_name(changes, named):
    with pytest.raises(RefusedError) as refusal:
        parse(**changes)
    assert str(refusal.value).startswith(named)


def test_a_wrong_type_where_nothing_is_read_does_not_matter():
    assert parse(responseElements="x", additionalEventData=[1], requestParameters=7).action


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"eventType": "AwsCloudTrailInsight", "insightDetails": {}}, "Insight"),
        ({"eventSource": "aws:s3", "s3": {"object": {"key": "k"}}}, "S3 event notification"),
        (
            {"eventTime": None, "eventName": None, "digestStartTime": "2015-08-17T14:01:31Z"},
            "digest",
        ),
    ],
)
def test_what_is_no_api_call_is_refused_as_such(changes, named):
    with pytest.raises(RefusedError, match=named):
        parse(**changes)


def test_an_event_source_alone_does_not_make_a_notification():
    assert parse(eventSource="aws:s3").provider == "aws:s3"


@pytest.mark.parametrize(
    ("code", "message", "error", "failed"),
    [
        (None, None, "", False),
        ("AccessDenied", None, "AccessDenied", True),
        ("Client.UnauthorizedOperation", "No.", "Client.UnauthorizedOperation", True),
        (None, "Failed authentication", "Failed authentication", True),
        (None, "m" * 100, "m" * 64, True),
        ("-", "none", "", False),
        ("", "x", "x", True),
    ],
)
def test_error_and_outcome(code, message, error, failed):
    event = parse(errorCode=code, errorMessage=message)
    assert (event.error, event.failed) == (error, failed)


@pytest.mark.parametrize(
    ("response", "message", "failed"),
    [
        ({"ConsoleLogin": "Failure"}, None, True),
        ({"ConsoleLogin": "FAILURE"}, None, True),
        ({"ConsoleLogin": "Success"}, None, False),
        ({"ConsoleLogin": "Success"}, "odd", False),
        ({"ConsoleLogin": "..."}, "odd", True),
        ({}, "Failed authentication", True),
        (None, None, False),
    ],
)
def test_a_console_login_says_itself_how_it_went(response, message, failed):
    event = parse(eventName="ConsoleLogin", responseElements=response, errorMessage=message)
    assert event.failed is failed
    other = parse(eventName="GetObject", responseElements=response, errorMessage=message)
    assert other.failed is (message is not None)


@pytest.mark.parametrize(
    ("read_only", "write"),
    [
        *((False, True), ("false", True), ("False", True), (True, False), ("true", False)),
        *((None, False), ("maybe", False), ("-", False), (0, False)),
    ],
)
def test_write(read_only, write):
    assert parse(readOnly=read_only).write is write


def test_an_identity_center_user_is_named_when_signing_in():
    center = {"type": "IdentityCenterUser", "onBehalfOf": {"userId": "1-2-3"}}
    data = {"UserName": "jo@example.com"}
    event = parse(userIdentity=center, eventName="UserAuthentication", additionalEventData=data)
    assert (event.actor.user, event.actor.user_id) == ("jo@example.com", "1-2-3")
    parser = Parser()
    raw = encode(record(userIdentity=center, eventName="UserAuthentication"))
    named = {"eventName": "UserAuthentication", "additionalEventData": data}
    assert parser.careful(encode(record(userIdentity=center, **named)), "").actor.user
    assert parser.careful(raw, "").actor.user == "", "the name of another record is not remembered"
    assert parse(userIdentity=center, additionalEventData=data).actor.user == ""


def test_account_is_the_callers_else_the_recipients():
    assert parse(recipientAccountId="999988887777").account == "111122223333"
    event = parse(userIdentity={"type": "AWSService"}, recipientAccountId="999988887777")
    assert (event.account, event.actor.account) == ("999988887777", "")


def test_equal_identities_share_one_actor():
    one, two = assumed_role("Dev", "jo"), assumed_role("Dev", "jo")
    two["sessionContext"]["attributes"] = {"creationDate": "2024-03-13T08:00:00Z"}
    records = [record(n, userIdentity=identity) for n, identity in enumerate((one, two, one))]
    events = ObjectReader().read("", encode(records)).events
    assert events[0].actor is events[1].actor is events[2].actor


def test_policies():
    users = [
        ObjectReader(policy).read("", encode(record(userIdentity=assumed_role("Dev", "jo"))))
        for policy in ("role", "session", "principal", "issuer")
    ]
    assert [reading.events[0].actor.user for reading in users] == [
        *("Dev", "Dev/jo", "AROAEXAMPLE:jo", "arn:aws:iam::111122223333:role/Dev")
    ]
    with pytest.raises(ValueError, match="'rôle' is none of role, session, principal, issuer"):
        ObjectReader("rôle")


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2099-12-31T23:59:59Z", 4102444799000),
        ("2021-12-02T22:11:26Z", 1638483086000),
        ("2021-12-02 22:11:26", 1638483086000),
        ("2021-12-02T22:11:26", 1638483086000),
        ("2021-12-02 22:11:26Z", 1638483086000),
        ("2021-12-02T22:11:26.123Z", 1638483086123),
        ("2021-12-02 22:11:26.123456", 1638483086123),
        ("2021-12-02T22:11:26.999999999Z", 1638483086999),
        ("2021-12-02T23:41:26+01:30", 1638483086000),
        ("2021-12-02T23:41:26+0130", 1638483086000),
        ("2021-12-02T14:11:26.5000-08:00", 1638483086500),
        ("2024-02-29T00:00:00Z", 1709164800000),
        ("0001-01-01T00:00:00+12:00", -62135596800000 - 12 * 3600_000),
    ],
)
def test_times(text, milliseconds):
    assert parse_time(text) == milliseconds
    assert parse(eventTime=text).time == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        *("...", "string", "", "2021-12-02", "2021-12-02T22:11Z", "2021-12-02T22:11:26.12Z"),
        *("2021-12-02T22:11:26.1234567890Z", "2021-12-02t22:11:26Z", "2021-12-02T22:11:26z"),
        *("2021-02-29T00:00:00Z", "2021-13-01T00:00:00Z", "2021-00-01T00:00:00Z"),
        *("2021-12-02T24:00:00Z", "2021-12-02T22:60:00Z", "2021-12-02T22:11:60Z"),
        *("0000-01-01T00:00:00Z", "2021-12-02T22:11:26+24:00", "2021-12-02T22:11:26+01:60"),
        *("２０２１-12-02T22:11:26Z", " 2021-12-02T22:11:26Z", "2021-12-02T22:11:26Z\n"),
        *("2021-12-02T22:11:26 UTC", "Dec 2, 2021", "1638483086", "2021-12-02T22:11: 26Z"),
    ],
)
def test_what_is_no_time(text):
    with pytest.raises(RefusedError, match="eventTime is a string"):
        parse(eventTime=text)


@pytest.mark.parametrize(
    ("agent", "tool"),
    [
        ("", ""),
        ("aws-cli/2.13.0 Python/3.11.4 botocore/2.4", "aws-cli"),
        ("[aws-cli/1.16.263 Python/3.4.7 botocore/1.12.253]", "aws-cli"),
        ("Boto3/1.15.2 Python/3.8.2 Linux/5.6 Botocore/1.18.2", "boto3"),
        ("Botocore/1.18.2", "botocore"),
        ("aws-sdk-java/2.20.74 Linux/5.10 kotlin", "aws-sdk-java"),
        ("aws-sdk-go/1.44.260 (go1.20.12; linux; amd64) amazon-ssm-agent/", "aws-sdk-go"),
        ("aws-sdk-go-v2/1.14.0 os/macos", "aws-sdk-go"),
        ("amazon-vpc-cni-k8s/v1.15.4 aws-sdk-go/1.47.0", "aws-sdk-go"),
        ("aws-sdk-nodejs/2.1 linux", "aws-sdk-js"),
        ("aws-sdk-js/3.360.0 ua/2.0", "aws-sdk-js"),
        ("APN/1.0 HashiCorp/1.0 Terraform/1.1.2 aws-sdk-go/1.42", "terraform"),
        ("cloudformation.amazonaws.com", "cloudformation"),
        ("config.amazonaws.com", "config"),
        ("streams.metrics.cloudwatch.amazonaws.com", "streams.metrics.cloudwatch"),
        ("AWS Internal", "aws internal"),
        ("console.amazonaws.com", "console"),
        ("console.ec2.amazonaws.com", "console"),
        ("[S3Console/0.4, aws-internal/3 aws-sdk-java/1.11.666 Linux]", "console"),
        ("signin.amazonaws.com", "console"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "browser"),
        ("Mozilla", "browser"),
        ("Go-http-client/1.1", "go-http-client"),
        ("ec2-api-tools 1.6.12.2", "ec2-api-tools"),
        ("stratus-red-team_05dbb79c-68f8-436e-ad26-ef7b3eaf9f94", "stratus-red-team_*"),
        ("x" * 100, "x" * 32),
        ("curl/8 " + "x" * 1024 + " Terraform/1.1", "curl"),
    ],
)
def test_tools(agent, tool):
    assert tool_of(agent) == tool
    assert parse(userAgent=agent).tool == tool


def test_canonical_json_and_the_id_of_a_record_without_one():
    raw = b' {"b": [1, 2.50, "\\u00e9"],\n "a": {"d": null, "c": 100000000000000000000000}} '
    assert (
        canonical(raw) == '{"a":{"c":100000000000000000000000,"d":null},"b":[1,2.5,"é"]}'.encode()
    )
    spaced = json.dumps(record(eventID=None), indent=2).encode()
    dense = encode(dict(reversed(record(eventID=None).items())))
    assert record_id(spaced) == record_id(dense) == fingerprint(dense)
    assert len(record_id(dense)) == 32
    assert record_id(dense) != record_id(encode(record(eventID=None, awsRegion="x")))
    assert record_id(encode(record(7))) == record(7)["eventID"]
    assert parse(eventID=None).id == fingerprint(dense)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"5", "is a number (5), not a map"),
        (b'"x"', 'is a string ("x"), not a map'),
        (b"null", "is missing or null, not a map"),
        (b"{}", "eventTime is missing"),
        (b'{"a": "\xff"}', "not valid UTF-8: byte 0xff at 7"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b'{"a": "\x00"}', "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
        (b'{"awsRegion": 1e999}', "not valid JSON: number out of range"),
    ],
)
def test_bytes_that_are_no_record(raw, reason):
    with pytest.raises(RefusedError) as refusal:
        Parser().careful(raw, "")
    assert reason in str(refusal.value)


def test_a_record_may_have_16_megabytes():
    room = RECORD_LIMIT - len(encode(record(requestParameters={"x": ""})))
    full = encode(record(requestParameters={"x": "x" * room}))
    assert len(full) == RECORD_LIMIT
    assert Parser().careful(full, "").action == "GetObject"
    with pytest.raises(RefusedError, match="16,777,217 bytes"):
        Parser().careful(full + b" ", "")


def test_a_memo_computes_once_forgets_in_time_and_keeps_nothing_long():
    calls = []
    memo = Memo(lambda key: calls.append(key) or len(calls), limit=2, longest=3)
    assert [memo["a"], memo["b"], memo["a"]] == [1, 2, 1]
    assert memo["c"] == 3
    assert len(memo) == 1
    assert [memo["long"], memo["long"]] == [4, 5]
    assert len(memo) == 1
