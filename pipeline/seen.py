"""What an incremental run has read: a bounded memory that misses nothing.

An object is told by its name, size and time of last change, as a hash of 8 bytes. Of folders of
recent dates, and of those without a date, each object is remembered; of an older folder only how
many there were and the sum of their hashes. If that changes, the folder is read once more: what it
held before changes nothing, since events merge by their ids, and what is new is too late and kept.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from pipeline.errors import UsageError
from pipeline.steps import DAY_MS, date_of
from schemas.codec import Codec, SchemaError

EXACT_DAYS: Final = 3
"""Dated folders that are remembered object by object."""
LOOK_BACK_DAYS: Final = 90
"""Dated folders that are looked at: as long as too late cells are remembered."""
_RANGE: Final = 1 << 64


class SeenFolder(msgspec.Struct, gc=False):
    """What was read of one folder."""

    name: str
    count: int
    total: bytes
    """Sum of the hashes modulo 2^64, big-endian."""
    hashes: bytes
    """The hashes themselves, 8 bytes each, ascending; none of an older folder."""


class SeenObjects(msgspec.Struct, gc=False):
    """All folders of an input."""

    folders: list[SeenFolder]


SEEN: Final = Codec("seenobjects", SeenObjects)


class Seen:
    """Which objects have been read. `news` tells what is new, `note` takes it as read."""

    def __init__(self, path: Path) -> None:
        self._folders: dict[str, SeenFolder] = {}
        self._looked: dict[str, bytes] = {}
        """Object → hash as `news` found it: what grows while it is read is new again later."""
        if path.exists():
            try:
                folders = SEEN.decode(path.read_bytes()).folders
            except (SchemaError, EOFError, ValueError) as error:
                raise UsageError(f"{path}: damaged ({error}); start in a new folder") from None
            self._folders = {folder.name: folder for folder in folders}

    def news(self, names: Iterable[str]) -> list[str]:
        """The objects that are new, or changed, in the order given."""
        new: list[str] = []
        there = _by_folder(names, {})
        self._looked = {name: hash_ for found in there.values() for name, hash_ in found.items()}
        for folder, found in there.items():
            known = self._folders.get(folder)
            if known is None:
                new += found
            elif known.hashes:
                hashes = set(_split(known.hashes))
                new += [name for name, hash_ in found.items() if hash_ not in hashes]
            elif (known.count, known.total) != _sum(found.values()):
                new += found
        wanted = set(new)
        return [name for name in names if name in wanted]

    def note(self, read: Iterable[str], listed: Iterable[str], today: int) -> None:
        """Remember what was read, of what there is: what is gone is forgotten. `today` counts
        from 1970.
        """
        there, done = _by_folder(listed, self._looked), set(read)
        folders: dict[str, SeenFolder] = {}
        for name, found in there.items():
            known = self._folders.get(name)
            if known is not None and not known.hashes and not done.intersection(found):
                folders[name] = known
                continue
            before = set(_split(known.hashes)) if known else set()
            hashes = [h for object_, h in found.items() if object_ in done or h in before]
            count, total = _sum(hashes)
            date = date_of(f"{name}/x")
            recent = date is None or date > today - EXACT_DAYS
            kept = b"".join(sorted(hashes)) if recent else b""
            if hashes:
                folders[name] = SeenFolder(name, count, total, kept)
        self._folders = folders

    def encode(self) -> bytes:
        """The memory as bytes."""
        return SEEN.encode(SeenObjects(sorted(self._folders.values(), key=lambda f: f.name)))


def too_old(name: str, today: int) -> bool:
    """Whether an object lies in a folder that is not looked at any more."""
    date = date_of(name)
    return date is not None and date < today - LOOK_BACK_DAYS


def day_of(time: int) -> int:
    """A day counted from 1970."""
    return time // DAY_MS


def _by_folder(names: Iterable[str], known: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    """Folder → object → hash, if it is not known already; objects that are gone are left out."""
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for name in names:
        if name in known:
            found[name.rpartition("/")[0]][name] = known[name]
            continue
        try:
            stat = os.stat(name)
        except OSError:
            continue
        told = f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}".encode(errors="surrogateescape")
        found[name.rpartition("/")[0]][name] = blake2b(told, digest_size=8).digest()
    return found


def _sum(hashes: Iterable[bytes]) -> tuple[int, bytes]:
    each = list(hashes)
    total = sum(int.from_bytes(one, "big") for one in each) % _RANGE
    return len(each), total.to_bytes(8, "big")


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + 8] for at in range(0, len(hashes), 8)]
