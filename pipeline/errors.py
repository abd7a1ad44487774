"""What stops a run before the graph is built."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """Bad configuration: one line that names the thing, its value and the fix. Exit status 2."""


def nearest(name: str, names: Iterable[str]) -> str:
    """ " (did you mean …?)", or nothing where no name is near."""
    found = get_close_matches(name, list(names), 1, 0.5)
    return f" (did you mean {found[0]}?)" if found else ""
