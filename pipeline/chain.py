"""Run the graph once for each step of a run, each from the state that the one before left."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import maxminddb
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from pipeline import snapshot
from pipeline.accounting import run_document
from pipeline.errors import UsageError
from pipeline.files import read_json, read_records, write_json, write_whole
from pipeline.fit import fingerprints
from pipeline.job import Job
from pipeline.ledger import RUN, SEEN, SNAPSHOT, Entry, Ledger
from pipeline.options import RunSettings
from pipeline.progress import Progress
from pipeline.runners import is_embedded
from pipeline.seen import Seen, day_of
from pipeline.sinks import ACCOUNT, FOLDERS, STATE
from pipeline.snapshot import Manifest
from pipeline.sources import Listing, lists
from pipeline.steps import Step
from schemas.counts import HELD
from schemas.incident import Incident
from schemas.rule import Rule
from schemas.text import written
from transforms.firing import Course, time_of
from transforms.history import DAY
from transforms.objects import DEAD_LETTER, UNREAD, Extent, ReadObjects

_BEGIN: Final = "begin"
_NAMES: Final = 100
"""Most names of a kind that run.json tells of what was skipped."""


@dataclass
class Chain:
    """A run: its steps, and what they have in common."""

    settings: RunSettings
    options: PipelineOptions
    rules: tuple[Rule, ...]
    incidents: tuple[Incident, ...]
    listing: Listing
    steps: list[Step]
    ledger: Ledger
    entry: Entry
    """What was there before the first of the steps."""
    seen: Seen | None = None
    """The memory of an incremental run."""
    begin: Manifest | None = None
    """The snapshot that the first of all steps begins with."""

    def run(self, journal: Path) -> None:
        """Do what is left to do. A step that fails leaves what the steps before it left."""
        left = [step for step in self.steps if step.name not in self.entry.steps]
        began = time.monotonic() - self._spent()
        with Progress(journal, sum(len(step.names) for step in left)) as progress:
            for number, step in enumerate(left, start=1):
                if len(left) > 1:
                    progress.label = f"step {step.name}, {number} of {len(left)}: "
                with self.ledger.step() as folder:
                    self._execute(step, folder, journal)
                    self._conclude(step, folder, time.monotonic() - began, step is left[-1])

    def _spent(self) -> float:
        """Seconds that the steps took that an earlier call of the command did."""
        path = self.ledger.output / RUN
        if not self.entry.steps or self.settings.incremental or not path.exists():
            return 0.0
        return float(read_json(path)["metrics"]["seconds"])

    def _execute(self, step: Step, folder: Path, journal: Path) -> None:
        settings, embedded = self.settings, is_embedded(self.options)
        until = None if settings.snapshot_out else settings.until  # later events stay pending
        database = settings.geoip_database
        job = Job(
            read=ReadObjects(
                identity=settings.identity,
                geoip_database=str(database) if database else None,
                extent=Extent(settings.start, until, self.entry.now),
                arrivals=settings.arrivals,
                journal=str(journal) if embedded else None,
                give_up=embedded,
            ),
            rules=self.rules,
            incidents=self.incidents,
            output=folder,
            course=Course(self.entry.horizon, step.until, self._keeps(step)),
            forget_after=settings.forget_after * DAY,
            snapshot=self._state_before(folder),
            spread=self.options.view_as(DirectOptions).direct_num_workers != 1 or not embedded,
            retried=not embedded,
        )
        pipeline = beam.Pipeline(options=self.options)
        job.build(pipeline, list(lists(step.names)))
        pipeline.run().wait_until_finish()
        shutil.rmtree(folder / _BEGIN, ignore_errors=True)

    @cached_property
    def _configuration(self) -> dict[str, Any]:
        return configuration(self.settings, self.rules)

    @cached_property
    def _detectors(self) -> dict[str, dict[str, Any]]:
        return detectors_of(self.settings, self.rules)

    def _keeps(self, step: Step) -> bool:
        last = step is self.steps[-1]
        return not last or self.settings.incremental or self.settings.snapshot_out is not None

    def _state_before(self, folder: Path) -> Path | None:
        """The state that a step begins with; that of another run is first taken into its folder."""
        if self.entry.steps:
            return self.ledger.output / SNAPSHOT
        if self.begin is None or self.settings.snapshot_in is None:
            return None
        snapshot.take(self.settings.snapshot_in, self.begin, folder / _BEGIN)
        return folder / _BEGIN

    def _conclude(self, step: Step, folder: Path, elapsed: float, last: bool) -> None:
        """Make what a step wrote a part of the run."""
        account = _account(folder / ACCOUNT)
        digest = digest_of_step(step)
        entry = self.entry.after(step.name, digest, len(step.names), account, step.until)
        entry.finished = last and not self.settings.incremental
        if self._keeps(step):
            assert step.until is not None
            state = folder / STATE
            state.mkdir(exist_ok=True)
            held = {name: n for name, n in entry.counts.items() if name.startswith(HELD)}
            snapshot.seal(state, step.until, self._detectors, self.rules, held)
            state.rename(folder / SNAPSHOT)
        header = self._header(entry) | {"metrics": self._metrics(entry, folder, elapsed)}
        document = run_document(header, entry.counts, entry.firings, self.rules)
        write_json(folder / RUN, document)
        if self.seen is not None:
            assert entry.horizon is not None
            today = day_of(time_of(entry.horizon))
            self.seen.note(step.names, failed(folder, step.names), self.listing.names, today)
            write_whole(folder / SEEN, [self.seen.encode()])
        self.ledger.commit(entry)
        self.entry = entry

    def _metrics(self, entry: Entry, folder: Path, elapsed: float) -> dict[str, Any]:
        """What only the driver can measure."""
        told: dict[str, Any] = {"seconds": round(elapsed, 3), "steps": entry.done}
        if (folder / SNAPSHOT).exists():
            told["state_bytes"] = snapshot.sizes(folder / SNAPSHOT)
        if self.settings.incremental and entry.horizon is not None:
            told["watermark_lag_seconds"] = (entry.now - time_of(entry.horizon)) // 1000
        return told

    def _header(self, entry: Entry) -> dict[str, Any]:
        """What run.json says that the graph does not know."""
        skipped = sorted(self.listing.skipped.items())
        return {
            "started": entry.started,
            "carried_in": entry.carried_in,
            "horizon": entry.horizon if self._keeps(self.steps[-1]) else None,
            "listing": {
                "listed": entry.listed,
                "skipped": {reason: len(names) for reason, names in skipped},
                "names_skipped": {
                    reason: [written(name) for name in sorted(names)[:_NAMES]]
                    for reason, names in skipped
                },
            },
            "configuration": self._configuration,
            "versions": {
                "raretrail": version("raretrail"),
                "apache-beam": beam.__version__,
                "python": platform.python_version(),
            },
        }


def _account(path: Path) -> Any:
    """What a graph counted; one that had nothing to do wrote nothing."""
    return read_json(path) if path.exists() else {"counts": {}, "firings": []}


def failed(folder: Path, names: Sequence[str]) -> set[str]:
    """The objects among `names` that could not be read to their end, by a step's dead letters."""
    letters = read_records(folder / FOLDERS["deadletter"], DEAD_LETTER)
    origins = {each.origin for each in letters if each.reason.startswith(UNREAD)}
    return {name for name in names if written(name) in origins} if origins else set()


