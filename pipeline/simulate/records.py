"""A call as a CloudTrail record: prepared text put together, no object in between."""

from __future__ import annotations

import json
from datetime import date
from functools import cache
from typing import Final, NamedTuple

from pipeline.simulate.catalogue import DENIED, Action
from pipeline.simulate.identity import Caller
from pipeline.simulate.organisation import Account, Body

DAY: Final = 86_400
GLOBAL_REGION: Final = "us-east-1"
_EPOCH: Final = date(1970, 1, 1).toordinal()
_SERVICES: Final = ("amazonaws.com", "AWS Internal")
"""Endings of what stands for an address where AWS itself calls."""


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
    """Code and words; the code `Failure` is a failed sign-in, which has words only."""
    shared: str = ""
    """sharedEventID: several accounts record the same call."""
    step: Step | None = None


def called_region(call: Call) -> str:
    """The region that answers, and records."""
    return GLOBAL_REGION if call.action.everywhere else call.region


def stamp(seconds: float) -> str:
    """A time as CloudTrail writes it, in whole seconds."""
    day, rest = divmod(int(seconds), DAY)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_date(day)}T{hour:02d}:{minute:02d}:{second:02d}Z"


def render(call: Call, event_id: str, request_id: str) -> str:
    """The record, in JSON."""
    action, caller, body = call.action, call.caller, call.body
    region = called_region(call)
    error = _error(call) if call.error else ""
    # A failed call has no answer, but a sign-in has one that says so.
    response = "null" if call.error and action.name != "ConsoleLogin" else body.response
    note = f'"additionalEventData":{body.additional},' if body.additional else ""
    resources = f'"resources":{body.resources},' if body.resources else ""
    shared = f'"sharedEventID":"{call.shared}",' if call.shared else ""
    tls = "" if call.address.endswith(_SERVICES) else _tls(action, region)
    console = ',"sessionCredentialFromConsole":"true"' if caller.console else ""
    return (
        f'{{"eventVersion":"{action.version}","userIdentity":{caller.identity},'
        f'"eventTime":"{stamp(call.time)}","eventSource":"{action.service}.amazonaws.com",'
        f'"eventName":"{action.name}","awsRegion":"{region}","sourceIPAddress":"{call.address}",'
        f'"userAgent":"{call.agent.replace("<command>", action.command)}",{error}'
        f'"requestParameters":{body.request},"responseElements":{response},{note}'
        f'"requestID":"{request_id}","eventID":"{event_id}",'
        f'"readOnly":{"true" if action.read else "false"},{resources}'
        f'"eventType":"{body.kind}","managementEvent":true,'
        f'"recipientAccountId":"{call.account.id}",{shared}'
        f'"eventCategory":"Management"{tls}{console}}}'
    )


def _error(call: Call) -> str:
    code, words = call.error or ("", "")
    if code == "Failure":
        return f'"errorMessage":{json.dumps(words)},'
    if code in DENIED or not words:
        name = f"{call.action.service}:{call.action.name}"
        words = (
            f"{words} User: {call.caller.arn} is not authorized to perform: {name} "
            f"because no identity-based policy allows the {name} action"
        ).strip()
    return f'"errorCode":"{code}","errorMessage":{json.dumps(words)},'


@cache
def _tls(action: Action, region: str) -> str:
    host = action.service if action.everywhere else f"{action.service}.{region}"
    return (
        ',"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256",'
        f'"clientProvidedHostHeader":"{host}.amazonaws.com"}}'
    )


@cache
def _date(day: int) -> str:
    return date.fromordinal(_EPOCH + day).isoformat()
