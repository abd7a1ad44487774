"""What stands before the first call: console sign-ins, single sign-on, assumed roles."""

from __future__ import annotations

from typing import Final, NamedTuple

from numpy.random import Generator

from pipeline.simulate.catalogue import load_catalogue, serialise
from pipeline.simulate.chance import uuids
from pipeline.simulate.identity import Caller, directory_user, other_account
from pipeline.simulate.member import Access, Member
from pipeline.simulate.organisation import Account, Body, Role
from pipeline.simulate.records import Call, stamp

MISTYPED: Final = 0.06
"""Share of sign-ins by password before which one fails."""


class Ticket(NamedTuple):
    """When, from where and with what somebody signs in."""

    begin: float
    region: str
    address: str
    agent: str

    def call(self, key: str, caller: Caller, account: Account, body: Body, early: float) -> Call:
        """A call some seconds before the beginning."""
        return Call(
            self.begin - early,
            caller,
            load_catalogue()[key],
            account,
            self.region,
            self.address,
            self.agent,
            body,
        )


def sign_in(
    member: Member,
    chance: Generator,
    access: Access,
    caller: Caller,
    ticket: Ticket,
    console: bool,
) -> list[Call]:
    """The calls by which somebody gets the credentials of a sitting."""
    if access.kind == "role" and access.role is not None:
        return _assume(member, chance, access.role, caller, ticket)
    if not console:
        return []
    made = []
    mfa = access.kind == "sso" or member.mfa
    if access.kind == "sso":
        directory = member.organisation.account("shared-services")
        user = directory_user(directory, member.user_id.lower())
        body = Body(
            response='{"UserAuthentication":"Success"}',
            additional=serialise({"UserName": member.login, "CredentialType": "PASSWORD"}),
            kind="AwsServiceEvent",
        )
        made.append(ticket.call("signin:UserAuthentication", user, directory, body, 4))
    elif chance.random() < MISTYPED:
        body = console_login("Failure", mfa)
        failed = ticket.call("signin:ConsoleLogin", caller, access.account, body, 9)
        made.append(failed._replace(error=("Failure", "Failed authentication")))
    body = console_login("Success", mfa)
    made.append(ticket.call("signin:ConsoleLogin", caller, access.account, body, 1))
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


def role_resource(role: Role) -> str:
    """The role as a record's `resources`."""
    arn = f"arn:aws:iam::{role.account.id}:role{role.path}{role.name}"
    return serialise([{"accountId": role.account.id, "type": "AWS::IAM::Role", "ARN": arn}])


def _assume(
    member: Member, chance: Generator, role: Role, caller: Caller, ticket: Ticket
) -> list[Call]:
    """An IAM user takes a role; of two accounts both record it, under one sharedEventID."""
    home, session = member.home_account, caller.session
    answer = {
        "credentials": {"sessionToken": "***", "expiration": stamp(ticket.begin + 3600)},
        "assumedRoleUser": {"assumedRoleId": f"{role.id}:{session}", "arn": caller.arn},
    }
    arn = f"arn:aws:iam::{role.account.id}:role/{role.name}"
    body = Body(
        request=serialise({"roleArn": arn, "roleSessionName": session}),
        response=serialise(answer),
        resources=role_resource(role),
    )
    shared = uuids(chance, 1)[0]
    call = ticket.call("sts:AssumeRole", member.user, home, body, 1)._replace(shared=shared)
    if home.id == role.account.id:
        return [call]
    stranger = other_account(member.user_id, home.id)
    return [call, call._replace(caller=stranger, account=role.account)]
