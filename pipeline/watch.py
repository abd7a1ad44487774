"""`raretrail watch INPUT… --output OUT`: an incremental run every 15 minutes, in one process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pipeline.news import print_round
from pipeline.options import parse_watch
from pipeline.run import run_settings
from schemas.event import SLICE_MS

_PERIOD_S: Final = SLICE_MS / 1000


def watch(
    argv: Sequence[str],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """The whole command: ends by Ctrl-C with status 130, or with that of a round that failed.

    A round begins when it is started and at each quarter of an hour, when the firing of the
    quarter before is due.
    """
    rounds = _Rounds(clock)
    settings = parse_watch(argv)
    try:
        while True:
            status = run_settings(settings, rounds.tell, round(clock() * 1000))
            if status:
                return status
            sleep(max(0.0, rounds.due - clock()))
    except KeyboardInterrupt:
        print("raretrail: watch ended; the same command goes on", file=sys.stderr)
        return 130


class _Rounds:
    """Tells of each round, and when the next one comes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.due = 0.0
        """When the next round comes, in seconds since the epoch."""

    def tell(self, output: Path) -> int:
        """What came of the round that has just ended; its exit status."""
        now = self._clock()
        self.due = now - now % _PERIOD_S + _PERIOD_S
        at = datetime.fromtimestamp(self.due, UTC)
        return print_round(output, f"; next at {at:%H:%M} UTC")
