"""Event times: the spellings that CloudTrail and its copies use, to the millisecond."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from transforms.values import RefusedError, describe

_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ]"
    r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{3})\d{0,6})?"
    r"(?:Z|([+-])([01]\d|2[0-3]):?([0-5]\d))?",
    re.ASCII,
)
_EPOCH: Final = date(1970, 1, 1).toordinal()


def parse_time(value: object, name: str = "eventTime") -> int:
    """Milliseconds since the epoch, floored, of `2021-12-02T22:11:26Z` and its variants.

    Those are: a fraction of 3 to 9 digits, a space for the T, no zone (then it is UTC), a numeric
    offset. Raises RefusedError for anything else, dates that no calendar has among them.
    """
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise RefusedError(f"{name} is {describe(value)}, not a time like 2021-12-02T22:11:26Z.")
    year, month, day, hour, minute, second, millis, sign, off_hour, off_minute = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH
    except ValueError as error:
        raise RefusedError(f"{name} is {describe(value)}, a day that no calendar has.") from error
    minutes = (days * 24 + int(hour)) * 60 + int(minute)
    if sign:
        offset = int(off_hour) * 60 + int(off_minute)
        minutes -= offset if sign == "+" else -offset
    return (minutes * 60 + int(second)) * 1000 + int(millis or 0)


SECONDS: Final = {f"{second:02}Z": second * 1000 for second in range(60)}
"""The end of the common spelling, `26Z`, in milliseconds; `parse_minute` reads its start."""


def parse_minute(start: str) -> int:
    """Milliseconds since the epoch of the start of the common spelling, `2021-12-02T22:11:`."""
    return parse_time(f"{start}00Z")
