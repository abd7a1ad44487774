"""Every trap of the shared data, with the right answer spelled out by hand."""

import gzip
import json

import pytest

from transforms.read import ObjectReader

CONFIG_ROLE = {
    "user_name": "",
    "user": "",
    "user_id": "AROAVBW53AN5GFCIVAFEF:ElasticLoadBalancingDescribeHandlerSession",
    "service": "config.amazonaws.com",
    "account": "347283850106",
    "address": "config.amazonaws.com",
    "ip": "",
    "place": "",
    "failed": False,
    "write": False,
    "action": "DescribeLoadBalancers",
    "provider": "elasticloadbalancing.amazonaws.com",
    "region": "eu-west-1",
    "time": 1638483085000,
}
SSO_SESSION = {
    "user_name": "AWSReservedSSO_ReadOnly_abcdef012345",
    "user": "AWSReservedSSO_ReadOnly_abcdef012345",
    "user_id": "AROAI3FHNTUD3XMDE2RFF:user@example.com",
    "session": "user@example.com",
    "person": "user@example.com",
    "service": "",
    "account": "111122223333",
    "ip": "192.0.2.50",
    "place": "",
    "action": "GetObject",
}
LEVEL6 = {
    "user_name": "Level6",
    "user": "Level6",
    "user_id": "AIDADO2GQD0K8TEF7KW1V",
    "service": "",
    "account": "811596193553",
    "ip": "205.8.181.128",
    "tool": "boto3",
    "write": False,
}
TRAIL_DISCOVER = {
    "user_name": "TrailDiscover",
    "user": "TrailDiscover",
    "user_id": "AROA****************:User",
    "service": "",
    "account": "111111111111",
    "tool": "aws-cli",
    "failed": True,
}

