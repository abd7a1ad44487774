"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from schemas.codec import Codec

T = TypeVar("T")

UNFINISHED: Final = ".unfinished"
"""Ending of a file that is being written."""
_PART: Final = 1 << 20


def write_whole(path: Path, parts: Iterable[bytes], *, durable: bool = True) -> None:
    """Write a file beside its place and rename it there; if `durable`, it outlasts a power cut."""
    make_folder(path.parent) if durable else path.parent.mkdir(parents=True, exist_ok=True)
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
    if durable:
        sync(path.parent)


def move_whole(source: Path, target: Path) -> None:
    """Move a file that is on the disk, so that it appears whole or not at all, and lasts."""
    make_folder(target.parent)
    try:
        source.replace(target)
        sync(target.parent)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with source.open("rb") as file:  # to another disk
            write_whole(target, iter(lambda: file.read(_PART), b""))
        source.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it lies in, so that they last."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


def sync(path: Path) -> None:
    """Bring a file to the disk; of a folder, its names, without which a rename may be lost."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot do it for folders
            raise
    finally:
        os.close(file)


def sync_tree(folder: Path) -> None:
    """Bring a folder to the disk with all that is in it."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


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
