"""How a run that is made of steps grows its folder, so that a crash loses at most a step.

    OUT/.work/next/    what a step is writing; removed if it does not come to its end
    OUT/.work/done/    a step that is done (the rename is the commit), until it is published
    OUT/.work/ledger.json    what the steps so far amount to

Publishing a step may begin again at any point: alerts are written behind those of the steps
before, files are moved, the state is replaced, the ledger comes last.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline import snapshot
from pipeline.errors import UsageError
from pipeline.files import read_json, write_json
from pipeline.sinks import ALERTS, FOLDERS
from schemas.counts import follow

FORMAT: Final = 0
WORK: Final = ".work"
SNAPSHOT: Final = "snapshot"
SEEN: Final = "seen.avro"
RUN: Final = "run.json"
_LEDGER: Final = "ledger.json"
_FIRINGS: Final = 1_000
"""Firings of an incremental run that are told, the last ones."""


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """What the steps so far amount to."""

    command: dict[str, Any]
    """What was asked for: another command cannot go on with it."""
    started: str
    now: int
    """Start of the run, milliseconds since the epoch: the only wall clock."""
    format: int = FORMAT
    steps: dict[str, str] = {}
    """Names of the steps that are done → digest of what they read; of an incremental run, whose
    steps do not come back, the last one."""
    done: int = 0
    """Number of steps that are done."""
    horizon: int | None = None
    """The last firing that was done."""
    alerts_bytes: int = 0
    """Length of alerts.ndjson."""
    listed: int = 0
    carried_in: dict[str, int] = {}
    """Counts of what a snapshot held that the first step began with."""
    counts: dict[str, int] = {}
    firings: list[dict[str, Any]] = []
    finished: bool = False

    def after(
        self, name: str, digest: str, listed: int, account: Any, horizon: int | None
    ) -> Entry:
        """The entry when one more step is done."""
        endless = bool(self.command.get("incremental"))
        return msgspec.structs.replace(
            self,
            steps={name: digest} if endless else self.steps | {name: digest},
            done=self.done + 1,
            horizon=max((h for h in (self.horizon, horizon) if h is not None), default=None),
            listed=self.listed + listed,
            counts=follow(self.counts, account["counts"]),
            firings=[*self.firings, *account["firings"]][-_FIRINGS if endless else 0 :],
        )


class Ledger:
    """OUT as its steps leave it. The folder is held by a Lock meanwhile."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self._work = output / WORK
        self._next, self._done = self._work / "next", self._work / "done"
        self.entry: Entry | None = None
        if (self._done / _LEDGER).exists():
            self._publish()
        shutil.rmtree(self._next, ignore_errors=True)
        shutil.rmtree(self._done, ignore_errors=True)
        path = self._work / _LEDGER
        if path.exists():
            try:
                self.entry = msgspec.convert(read_json(path), Entry)
                if self.entry.format != FORMAT:
                    raise ValueError(f"format {self.entry.format}, this version reads {FORMAT}")
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                raise UsageError(
                    f"--output {output}: its {path.name} is damaged ({error})"
                ) from None

    @property
    def seen(self) -> Path:
        """The memory of objects that were read."""
        return self._work / SEEN

    @contextmanager
    def step(self) -> Iterator[Path]:
        """A folder for a step to write in, which leaves nothing if it fails."""
        shutil.rmtree(self._next, ignore_errors=True)
        self._next.mkdir(parents=True)
        try:
            yield self._next
        except BaseException:
            shutil.rmtree(self._next, ignore_errors=True)
            raise

    def commit(self, entry: Entry) -> None:
        """Make what a step wrote, and the entry after it, a part of OUT."""
        before = self.entry.alerts_bytes if self.entry else 0
        alerts = self._next / ALERTS
        alerts.touch()  # a step without any writes none
        entry.alerts_bytes = before + alerts.stat().st_size
        write_json(self._next / _LEDGER, msgspec.to_builtins(entry))
        _sync(self._next)
        self._next.rename(self._done)
        self._publish()
        self.entry = entry

    def _publish(self) -> None:
        done, output = self._done, self.output
        entry = msgspec.convert(read_json(done / _LEDGER), Entry)
        alerts = (done / ALERTS).read_bytes()
        with (output / ALERTS).open("ab") as file:
            file.truncate(entry.alerts_bytes - len(alerts))
            file.write(alerts)
            file.flush()
            os.fsync(file.fileno())
        name = list(entry.steps)[-1]
        for folder in FOLDERS.values():
            (output / folder).mkdir(exist_ok=True)
            for path in sorted((done / folder).glob("*.avro")):
                path.replace(output / folder / f"{name}-{path.name}")
        if (done / SNAPSHOT).exists():
            snapshot.publish(done / SNAPSHOT, output / SNAPSHOT)
        for source, target in ((SEEN, self.seen), (RUN, output / RUN)):
            if (done / source).exists():
                (done / source).replace(target)
        (done / _LEDGER).replace(self._work / _LEDGER)
        shutil.rmtree(done)

    def close(self) -> None:
        """Leave the results only: nothing will go on here."""
        shutil.rmtree(self.output / SNAPSHOT, ignore_errors=True)
        shutil.rmtree(self._work, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Bring all files of a folder to the disk before it is committed."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
