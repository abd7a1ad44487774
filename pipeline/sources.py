"""Find the objects to read: files, folders, globs, AWSLogs trees and standard input."""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pipeline.errors import UsageError
from transforms.objects import Extent, folder_date, name_list

STDIN: Final = "-"
_DELIVERED: Final = re.compile(r"_(\d{8}T\d{4}Z)_[^/]*$")
_LOGS: Final = {"", ".json", ".jsonl", ".ndjson", ".log"}
"""Endings, less .gz, of files that a folder is searched for; "" only with .gz."""
_LIST_OBJECTS: Final = 256
_LIST_BYTES: Final = 16 << 20


@dataclass
class Listing:
    """The objects of a run, by time of delivery, and what was passed over and why."""

    names: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    """Reason → names."""

    def skip(self, reason: str, name: str) -> None:
        """Pass over something, and say so."""
        self.skipped.setdefault(reason, []).append(name)

    def lists(self) -> Iterator[bytes]:
        """The names in runs of at most 256 objects or 16 MB: an element of the pipeline each."""
        part: list[str] = []
        size = 0
        for name in self.names:
            part.append(name)
            size += self.sizes[name]
            if len(part) == _LIST_OBJECTS or size >= _LIST_BYTES:
                yield name_list(part)
                part, size = [], 0
        if part:
            yield name_list(part)


def find_objects(inputs: Sequence[str], extent: Extent, spool: Path) -> Listing:
    """The objects that `inputs` name. Raises UsageError if an input is missing or all are empty.

    Standard input is first written to the file `spool`, so that it is an object like others.
    Delivery time comes from an object's name; those without one come first, by name.
    """
    listing = Listing()
    for given in inputs:
        if given == STDIN:
            _spool(spool)
            _add(listing, spool, extent, explicit=True)
        elif "://" in given:
            raise UsageError(f"input {given}: only local files can be read; copy the logs here")
        else:
            for path in _matches(given):
                _walk(listing, path, extent)
    if not listing.names:
        what = "; ".join(f"{reason}: {len(names)}" for reason, names in listing.skipped.items())
        raise UsageError(
            f"input {' '.join(inputs)}: no object to read"
            + (f" ({what})" if what else "")
            + "; name a file, a folder with .json.gz files or a glob"
        )
    listing.names.sort(key=_by_delivery)
    return listing


def _matches(given: str) -> list[Path]:
    if Path(given).exists():
        return [Path(given)]
    found = sorted(glob.glob(given, recursive=True))
    if not found:
        kind = "no file matches" if glob.has_magic(given) else "no such file or folder"
        raise UsageError(f"input {given}: {kind}")
    return [Path(name) for name in found]


def _walk(listing: Listing, path: Path, extent: Extent) -> None:
    if not path.is_dir():
        _add(listing, path, extent, explicit=True)
        return
    before = len(listing.names) + sum(map(len, listing.skipped.values()))

    def unreadable(error: OSError) -> None:
        listing.skip(f"folders that cannot be read ({error.strerror})", str(error.filename))

    for folder, folders, files in os.walk(path, onerror=unreadable):
        for name in list(folders):
            if os.path.islink(os.path.join(folder, name)):
                listing.skip("linked folders, not followed", os.path.join(folder, name))
        folders[:] = [name for name in folders if _may_hold(os.path.join(folder, name), extent)]
        for name in files:
            _add(listing, Path(folder, name), extent, explicit=False)
    if len(listing.names) + sum(map(len, listing.skipped.values())) == before:
        listing.skip("empty folders", str(path))


def _add(listing: Listing, path: Path, extent: Extent, *, explicit: bool) -> None:
    name = os.path.abspath(path)
    if "/CloudTrail-Digest/" in name:
        listing.skip("digest objects, which hold no events", name)
    elif "/CloudTrail-Insight/" in name:
        listing.skip("Insight objects, which hold no API calls", name)
    elif not explicit and not _is_log(path.name):
        listing.skip("files that are no logs by their name", name)
    elif name in listing.sizes:
        listing.skip("objects named twice", name)
    elif not path.is_file() and not path.exists():
        listing.skip("links to nothing", name)
    elif _folder_outside(name, extent):
        listing.skip("objects in date folders outside --from/--until", name)
    else:
        listing.sizes[name] = path.stat().st_size
        listing.names.append(name)


def _is_log(name: str) -> bool:
    stem, ending = os.path.splitext(name)
    if ending == ".gz":
        return os.path.splitext(stem)[1] in _LOGS
    return ending != "" and ending in _LOGS


def _may_hold(folder: str, extent: Extent) -> bool:
    """Whether a folder yyyy, yyyy/mm or yyyy/mm/dd may hold events of the extent; others may.

    A record of 23:59 lies in the next day's folder, hence the day's grace.
    """
    found = re.search(r"/(\d{4})(?:/(\d{2}))?(?:/(\d{2}))?$", folder)
    if found is None or (extent.start is None and extent.until is None):
        return True
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        first = datetime(year or 1, month or 1, day or 1, tzinfo=UTC)
    except ValueError:
        return True
    span = timedelta(days=366 if month is None else 31 if day is None else 1)
    return not _outside(first, first + span, extent)


def _folder_outside(name: str, extent: Extent) -> bool:
    date = folder_date(name)
    return date is not None and _outside(date, date + timedelta(days=1), extent)


def _outside(first: datetime, last: datetime, extent: Extent) -> bool:
    """Whether folders dated [first, last) can hold nothing of the extent."""
    if extent.start is not None and last.timestamp() * 1000 <= extent.start:
        return True
    grace = first - timedelta(days=1)
    return extent.until is not None and grace.timestamp() * 1000 >= extent.until


def _by_delivery(name: str) -> tuple[str, str]:
    found = _DELIVERED.search(name)
    return (found.group(1) if found else "", name)


def _spool(path: Path) -> None:
    if sys.stdin.isatty():
        raise UsageError("input -: standard input is a terminal; pipe records into it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)


def skipped_counts(listing: Listing) -> Iterable[tuple[str, int]]:
    """(reason, number) of what was passed over."""
    return ((reason, len(names)) for reason, names in sorted(listing.skipped.items()))
