"""The identity table of DESIGN.md, type by type and policy by policy."""

import pytest
from made import ALICE, assumed_role

from schemas.event import Actor
from transforms.identify import POLICIES, identify, is_machine
from transforms.values import RefusedError

LINKED = "arn:aws:iam::111122223333:role/aws-service-role/config.amazonaws.com/AWSServiceRoleFor"
SERVICE_LINKED = assumed_role(
    "AWSServiceRoleForConfig",
    "ConfigSession",
    sessionContext={
        "sessionIssuer": {
            "arn": f"{LINKED}Config",
            "userName": "AWSServiceRoleForConfig",
        }
    },
)
WEB = {"type": "WebIdentityUser", "principalId": "provider:app:jo", "userName": "jo"}
SAML = {"type": "SAMLUser", "principalId": "hash=:jo", "userName": "jo"}
FEDERATED = {
    "type": "FederatedUser",
    "principalId": "111122223333:jo",
    "arn": "arn:aws:sts::111122223333:federated-user/jo",
    "sessionContext": {
        "sessionIssuer": {"arn": "arn:aws:iam::111122223333:user/broker", "userName": "broker"}
    },
}
ROOT = {
    "type": "Root",
    "principalId": "111122223333",
    "arn": "arn:aws:iam::111122223333:root",
    "accountId": "111122223333",
}
CENTER = {"type": "IdentityCenterUser", "arn": "", "onBehalfOf": {"userId": "1-2-3"}}
OTHER_ACCOUNT = {"type": "AWSAccount", "principalId": "AROAX:s", "accountId": "999988887777"}
UNKNOWN = {"type": "Unknown", "principalId": "AROAX:jo", "userName": "jo", "arn": "arn:aws:sts:::x"}
SERVICE = {"type": "AWSService", "invokedBy": "lambda.amazonaws.com", "principalId": "p"}
NO_TYPE = {"accountId": "111122223333", "invokedBy": "secretsmanager.amazonaws.com"}
NO_ISSUER = {
    "type": "AssumedRole",
    "principalId": "AROAX:jo",
    "arn": "arn:aws:sts::111122223333:assumed-role/Dev/jo",
}

CASES = [
    # identity, then the user under role, session, principal, issuer
    ("IAMUser", ALICE, ("alice", "alice", "AIDAEXAMPLE", ALICE["arn"])),
    ("web", WEB, ("jo", "jo", "provider:app:jo", "")),
    ("SAML", SAML, ("jo", "jo", "hash=:jo", "")),
    (
        "role",
        assumed_role("Dev", "jo"),
        ("Dev", "Dev/jo", "AROAEXAMPLE:jo", "arn:aws:iam::111122223333:role/Dev"),
    ),
    (
        "machine",
        assumed_role("Node", "i-0123456789abcdef0"),
        (
            "Node",
            "Node/*",
            "AROAEXAMPLE:i-0123456789abcdef0",
            "arn:aws:iam::111122223333:role/Node",
        ),
    ),
    ("no issuer", NO_ISSUER, ("", "Dev/jo", "AROAX:jo", NO_ISSUER["arn"])),
    ("no ARN either", {"type": "AssumedRole", "principalId": "A:jo"}, ("", "", "A:jo", "")),
    ("service-linked", SERVICE_LINKED, ("", "", "", "")),
    (
        "federated",
        FEDERATED,
        ("broker", "broker", "111122223333:jo", "arn:aws:iam::111122223333:user/broker"),
    ),
    ("root", ROOT, ("root", "root", "root", "root")),
    ("root with alias", {**ROOT, "userName": "alias"}, ("root", "root", "root", "root")),
    ("center", CENTER, ("", "", "1-2-3", "")),
    ("other account", OTHER_ACCOUNT, ("", "", "AROAX:s", "")),
    ("unknown", UNKNOWN, ("", "", "AROAX:jo", "arn:aws:sts:::x")),
    ("service", SERVICE, ("", "", "", "")),
    ("no type", NO_TYPE, ("", "", "", "")),
    ("nobody", {}, ("", "", "", "")),
]


