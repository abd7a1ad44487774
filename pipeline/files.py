"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from schemas.codec import Codec

T = TypeVar("T")

UNFINISHED: Final = ".unfinished"
"""Ending of a file that is being written."""


def write_whole(path: Path, parts: Iterable[bytes], *, durable: bool = True) -> None:
    """Write a file beside its place and rename it there; if `durable`, once it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            for part in parts:
                file.write(part)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Any) -> None:
    """A document as indented JSON, whole or not at all."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2)
    write_whole(path, (text, b"\n"))


def read_json(path: Path) -> Any:
    """A JSON document."""
    return msgspec.json.decode(path.read_bytes())


def read_records(folder: Path, codec: Codec[T]) -> Iterator[T]:
    """The values in all Avro files of a folder."""
    for path in sorted(folder.glob("*.avro")):
        with path.open("rb") as file:
            yield from codec.records(file)
