"""`raretrail run`: check everything, run the graph, and tell what came of it."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipeline import snapshot
from pipeline.chain import Chain, check_goes_on, command_of, detectors_of
from pipeline.errors import UsageError
from pipeline.index import spans
from pipeline.ledger import SNAPSHOT, WORK, Entry, Ledger
from pipeline.lock import LOCK, Lock
from pipeline.options import RunSettings, parse_run
from pipeline.report import print_report
from pipeline.rules import load_rules, with_scorer
from pipeline.runners import Interrupts, is_embedded, prepare
from pipeline.seen import Seen, day_of, too_old
from pipeline.sources import Listing, find_objects
from pipeline.steps import DAY_MS, LONG_DAYS, Step, cut, date_of, days_of, whole
from schemas.rule import Rule, RuleError
from schemas.text import one_line
from transforms.firing import DELIVERY_DELAY_MS, last_firing, time_of
from transforms.locate import CityDatabaseError
from transforms.locate import check as check_database
from transforms.objects import Extent, TooManyDeadLetters

_NO_CITIES: Final = (
    "No city database: {rules} off. Give one with --geoip_database: GeoLite2-City (free, from "
    "MaxMind) or DB-IP's city file, in .mmdb format."
)
_OLD: Final = "date folders older than 90 days, which an incremental run does not look at again"
_READ: Final = "objects that an earlier run has read"


def run(argv: Sequence[str]) -> int:
    """The whole command. Exit status 0, or 1 if it failed, 2 if it could not begin."""
    return run_settings(parse_run(argv), print_report)


def run_settings(
    settings: RunSettings, report: Callable[[Path], int], now: int | None = None
) -> int:
    """A run of which the command line was read; `report` tells what came of it.

    `now` is the only wall clock of a run: milliseconds since the epoch.
    """
    now = int(datetime.now(UTC).timestamp() * 1000) if now is None else now
    rules, notice = _rules(settings)
    options = prepare(settings.beam)
    if options.view_as(StandardOptions).runner == "BundleBasedDirectRunner":
        raise UsageError("--runner BundleBasedDirectRunner: a runner for tests; leave it out")
    _check_free(settings)
    with tempfile.TemporaryDirectory(prefix="raretrail-") as scratch, ExitStack() as locks:
        extent = Extent(settings.start, settings.until, now)
        spool = Path(scratch, "stdin")
        listing = find_objects(settings.inputs, extent, spool, settings.incremental)
        made = _claim(settings.output)
        try:
            _lock(locks, settings)
            chain, notices = _chain(settings, options, rules, listing, now)
        except BaseException:
            locks.close()
            _remove_empty(made)
            raise
        for line in filter(None, (notice, *notices)):
            print(line, file=sys.stderr)
        status = _run(chain, made, Path(scratch, "journal"))
        if status:
            return status
        _finish(chain)
    return report(settings.output)


def _run(chain: Chain, made: Sequence[Path], journal: Path) -> int:
    """Run what is left of a chain; what to do about a failure, and its exit status."""
    interrupts, before = Interrupts(), len(chain.entry.steps)
    try:
        with interrupts:
            chain.run(journal)
    except BaseException as error:
        cause = "interrupted" if interrupts.any else _cause(error)
        if cause is None and not is_embedded(chain.options):
            runner = chain.options.view_as(StandardOptions).runner
            cause = one_line(f"--runner {runner}: {error}"[:500])
        if not chain.entry.steps:
            _withdraw(chain.settings.output, made)
        if cause is None:
            raise
        print(f"raretrail: {cause}; {_left(chain, before)}", file=sys.stderr)
        return 130 if interrupts.any else 1
    return 0


def _left(chain: Chain, before: int) -> str:
    """What a run leaves behind that did not come to its end."""
    done = len(chain.entry.steps)
    if not done:
        return "nothing was written"
    if chain.settings.incremental:
        return "what earlier runs found is kept, and the same command goes on"
    return f"{done} of {len(chain.steps)} steps are done and kept; the same command goes on"


def _chain(
    settings: RunSettings,
    options: PipelineOptions,
    rules: tuple[Rule, ...],
    listing: Listing,
    now: int,
) -> tuple[Chain, list[str]]:
    """The run as a chain of steps, from where it stands; what there is to say of it."""
    ledger = Ledger(settings.output)
    command, entry = command_of(settings, rules), ledger.entry
    if entry is not None and entry.finished:
        ledger.close()
        raise _taken(settings.output, "holds the results of a run")
    seen = Seen(ledger.seen) if settings.incremental else None
    notices: list[str] = []
    if entry is not None and seen is not None:
        entry.now, entry.started = now, _iso(now)
    entry, told = _begun(settings, rules, entry, command, now)
    notices += told
    if seen is not None:
        steps = _incremental(settings, listing, seen, entry, now)
    else:
        steps, told = _steps(settings, listing, entry)
        notices += told
        if entry.steps:
            check_goes_on(entry, command, steps)
            left = len(steps) - len(entry.steps)
            notices.append(f"Going on: {len(entry.steps)} steps are done, {left} are left.")
    return Chain(settings, options, rules, listing, steps, ledger, entry, seen), notices


def _begun(
    settings: RunSettings,
    rules: tuple[Rule, ...],
    entry: Entry | None,
    command: dict[str, object],
    now: int,
) -> tuple[Entry, list[str]]:
    """(what a run begins with, what to say of it): nothing, a snapshot, or what it left itself."""
    if entry is not None and not settings.incremental:
        return entry, []
    folder, flag = settings.snapshot_in, "--snapshot_in"
    if entry is not None:
        folder, flag = settings.output / SNAPSHOT, "--output"
    if folder is None:
        return Entry(command=command, started=_iso(now), now=now), []
    manifest = snapshot.open_snapshot(folder, flag)
    told = snapshot.check_fits(manifest, detectors_of(settings, rules), f"{flag} {folder}")
    if entry is not None:
        return entry, list(told)
    horizon = manifest.firing
    if settings.until is not None and last_firing(settings.until) <= horizon:
        raise UsageError(
            f"--until: not after the snapshot, whose horizon is {manifest.horizon}; "
            "there is nothing to judge"
        )
    begun = Entry(
        command=command,
        started=_iso(now),
        now=now,
        horizon=horizon,
        carried_in=dict(manifest.held),
    )
    return begun, list(told)


def _steps(settings: RunSettings, listing: Listing, entry: Entry) -> tuple[list[Step], list[str]]:
    """(the steps of a replay, what to say of them)."""
    until = None
    if settings.snapshot_out is not None:
        assert settings.until is not None
        until = last_firing(settings.until)
    names, days = listing.names, settings.step
    if days is None:
        known = days_of(names)
        days = 1 if known is not None and known > LONG_DAYS else 0
    if not days:
        return [whole(names, until)], []
    undated = [name for name in names if date_of(name) is None]
    extent = Extent(settings.start, settings.until, entry.now)
    found = spans(undated, extent, len(undated))
    longest = max(found, key=lambda name: found[name][1] - found[name][0], default=None)
    if longest is not None:
        length = (found[longest][1] - found[longest][0]) / DAY_MS
        if length > 2 * days:
            notice = f"--step: {longest} holds events of {length:.0f} days and cannot be cut"
            return [whole(names, until)], [f"{one_line(notice)}; all is judged in one step."]
    return cut(names, days, until, found), []


def _incremental(
    settings: RunSettings, listing: Listing, seen: Seen, entry: Entry, now: int
) -> list[Step]:
    """What is new, up to the last firing for which everything should have been delivered."""
    if entry.horizon is not None:
        today = day_of(time_of(entry.horizon))  # not the clock's: a run may have been stopped early
        for name in [name for name in listing.names if too_old(name, today)]:
            listing.skip(_OLD, name)
        listing.names = [name for name in listing.names if not too_old(name, today)]
    new = seen.news(listing.names)
    known = len(listing.names) - len(new)
    if known:
        listing.skipped[_READ] = []  # counted below; their names would fill run.json
    horizon = last_firing(now - DELIVERY_DELAY_MS)
    horizon = horizon if entry.horizon is None else max(horizon, entry.horizon)
    days = settings.step
    if days is None:
        span = days_of(new)
        days = 1 if span is not None and span > LONG_DAYS else 0
    stamp = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    steps = cut(new, days, horizon) if days and days_of(new) else [whole(new, horizon)]
    return [Step(f"{stamp}-{step.name}", step.names, step.until) for step in steps]


def _finish(chain: Chain) -> None:
    """Put the state where it is wanted, and leave the results only."""
    settings, ledger = chain.settings, chain.ledger
    if settings.incremental:
        return
    if settings.snapshot_out is not None:
        snapshot.publish(ledger.output / SNAPSHOT, settings.snapshot_out)
    ledger.close()


def _rules(settings: RunSettings) -> tuple[tuple[Rule, ...], str]:
    """(the rules that this run can apply, what to say of those that it cannot)."""
    try:
        rules = load_rules(settings.rules or None)
        if settings.scorer:
            rules = with_scorer(rules, settings.scorer)
        if settings.geoip_database:
            check_database(str(settings.geoip_database))
            return tuple(rules), ""
    except (RuleError, CityDatabaseError) as error:
        raise UsageError(str(error)) from None
    able = tuple(rule for rule in rules if not _needs_cities(rule))
    unable = [f"“{rule.name}”" for rule in rules if _needs_cities(rule)]
    if not able:
        raise UsageError("--geoip_database: none given, and every rule needs one")
    verb = "is" if len(unable) == 1 else "are"
    notice = _NO_CITIES.format(rules=f"{', '.join(unable)} {verb}") if unable else ""
    return able, notice


def _needs_cities(rule: Rule) -> bool:
    fields = (rule.detector.by_field, *rule.detector.partition_fields)
    return any(name.startswith("source.geo.") for name in fields)


def _iso(now: int) -> str:
    return datetime.fromtimestamp(now / 1000, UTC).isoformat()


def _check_free(settings: RunSettings) -> None:
    """Make sure that OUT is new, an empty folder, or one that a run can go on with."""
    output = settings.output
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output}: is a file; name a new folder")
    if not output.exists() or (output / WORK).exists():
        return
    if any(path.name != LOCK for path in output.iterdir()):
        finished = (output / "run.json").exists()
        raise _taken(output, "holds the results of a run" if finished else "is not empty")


def _taken(output: Path, what: str) -> UsageError:
    return UsageError(f"--output {output}: {what}; name a new folder or remove it")


def _claim(output: Path) -> list[Path]:
    """Make OUT, or see that it can be written; the folders made for it, inner ones first."""
    made = [path for path in (output, *output.parents) if not path.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe = output / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--output {output}: cannot be written: {error.strerror}") from None
    return made


def _lock(locks: ExitStack, settings: RunSettings) -> None:
    """Hold OUT, and the folder that the state goes to."""
    locks.enter_context(Lock(settings.output, "--output"))
    folder = settings.snapshot_out
    if folder is None:
        return
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / "manifest.json").exists():
            raise UsageError(f"--snapshot_out {folder}: is not empty and no snapshot")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--snapshot_out {folder}: cannot be written: {error.strerror}") from None
    locks.enter_context(Lock(folder, "--snapshot_out"))


def _withdraw(output: Path, made: Sequence[Path]) -> None:
    """Leave OUT as it was found: a run that failed has no results."""
    for path in output.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _remove_empty(made)


def _remove_empty(made: Sequence[Path]) -> None:
    for folder in made:
        try:
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
        except OSError:
            return


def _cause(error: BaseException) -> str | None:
    """A failure in words where it is one that people can mend; None for a fault of ours.

    Runners raise a worker's error again, embedded ones with its type, others as text alone.
    """
    told = str(error).split(" [while running", maxsplit=1)[0]
    if isinstance(error, TooManyDeadLetters) or TooManyDeadLetters.__name__ in told:
        counted = told.rpartition(f"{TooManyDeadLetters.__name__}: ")[2]
        return f"{counted}; this does not look like CloudTrail"
    failed = re.search(r"(\[Errno \d+\]|City database) .*", told)
    return failed.group() if failed else told if isinstance(error, OSError) else None
