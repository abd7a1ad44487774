"""Whether a run can go on with the state that another left: what the state depends on, compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pipeline.errors import UsageError
from pipeline.snapshot import Manifest
from schemas.event import SLICE_MS
from schemas.rule import Rule, detectors
from transforms.calibrate import DAYS, HIGHEST
from transforms.contrast import WEIGHTS
from transforms.entity import STRAYS
from transforms.firing import WINDOW
from transforms.history import DAY, MOST, ageing
from transforms.own import LEAST, MEMORY
from transforms.watched import SIGHTING_DAYS

_FORGET: Final = "forget_after"
_COMMON: Final = {
    "window_slices": WINDOW,
    "most_values": MOST,
    "too_late_days": STRAYS // DAY,
}
_AGED: Final = {"ageing": ageing(SLICE_MS / 1000)}
_CONSTANTS: Final[Mapping[str, Mapping[str, float]]] = {
    "contrast": {
        "memory_days": MEMORY // DAY,
        "least_learned": LEAST,
        "sighting_days": SIGHTING_DAYS,
        "calibration_days": DAYS,
        "highest_of_a_day": HIGHEST,
        **WEIGHTS,
    },
    "window": _AGED,
    "elastic": _AGED,
}
"""Scorer → the constants that its state comes from."""


def fingerprints(
    rules: Sequence[Rule], identity: str, database: str | None, forget_after: int
) -> dict[str, dict[str, Any]]:
    """By a detector's name all that its state depends on. `database` is the kind of the cities',
    `forget_after` counts days.
    """
    return {
        detector.name: {
            **detector.fingerprint(),
            **_COMMON,
            **_CONSTANTS[detector.scorer],
            "identity": identity,
            "city_database": database if detector.needs_cities else None,
            _FORGET: forget_after,
        }
        for detector in detectors(rules)
    }


def check_fits(
    manifest: Manifest, told: Mapping[str, dict[str, Any]], rules: Collection[str], flag: str
) -> tuple[str, ...]:
    """Make sure that detectors can go on with a snapshot; what to tell of those that are new, of
    rules that are gone, and of another --forget_after. `rules` are the uuids of those that there
    are.

    Raises UsageError that names what differs.
    """
    notices = [
        f"The detector {name} is not in the snapshot: it starts without a history."
        for name in told
        if name not in manifest.detectors
    ]
    for name, before in manifest.detectors.items():
        now = told.get(name)
        if now is None:
            hint = " (it needs --geoip_database)" if before.get("city_database") else ""
            fault = f"it holds the detector {name}, which this run does not have{hint}"
            raise UsageError(f"{flag}: {fault}; its state would be lost")
        for key in sorted({*before, *now} - {_FORGET}):
            if before.get(key) != now.get(key):
                fault = f"its detector {name} has {key} {before.get(key)!r}, not {now.get(key)!r}"
                raise UsageError(f"{flag}: {fault}; start without the snapshot, or change it back")
        if before.get(_FORGET) != now[_FORGET]:
            notices.append(_of_forgetting(before.get(_FORGET), now[_FORGET]))
    notices += [
        f"The rule {name} is in the snapshot and not in this run: what waits for it is left out."
        for uuid, name in manifest.rules.items()
        if uuid not in rules
    ]
    return tuple(dict.fromkeys(notices))


def _of_forgetting(before: int | None, now: int) -> str:
    """Another --forget_after is no fault: less is remembered, or what is left lasts longer."""
    return (
        f"--forget_after: {now}d from now on; what the snapshot holds was kept for {before}d, and "
        "who was forgotten then stays forgotten."
    )
