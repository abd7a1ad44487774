"""Show how far an embedded run is: from a journal to which each finished list appends a line."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Final

_TERMINAL_S: Final = 0.5
_PLAIN_S: Final = 10.0


class StatusLine:
    """A line on stderr: rewritten in its place on a terminal, else one below the other."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Say where things are."""
        start, end = ("\r\x1b[K", "") if self.terminal else ("", "\n")
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave the terminal as it was."""
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Progress:
    """Reports on stderr while the pipeline runs: one rewritten line on a terminal, else a few."""

    def __init__(self, journal: Path, total: int) -> None:
        self._journal, self._total = journal, total
        self.label = ""
        """What is at work, before all else."""
        self._done = threading.Event()
        self._status = StatusLine()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._status.clear()

    def _watch(self) -> None:
        shown = ""
        while not self._done.wait(_TERMINAL_S if self._status.terminal else _PLAIN_S):
            line = self._line()
            if line != shown:
                self._status.show(line)
                shown = line

    def _line(self) -> str:
        read = self._read()
        elapsed = time.monotonic() - self._began
        if read >= self._total > 0:
            return f"{self.label}all {self._total:,} objects read; judging, {elapsed:.0f} s so far"
        left = f", about {elapsed / read * (self._total - read):.0f} s left" if read else ""
        share = 100 * read / max(1, self._total)
        return f"{self.label}{read:,} of {self._total:,} objects read ({share:.0f} %{left})"

    def _read(self) -> int:
        try:
            return sum(map(int, self._journal.read_text("utf-8").split()))
        except OSError:
            return 0
