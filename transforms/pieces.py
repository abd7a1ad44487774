"""The text of an object in pieces that can be read by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from schemas.event import RAW_LIMIT
from transforms.gunzip import Inflated
from transforms.scan import in_lines
from transforms.unwrap import TEXT_LIMIT

PIECE: Final = 8 << 20
"""Bytes of JSON lines in a piece, about."""


class Piece(NamedTuple):
    """Some whole values of an object's text, or something that is wrong with it."""

    raw: bytes
    lines: bool = False
    """It is a part of a text of JSON lines, not the text as a whole."""
    problem: str = ""
    """Why `raw` cannot be read, one sentence."""
    size: int = 0
    """Bytes that `raw` is the start of, where there is a problem."""


def pieces(stream: Inflated) -> Iterator[Piece]:
    """The text of an object: JSON lines by and by, anything else as one piece.

    A text that is longer than TEXT_LIMIT and not in lines is refused as a whole. Of damaged gzip
    are read the members before the damage, and of lines those before it.
    """
    chunks = iter(stream)
    text = bytearray()
    _fill(text, chunks, PIECE)
    if len(text) >= PIECE and in_lines(text):
        yield from _lines(text, stream, chunks)
        return
    _fill(text, chunks, TEXT_LIMIT + 1)
    if len(text) > TEXT_LIMIT:
        problem = f"Its text has more than {TEXT_LIMIT:,} bytes and is not in lines."
        yield Piece(stream.head, False, problem, stream.size)
    elif stream.problem:
        yield from _before_damage(text, stream)
    else:
        yield Piece(bytes(text))


def _before_damage(text: bytearray, stream: Inflated, given: int = 0) -> Iterator[Piece]:
    """What can be read of the end of a text that breaks off, then what is wrong with it.

    `text` is what follows after the first `given` bytes.
    """
    end = max(stream.sound - given, 0)
    if given or in_lines(text):
        end = max(end, text.rfind(b"\n") + 1)
    if end:
        yield Piece(bytes(text[:end]), lines=given > 0)
    rest = bytes(text[end:])
    if rest and (given or end):
        yield Piece(rest[:RAW_LIMIT], True, stream.problem, len(rest))
    else:
        yield Piece(stream.head, True, stream.problem, stream.size)


def _lines(text: bytearray, stream: Inflated, chunks: Iterator[bytes]) -> Iterator[Piece]:
    """The lines of a text of which `text` is the start, some at a time."""
    given, searched, more = 0, 0, True
    while more:
        end = text.rfind(b"\n", searched) + 1
        if end:
            yield Piece(bytes(text[:end]), lines=True)
            del text[:end]
        given += end
        searched = len(text)
        if searched > TEXT_LIMIT:
            line = _drop_line(text, chunks)
            yield line
            given += line.size + 1
            searched = 0
        _fill(text, chunks, len(text) + PIECE)
        more = len(text) > searched
    if stream.problem:
        yield from _before_damage(text, stream, given)
    elif text:
        yield Piece(bytes(text), lines=True)


def _drop_line(text: bytearray, chunks: Iterator[bytes]) -> Piece:
    """A line that is too long: `text` is its start, and afterwards what follows it."""
    head, size = bytes(text[:RAW_LIMIT]), len(text)
    text.clear()
    for chunk in chunks:
        end = chunk.find(b"\n")
        if end >= 0:
            size += end
            text += chunk[end + 1 :]
            break
        size += len(chunk)
    problem = f"The line has {size:,} bytes; at most {TEXT_LIMIT:,} are read."
    return Piece(head, True, problem, size)


def _fill(text: bytearray, chunks: Iterator[bytes], size: int) -> None:
    """Append chunks until `text` has at least `size` bytes or there are no more."""
    while len(text) < size:
        chunk = next(chunks, None)
        if chunk is None:
            return
        text += chunk