EVENTS = {
    "ip_aws_internal": {
        "user_name": "LogHub-Pipe-bfe64-S3toOpenSearchStackSenderLambdaR-UNR6O2WK9FTV",
        "service": "AWS Internal",
        "address": "AWS Internal",
        "ip": "",
        "place": "",
        "network": "",
        "agent": "AWS Internal",
        "tool": "aws internal",
        "action": "Decrypt",
        "account": "347283850106",
        "write": False,
    },
    "ip_service_dns": CONFIG_ROLE,
    "service_linked_role": CONFIG_ROLE,
    "request_parameters_null": CONFIG_ROLE,
    "aws_service_no_ids": {
        "user_name": "",
        "user": "",
        "user_id": "",
        "kind": "AWSService",
        "service": "cloudtrail.amazonaws.com",
        "account": "347283850106",  # the recipient's: the identity has none
        "ip": "",
        "action": "GetBucketAcl",
        "write": False,
    },
    "session_name_instance_id": {
        "user_name": "sampleuser223",
        "user": "sampleuser223",
        "session": "i-e22f71295cdf5df4f",
        "person": "",
        "user_id": "AROC7E598EE6F3133789",
        "ip": "203.0.113.89",
        "place": "",  # a documentation address
        "network": "203.0",
        "action": "UpdateInstanceInformation",
        "write": True,
        "tool": "aws-sdk-go",
    },
    "session_name_guid": {
        "user_name": "LogHub-Pipe-3a2ac-CWtoOpenSearchStackCWDestination-1WCPOGLE1YLYQ",
        "session": "c95c6bcfe9033cfff4d3d0c295caf16e",
        "person": "",
        "service": "logs.amazonaws.com",
        "ip": "",
        "action": "GenerateDataKey",
    },
    "session_name_email": SSO_SESSION,
    "on_behalf_of": SSO_SESSION,  # of an assumed role, user.id stays the principal's
    "aws_account_cross_account": {
        "user_name": "",
        "user": "",
        "user_id": "AROC7E598EE6F3133789",
        "kind": "AWSAccount",
        "service": "",
        "account": "123456789012",
        "action": "Sign",
        "tool": "aws-sdk-js",
    },
    "event_service_no_type": {
        "user_name": "",
        "user": "",
        "kind": "",
        "service": "secretsmanager.amazonaws.com",
        "account": "123456789012",
        "action": "SecretVersionDeletion",
        "write": True,
    },
    "web_identity_user": {
        "user_name": "devuser24",
        "user": "devuser24",
        "user_id": "arn:0A8EE4AACD210C1AE",
        "account": "123456789012",
        "action": "AssumeRoleWithWebIdentity",
        "tool": "aws-sdk-java",
    },
    "saml_user": {
        "user_name": "SamlExample",
        "user": "SamlExample",
        "user_id": "SampleUkh1i4+ExamplexL/jEvs=:SamlExample",
        "account": "444455556666",
        "action": "AssumeRoleWithSAML",
        "ip": "192.0.2.101",
    },
    "federated_user": {
        "user_name": "",  # no issuer: the name in the ARN does not count
        "user": "",
        "user_id": "123456789012:federated-user",
        "kind": "FederatedUser",
        "account": "123456789012",
        "action": "UpdateFunctionConfiguration20150331v2",  # verbatim, version and all
        "id": "1",
        "write": True,
    },
    "identity_center_user": {
        "user_name": "alice@example.com",
        "user": "alice@example.com",
        "user_id": "11111111-2222-3333-4444-555555555555",
        "arn": "",
        "access_key": "",
        "account": "111122223333",
        "ip": "81.2.69.144",
        "country": "GB",
        "city": "London",
        "place": "London",
        "action": "UserAuthentication",
        "tool": "browser",
        "failed": False,
    },
    "unknown_type": {
        "user_name": "",
        "user": "",
        "kind": "Unknown",
        "user_id": "AROA****************:User",
        "account": "111111111111",
        "ip": "0.0.0.0",
        "place": "",
        "action": "AcceptAgreementRequest",
        "write": True,
    },
    "root": {
        "user_name": "grycap-aws",
        "user": "root",
        "user_id": "974349055189",
        "service": "autoscaling.amazonaws.com",
        "account": "974349055189",
        "ip": "",
        "action": "CreateTags",
        "write": False,  # readOnly is not there at all
    },
    "root_no_username": {
        "user_name": "",
        "user": "root",
        "user_id": "123456789012",
        "access_key": "",
        "ip": "111.111.111.111",
        "place": "",
        "action": "ConsoleLogin",
        "failed": False,
        "error": "",
    },
    "iam_user_without_username": {
        "user_name": "",
        "user": "",
        "user_id": "AIDAI23HXS4EXAMPLE",
        "arn": "arn:aws:iam::111111111111:user/testuser",
        "error": "AccessDenied",
        "failed": True,
        "action": "DeleteBucketEncryption",
    },
    "assumed_role_no_issuer": {
        "user_name": "",
        "user": "",
        "session": "test_user",
        "user_id": "AR0A354LKJXC87G9XC89V:test_user",
        "time": 1669237605000,  # "2022-11-23 21:06:45", without T and zone
        "ip": "1.1.1.1",
        "action": "GetAlternateContact",
    },
    "sessionissuer_empty_object": {
        "user_name": "pedro",
        "user": "pedro",
        "account": "123456789123",
        "ip": "1.2.3.4",
        "time": 1600044260000,  # "2020-09-14T00:44:20.000Z"
        "tool": "console",
        "action": "DescribeVolumes",
    },
    "shared_event_id": {
        "user_name": "",
        "service": "ec2.amazonaws.com",
        "account": "123456789123",
        "id": "1da77391-d4f7-4c3f-bc15-dcb4e5e1e4d8",  # not the shared one
        "action": "AssumeRole",
    },
    "network_activity": {
        "user_name": "",
        "user": "",
        "user_id": "AROAEXAMPLE:session-name",
        "account": "111111111111",
        "ip": "10.0.0.1",
        "place": "inside",
        "country": "",
        "network": "10.0",
        "error": "VpceAccessDenied",
        "failed": True,
        "action": "GetObject",
    },
    "error_message_without_code": {
        "user_name": "anaya",
        "error": "Failed authentication",
        "failed": True,
        "access_key": "",
        "action": "ConsoleLogin",
        "ip": "192.0.2.0",
    },
    "error_code_without_message": {
        **LEVEL6,
        "error": "InvalidAccessException",
        "failed": True,
        "action": "GetEnabledStandards",
    },
    "error_code_client_prefix": {
        **TRAIL_DISCOVER,
        "error": "Client.InvalidParameterValue",
        "ip": "0.0.0.0",
        "action": "AttachVolume",
        "write": True,
    },
    "addendum": {
        "user_name": "Admin",
        "id": "BEXAMPLE-1234-5678-abcd-EXAMPLE00002",
        "action": "DescribeInstances",
        "region": "ap-southeast-2",
        "tool": "console",
    },
    "large_record": {**LEVEL6, "failed": False, "action": "DescribeEventCategories"},
    "cloudwatch_subscription_wrapper": {
        "user_name": "",
        "service": "lambda.amazonaws.com",
        "account": "123456789012",
        "ip": "203.0.113.133",
        "action": "AssumeRole",
        "id": "e4f8d6c3-9a72-91c7-2a45-687cf9943cdd",
    },
    "ip_leading_zero": {
        **TRAIL_DISCOVER,
        "address": "253.252.51.07",
        "ip": "",
        "place": "",
        "network": "",
        "error": "AccessDenied",
        "action": "GetCertificate",
    },
}
REFUSED = {"insight_event": "Insight", "digest_file": "digest"}
LISTS = {
    "exact_duplicate_event_id": [{**LEVEL6, "action": "DescribeAgents", "failed": True}] * 2,
    "event_version_1_01_to_1_11": [
        {"user_name": user, "action": action, "write": write}
        for user, action, write in (
            ("Alice", "StartInstances", False),
            ("Alice", "CreateRole", True),
            ("Alice", "ConsoleLogin", False),
            ("MyRole", "PutKeyPolicy", True),
            ("", "ApplyPendingMaintenanceAction", False),
            ("Administrator", "GetBucketLocation", False),
            ("Alice", "GetObject", False),
            ("AppRole", "CreateKey", True),
            ("Mary", "CreateUser", True),
            ("Mary", "AssumeRole", True),
            ("Mary_Major", "StartLogging", True),
            ("Admin", "DescribeInstances", False),
            ("Admin", "PutObject", True),
            ("Alice", "AssumeRole", True),
        )
    ],
}


