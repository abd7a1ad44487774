"""A disk whose every change is counted, on which work can stop; and what is on it for sure.

Names change by renames and removals, contents by files that are opened to be written.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHANGES = ("rename", "replace", "unlink", "rmdir", "mkdir", "link", "fsync")


class Stop(BaseException):
    """A crash: nothing after it happens."""


@contextmanager
def watched(before: Callable[..., None]) -> Iterator[None]:
    """Calls `before(name, *arguments)` before each change of the disk."""

    def watching(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            before(name, *arguments)
            return original(*arguments, **options)

        return change

    opened = io.open

    def opening(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if set(mode) & set("wax+"):
            before("open", file)
        return opened(file, mode, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, watching(name, getattr(os, name)))
        patch.setattr(io, "open", opening)
        yield


def stopped_at(change: int, work: Callable[[], object]) -> bool:
    """Work on a disk that does nothing any more from its n-th change on; whether it came so far."""
    done = 0

    def count(*_: object) -> None:
        nonlocal done
        if done == change:
            raise Stop
        done += 1

    try:
        with watched(count):
            work()
    except Stop:
        return True
    return False


class Lasting:
    """Notes what a power cut could take: names that were changed, and contents, until a sync."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[int, str] = {}
        """Inode of a file that is not on the disk → its name."""
        self._renamed: dict[Path, str] = {}
        """Folder whose names are not → the last of them."""
        self.faults: list[str] = []

    def before(self, name: str, *arguments: Any) -> None:
        """What is looked at before a change."""
        if name == "fsync":
            status = os.fstat(arguments[0])
            self._written.pop(status.st_ino, None)
            self._renamed.pop(Path(os.readlink(f"/proc/self/fd/{arguments[0]}")), None)
            return
        path = Path(os.fsdecode(arguments[0]))
        if name in ("unlink", "rmdir"):
            self.faults += [f"{path} is removed before {last}" for last in self._renamed.values()]
        elif self._folder not in path.parents or path.name == ".lock":
            return
        elif name in ("rename", "replace"):
            target = Path(arguments[1])
            files = [path, *path.rglob("*")] if path.is_dir() else [path]
            lost = [file for file in files if file.stat().st_ino in self._written]
            self.faults += [f"{file} is renamed before it is on the disk" for file in lost]
            self._renamed[target.parent] = str(target)
        elif name == "open":
            path.touch()
            self._written[path.stat().st_ino] = str(path)
