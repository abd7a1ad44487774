"""Where JSON values begin and end, found by their brackets alone.

JSON's own parser says so only of sound text that is not nested too deeply. These find the bounds
of what is unsound too, so that one bad value costs itself and not its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

ELEMENTS_LIMIT: Final = 1_000_000
"""Most elements of a list that are told apart by brackets: 256 MB of records have fewer."""

_STRING: Final = rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
_BRACKET: Final = re.compile(_STRING + rb'|[\[\]{}"]')
_MARK: Final = re.compile(_STRING + rb'|[\[\]{},"]')
_SPACE: Final = re.compile(rb"(?:[ \t\r\n]|\xef\xbb\xbf)*")
_OPEN: Final = b"[{"
_CLOSE: Final = b"]}"
_COMMA: Final = ord(",")
_VALUE: Final = msgspec.json.Decoder(msgspec.Raw)


def skip_space(text: bytes | bytearray, at: int = 0) -> int:
    """The position of what follows white space and byte order marks."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


def extent(text: bytes, at: int, end: int) -> int | None:
    """The end of the list or map that begins at `at`; None if none does, or none ends by `end`."""
    if text[at] not in _OPEN:
        return None
    depth = 0
    for token in _BRACKET.finditer(text, at, end):
        mark = text[token.start()]
        if mark in _OPEN:
            depth += 1
        elif mark in _CLOSE:
            depth -= 1
            if depth == 0:
                return token.end()
        elif token.end() == token.start() + 1:  # a quote that opens no string
            return None
    return None


def elements(text: bytes, at: int) -> Iterator[tuple[int, int, bool]]:
    """(start, end, True) of each element of the list whose bracket opens before `at`, and
    (start, end, False) of what stands behind the list. All the rest is one element if the list
    has no end, or more than ELEMENTS_LIMIT elements, so that it cannot take for ever.
    """
    depth, start, left = 0, at, ELEMENTS_LIMIT
    for token in _MARK.finditer(text, at):
        mark = text[token.start()]
        if mark in _OPEN:
            depth += 1
        elif mark in _CLOSE and depth:
            depth -= 1
        elif mark in _CLOSE:
            if start > at or text[start : token.start()].strip():
                yield start, token.start(), True
            yield token.end(), len(text), False
            return
        elif mark == _COMMA and depth == 0:
            yield start, token.start(), True
            start, left = token.end(), left - 1
            if left == 0:
                break
    yield start, len(text), True


def is_sound(text: bytes | bytearray) -> bool:
    """Whether text is one JSON value; says nothing of its UTF-8."""
    try:
        _VALUE.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def in_lines(text: bytes | bytearray) -> bool:
    """Whether text is one of JSON lines: whether a line of it is by itself a list or map."""
    at = skip_space(text)
    while at < len(text):
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        if text[at] in _OPEN:
            line = text[at:end].rstrip()
            if len(line) > len("{}") and is_sound(line):
                return True
        at = end + 1
    return False
