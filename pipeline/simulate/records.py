"""A call as a CloudTrail record: prepared text put together, no object in between."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from pipeline.simulate.catalogue import DENIED, Action
from pipeline.simulate.identity import Caller
from pipeline.simulate.organisation import Account, Body

DAY: Final = 86_400
GLOBAL_REGION: Final = "us-east-1"


class Step(NamedTuple):
    """What makes a call one of an attack's."""

    attack: int
    """Number of the attack, from 0."""
    number: int
    """Number of the step, from 1; 0: a habit of the victim's, as camouflage."""


class Call(NamedTuple):
    """One event."""

    time: float
    """Seconds since 1970."""
    caller: Caller
    action: Action
    account: Account
    """The account that records it."""
    region: str
    address: str
    agent: str
    body: Body
    error: tuple[str, str] | None = None
    shared: str = ""
    """sharedEventID: several accounts record the same call."""
    step: Step | None = None


def called_region(action: Action, region: str) -> str:
    """The region that answers."""
    return GLOBAL_REGION if action.everywhere else region


def stamp(seconds: float) -> str:
    """A time as CloudTrail writes it, in whole seconds."""
    day, rest = divmod(int(seconds), DAY)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_date(day)}T{hour:02d}:{minute:02d}:{second:02d}Z"


def render(call: Call, event_id: str, request_id: str) -> str:
    """The record, in JSON."""
    action, caller, body = call.action, call.caller, call.body
    region = called_region(action, call.region)
    error, response, note = "", body.response, body.additional
    if call.error:
        error = _error(call)
        response = response if action.service == "signin" else "null"
    by_service = not call.address[-1].isalnum() or call.address.endswith((".com", "Internal"))
    return (
        f'{{"eventVersion":"{action.version}","userIdentity":{caller.identity},'
        f'"eventTime":"{stamp(call.time)}","eventSource":"{action.service}.amazonaws.com",'
        f'"eventName":"{action.name}","awsRegion":"{region}","sourceIPAddress":"{call.address}",'
        f'"userAgent":"{call.agent.replace("<command>", action.command)}",{error}'
        f'"requestParameters":{body.request},"responseElements":{response},'
        + (f'"additionalEventData":{note},' if note else "")
        + f'"requestID":"{request_id}","eventID":"{event_id}",'
        f'"readOnly":{"true" if action.read else "false"},'
        + (f'"resources":{body.resources},' if body.resources else "")
        + f'"eventType":"{body.kind}","managementEvent":true,'
        f'"recipientAccountId":"{call.account.id}",'
        + (f'"sharedEventID":"{call.shared}",' if call.shared else "")
        + '"eventCategory":"Management"'
        + ("" if by_service else _tls(action, region))
        + (',"sessionCredentialFromConsole":"true"}' if caller.console else "}")
    )


def _error(call: Call) -> str:
    code, words = call.error or ("", "")
    action = call.action
    if not words or code in DENIED:
        name = f"{action.service}:{action.name}"
        words = (
            f"{words + ' ' if words else ''}User: {call.caller.arn} is not authorized to perform: {name}"
            f" because no identity-based policy allows the {name} action"
        )
    code = f'"errorCode":"{code}",' if code != "Failure" else ""
    return f'{code}"errorMessage":{json.dumps(words)},'


def _tls(action: Action, region: str) -> str:
    host = action.service if action.everywhere else f"{action.service}.{region}"
    return (
        ',"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256",'
        f'"clientProvidedHostHeader":"{host}.amazonaws.com"}}'
    )


_DATES: dict[int, str] = {}


def _date(day: int) -> str:
    text = _DATES.get(day)
    if text is None:
        from datetime import date

        text = _DATES[day] = date.fromordinal(719_163 + day).isoformat()
    return text
