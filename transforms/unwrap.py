"""The shapes that CloudTrail records come in: text -> the records in it.

One or many JSON values, in lines or not; each a record, a list, or an envelope: `Records`, an
EventBridge event (`detail`), a CloudWatch Logs message (`awslogs`, `logEvents`), an Elastic
document (`event.original`, `_source`). Envelopes nest.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct, field

from transforms.gunzip import inflate
from transforms.scan import elements, extent, in_lines, is_sound, skip_space
from transforms.values import RefusedError, decode, describe

TEXT_LIMIT: Final = 256 << 20
"""Most bytes of text of a JSON document, and of a compressed message in one."""
DEPTH_LIMIT: Final = 8
"""Most envelopes around a record."""

_PATIENCE: Final = 8  # lines that end in no value until each line must
_RATIO: Final = 64  # of what all compressed messages in a text may have to its size
_SPARSE: Final = 16  # bytes a comma at least, or a list of it would fill the memory
_RECORDS: Final = re.compile(rb'\{\s*"Records"\s*:\s*\[')
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


class _Part(NamedTuple):
    """Something that a list or envelope holds: a JSON value, or a text of any."""

    raw: bytes
    text: bool = False
    skipped: bool = False


class _Envelope(Struct, gc=False):
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


class _LogEvent(Struct, gc=False):
    message: str


class _AwsLogs(Struct, gc=False):
    data: str


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_RAWS: Final = msgspec.json.Decoder(list[Raw])
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
        self._budget = 0  # bytes that compressed messages may still have

    def text(self, text: bytes, lines: bool = False, depth: int = 0) -> Iterator[Found]:
        """What a text holds; `lines` tells that it is a part of a text of JSON lines.

        A line that is by itself a value is one. Elsewhere values end where their brackets close;
        where they do not, the line is lost and the next begins anew.
        """
        text = text[skip_space(text) :]
        if depth == 0:
            self._budget = max(TEXT_LIMIT, _RATIO * len(text))
        if not text:
            yield from (Found(text, "The envelope holds an empty text."),) if depth else ()
            return
        found = self._sound(text, depth)
        if found is None and (lines or in_lines(text) or extent(text, 0, len(text))):
            found = self._values(text, depth)
        if found is None:
            found = (Found(text, _why_not(text), whole=depth == 0),)
        yield from found

    def _values(self, text: bytes, depth: int) -> Iterator[Found]:
        """What a text of several values holds. Takes linear time, whatever the text."""
        at = line_end = unit_end = 0
        patience = _PATIENCE
        while at < len(text):
            found: Iterable[Found] | None = None
            if at >= line_end:
                line_end = text.find(b"\n", at)
                end = line_end = len(text) if line_end < 0 else line_end
                found = self._sound(text[at:end], depth)
                unit_end = at
            if found is None and at >= unit_end:
                # Between values; within one, "}{" stands at most in a string.
                end = unit_end = text.find(b"}{", at, line_end) + 1 or line_end
                found = self._sound(text[at:end], depth)
            if found is None:
                # No value by the parser's rules, but perhaps by its brackets.
                closing = extent(text, at, len(text) if patience else unit_end)
                end = closing or _next_sound(text, unit_end, line_end)
                value = text[at:end]
                found = self._open(value, depth) if closing else (Found(value),)
                patience = patience if closing else max(patience - 1, 0)
            yield from found
            at = skip_space(text, end)

    def _sound(self, raw: bytes, depth: int) -> Iterable[Found] | None:
        """What a text of one value holds; None for any other text."""
        if self._taken(raw, depth):
            return ()
        return self._open(raw, depth) if is_sound(raw) else None

    def _taken(self, raw: bytes, depth: int) -> bool:
        return depth < DEPTH_LIMIT and self._take(raw)

    def _open(self, raw: bytes, depth: int) -> Iterator[Found]:
        """What a value holds that was not taken; itself if it is neither list nor envelope."""
        try:
            parts = self._parts(raw)
        except RefusedError as refusal:
            yield Found(raw, str(refusal))
            return
        if parts is None:
            yield Found(raw)
        elif depth >= DEPTH_LIMIT:
            yield Found(raw, f"It lies in more than {DEPTH_LIMIT} envelopes.")
        else:
            for part in parts:
                yield from self._part(part, depth + 1)

    def _part(self, part: _Part, depth: int) -> Iterable[Found]:
        """What a part of a value holds, which is looked into only if it is sound."""
        if part.skipped:
            return (Found(part.raw, skipped=True),)
        if part.text:
            return self.text(part.raw, depth=depth)
        found = self._sound(part.raw, depth)
        return (Found(part.raw),) if found is None else found

    def _parts(self, raw: bytes) -> Iterable[_Part] | None:
        """What a list or envelope holds, None for any other value. Raises RefusedError."""
        if raw[:1] == b"[":
            return map(_Part, _elements(raw))
        try:
            envelope = _ENVELOPE.decode(raw)
        except _BROKEN:
            opening = _RECORDS.match(raw)
            return map(_Part, _bracketed(raw, opening.end())) if opening else None
        if _held(envelope.time) or _held(envelope.action):
            return None
        return self._inside(envelope, raw)

    def _inside(self, envelope: _Envelope, raw: bytes) -> Iterable[_Part] | None:
        if records := _held(envelope.records):
            return map(_Part, _listed(records, "Records"))
        if inner := _held(envelope.detail) or _held(envelope.source):
            return (_Part(inner),)
        if awslogs := _held(envelope.awslogs):
            return (_Part(self._message(awslogs), text=True),)
        if log_events := _held(envelope.log_events):
            if envelope.message_type == "CONTROL_MESSAGE":
                return (_Part(raw, skipped=True),)
            return map(_log_message, _listed(log_events, "logEvents"))
        original = _original(envelope)
        return (_Part(original, text=True),) if original else None

    def _message(self, awslogs: bytes) -> bytes:
        """The text of a CloudWatch Logs subscription message. Raises RefusedError."""
        try:
            data = binascii.a2b_base64(_AWSLOGS.decode(awslogs).data, strict_mode=True)
        except (*_BROKEN, ValueError) as error:
            raise RefusedError(f"awslogs.data is no base64 text: {error}.") from error
        text = inflate(data, min(self._budget, TEXT_LIMIT))
        self._budget -= len(text)
        return text


def _log_message(event: bytes) -> _Part:
    """The message of an event of CloudWatch Logs; the event as it is, if it has none."""
    try:
        return _Part(_LOG_EVENT.decode(event).message.encode(), text=True)
    except _BROKEN:
        return _Part(event)


def _held(raw: Raw) -> bytes:
    """What a key holds, nothing if null."""
    value = bytes(raw)
    return b"" if value == b"null" else value


def _listed(raw: bytes, name: str) -> Iterator[bytes]:
    """The elements of what must be a list. Raises RefusedError."""
    if raw[:1] != b"[":
        raise RefusedError(f"{name} is {describe(decode(raw, name))}, not a list.")
    return _elements(raw)


def _elements(raw: bytes) -> Iterator[bytes]:
    """The elements of a list, then what is wrong behind them."""
    if raw.count(b",") * _SPARSE <= len(raw):
        try:
            return map(bytes, _RAWS.decode(raw))
        except _BROKEN:
            return _bracketed(raw, 1)
    return _bracketed(raw, 1)


def _bracketed(raw: bytes, at: int) -> Iterator[bytes]:
    """The same of any list, sound or not, that opens before `at`, and of the map around it."""
    for start, end, inside in elements(raw, at):
        part = raw[start:end].strip()
        if inside or (part and not is_sound(b'{"":0' + part)):
            yield part


def _original(envelope: _Envelope) -> bytes:
    """The text in an Elastic document's `event.original`, if it has one. Raises RefusedError."""
    original = decode(envelope.original, "event.original")
    if original is None:
        event = decode(envelope.event, "event")
        original = event.get("original") if isinstance(event, dict) else None
    return original.encode() if isinstance(original, str) else b""


def _next_sound(text: bytes, at: int, end: int) -> int:
    """Where between `at` and `end` the next value begins that is sound, else `end`."""
    while at < end:
        closing = text.find(b"}{", at, end) + 1 or end
        if is_sound(text[at:closing]):
            return at
        at = closing
    return end


def _why_not(text: bytes) -> str:
    """Why a text as a whole is no JSON, though it may begin so."""
    name = f"The object, which begins with {ascii(text[:24])[1:]},"
    try:
        return f"{name} is {describe(decode(text, name))}, not a map or list."
    except RefusedError as refusal:
        return str(refusal)