def _told(rule: Rule) -> dict[str, Any]:
    return {
        "uuid": rule.uuid,
        "id": rule.id,
        "name": rule.name,
        "counts": rule.detector.name,
        "version": rule.version,
        "threshold": rule.threshold,
        "max_alerts": rule.max_alerts,
        "detector": rule.detector.fingerprint(),
    }


def configuration(settings: RunSettings, rules: Sequence[Rule]) -> dict[str, Any]:
    """What run.json says that was asked for."""
    return {
        **settings.document(),
        "geoip_sha256": checksum(settings.geoip_database),
        "incidents_sha256": checksum(settings.incidents),
        "rules_applied": [_told(rule) for rule in rules],
    }


def checksum(path: Path | None) -> str | None:
    """SHA-256 of a file, in hex."""
    return sha256(path.read_bytes()).hexdigest() if path else None


def detectors_of(settings: RunSettings, rules: Sequence[Rule]) -> dict[str, dict[str, Any]]:
    """The detectors as a snapshot of this run tells them."""
    kind = None
    if settings.geoip_database:
        with maxminddb.open_database(settings.geoip_database) as database:
            kind = database.metadata().database_type
    return fingerprints(rules, settings.identity, kind, settings.forget_after)


def command_of(settings: RunSettings, rules: Sequence[Rule]) -> dict[str, Any]:
    """What must be the same for a run to go on where another stopped."""
    told = settings.document()
    same = ("inputs", "identity", "from", "until", "step", "incremental", "as_live", "snapshot_in")
    return {
        **{key: told[key] for key in same},
        "snapshot_out": told["snapshot_out"],
        "forget_after": told["forget_after"],
        "geoip_sha256": checksum(settings.geoip_database),
        "rules": {rule.uuid: digest_of([repr(rule)]) for rule in rules},
        "incidents_sha256": checksum(settings.incidents),
    }


def check_unchanged(entry: Entry, steps: Sequence[Step]) -> None:
    """Make sure that what a run has read is still as it was. Raises UsageError."""
    now = {step.name: digest_of_step(step) for step in steps}
    for name, digest in entry.steps.items():
        if now.get(name) != digest:
            raise UsageError(
                f"--output: the objects of step {name} have changed since it was done; "
                "name a new folder"
            )


def digest_of_step(step: Step) -> str:
    """A digest of what a step reads, and of its end, which depends on what later ones read."""
    return digest_of([str(step.until), *(f"{name}\0{_size(name)}" for name in step.names)])


def _size(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:
        return -1


def digest_of(names: Sequence[str]) -> str:
    """A digest of names, in any order."""
    joined = "\0".join(sorted(names)).encode(errors="surrogateescape")
    return blake2b(joined, digest_size=16).hexdigest()
