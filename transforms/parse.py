"""One CloudTrail record -> Event, or a refusal that says why."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, field

from schemas.event import Actor, Event
from transforms.agent import tool_of
from transforms.identify import POLICIES, identify
from transforms.locate import Locator
from transforms.times import SECONDS, parse_minute, parse_time
from transforms.values import (
    ABSENT,
    Memo,
    RefusedError,
    account,
    decode,
    describe,
    fault,
    is_absent,
    mapping,
    text,
)

_LONGEST_NAME: Final = 512
"""Most characters of an id or a name that entities and actions are told apart by."""
RECORD_LIMIT: Final = 16 << 20
"""Most bytes of one record."""

_ERROR_LENGTH: Final = 64  # characters of a message that stands for a missing code
_SHORTEST_ID: Final = 1 + max(map(len, ABSENT))
_INSIGHT: Final = "AwsCloudTrailInsight"
_DEPENDENT: Final = ("ConsoleLogin", "UserAuthentication")
"""Actions whose events depend on more than the fields of `Record`."""

_ADDITIONAL: Final = "additionalEventData"
_RESPONSE: Final = "responseElements"
_SHARED: Final = 8192  # actors
_NO_RAW: Final = Raw(b"")
_BLANK: Final = blake2b(digest_size=8)
"""The hash of an id before its first byte: a copy costs less than a new one."""


class Record(Struct, gc=False):
    """What `Parser.quick` needs of a record, in the order in which CloudTrail writes it, which is
    the quickest to read. A record in which a field has another type than this is not odd, only
    not quick.
    """

    identity: Raw = field(default=_NO_RAW, name="userIdentity")
    time: str | None = field(default=None, name="eventTime")
    provider: str | None = field(default=None, name="eventSource")
    action: str | None = field(default=None, name="eventName")
    region: str | None = field(default=None, name="awsRegion")
    address: str | None = field(default=None, name="sourceIPAddress")
    agent: str | None = field(default=None, name="userAgent")
    error_code: str | None = field(default=None, name="errorCode")
    error_message: str | None = field(default=None, name="errorMessage")
    id: str | None = field(default=None, name="eventID")
    read_only: bool | None = field(default=None, name="readOnly")
    type: str | None = field(default=None, name="eventType")
    recipient: str | None = field(default=None, name="recipientAccountId")


class _Record(Struct, gc=False):
    """What `Parser.careful` looks at: the same and more, of any type."""

    time: Any = field(default=None, name="eventTime")
    action: Any = field(default=None, name="eventName")
    id: Any = field(default=None, name="eventID")
    provider: Any = field(default=None, name="eventSource")
    region: Any = field(default=None, name="awsRegion")
    address: Any = field(default=None, name="sourceIPAddress")
    agent: Any = field(default=None, name="userAgent")
    identity: Raw = field(default=_NO_RAW, name="userIdentity")
    recipient: Any = field(default=None, name="recipientAccountId")
    error_code: Any = field(default=None, name="errorCode")
    error_message: Any = field(default=None, name="errorMessage")
    read_only: Any = field(default=None, name="readOnly")
    type: Any = field(default=None, name="eventType")
    response: Raw = field(default=_NO_RAW, name="responseElements")
    additional: Raw = field(default=_NO_RAW, name="additionalEventData")
    s3: Raw = _NO_RAW
    digest: Raw = field(default=_NO_RAW, name="digestStartTime")


class Parser:
    """Makes events of records, under one identity policy and with one city database.

    There are two ways to the same event: `careful` takes the bytes of any record and is the
    definition; `quick` takes a decoded ordinary one. Both raise RefusedError: from `careful` it
    is the record's end, from `quick` a request for a careful look. The constructor raises
    ValueError for an unknown policy, CityDatabaseError for a database that cannot be used.
    """

    def __init__(self, policy: str = POLICIES[0], geoip_database: str | None = None):
        if policy not in POLICIES:
            raise ValueError(f"Identity policy {policy!r} is none of {', '.join(POLICIES)}.")
        self._policy = policy
        self._sources = Locator(geoip_database)
        self._minutes = Memo(parse_minute)
        self._actions = Memo(_ordinary_action)
        self._providers = Memo(_ordinary_provider)
        self._words = Memo(_word)
        self._agents = Memo(_agent_and_tool)
        self._actors = Memo(self._actor)
        self._shared: dict[Actor, Actor] = {}

    def quick(self, records: Iterable[Record], origin: str) -> list[Event]:
        """The events of ordinary records of the object `origin`."""
        minutes, actions, providers, words = (
            *(self._minutes, self._actions),
            *(self._providers, self._words),
        )
        actors, sources, agents, blank = self._actors, self._sources, self._agents, _BLANK.copy
        events = []
        for record in records:
            time, event_id = record.time, record.id
            if time is None or event_id is None:
                raise RefusedError("It has no eventTime or no eventID.")
            if not _SHORTEST_ID <= len(event_id) <= _LONGEST_NAME:
                raise RefusedError("Its eventID may be absent, or is too long.")
            if record.type == _INSIGHT:
                raise RefusedError("It is an Insight.")
            second = SECONDS.get(time[17:])
            digest = blank()
            digest.update(event_id.encode())
            error, failed = "", False
            if record.error_code is not None or record.error_message is not None:
                error, failed = _error(_word(record.error_code), _word(record.error_message))
            actor = actors[bytes(record.identity)]
            agent, tool = agents[record.agent]
            events.append(
                Event(
                    parse_time(time) if second is None else minutes[time[:17]] + second,
                    actions[record.action],
                    event_id,
                    digest.digest(),
                    actor,
                    sources[record.address],
                    providers[record.provider],
                    words[record.region],
                    actor.account or words[record.recipient],
                    agent,
                    tool,
                    error,
                    failed,
                    record.read_only is False,
                    origin,
                )
            )
        return events

    def careful(self, raw: bytes, origin: str) -> Event:
        """The event of any record of the object `origin`: `raw` is one JSON value."""
        record = _decode_record(raw)
        time = parse_time(record.time)
        action = _name(record.action)
        event_id = _short(text(record.id, "eventID"), "eventID") or fingerprint(raw)
        recipient = account(record.recipient, "recipientAccountId")
        agent, tool = _agent_and_tool(text(record.agent, "userAgent"))
        error, failed = _outcome(action, record)
        actor = self._actors[bytes(record.identity)]
        if action == "UserAuthentication":
            data = mapping(decode(record.additional, _ADDITIONAL), _ADDITIONAL)
            actor = self._actor(
                bytes(record.identity), text(data.get("UserName"), f"{_ADDITIONAL}.UserName")
            )
        return Event(
            time=time,
            action=action,
            id=event_id,
            hash=blake2b(event_id.encode(), digest_size=8).digest(),
            actor=actor,
            source=self._sources[text(record.address, "sourceIPAddress")],
            provider=text(record.provider, "eventSource"),
            region=text(record.region, "awsRegion"),
            account=actor.account or recipient,
            agent=agent,
            tool=tool,
            error=error,
            failed=failed,
            write=text(record.read_only, "readOnly").lower() == "false",
            origin=origin,
        )

    def _actor(self, identity: bytes, signed_in: str = "") -> Actor:
        """The actor of a raw `userIdentity`; equal ones are one object."""
        value = mapping(decode(identity, "userIdentity"), "userIdentity")
        actor = identify(value, self._policy, signed_in)
        _short(actor.user, "The user's name")
        if len(self._shared) >= _SHARED:
            self._shared.clear()
        return self._shared.setdefault(actor, actor)


def record_id(raw: bytes) -> str:
    """The `Event.id` of a record: its eventID, else its fingerprint. Raises RefusedError."""
    return text(_decode(raw).id, "eventID") or fingerprint(raw)


def fingerprint(raw: bytes) -> str:
    """32 hex digits that stand for a record without an eventID: BLAKE2b of its canonical JSON."""
    return blake2b(canonical(raw), digest_size=16).hexdigest()


def canonical(raw: bytes) -> bytes:
    """A record as JSON with sorted keys and without spaces, in UTF-8. Raises RefusedError."""
    value = decode(raw, "The record")
    try:
        written = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except RecursionError as error:
        raise RefusedError(f"The record is {fault(error)}.") from error
    return written.encode()


def _decode(raw: bytes) -> _Record:
    """The fields of one record, a JSON map. Raises RefusedError for any other bytes."""
    if len(raw) > RECORD_LIMIT:
        raise RefusedError(f"The record has {len(raw):,} bytes; at most {RECORD_LIMIT:,} are read.")
    try:
        raw.decode()
        return _DECODER.decode(raw)
    except msgspec.ValidationError:
        raise RefusedError(
            f"The record is {describe(decode(raw, 'The record'))}, not a map."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(f"The record is {fault(error)}.") from error


def _decode_record(raw: bytes) -> _Record:
    """The fields of a record of an API call. Raises RefusedError for anything else."""
    record = _decode(raw)
    if record.time is None and bytes(record.digest):
        raise RefusedError("It is a CloudTrail digest (it has digestStartTime), not an API call.")
    if text(record.type, "eventType") == _INSIGHT:
        raise RefusedError(f"It is a CloudTrail Insight (eventType {_INSIGHT}), not an API call.")
    if record.provider == "aws:s3" and bytes(record.s3):
        raise RefusedError("It is an S3 event notification (eventSource aws:s3), not an API call.")
    return record


def _name(action: object) -> str:
    if isinstance(action, str) and not is_absent(action):
        return _short(action, "eventName")
    raise RefusedError(f"eventName is {describe(action)}, which names no action.")


def _short(text: str, name: str) -> str:
    """A text that names something. Raises RefusedError for one that no name is as long as."""
    if len(text) > _LONGEST_NAME:
        raise RefusedError(
            f"{name} has {len(text):,} characters; at most {_LONGEST_NAME:,} are read."
        )
    return text


def _outcome(action: str, record: _Record) -> tuple[str, bool]:
    """Error and whether the call failed; a ConsoleLogin says itself whether it did."""
    error, failed = _error(
        text(record.error_code, "errorCode"), text(record.error_message, "errorMessage")
    )
    if action == "ConsoleLogin":
        response = mapping(decode(record.response, _RESPONSE), _RESPONSE)
        outcome = text(response.get("ConsoleLogin"), f"{_RESPONSE}.ConsoleLogin").lower()
        if outcome in ("success", "failure"):
            failed = outcome == "failure"
    return error, failed


def _error(code: str, message: str) -> tuple[str, bool]:
    error = code or message[:_ERROR_LENGTH]
    return error, error != ""


def _word(word: str | None) -> str:
    return "" if word is None or word in ABSENT else word


def _agent_and_tool(agent: str | None) -> tuple[str, str]:
    word = _word(agent)
    return word, tool_of(word)


def _ordinary_action(action: str | None) -> str:
    if action in _DEPENDENT:
        raise RefusedError(f"{action} depends on more than the fields of an ordinary record.")
    return _name(action)


def _ordinary_provider(provider: str | None) -> str:
    if provider == "aws:s3":
        raise RefusedError("It may be an S3 event notification.")
    return _word(provider)


_DECODER: Final = msgspec.json.Decoder(_Record)
