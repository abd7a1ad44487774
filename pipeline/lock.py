"""One run at a time on a folder."""

from __future__ import annotations

import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from pipeline.errors import UsageError

LOCK: Final = ".lock"


class Lock:
    """Holds a folder as long as the block lasts, or the process: a killed one leaves it free.

    The file in it names the holder. Raises UsageError at once if another run has it.
    """

    def __init__(self, folder: Path, flag: str) -> None:
        self._path = folder / LOCK
        self._what = f"{flag} {folder}"

    def __enter__(self) -> Lock:
        while True:
            self._file = self._path.open("a+", encoding="utf-8")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.seek(0)
                holder = self._file.read().strip() or "another run"
                self._file.close()
                raise UsageError(f"{self._what}: in use by {holder}; wait for it") from None
            except OSError:  # a file system that has no locks
                self._file.close()
                raise
            if self._is_ours():
                break
            self._file.close()  # its holder removed it meanwhile
        try:
            self._tell()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _tell(self) -> None:
        """Write who holds it."""
        self._file.truncate(0)
        started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        self._file.write(f"process {os.getpid()} on {socket.gethostname()} since {started}\n")
        self._file.flush()

    def _is_ours(self) -> bool:
        try:
            return os.stat(self._path).st_ino == os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_ours():  # else it was removed with its folder, and may be another's by now
            self._path.unlink(missing_ok=True)
        self._file.close()
