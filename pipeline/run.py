"""`raretrail run`: check everything, run the graph, and tell what came of it."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from apache_beam.options.pipeline_options import StandardOptions

from pipeline import snapshot
from pipeline.chain import Chain, configuration
from pipeline.errors import UsageError
from pipeline.incidents import load_incidents
from pipeline.ledger import RUN, WORK, goes_on, sweep
from pipeline.lock import LOCK, Lock
from pipeline.news import print_news
from pipeline.options import RunSettings, parse_run
from pipeline.places import check_apart
from pipeline.plan import finish, plan
from pipeline.report import print_report
from pipeline.rules import chosen, load_rules, with_scorer
from pipeline.runners import Interrupts, is_embedded, prepare
from pipeline.same import check_repeats, finished
from pipeline.sources import STDIN, find_objects
from schemas.incident import Incident
from schemas.rule import Rule, RuleError
from schemas.text import one_line
from transforms.locate import CityDatabaseError
from transforms.locate import check as check_database
from transforms.objects import Extent, TooManyDeadLetters

_NO_CITIES: Final = (
    "No city database: {rules} off. Give one with --geoip_database: GeoLite2-City (free, from "
    "MaxMind) or DB-IP's city file, in .mmdb format."
)


def run(argv: Sequence[str]) -> int:
    """The whole command; its exit status as its help tells it."""
    settings = parse_run(argv)
    return run_settings(settings, print_news if settings.incremental else print_report)


def run_settings(
    settings: RunSettings, report: Callable[[Path], int], now: int | None = None
) -> int:
    """A run of which the command line was read; `report` tells what came of it.

    `now` is the only wall clock of a run: milliseconds since the epoch.
    """
    now = int(datetime.now(UTC).timestamp() * 1000) if now is None else now
    rules, notice = _rules(settings)
    incidents = _incidents(settings)
    options = prepare(settings.beam)
    if options.view_as(StandardOptions).runner == "BundleBasedDirectRunner":
        raise UsageError("--runner BundleBasedDirectRunner: a runner for tests; leave it out")
    writes = (("--output", settings.output), ("--snapshot_out", settings.snapshot_out))
    check_apart(settings.inputs, writes)
    if not goes_on(settings.output) and (done := finished(settings.output)):
        sweep(settings.output)
        print(_repeated(settings, rules, done, now), file=sys.stderr)
        return report(settings.output)
    _check_free(settings.output)
    with tempfile.TemporaryDirectory(prefix="raretrail-") as scratch, ExitStack() as locks:
        extent = Extent(settings.start, settings.until, now)
        spool = Path(scratch, "stdin")
        made = _claim(settings.output)
        try:
            made = [*made, *_lock(locks, settings)]
            listing = find_objects(settings.inputs, extent, spool, settings.incremental)
            chain, notices = plan(settings, options, rules, incidents, listing, now)
        except BaseException as error:
            locks.close()
            _remove_empty(made)
            if isinstance(error, OSError):
                fault = f"cannot be written: {error.strerror}; what is there is kept"
                raise UsageError(f"--output {settings.output}: {fault}") from None
            raise
        for line in filter(None, (notice, *notices)):
            print(line, file=sys.stderr)
        status = _run(chain, made, Path(scratch, "journal"))
        if status:
            return status
    return report(settings.output)


def _repeated(
    settings: RunSettings, rules: Sequence[Rule], done: Mapping[str, Any], now: int
) -> str:
    """What to say of a command that has come to its end in OUT. Raises UsageError if it is another
    that has, or if there is more to read by now.
    """
    asked = configuration(settings, rules)
    objects = list[str]()
    if STDIN not in settings.inputs:
        extent = Extent(settings.start, settings.until, now)
        objects = find_objects(settings.inputs, extent, Path(), True).names
    return check_repeats(settings.output, done, asked, objects)


def _run(chain: Chain, made: Sequence[Path], journal: Path) -> int:
    """Run what is left of a chain; what to do about a failure, and its exit status."""
    interrupts = Interrupts()
    try:
        with interrupts:
            chain.run(journal)
            if not chain.settings.incremental:
                finish(chain.ledger, chain.entry)
    except BaseException as error:
        cause = "interrupted" if interrupts.any else _cause(error)
        if cause is None and not is_embedded(chain.options):
            runner = chain.options.view_as(StandardOptions).runner
            cause = one_line(f"--runner {runner}: {error}"[:500])
        if chain.ledger.entry is None:
            _withdraw(chain.settings.output, made)
        if cause is None:
            raise
        print(f"raretrail: {cause}; {_left(chain)}", file=sys.stderr)
        return 130 if interrupts.any else 1
    return 0


def _left(chain: Chain) -> str:
    """What a run leaves behind that did not come to its end."""
    entry = chain.ledger.entry
    if entry is None:
        return "nothing was written"
    if chain.settings.incremental:
        return "what earlier runs found is kept, and the same command goes on"
    done = f"{len(entry.steps)} of {len(chain.steps)}"
    return f"{done} steps are done and kept; the same command goes on"


def _rules(settings: RunSettings) -> tuple[tuple[Rule, ...], str]:
    """(the rules that this run can apply, what to say of those that it cannot)."""
    try:
        rules = chosen(load_rules(settings.rules or None), settings.enable, settings.disable)
        if settings.scorer:
            rules = with_scorer(rules, settings.scorer)
        if settings.geoip_database:
            check_database(str(settings.geoip_database))
            return tuple(rules), ""
    except (RuleError, CityDatabaseError) as error:
        raise UsageError(str(error)) from None
    able = tuple(rule for rule in rules if not rule.detector.needs_cities)
    unable = [f"“{rule.name}”" for rule in rules if rule.detector.needs_cities]
    if not able:
        raise UsageError("--geoip_database: none given, and every rule needs one")
    verb = "is" if len(unable) == 1 else "are"
    notice = _NO_CITIES.format(rules=f"{', '.join(unable)} {verb}") if unable else ""
    return able, notice


def _incidents(settings: RunSettings) -> tuple[Incident, ...]:
    try:
        return load_incidents(settings.incidents) if settings.incidents else ()
    except RuleError as error:
        raise UsageError(f"--incidents {error}") from None


def _check_free(output: Path) -> None:
    """Make sure that OUT is new, an empty folder, or one that a run can go on with."""
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output}: is a file; name a new folder")
    if not output.exists() or goes_on(output):
        return
    sweep(output)
    names = {path.name for path in output.iterdir()}
    if names - {LOCK, WORK}:
        told = "holds the results of a run" if RUN in names else "is not empty"
        raise UsageError(f"--output {output}: {told}; name a new folder or remove it")


def _claim(output: Path) -> list[Path]:
    """Make OUT; the folders made for it, inner ones first."""
    made = [path for path in (output, *output.parents) if not path.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {output}: cannot be written: {error.strerror}") from None
    return made


def _lock(locks: ExitStack, settings: RunSettings) -> list[Path]:
    """Hold OUT and the folder for the state; the folders made for that, inner ones first."""
    locks.enter_context(Lock(settings.output, "--output"))
    _check_free(settings.output)  # once more: another run may have come to its end meanwhile
    folder = settings.snapshot_out
    if folder is None:
        return []
    if folder == settings.output or settings.output in folder.parents:
        raise UsageError(f"--snapshot_out {folder}: must not lie in --output; name another")
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        if folder.exists() and not snapshot.may_hold(folder):
            raise UsageError(f"--snapshot_out {folder}: is not empty and no snapshot")
        folder.mkdir(parents=True, exist_ok=True)
        locks.enter_context(Lock(folder, "--snapshot_out"))
    except OSError as error:
        raise UsageError(f"--snapshot_out {folder}: cannot be written: {error.strerror}") from None
    return made


def _withdraw(output: Path, made: Sequence[Path]) -> None:
    """Leave OUT as it was found: a run of which no step is committed has no results."""
    shutil.rmtree(output / WORK, ignore_errors=True)
    for folder in made:  # they are held: nobody else's lock is there
        (folder / LOCK).unlink(missing_ok=True)
    _remove_empty(made)


def _remove_empty(made: Sequence[Path]) -> None:
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


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
