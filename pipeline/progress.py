"""Show how far an embedded run is: from a journal to which each finished list appends a line."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

_TERMINAL_S: Final = 0.5
_PLAIN_S: Final = 10.0


class Progress:
    """Reports on stderr while the pipeline runs: one rewritten line on a terminal, else a few."""

    def __init__(self, journal: Path, total: int) -> None:
        self._journal, self._total = journal, total
        self._done = threading.Event()
        self._terminal = sys.stderr.isatty()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _watch(self) -> None:
        shown = ""
        while not self._done.wait(_TERMINAL_S if self._terminal else _PLAIN_S):
            line = self._line()
            if line != shown:
                start, end = ("\r\x1b[K", "") if self._terminal else ("", "\n")
                print(f"{start}{line}", end=end, file=sys.stderr, flush=True)
                shown = line

    def _line(self) -> str:
        read = self._read()
        elapsed = time.monotonic() - self._began
        if read >= self._total:
            return f"all {self._total:,} objects read; judging, {elapsed:.0f} s so far"
        left = f", about {elapsed / read * (self._total - read):.0f} s left" if read else ""
        share = 100 * read / self._total
        return f"{read:,} of {self._total:,} objects read ({share:.0f} %{left})"

    def _read(self) -> int:
        try:
            return sum(map(int, self._journal.read_text("utf-8").split()))
        except OSError:
            return 0