@pytest.fixture(scope="module")
def traps(shared):
    with (shared / "data" / "traps" / "traps.ndjson").open(encoding="utf-8") as file:
        return {trap["trap"]: trap["record"] for trap in map(json.loads, file)}


@pytest.fixture(scope="module")
def reader(shared):
    return ObjectReader("role", str(shared / "data" / "geoip" / "GeoIP2-City-Test.mmdb"))


def described(event):
    fields = {}
    for part in (event.source, event.actor, event):
        fields |= {name: getattr(part, name) for name in part.__struct_fields__}
    return fields


def check(event, expected):
    fields = described(event)
    assert {name: fields[name] for name in expected} == expected


def test_every_trap_has_its_answer(traps):
    assert set(traps) == EVENTS.keys() | REFUSED.keys() | LISTS.keys()
    assert len(traps) == 34


@pytest.mark.parametrize("trap", EVENTS)
def test_a_trap(trap, traps, reader):
    reading = reader.read("o", json.dumps(traps[trap]).encode())
    assert (len(reading.events), reading.dead, reading.skipped) == (1, [], 0)
    check(reading.events[0], EVENTS[trap])


@pytest.mark.parametrize("trap", LISTS)
def test_a_trap_of_several_records(trap, traps, reader):
    reading = reader.read("o", json.dumps(traps[trap]).encode())
    assert not reading.dead
    for event, expected in zip(reading.events, LISTS[trap], strict=True):
        check(event, expected)


def test_a_repeated_event_id_gives_two_events_of_one_hash(traps, reader):
    one, two = reader.read("o", json.dumps(traps["exact_duplicate_event_id"]).encode()).events
    assert (one.id, one.hash) == (two.id, two.hash)
    assert one.time != two.time


@pytest.mark.parametrize("trap", REFUSED)
def test_a_trap_that_is_no_api_call(trap, traps, reader):
    for value in (traps[trap], {"Records": [traps[trap]]}):
        (letter,) = reader.read("o", json.dumps(value).encode()).dead
        assert REFUSED[trap] in letter.reason


@pytest.mark.parametrize(
    ("name", "actions"),
    [
        ("concatenated_members.json.gz", None),
        ("empty_records.json.gz", []),
        ("plain_not_gzipped.json.gz", None),
        ("records_plus_bom.json", None),
    ],
)
def test_a_trap_of_a_file(name, actions, shared, reader):
    data = (shared / "data" / "traps" / name).read_bytes()
    reading = reader.read(name, data)
    if actions is None:
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        rest, actions = text.decode("utf-8-sig"), []
        while rest:
            value, end = json.JSONDecoder().raw_decode(rest)
            actions += [each["eventName"] for each in value["Records"]]
            rest = rest[end:].lstrip()
        assert actions
    assert [event.action for event in reading.events] == actions
    assert (reading.dead, reading.skipped) == ([], 0)


def test_the_truncated_file_is_refused_whole(shared, reader):
    data = (shared / "data" / "traps" / "truncated.json.gz").read_bytes()
    reading = reader.read("o", data)
    (letter,) = reading.dead
    assert (reading.events, reading.records) == ([], 1)
    assert (letter.position, letter.raw) == (-1, data)
    assert letter.reason == "The gzip data ends early, after 7,917 bytes."
