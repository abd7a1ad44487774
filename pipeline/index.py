"""Index objects that do not say when they were delivered: the times of their events."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.progress import StatusLine
from transforms.objects import EARLIEST, Extent
from transforms.read import ObjectReader

_EACH = 200


def spans(names: Sequence[str], extent: Extent) -> dict[str, tuple[int, int]]:
    """(first, last) event time of each object, in milliseconds; of one without events, nothing.

    Reads every object once, in pieces. Times that cannot be are left out, as the run does.
    """
    reader, status = ObjectReader(), StatusLine()
    found: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(names):
        if status.terminal and number % _EACH == 0:
            status.show(f"indexing: {number:,} of {len(names):,} objects")
        limit = extent.limit(None)
        try:
            with open(name, "rb") as file:
                for reading in reader.read_stream(name, file):
                    times = [e.time for e in reading.events if EARLIEST <= e.time < limit]
                    if times:
                        low, high = found.get(name, (times[0], times[0]))
                        found[name] = min(low, *times), max(high, *times)
        except OSError:
            continue  # the run itself says what is wrong with it
    status.clear()
    return found
