"""Whether two runs were asked for the same, told in flags where they were not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.errors import UsageError
from pipeline.files import read_json
from pipeline.ledger import RUN
from pipeline.sources import STDIN
from schemas.words import minute

_DAYS: Final = ("step", "forget_after")
_FLAGS: Final = {
    "inputs": "INPUT",
    "geoip_sha256": "--geoip_database",
    "incidents_sha256": "--incidents",
    "rules": "--rules or --scorer",
    "rules_applied": "--rules or --scorer",
}
_FILES: Final = ("geoip_sha256", "incidents_sha256")
_OTHER: Final = (
    "output",
    "geoip_database",
    "rules",
    "enable",
    "disable",
    "incidents",
    "scorer",
    "beam",
)
"""What may differ, or is told by another key: what rules say, and not where they lie."""


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first thing in which two commands differ, "" if in none: "that one has --step 1d, this
    one no --step". Those of `now` are compared.
    """
    for key, value in now.items():
        old = before.get(key)
        if old == value:
            continue
        flag = _FLAGS.get(key, f"--{key}")
        if key in ("rules", "rules_applied") or (key in _FILES and old and value):
            return f"they differ in {flag}"
        return f"that one has {_told(key, flag, old)}, this one {_told(key, flag, value)}"
    return ""


def _told(key: str, flag: str, value: Any) -> str:
    """A value as a command line has it."""
    if value is None or value is False:
        return f"no {flag}"
    if value is True or key in _FILES:
        return flag
    if key in _DAYS:
        return f"{flag} {f'{value}d' if value else 'none'}"
    return f"{flag} {' '.join(value) if isinstance(value, list) else value}"


def check_same(output: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Make sure that a command goes on with what another one began. Raises UsageError."""
    differs = difference(before, now)
    if not differs:
        return
    if before.get("incremental"):
        raise UsageError(
            f"--output {output}: it belongs to incremental runs, and {differs}; "
            "add --incremental, or name a new folder"
        )
    raise UsageError(
        f"--output {output}: it holds an unfinished run of another command: {differs}; "
        "repeat that command or name a new folder"
    )


def finished(output: Path) -> dict[str, Any] | None:
    """run.json of a run that has come to its end in a folder; None if there is none."""
    try:
        run = read_json(output / RUN)
        return run if run["accounting"] and run["configuration"] else None
    except (OSError, msgspec.MsgspecError, LookupError, TypeError):
        return None


def check_repeats(
    output: Path, run: Mapping[str, Any], asked: Mapping[str, Any], objects: Sequence[str]
) -> str:
    """Make sure that a command is the one that ended in a folder, over as many objects; what to
    say of it. `asked` is its configuration, as run.json would have it. Raises UsageError.
    """
    now = msgspec.json.decode(msgspec.json.encode(asked))
    differs = difference(run["configuration"], {key: now[key] for key in now if key not in _OTHER})
    listed = run["accounting"]["objects"]["listed"]
    if not differs and STDIN in asked["inputs"]:
        differs = "INPUT - is another each time"
    if not differs and listed != len(objects):
        differs = f"that one read {listed:,} objects, now there are {len(objects):,}"
    if differs:
        raise UsageError(
            f"--output {output}: holds the results of a run, and {differs}; "
            "name a new folder or remove it"
        )
    return (
        f"--output {output}: this was done on {minute(run['started'])}, and here is the report; "
        "to do it again name a new folder."
    )
