"""The text of an object: gunzipped if it is gzip, whatever its name, in bounded pieces."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Final, Protocol

from isal import isal_zlib

from schemas.event import RAW_LIMIT
from transforms.values import RefusedError

MAGIC: Final = b"\x1f\x8b"
"""What gzip data begins with, and no JSON."""

_READ: Final = 1 << 18  # bytes read at a time
_CHUNK: Final = 1 << 20  # bytes inflated at a time
IsalError: Final[type[Exception]] = isal_zlib.error  # type: ignore[assignment]  # the stub errs
_GZIP: Final = 31  # window bits of zlib's interface: gzip, its checksum verified


class Source(Protocol):
    """A binary file open for reading."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""


class Inflated:
    """Iterates over the text of an object once, in chunks of at most 1 MB.

    gzip may have several members and zeros behind them. Damage ends the iteration and is told by
    `problem`, one sentence; what came before it has been given. Raises only what `source` raises.
    """

    def __init__(self, source: Source):
        self._source = source
        self.head = b""
        """The object's first bytes as they came, at most RAW_LIMIT."""
        self.size = 0
        """The object's bytes that have been read."""
        self.problem = ""
        self.sound = 0
        """Bytes of text in whole members, whose checksums were right."""

    def __iter__(self) -> Iterator[bytes]:
        data = self._read()
        if len(data) == 1:
            data += self._read()
        if data.startswith(MAGIC):
            yield from self._members(data)
            return
        while data:
            yield data
            data = self._read()

    def _members(self, data: bytes) -> Iterator[bytes]:
        given = 0
        while data:
            member = isal_zlib.decompressobj(_GZIP)
            full = False  # a full chunk: there may be more of it inside, without further input
            while not member.eof:
                data = data or (b"" if full else self._read())
                if not data and not full:
                    self.problem = f"The gzip data ends early, after {self.size:,} bytes."
                    return
                try:
                    chunk = member.decompress(data, _CHUNK)
                except IsalError as error:
                    self.problem = f"The gzip data is damaged: {error}."
                    return
                data, full = member.unconsumed_tail, len(chunk) == _CHUNK
                given += len(chunk)
                self.sound = given if member.eof else self.sound
                if chunk:
                    yield chunk
            data = self._next_member(member.unused_data)

    def _next_member(self, data: bytes) -> bytes:
        """The start of the next member, at least two bytes; none at the end or at damage."""
        data = data.lstrip(b"\0")
        while len(data) < len(MAGIC):
            more = self._read()
            if not more:
                break
            data = (data + more).lstrip(b"\0")
        if data and not data.startswith(MAGIC):
            self.problem = f"Behind the gzip data stands something else: {data[:16]!r}."
            return b""
        return data

    def _read(self) -> bytes:
        data = self._source.read(_READ)
        self.size += len(data)
        if len(self.head) < RAW_LIMIT:
            self.head += data[: RAW_LIMIT - len(self.head)]
        return data


def inflate(data: bytes, limit: int) -> bytes:
    """The whole text of `data`. Raises RefusedError if damaged or longer than `limit` bytes."""
    stream = Inflated(BytesIO(data))
    text = bytearray()
    for chunk in stream:
        text += chunk
        if len(text) > limit:
            raise RefusedError(f"Its text has more than {limit:,} bytes.")
    if stream.problem:
        raise RefusedError(stream.problem)
    return bytes(text)


def inflate_small(data: bytes, limit: int) -> bytes | None:
    """The text of sound gzip data of one member and at most `limit` bytes, or of data that is no
    gzip; None for any other, which takes a closer look.
    """
    if not data.startswith(MAGIC):
        return data if len(data) <= limit else None
    member = isal_zlib.decompressobj(_GZIP)
    try:
        text: bytes = member.decompress(data, limit)
    except IsalError:
        return None
    return text if member.eof and not member.unused_data else None
