"""The shapes that CloudTrail records come in: text -> the records in it.

One or many JSON values, in lines or not; each a record, a list, or an envelope: `Records`, an
EventBridge event (`detail`), a CloudWatch Logs message (`awslogs`, `logEvents`), an Elastic
document (`event.original`, `_source`). Envelopes nest.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct, field

from transforms.gunzip import inflate
from transforms.scan import elements, extent, in_lines, skip_space
from transforms.values import RefusedError, decode, describe

TEXT_LIMIT: Final = 256 << 20
"""Most bytes of text of a JSON document, and of all the compressed messages in it together."""
DEPTH_LIMIT: Final = 8
"""Most envelopes around a record."""

_PATIENCE: Final = 8  # lines that end in no value until each line must
_SPARSE: Final = 16  # bytes a comma at least, or a list of it would fill the memory
_LIST: Final = re.compile(rb'\s*(?:\{\s*"Records"\s*:\s*)?\[')
_NO_RAW: Final = Raw(b"")


class Found(NamedTuple):
    """A JSON value that holds no others for us."""

    raw: bytes
    problem: str = ""
    """Why it cannot be read, one sentence; empty for what should be a record."""
    whole: bool = False
    """It is the text as a whole."""
    skipped: bool = False
    """It is no record and needs none."""


class Envelope(Struct, gc=False):
    """The keys that make a map an envelope, and those that make it a record."""

    time: Raw = field(default=_NO_RAW, name="eventTime")
    action: Raw = field(default=_NO_RAW, name="eventName")
    records: Raw = field(default=_NO_RAW, name="Records")
    detail: Raw = _NO_RAW
    awslogs: Raw = _NO_RAW
    log_events: Raw = field(default=_NO_RAW, name="logEvents")
    message_type: Any = field(default=None, name="messageType")
    event: Raw = _NO_RAW
    original: Raw = field(default=_NO_RAW, name="event.original")
    source: Raw = field(default=_NO_RAW, name="_source")


class _Records(Struct, gc=False):
    records: list[Raw] = field(name="Records")


class _LogEvent(Struct, gc=False):
    message: str


class _AwsLogs(Struct, gc=False):
    data: str


_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_RECORDS: Final = msgspec.json.Decoder(_Records)
_RAWS: Final = msgspec.json.Decoder(list[Raw])
_RAW: Final = msgspec.json.Decoder(Raw)
_LOG_EVENT: Final = msgspec.json.Decoder(_LogEvent)
_AWSLOGS: Final = msgspec.json.Decoder(_AwsLogs)
_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Unwrapper:
    """Finds the records of a text.

    `take` is shown each JSON value before it is opened, envelopes before what they hold; what it
    takes (True) it has dealt with, and is neither opened nor found.
    """

    def __init__(self, take: Callable[[bytes], bool]):
        self._take = take
        self._budget = TEXT_LIMIT

    def text(self, text: bytes, lines: bool = False, depth: int = 0) -> Iterator[Found]:
        """The values of a text; `lines` tells that it is a part of a text of JSON lines.

        A line that is by itself a value is one. Elsewhere values end where their brackets close;
        where they do not, the line is lost and the next begins anew.
        """
        text = text[skip_space(text) :]
        if not text and depth:
            yield Found(text, "The envelope holds an empty text.")
        if not text or self._take(text):
            return
        if not (lines or in_lines(text) or extent(text, 0, len(text))):
            yield Found(text, _why_not(text), whole=depth == 0)
            return
        at, line_end, patience = 0, 0, _PATIENCE
        while at < len(text):
            if at >= line_end:
                line_end = _line_end(text, at)
                if line_end - at < len(text) - 1 and self._take(text[at:line_end]):
                    at = skip_space(text, line_end)
                    continue
            end = extent(text, at, len(text) if patience else line_end)
            if end is None:
                yield Found(text[at:line_end])
                patience = max(patience - 1, 0)
                end = line_end
            else:
                yield from self._value(text[at:end], depth)
            at = skip_space(text, end)

    def _value(self, raw: bytes, depth: int) -> Iterator[Found]:
        if self._take(raw):
            return
        if depth > DEPTH_LIMIT:
            yield Found(raw, f"It lies in more than {DEPTH_LIMIT} envelopes.")
            return
        if _LIST.match(raw):
            for element in _elements(raw):
                yield from self._value(element, depth + 1)
            return
        try:
            envelope = _ENVELOPE.decode(raw)
        except _BROKEN:
            yield Found(raw)  # whoever parses it says why
            return
        try:
            yield from self._open(envelope, raw, depth + 1)
        except RefusedError as refusal:
            yield Found(raw, str(refusal))

    def _open(self, envelope: Envelope, raw: bytes, depth: int) -> Iterator[Found]:
        """What an envelope holds; the map itself if it is none. Raises RefusedError."""
        records = bytes(envelope.records)
        is_record = bytes(envelope.time) or bytes(envelope.action)
        if records and (is_record or not records.startswith(b"[")):
            held = decode(records, "Records")
            what = "beside a record" if is_record else "which is no list"
            raise RefusedError(f"Records is {describe(held)}, {what}.")
        if is_record:
            yield Found(raw)
        elif records:
            yield from self._value(records, depth)
        elif bytes(envelope.detail):
            yield from self._value(bytes(envelope.detail), depth)
        elif bytes(envelope.awslogs):
            yield from self.text(self._message(envelope.awslogs), depth=depth)
        elif bytes(envelope.log_events):
            if envelope.message_type == "CONTROL_MESSAGE":
                yield Found(raw, skipped=True)
            else:
                yield from self._log_events(envelope.log_events, depth)
        elif bytes(envelope.source):
            yield from self._value(bytes(envelope.source), depth)
        else:
            original = _original(envelope)
            yield from self.text(original, depth=depth) if original else (Found(raw),)

    def _log_events(self, log_events: Raw, depth: int) -> Iterator[Found]:
        try:
            events = _RAWS.decode(log_events)
        except _BROKEN:
            held = decode(log_events, "logEvents")
            raise RefusedError(f"logEvents is {describe(held)}, not a list.") from None
        for event in map(bytes, events):
            try:
                message = _LOG_EVENT.decode(event).message.encode()
            except _BROKEN as error:
                yield Found(event, f"The log event has no message that can be read: {error}.")
            else:
                yield from self.text(message, depth=depth)

    def _message(self, awslogs: Raw) -> bytes:
        """The text of a CloudWatch Logs subscription message. Raises RefusedError."""
        try:
            data = binascii.a2b_base64(_AWSLOGS.decode(awslogs).data, strict_mode=True)
        except (*_BROKEN, ValueError) as error:
            raise RefusedError(f"awslogs.data is no base64 text: {error}.") from error
        text = inflate(data, self._budget)
        self._budget -= len(text)
        return text


def _elements(raw: bytes) -> Iterator[bytes]:
    """The elements of a list or of `Records`, then what is wrong behind them."""
    listed = raw[:1] == b"["
    if raw.count(b",") * _SPARSE <= len(raw):
        try:
            return map(bytes, _RAWS.decode(raw) if listed else _RECORDS.decode(raw).records)
        except _BROKEN:
            return _bracketed(raw)
    return _bracketed(raw)


def _bracketed(raw: bytes) -> Iterator[bytes]:
    opening = _LIST.match(raw)
    for start, end, inside in elements(raw, opening.end() if opening else 0):
        part = raw[start:end]
        if inside or (part.strip() and not _is_sound(b'{"":0' + part)):
            yield part


def _original(envelope: Envelope) -> bytes:
    """The text in an Elastic document's `event.original`, if it has one. Raises RefusedError."""
    original = decode(envelope.original, "event.original")
    if original is None:
        event = decode(envelope.event, "event")
        original = event.get("original") if isinstance(event, dict) else None
    return original.encode() if isinstance(original, str) else b""


def _is_sound(raw: bytes) -> bool:
    try:
        _RAW.decode(raw)
    except _BROKEN:
        return False
    return True


def _why_not(text: bytes) -> str:
    """Why a text as a whole is no JSON, though it may begin so."""
    try:
        return f"The object is {describe(decode(text, 'The object'))}, not a map or list."
    except RefusedError as refusal:
        return f"{refusal} It begins with {ascii(text[:24])[2:-1]!r}."


def _line_end(text: bytes, at: int) -> int:
    end = text.find(b"\n", at)
    return len(text) if end < 0 else end
