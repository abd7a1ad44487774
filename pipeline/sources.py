"""Find the objects to read: files, folders, globs, AWSLogs trees and standard input."""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pipeline.errors import UsageError
from transforms.objects import Extent, folder_date, name_list

STDIN: Final = "-"
_LOGS: Final = (".json", ".jsonl", ".ndjson", ".log")
_ENDINGS: Final = (*(f"{ending}.gz" for ending in _LOGS), *_LOGS)
"""Endings of files that a folder is searched for; .gz alone is one, too."""
_LIST_OBJECTS: Final = 256


@dataclass
class Listing:
    """The objects of a run, by time of delivery, and what was passed over and why."""

    names: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    """Reason → names."""

    def skip(self, reason: str, name: str) -> None:
        """Pass over something, and say so."""
        self.skipped.setdefault(reason, []).append(name)


def lists(names: Sequence[str]) -> Iterator[bytes]:
    """Names of objects in runs of at most 256: an element of the pipeline each."""
    for at in range(0, len(names), _LIST_OBJECTS):
        yield name_list(list(names[at : at + _LIST_OBJECTS]))


def find_objects(
    inputs: Sequence[str], extent: Extent, spool: Path, may_be_empty: bool = False
) -> Listing:
    """The objects that `inputs` name. Raises UsageError if an input is missing, or all are empty
    where that may not be.

    Standard input is first written to the file `spool`, so that it is an object like others.
    Delivery time comes from an object's name; those without one come first, by name.
    """
    listing = Listing()
    for given in inputs:
        if given == STDIN:
            if str(spool) not in listing.names:
                _spool(spool)
            listing.names.append(str(spool))
        elif "://" in given:
            raise UsageError(f"input {given}: only local files can be read; copy the logs here")
        else:
            for path in _matches(given):
                _walk(listing, path, extent) if path.is_dir() else _add(listing, path, extent)
    _drop_repeats(listing)
    if not listing.names and not may_be_empty:
        what = "; ".join(f"{reason}: {len(names)}" for reason, names in listing.skipped.items())
        raise UsageError(
            f"input {' '.join(inputs)}: no object to read"
            + (f" ({what})" if what else "")
            + "; name a file, a folder with .json.gz files or a glob"
        )
    listing.names.sort(key=_by_delivery)
    return listing


def _matches(given: str) -> list[Path]:
    if not given:
        raise UsageError("input: an empty name; name a file, a folder or a glob")
    if Path(given).exists():
        return [Path(given)]
    found = sorted(glob.glob(given, recursive=True))
    if not found:
        kind = ", and no file matches it as a pattern" if glob.has_magic(given) else ""
        raise UsageError(f"input {given}: no such file or folder{kind}")
    return [Path(name) for name in found]


def _walk(listing: Listing, root: Path, extent: Extent) -> None:
    """All objects below a folder. What is decided by the folder is decided once for its files."""
    folders, seen = [os.path.abspath(root)], False
    while folders:
        folder = folders.pop()
        unwanted = _unwanted(folder + "/", extent)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    seen = True
                    if entry.is_dir(follow_symlinks=False):
                        if _may_hold(entry.path, extent):
                            folders.append(entry.path)
                        else:
                            listing.skip(_OUTSIDE, entry.path)
                        continue
                    reason = unwanted or _no_log(entry)
                    if reason:
                        listing.skip(reason, entry.path)
                    else:
                        listing.names.append(entry.path)
        except OSError as error:
            seen = True
            listing.skip(f"folders that cannot be read ({error.strerror})", folder)
    if not seen:
        listing.skip("empty folders", str(root))


def _add(listing: Listing, path: Path, extent: Extent) -> None:
    """A file that was named itself: whatever its name, unless it is known to hold no events."""
    name = os.path.abspath(path)
    reason = _unwanted(name, extent)
    if reason:
        listing.skip(reason, name)
    else:
        listing.names.append(name)


def _drop_repeats(listing: Listing) -> None:
    once = dict.fromkeys(listing.names)
    if len(once) == len(listing.names):
        return
    for name, number in Counter(listing.names).items():
        for _ in range(number - 1):
            listing.skip("objects named twice", name)
    listing.names = list(once)


_OUTSIDE: Final = "date folders outside --from/--until"


def _unwanted(name: str, extent: Extent) -> str:
    """Why an object of this name, or any in this folder (…/), is not read; "" if it is."""
    kind = _kind(name)
    if kind:
        return kind
    date = folder_date(name)
    if date is not None and _outside(date, date + timedelta(days=1), extent):
        return _OUTSIDE
    return ""


def _kind(name: str) -> str:
    """Why an object of this name is none of CloudTrail's logs of API calls; "" if it may be."""
    if "/CloudTrail-Digest/" in name or "_CloudTrail-Digest_" in name:
        return "digest objects, which hold no events"
    if "/CloudTrail-Insight/" in name or "_CloudTrail-Insight_" in name:
        return "Insight objects, which hold no API calls"
    return ""


def _no_log(entry: os.DirEntry[str]) -> str:
    """Why a file found in a folder is not read; "" if it is."""
    if entry.is_symlink() and entry.is_dir():
        return "linked folders, not followed"
    name = entry.name
    reason = _kind(name)
    if reason:
        return reason
    if not name.endswith(_ENDINGS) and not (name.endswith(".gz") and "." not in name[:-3]):
        return "files that are no logs by their name"
    return "" if entry.is_file() else "links to nothing and other things that are no files"


def _may_hold(folder: str, extent: Extent) -> bool:
    """Whether a folder yyyy, yyyy/mm or yyyy/mm/dd may hold events of the extent; others may.

    A record of 23:59 lies in the next day's folder, hence the day's grace.
    """
    if extent.start is None and extent.until is None:
        return True
    for missing, days in (("/", 1), ("/01/", 31), ("/01/01/", 366)):
        first = folder_date(folder + missing)
        if first is not None:
            return not _outside(first, first + timedelta(days=days), extent)
    return True


def _outside(first: datetime, last: datetime, extent: Extent) -> bool:
    """Whether folders dated [first, last) can hold nothing of the extent."""
    if extent.start is not None and last.timestamp() * 1000 <= extent.start:
        return True
    grace = first - timedelta(days=1)
    return extent.until is not None and grace.timestamp() * 1000 >= extent.until


def _by_delivery(name: str) -> tuple[str, str]:
    """(time of delivery as …_20260302T0830Z_… has it, name)."""
    _, _, tail = name.rpartition("/")
    parts = tail.rsplit("_", 2)
    stamp = parts[1] if len(parts) == 3 else ""
    return (stamp if len(stamp) == 14 and stamp[8] == "T" else "", name)


def _spool(path: Path) -> None:
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("input -: standard input is closed; pipe records into it")
    if sys.stdin.isatty():
        raise UsageError("input -: standard input is a terminal; pipe records into it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
