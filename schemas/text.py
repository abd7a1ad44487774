"""Text that is safe to show and to write, and what people write for a time."""

from __future__ import annotations

from datetime import UTC, datetime


def one_line(text: str) -> str:
    """Text with what would break a line or command a terminal written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def written(name: str) -> str:
    """A name that can be written as UTF-8: those of files need not be text."""
    return name.encode(errors="backslashreplace").decode()


def moment(text: str) -> int:
    """A date or time in ISO 8601, UTC where it names no zone, in ms since the epoch.

    Raises ValueError that says how to write one.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a time; write it as 2026-03-02 or 2026-03-02T14:30:00Z") from None
    zoned = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return int(zoned.timestamp() * 1000)
