"""What people read about an anomaly, from one place: report, alert and explanation use it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.anomaly import Anomaly
from schemas.entity import ORGANISATION
from schemas.slice import number_of
from schemas.text import one_line

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST: Final = 80
"""Most characters of a user-controlled string inside a sentence."""


def printable(text: str) -> str:
    """User-controlled text made harmless for a terminal or a sentence: escaped and cut."""
    shown = one_line(text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def iso(ms: int) -> str:
    """A time in milliseconds since the epoch, as ISO 8601 in UTC; beyond its years as a number."""
    try:
        stamp = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return f"{ms} ms since 1970"
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def minute(time: str) -> str:
    """A time as `iso` writes it, for people: "2026-03-02 14:30 UTC"."""
    return f"{time[:16].replace('T', ' ')} UTC"


_CITY: Final = "source.geo.city_name"
_REASONS: Final = 3
"""Most factors that a sentence names."""
_WORTH: Final = 0.5
"""Least value of one that is worth it."""


def sentence(found: Anomaly) -> str:
    """What happened, in one sentence: who, what, when, from where, and how new it is."""
    cell = found.cell
    count, exact = number_of(cell.ids)
    times = "once" if count == 1 else f"{count} times" if exact else f"about {count} times"
    failed = ", every time with an error" if cell.failed else ""
    when = datetime.fromtimestamp(cell.first / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    action = printable(found.action)
    if _CITY in found.entity:
        who = _users(cell.users) or "somebody without a user name"
        what = f"{who} called {action} from {place(found.entity)}"
    else:
        what = f"{who_of(found)} called {action}{_from(found)}"
    return f"{what} {times} on {when}{failed}: {_history(found)}{_reasons(found)}"


def who_of(found: Anomaly) -> str:
    """An entity in words: "alice in account 111122223333"."""
    scope = None if found.scope == ORGANISATION else found.scope
    account = found.entity.get("cloud.account.id", scope)
    rest = [value for field, value in found.entity.items() if field != "cloud.account.id"]
    name = " / ".join(printable(value) for value in rest) or "account"
    return f"{name} in account {printable(account)}" if account else name


def place(entity: dict[str, str]) -> str:
    """A city in words: "Lagos, NG"."""
    country = entity.get("source.geo.country_iso_code", "")
    city = entity.get("source.geo.city_name", "")
    return ", ".join(printable(part) for part in (city, country) if part)


def user_names(users: tuple[str, ...]) -> list[str]:
    """The names in a cell's user entities, without their accounts."""
    return sorted({json.loads(user)[-1] for user in users})


def _users(users: tuple[str, ...]) -> str:
    names = [printable(name) for name in user_names(users)]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _from(found: Anomaly) -> str:
    first = found.evidence[0] if found.evidence else None
    if first is None:
        return ""
    where = ", ".join(printable(part) for part in (first.city, first.country) if part)
    return f" from {where or printable(first.address) or 'nowhere known'}"


def _reasons(found: Anomaly) -> str:
    """What speaks most against the entity, and how many an ordinary day are as odd."""
    if found.surprise is None:
        return ""
    most = sorted(found.factors, key=lambda factor: -factor.value)[:_REASONS]
    told = [factor.words for factor in most if factor.value > _WORTH]
    if found.rate is not None:
        what = "city" if _CITY in found.entity else "user"
        told.append(volume(found.rate, f"new {what}" if found.basis == "first_activity" else what))
    return "".join(f"; {words}" for words in told)


def volume(rate: float, what: str) -> str:
    """How many entities an ordinary day are at least so odd, in words."""
    if rate >= 1.5:
        many = f"{what.removesuffix('y')}ies" if what.endswith("city") else f"{what}s"
        return f"as odd as {rate:.0f} {many} an ordinary day"
    days = 1 / rate
    every = "a day" if days < 1.5 else f"in {days:,.0f} days"
    return f"as odd as one {what} {every}"


def _history(found: Anomaly) -> str:
    profile = found.profile
    if profile.since is None:
        return "the first time it is seen at all"
    days = max(1, round((found.slice * 900_000 - profile.since) / 86_400_000))
    known = f"{number(days, 'day')} of history ({number(profile.n_actions, 'action')})"
    if found.scorer != "elastic":
        known += ", the last 2 hours aside"
    if found.seen == 0:
        return f"never before in {known}"
    last = "" if found.seen_last is None else f", last on {iso(found.seen_last)[:10]}"
    return f"{number(found.seen, 'time')} before in {known}{last}"


def number(count: int, what: str) -> str:
    """ "1 day", "2,000 days"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
