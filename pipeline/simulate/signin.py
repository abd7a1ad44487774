"""What stands before the first call: console sign-ins, single sign-on, assumed roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.random import Generator

from pipeline.simulate.catalogue import load_catalogue, serialise
from pipeline.simulate.chance import uuids
from pipeline.simulate.identity import Caller, directory_user, iam_user, other_account
from pipeline.simulate.organisation import Body
from pipeline.simulate.records import Call, stamp

if TYPE_CHECKING:
    from pipeline.simulate.people import Access, Person


def sign_in(
    person: Person,
    chance: Generator,
    access: Access,
    caller: Caller,
    begin: float,
    tool: str,
    address: str,
    agent: str,
) -> list[Call]:
    """The calls by which a person gets the credentials of a sitting."""
    made: list[Call] = []
    region = access.account.region
    catalogue = load_catalogue()
    if access.kind == "role" and access.role is not None:
        made += _assume(person, chance, access, caller, begin, address, agent)
    if tool != "console":
        return made
    if access.kind == "sso":
        directory = person.organisation.account("shared-services")
        made.append(
            Call(
                begin - 4,
                directory_user(directory, person.user_id.lower()),
                catalogue["signin:UserAuthentication"],
                directory,
                region,
                address,
                agent,
                Body(
                    additional=serialise(
                        {
                            "UserName": person.email,
                            "LoginTo": "https://acme.awsapps.com/start",
                            "CredentialType": "PASSWORD",
                        }
                    ),
                    response='{"UserAuthentication":"Success"}',
                    kind="AwsServiceEvent",
                ),
            )
        )
    if access.kind != "role":
        body = console_login("Success", mfa=True)
        made.append(
            Call(
                begin - 1,
                caller,
                catalogue["signin:ConsoleLogin"],
                access.account,
                region,
                address,
                agent,
                body,
            )
        )
    return made


def console_login(result: str, mfa: bool) -> Body:
    """The body of a console sign-in; `result` is Success or Failure."""
    extra = {
        "LoginTo": "https://console.aws.amazon.com/",
        "MobileVersion": "No",
        "MFAUsed": "Yes" if mfa else "No",
    }
    return Body(
        response=serialise({"ConsoleLogin": result}),
        additional=serialise(extra),
        kind="AwsConsoleSignIn",
    )


def _assume(
    person: Person,
    chance: Generator,
    access: Access,
    caller: Caller,
    begin: float,
    address: str,
    agent: str,
) -> list[Call]:
    """An IAM user takes a role; of two accounts both record it, under one sharedEventID."""
    role, home = access.role, person.home_account
    assert role is not None
    user = iam_user(home, person.name, person.user_id, person.key)
    action = load_catalogue()["sts:AssumeRole"]
    body = Body(
        request=serialise(
            {
                "roleArn": f"arn:aws:iam::{role.account.id}:role/{role.name}",
                "roleSessionName": person.name,
                "durationSeconds": 3600,
            }
        ),
        response=serialise(
            {
                "credentials": {"sessionToken": "***", "expiration": stamp(begin + 3600)},
                "assumedRoleUser": {"assumedRoleId": f"{role.id}:{person.name}", "arn": caller.arn},
            }
        ),
        resources=serialise(
            [
                {
                    "accountId": role.account.id,
                    "type": "AWS::IAM::Role",
                    "ARN": f"arn:aws:iam::{role.account.id}:role/{role.name}",
                }
            ]
        ),
    )
    shared = uuids(chance, 1)[0]
    call = Call(begin - 1, user, action, home, home.region, address, agent, body, shared=shared)
    if home.id == role.account.id:
        return [call]
    stranger = other_account(person.user_id, home.id)
    return [call, call._replace(caller=stranger, account=role.account, region=role.account.region)]
