"""What an incremental run has read: a bounded memory that misses nothing.

An object is told by its name, size and time of last change, as a hash of 8 bytes: what grew is new.
Folders of dates are looked at for 90 days, and remembered for as long even if they are not there:
a disk that was not mounted comes back. What could not be read is new again, but not for ever.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from pipeline.errors import UsageError
from pipeline.steps import DAY_MS, date_of
from schemas.codec import Codec, SchemaError

LOOK_BACK_DAYS: Final = 90
"""Dated folders that are looked at: as long as too late cells are remembered."""
TRIES: Final = 8
"""How often an object is read that cannot be: 2 hours from cron, after which it is too late."""
_HASH: Final = 8


class SeenFolder(msgspec.Struct, gc=False):
    """What was read of one folder."""

    name: str
    hashes: bytes
    """Of its objects, 8 bytes each, ascending."""


class SeenFailure(msgspec.Struct, gc=False):
    """An object that could not be read."""

    hash: bytes
    tries: int


class SeenObjects(msgspec.Struct, gc=False):
    """All folders of an input."""

    folders: list[SeenFolder]
    failures: list[SeenFailure]


SEEN: Final = Codec("seenobjects", SeenObjects)


class Seen:
    """Which objects have been read. `news` tells what is new, `note` takes it as read."""

    def __init__(self, path: Path) -> None:
        self._folders: dict[str, bytes] = {}
        self._tries: dict[bytes, int] = {}
        """Hash → how often an object could not be read."""
        self._looked: dict[str, bytes] = {}
        """Object → hash as `news` found it: what grows while it is read is new again later."""
        if path.exists():
            try:
                seen = SEEN.decode(path.read_bytes())
            except (SchemaError, EOFError, ValueError) as error:
                raise UsageError(f"{path}: damaged ({error}); start in a new folder") from None
            self._folders = {folder.name: folder.hashes for folder in seen.folders}
            self._tries = {failure.hash: failure.tries for failure in seen.failures}

    def news(self, names: Iterable[str]) -> list[str]:
        """The objects that are new, or changed, or could not be read yet, in the order given."""
        names, there = list(names), _by_folder(names, {})
        self._looked = {name: hash_ for found in there.values() for name, hash_ in found.items()}
        new: set[str] = set()
        for folder, found in there.items():
            known = set(_split(self._folders.get(folder, b"")))
            new.update(name for name, hash_ in found.items() if hash_ not in known)
        return [name for name in names if name in new and not self.gave_up(name)]

    def gave_up(self, name: str) -> bool:
        """Whether an object could not be read so often that it is left alone until it changes."""
        return self._tries.get(self._looked.get(name, b""), 0) >= TRIES

    def note(
        self, read: Iterable[str], failed: Collection[str], listed: Iterable[str], today: int
    ) -> None:
        """Remember what was read, and what could not be, of what there is; what is gone is
        forgotten, but for whole folders of dates. `today` counts from 1970.
        """
        there, done = _by_folder(listed, self._looked), set(read).difference(failed)
        folders = {
            name: hashes
            for name, hashes in self._folders.items()
            if name not in there and _lasts(name, today)
        }
        tries: dict[bytes, int] = {}
        for folder, found in there.items():
            before = set(_split(self._folders.get(folder, b"")))
            hashes = [h for name, h in found.items() if name in done or h in before]
            if hashes:
                folders[folder] = b"".join(sorted(hashes))
            for name, hash_ in found.items():
                count = self._tries.get(hash_, 0) + (name in failed)
                if count and name not in done:
                    tries[hash_] = count
        self._folders, self._tries = folders, tries

    def encode(self) -> bytes:
        """The memory as bytes."""
        folders = [SeenFolder(*each) for each in sorted(self._folders.items())]
        return SEEN.encode(
            SeenObjects(folders, [SeenFailure(*each) for each in sorted(self._tries.items())])
        )


def _lasts(folder: str, today: int) -> bool:
    """Whether a folder that is gone is remembered: it has a date, which is looked at."""
    name = f"{folder}/x"
    return date_of(name) is not None and not too_old(name, today)


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
        found[name.rpartition("/")[0]][name] = blake2b(told, digest_size=_HASH).digest()
    return found


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + _HASH] for at in range(0, len(hashes), _HASH)]
