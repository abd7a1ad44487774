"""Accounting as data: rows of counts that flow through the graph beside the events.

A retried bundle writes its row again under the same unit, and the last one wins, so that the sums
are exact where a runner's own counters are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from schemas.codec import Codec

LATEST: Final = "latest|"
"""Counts whose name begins so are combined by their maximum, all others by their sum."""

HELD: Final = "held|"
"""Counts whose name begins so tell what is remembered when a run ends: of several runs in a row
the last one's counts."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """What one step counted of one unit of its input."""

    unit: str
    """Names the step and the unit, the same however often it is processed."""
    counts: dict[str, int]


ROW: Final = Codec("row", Row)


def add_up(rows: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The counts of all rows together."""
    total: dict[str, int] = {}
    for counts in rows:
        for name, number in counts.items():
            before = total.get(name)
            if before is None:
                total[name] = number
            elif name.startswith(LATEST):
                total[name] = max(before, number)
            else:
                total[name] = before + number
    return total


def follow(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The counts of two runs in a row as those of one."""
    past = {name: number for name, number in before.items() if not name.startswith(HELD)}
    return add_up((past, after))


def nested(counts: Mapping[str, int]) -> dict[str, Any]:
    """Counts named like "records|read" as a tree, in the order of the names."""
    tree: dict[str, Any] = {}
    for name in sorted(counts):
        *path, leaf = name.split("|")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = counts[name]
    return tree
