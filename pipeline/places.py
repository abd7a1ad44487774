"""Where a run may write: apart from what it reads, and never over a newer state."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import msgspec

from pipeline.errors import UsageError
from pipeline.files import read_json
from pipeline.ledger import RUN
from pipeline.options import RunSettings
from pipeline.sinks import ALERTS
from pipeline.snapshot import MANIFEST
from pipeline.sources import STDIN
from schemas.words import iso, minute
from transforms.firing import last_firing, time_of

_RESULTS: Final = (RUN, ALERTS)
"""Files of a run that look like logs by their name."""


def check_apart(inputs: Sequence[str], places: Sequence[tuple[str, Path | None]]) -> None:
    """Make sure that no (flag, folder to write into) lies in an input, nor an input in it: the next
    run would read results as logs. Raises UsageError that names both.
    """
    for flag, folder in places:
        if folder is None:
            continue
        real = Path(os.path.realpath(folder))
        for given in inputs:
            for found in _real(given):
                if found.is_dir() and found in (real, *real.parents):
                    raise UsageError(
                        f"{flag} {folder}: lies in the input {given}, which would be read with "
                        "the results in it; name a folder outside"
                    )
                if real in found.parents:
                    raise UsageError(
                        f"{flag} {folder}: holds the input {given}; name a folder apart from it"
                    )
            if _will_match(given, real):
                raise UsageError(
                    f"{flag} {folder}: its files match the input {given}; name a folder outside"
                )


def _real(given: str) -> Iterator[Path]:
    if given == STDIN:
        return
    for name in [given] if os.path.exists(given) else glob.glob(given, recursive=True):
        yield Path(os.path.realpath(name))


def _will_match(given: str, folder: Path) -> bool:
    """Whether a pattern finds a folder, or results in it, once they are there."""
    if not glob.has_magic(given) or os.path.exists(given):
        return False
    pattern = os.path.join(os.path.realpath(os.getcwd()), given)
    names = [folder, *folder.parents, *(folder / name for name in _RESULTS)]
    if "**" in pattern:
        return any(fnmatch(str(name), pattern) for name in names)
    return any(name.match(pattern) for name in names)  # part by part


def replaced(settings: RunSettings) -> list[str]:
    """What to say of a snapshot that the one of this run is going to replace; nothing of the one
    that it begins with. Raises UsageError if it is newer than that.
    """
    folder, until = settings.snapshot_out, settings.until
    if folder is None or until is None or folder == settings.snapshot_in:
        return []
    try:
        old = str(read_json(folder / MANIFEST)["horizon"])
    except (OSError, msgspec.MsgspecError, LookupError, TypeError):
        return []
    new = iso(time_of(last_firing(until)))
    if old > new:
        raise UsageError(
            f"--snapshot_out {folder}: holds a snapshot up to {minute(old)}, newer than one up to "
            f"{minute(new)}; name another folder or remove it"
        )
    verb = f"is replaced by one up to {minute(new)}"
    return [f"--snapshot_out {folder}: its snapshot up to {minute(old)} {verb}."]
