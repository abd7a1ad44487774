"""How a run that is made of steps grows its folder, so that a crash loses at most a step.

    OUT/.work/next/    what a step is writing; removed if it does not come to its end
    OUT/.work/done/    a step that is done (the rename is the commit), until it is published
    OUT/.work/ledger.json    what the steps so far amount to
    OUT/.closed/       .work of a run that is finished (the rename is the end), until it is removed

Publishing a step may begin again at any point: alerts are written behind those of the steps
before, files are moved, the state is replaced, the ledger comes last. Nothing is taken away before
what stands in its place is on the disk.
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
from pipeline.files import make_folder, move_whole, read_json, sync, sync_tree, write_json
from pipeline.sinks import ALERTS, FOLDERS
from schemas.counts import follow
from transforms.objects import EARLIEST

FORMAT: Final = 0
WORK: Final = ".work"
CLOSED: Final = ".closed"
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
    newest: int = EARLIEST
    """The last delivery that an incremental run has seen, in milliseconds; before any the first
    that there can be."""
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
        """What is committed; None before the first step is."""
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
            self._check_alerts(self.entry.alerts_bytes)

    def _check_alerts(self, wanted: int) -> None:
        alerts = self.output / ALERTS
        size = alerts.stat().st_size if alerts.exists() else 0
        if size < wanted:
            raise UsageError(
                f"--output {self.output}: its {ALERTS} has {size:,} of the {wanted:,} bytes that "
                "were written; put it back (copy it, rather than move it away) or name a new folder"
            )

    @property
    def seen(self) -> Path:
        """The memory of objects that were read."""
        return self._work / SEEN

    @contextmanager
    def step(self) -> Iterator[Path]:
        """A folder for a step to write in, which leaves nothing if it fails."""
        shutil.rmtree(self._next, ignore_errors=True)
        make_folder(self._next)
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
        sync_tree(self._next)
        self._next.rename(self._done)
        sync(self._work)
        self.entry = entry
        self._publish()

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
            make_folder(output / folder)
            for path in sorted((done / folder).glob("*.avro")):
                path.replace(output / folder / f"{name}-{path.name}")
            sync(output / folder)
        if (done / SNAPSHOT).exists():
            snapshot.publish(done / SNAPSHOT, output / SNAPSHOT)
        for source, target in ((SEEN, self.seen), (RUN, output / RUN)):
            if (done / source).exists():
                move_whole(done / source, target)
        move_whole(done / _LEDGER, self._work / _LEDGER)
        shutil.rmtree(done, ignore_errors=True)

    def close(self) -> None:
        """Leave the results only: nothing will go on here."""
        shutil.rmtree(self.output / SNAPSHOT, ignore_errors=True)
        self._work.rename(self.output / CLOSED)
        sync(self.output)
        sweep(self.output)


def goes_on(output: Path) -> bool:
    """Whether OUT holds a run that another can go on with: a step of it is committed."""
    return any((output / WORK / place / _LEDGER).exists() for place in ("", "done"))


def sweep(output: Path) -> None:
    """Remove what a run that is finished had no time to remove."""
    shutil.rmtree(output / CLOSED, ignore_errors=True)
