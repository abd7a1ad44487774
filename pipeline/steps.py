"""Cut a long replay into steps: which objects each reads, and up to which firing it judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.event import SLICE_MS
from transforms.firing import DELIVERY_DELAY_MS, STEP_LAG_MS, WINDOW, last_firing
from transforms.objects import delivered_at, folder_date

DAY_MS: Final = 86_400_000
PATIENCE_MS: Final = WINDOW * SLICE_MS - 2 * DELIVERY_DELAY_MS
"""How far a horizon may be ahead of the last delivery: one that comes in time at the next firing
is of a slice that is not settled then.
"""
LONG_DAYS: Final = 7
"""Input of more days than these is replayed in steps, unless it is told otherwise."""


@dataclass(frozen=True)
class Step:
    """A part of a run: a bounded run of its own, from the state that the one before left."""

    name: str
    """What it is called in the names of files."""
    names: list[str]
    """Objects to read, by delivery."""
    until: int | None
    """Its last firing; None: as long as anything is due."""


def date_of(name: str) -> int | None:
    """The day of an object's delivery, counted from 1970: its folder's, else its name's."""
    folder = folder_date(name)
    if folder is not None:
        return int(folder.timestamp() * 1000) // DAY_MS
    delivered = delivered_at(name)
    return None if delivered is None else delivered // DAY_MS


def days_of(names: Sequence[str]) -> int | None:
    """Days from the first to the last delivery; None where an object does not say when."""
    dates = [date_of(name) for name in names]
    known = [date for date in dates if date is not None]
    if len(known) < len(dates) or not known:
        return None
    return max(known) - min(known) + 1


def cut(
    names: Sequence[str],
    days: int,
    until: int | None,
    spans: Mapping[str, tuple[int, int]] | None = None,
) -> list[Step]:
    """The steps of a run, `days` folder dates each, the last of them up to `until`.

    A step ends 2 h 15 min behind the last date that it reads, since what happened just before
    midnight lies in the next day's folder. An object without a date belongs to the day of its
    last event, and no step goes beyond the first event of an object that a later one reads:
    `spans` has (first, last) event time of those.
    """
    spans = spans or {}
    dated: dict[int, list[str]] = {}
    nowhere: list[str] = []  # what has neither a date nor events
    for name in names:
        date = spans[name][1] // DAY_MS if name in spans else date_of(name)
        dated.setdefault(date, []).append(name) if date is not None else nowhere.append(name)
    if not dated:
        return [whole(names, until)]
    first = min(dated)
    dated[first] = nowhere + dated[first]
    parts: dict[int, list[str]] = {}
    for date in sorted(dated):
        parts.setdefault((date - first) // days, []).extend(dated[date])
    lag = STEP_LAG_MS if any(date_of(name) is not None for name in names) else 0
    steps: list[Step] = []
    earliest: int | None = None  # of what later steps read, in undated objects
    for part in sorted(parts, reverse=True):
        end = last_firing((first + (part + 1) * days) * DAY_MS - lag)
        if earliest is not None:
            end = min(end, last_firing(earliest))
        goal = until if not steps else end if until is None else min(end, until)
        steps.append(Step(_name(first + part * days, days), parts[part], goal))
        starts = [spans[name][0] for name in parts[part] if name in spans]
        earliest = min([*starts, *([] if earliest is None else [earliest])], default=None)
    return steps[::-1]


def horizon_at(now: int, newest: int, before: int | None = None) -> int:
    """The last firing of an incremental run: that whose deliveries should have come by `now`.

    The clock is believed only as far as deliveries bear it out: to 90 minutes after the `newest`
    of them, and where there is something new at all to one firing more than was done `before`.
    What comes in time after that is late at most, never too late to be learned: a clock that is
    ahead loses nothing, and what was delivered is judged though the source may be silent.
    """
    borne_out = last_firing(newest + PATIENCE_MS)
    if before is not None:
        borne_out = max(borne_out, before + 1)
    return min(last_firing(now - DELIVERY_DELAY_MS), borne_out)


def whole(names: Sequence[str], until: int | None) -> Step:
    """All in one step."""
    return Step("all", list(names), until)


def _name(day: int, days: int) -> str:
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return f"{start:%Y-%m-%d}" if days == 1 else f"{start:%Y-%m-%d}+{days}d"
