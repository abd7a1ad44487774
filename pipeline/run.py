"""`raretrail run`: check everything, build the graph, run it, and tell what came of it."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from pipeline.errors import UsageError
from pipeline.files import read_json, write_json
from pipeline.job import Job
from pipeline.options import RunSettings, parse_run
from pipeline.progress import Progress
from pipeline.report import print_report
from pipeline.rules import load_rules, with_scorer
from pipeline.runners import Interrupts, is_embedded, prepare
from pipeline.sources import Listing, find_objects
from schemas.rule import Rule, RuleError
from schemas.text import one_line, written
from transforms.locate import CityDatabaseError
from transforms.locate import check as check_database
from transforms.objects import Extent, ReadObjects, TooManyDeadLetters

_NO_CITIES: Final = (
    "No city database: {rules} off. Give one with --geoip_database: GeoLite2-City (free, from "
    "MaxMind) or DB-IP's city file, in .mmdb format."
)

_NAMES: Final = 100
"""Most names of a kind that run.json tells of what was passed over."""


def run(argv: Sequence[str]) -> int:
    """The whole command. Exit status 0, or 1 if it failed, 2 if it could not begin."""
    settings = parse_run(argv)
    rules, notice = _rules(settings)
    options = prepare(settings.beam)
    if options.view_as(StandardOptions).runner == "BundleBasedDirectRunner":
        raise UsageError("--runner BundleBasedDirectRunner: a runner for tests; leave it out")
    started = datetime.now(UTC)
    extent = Extent(settings.start, settings.until, int(started.timestamp() * 1000))
    _check_free(settings.output)
    with tempfile.TemporaryDirectory(prefix="raretrail-") as scratch:
        listing = find_objects(settings.inputs, extent, Path(scratch, "stdin"))
        made = _claim(settings.output)
        if notice:
            print(notice, file=sys.stderr)
        interrupts = Interrupts()
        try:
            with interrupts:
                journal = Path(scratch, "journal")
                _execute(settings, options, rules, extent, listing, started, journal)
        except BaseException as error:
            _withdraw(settings.output, made)
            cause = "interrupted" if interrupts.any else _cause(error)
            if cause is None and not is_embedded(options):
                runner = options.view_as(StandardOptions).runner
                cause = one_line(f"--runner {runner}: {error}"[:500])
            if cause is None:
                raise
            print(f"raretrail: {cause}; nothing was written", file=sys.stderr)
            return 130 if interrupts.any else 1
    return print_report(settings.output)


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


def _check_free(output: Path) -> None:
    """Make sure that OUT is new or an empty folder."""
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output}: is a file; name a new folder")
    if output.exists() and any(output.iterdir()):
        finished = (output / "run.json").exists()
        what = "holds the results of a run" if finished else "is not empty"
        raise UsageError(f"--output {output}: {what}; name a new folder or remove it")


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


def _withdraw(output: Path, made: Sequence[Path]) -> None:
    """Leave OUT as it was found: a run that failed has no results."""
    for path in output.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for folder in made:
        folder.rmdir()


def _execute(
    settings: RunSettings,
    options: PipelineOptions,
    rules: tuple[Rule, ...],
    extent: Extent,
    listing: Listing,
    started: datetime,
    journal: Path,
) -> None:
    embedded = is_embedded(options)
    job = Job(
        read=ReadObjects(
            identity=settings.identity,
            geoip_database=str(settings.geoip_database) if settings.geoip_database else None,
            extent=extent,
            journal=str(journal) if embedded else None,
            give_up=embedded,
        ),
        rules=rules,
        output=settings.output,
        header=_header(settings, rules, listing, started),
        spread=options.view_as(DirectOptions).direct_num_workers != 1 or not embedded,
    )
    began = time.monotonic()
    with Progress(journal, len(listing.names)):
        pipeline = beam.Pipeline(options=options)
        job.build(pipeline, list(listing.lists()))
        pipeline.run().wait_until_finish()
    _seal(settings.output / "run.json", time.monotonic() - began)


def _header(
    settings: RunSettings, rules: Sequence[Rule], listing: Listing, started: datetime
) -> dict[str, Any]:
    """What run.json says that the graph does not know."""
    database = settings.geoip_database
    return {
        "started": started.isoformat(),
        "listing": {
            "listed": len(listing.names),
            "skipped": {reason: len(names) for reason, names in sorted(listing.skipped.items())},
            "passed_over": {
                reason: [written(name) for name in sorted(names)[:_NAMES]]
                for reason, names in sorted(listing.skipped.items())
            },
        },
        "configuration": {
            **settings.document(),
            "geoip_sha256": sha256(database.read_bytes()).hexdigest() if database else None,
            "rules_applied": [
                {
                    "uuid": rule.uuid,
                    "id": rule.id,
                    "name": rule.name,
                    "counts": rule.detector.name,
                    "version": rule.version,
                    "threshold": rule.threshold,
                    "max_alerts": rule.max_alerts,
                    "detector": rule.detector.fingerprint(),
                }
                for rule in rules
            ],
        },
        "versions": {
            "raretrail": version("raretrail"),
            "apache-beam": beam.__version__,
            "python": platform.python_version(),
        },
    }


def _seal(path: Path, elapsed: float) -> None:
    """Add to run.json what only the driver knows."""
    document = read_json(path)
    document["metrics"]["seconds"] = round(elapsed, 3)
    write_json(path, document)


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