@pytest.mark.parametrize(
    ("identity", "users"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_user_under_each_policy(identity, users):
    actors = [identify(identity, policy) for policy in POLICIES]
    assert tuple(actor.user for actor in actors) == users
    assert len({actor.user_name for actor in actors}) == 1, "user.name knows no policy"


def test_user_name_is_the_table_not_the_detectors_user():
    assert identify(ROOT).user_name == ""
    assert identify({**ROOT, "userName": "alias"}).user_name == "alias"
    assert identify(assumed_role("Dev", "jo"), "session").user_name == "Dev"
    assert identify({**ALICE, "userName": None}).user_name == "", "no fall-back to the ARN"
    assert identify(OTHER_ACCOUNT | {"userName": "x"}).user_name == ""


def test_everything_an_actor_holds():
    assert identify(assumed_role("Dev", "jo@example.com", accessKeyId="ASIAX")) == Actor(
        user="Dev",
        user_name="Dev",
        user_id="AROAEXAMPLE:jo@example.com",
        kind="AssumedRole",
        account="111122223333",
        arn="arn:aws:sts::111122223333:assumed-role/Dev/jo@example.com",
        access_key="ASIAX",
        session="jo@example.com",
        person="jo@example.com",
        service="",
    )


def test_identity_center_user_is_named_by_the_sign_in_only():
    assert identify(CENTER, signed_in="jo@example.com").user_name == "jo@example.com"
    assert identify(CENTER | {"userName": "jo"}).user_name == ""
    assert identify(CENTER | {"principalId": "p"}).user_id == "1-2-3"
    assert identify(ALICE, signed_in="mallory").user_name == "alice"


def test_service_is_who_invoked_or_whose_role_it_is():
    assert identify(SERVICE).service == "lambda.amazonaws.com"
    assert identify(SERVICE_LINKED).service == "config.amazonaws.com"
    assert identify(SERVICE_LINKED | {"invokedBy": "x.amazonaws.com"}).service == "x.amazonaws.com"
    assert identify(ALICE | {"invokedBy": "signin.amazonaws.com"}).service == "signin.amazonaws.com"


@pytest.mark.parametrize("absent", [None, "", "-", "none", [], {}])
def test_absent_is_absent_everywhere(absent):
    fields = ("type", "userName", "arn", "principalId", "accountId", "sessionContext", "invokedBy")
    assert identify(dict.fromkeys(fields, absent)) == Actor()
    context = {"sessionIssuer": absent, "attributes": {}}
    assert identify(ALICE | {"sessionContext": context}).user == "alice"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"userName": ["x"]}, "userIdentity.userName is a list"),
        ({"arn": {"x": 1}}, "userIdentity.arn is a map"),
        ({"sessionContext": "x"}, "userIdentity.sessionContext is a string"),
        ({"sessionContext": {"sessionIssuer": 7}}, "sessionContext.sessionIssuer is a number"),
        ({"type": "IdentityCenterUser", "onBehalfOf": [1]}, "userIdentity.onBehalfOf is a list"),
    ],
)
def test_wrong_types_are_refused_by_name(change, named):
    with pytest.raises(RefusedError, match=named):
        identify(ALICE | change)


def test_numbers_are_text_and_account_numbers_get_their_zeros_back():
    actor = identify(ALICE | {"userName": 7, "accountId": 12345, "principalId": True})
    assert (actor.user, actor.account, actor.user_id) == ("7", "000000012345", "true")


@pytest.mark.parametrize(
    "session",
    [
        "i-0123456789abcdef0",
        "i-e22f7129",
        "mi-0123456789abcdef0",
        "c95c6bcfe9033cfff4d3d0c295caf16e",
        "68319f60-9dec-43b2-9702-de3a08c9d8a3",
        "AWSCodeBuild-68319f60-9dec-43b2-9702-de3a08c9d8a3",
        "1709630105164",
        "42",
        "botocore-session-1709630105",
        "aws-sdk-java-1709630105164",
        "aws-sdk-js-session-1709630105164",
        "aws-go-sdk-1709630105164509000",
        "terraform-20240313083329",
        "deploy-1709630105",
        "LogHub-Pipe-bfe64-S3toOpenSearchStacklogSenderFnEB-tm2bztjl5WTH",
        "LogHub-Pipe-3a2ac-CWtoOpenSearchStackCWDestination-1WCPOGLE1YLYQ",
    ],
)
def test_machine_sessions(session):
    assert is_machine(session)


@pytest.mark.parametrize(
    "session",
    [
        "jo",
        "jo@example.com",
        "1709630105@example.com",
        "john.doe",
        "AdanAlvarez",
        "console-session",
        "my-administrator",
        "GitHubActions",
        "release-2024-03",
        "cafe-babe",
        "ElasticLoadBalancingDescribeHandlerSession",
        "MyAssignedRoleSessionName",
        "1" * 65,
    ],
)
def test_sessions_that_may_be_a_person(session):
    assert not is_machine(session)
