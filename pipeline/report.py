"""What a run tells on the terminal: the account, the highest alerts, where things are."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.files import read_json, read_records
from pipeline.highest import SHOWN, highest_alerts, highest_below
from pipeline.ledger import RUN
from pipeline.sinks import ALERTS
from schemas.words import minute, printable
from transforms.calibrate import WORKING_DAYS
from transforms.objects import DEAD_LETTER

NOTHING_JUDGED: Final = 3
"""Exit status of a run that read something in which there was nothing to judge."""
_REASONS: Final = 5
_SCOPES: Final = 3
_TIMINGS: Final = {
    "late": ", late: judged when they came, and learned",
    "too_late": ", MORE THAN 2 HOURS LATE: never learned, see late/; judged only if new",
    "not_due": ", to be judged by a later run",
}


def print_report(output: Path) -> int:
    """Print the report of a finished run; its exit status, as `status_of` has it."""
    run = read_json(output / RUN)
    for line in report(run, output):
        print(line)
    return status_of(run)


def status_of(run: Mapping[str, Any]) -> int:
    """1 if the accounting does not close, 3 if nothing was judged of what was read, else 0."""
    if not run["accounting"]["closes"]:
        return 1
    return NOTHING_JUDGED if next(nothing_judged(run), None) else 0


def nothing_judged(run: Mapping[str, Any]) -> Iterator[str]:
    """A line that says why nothing was judged of what was read; none if something was, or if
    nothing was read: a live run may wait for its first object.
    """
    accounting = run["accounting"]
    if accounting["objects"]["read"] and not accounting["records"]["events"]:
        yield "NOTHING WAS JUDGED: no record of these objects is an event of CloudTrail in range."
    elif accounting["records"]["events"] and not any(
        detector["counted"] for detector in accounting["detectors"].values()
    ):
        yield "NOTHING WAS JUDGED: no event has the fields that the rules count by."


def unclosed_lines(run: Mapping[str, Any]) -> Iterator[str]:
    """What to say if the accounting does not close."""
    if not run["accounting"]["closes"]:
        yield "THE ACCOUNTING DOES NOT CLOSE; please report this:"
        yield from (f"  {gap}" for gap in run["accounting"]["gaps"])


def report(run: Mapping[str, Any], output: Path) -> Iterator[str]:
    """The lines of the report."""
    yield from _account(run, output)
    yield ""
    yield from _alerts(run, output)
    yield ""
    yield from _next_steps(output)


def _account(run: Mapping[str, Any], output: Path) -> Iterator[str]:
    accounting, metrics = run["accounting"], run["metrics"]
    objects, records = accounting["objects"], accounting["records"]
    unreadable = f", {objects['unreadable']:,} of them unreadable" if objects["unreadable"] else ""
    asked = run["configuration"]
    if asked["incremental"] or asked["snapshot_out"]:
        yield f"Judged up to {minute(metrics['horizon'])}"
    yield f"Read in {metrics['seconds']:.0f} s"
    yield _line(objects["read"], "object", unreadable)
    yield from (_line(n, "", f"skipped: {reason}") for reason, n in objects["skipped"].items())
    yield _line(records["read"], "record", ", of which")
    yield _line(records["events"], "  event", " to judge")
    yield _line(records["unreadable"], "", "  unreadable: see the dead letters")
    for name, words in (
        ("out_of_range", "  with an impossible time: see the dead letters"),
        ("outside_from_until", "  outside --from/--until"),
    ):
        if records[name]:
            yield _line(records[name], "", words)
    if records["not_records"]:
        yield _line(records["not_records"], "control message", " besides, no records")
    yield from _reasons(output / "dead_letters")
    for detector in (rule["detector"] | {"name": rule["counts"]} for rule in _rules(run)):
        yield from _detector(detector, accounting, metrics["entities"])
    if accounting["closes"]:
        yield "Every record is accounted for."
    yield from unclosed_lines(run)
    yield from nothing_judged(run)


def _reasons(folder: Path) -> Iterator[str]:
    """The most common reasons of dead letters, those of one kind together."""
    reasons = Counter(
        re.sub(r"[0-9][0-9,.]*", "…", letter.reason) for letter in read_records(folder, DEAD_LETTER)
    )
    for reason, number in reasons.most_common(_REASONS):
        yield _line(number, "dead letter", f": {printable(reason)}")


def _rules(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules that were applied, one a detector."""
    by_name: dict[str, dict[str, Any]] = {}
    for rule in run["configuration"]["rules_applied"]:
        by_name.setdefault(rule["counts"], rule)
    return list(by_name.values())


def _detector(
    detector: Mapping[str, Any],
    accounting: Mapping[str, Any],
    entities: Mapping[str, int],
) -> Iterator[str]:
    name = detector["name"]
    counted = accounting["detectors"].get(name, {"counted": 0, "without_its_fields": 0})
    cells = accounting["cells"].get(name, {"cells": 0, "distinct_events": 0})
    fields = ", ".join(detector["partition_fields"])
    yield f"Counted by {fields}"
    values = entities.get(name, 0) + cells.get("forgotten", 0)
    known = f" with {values:,} different values of these"
    yield _line(counted["counted"], "event", known)
    yield _line(cells["distinct_events"], "event", " if repetitions are left out, about")
    yield _line(cells["cells"], "", "times that one of them did an action in a quarter of an hour")
    for timing, words in _TIMINGS.items():
        if counted.get(timing):
            yield _line(counted[timing], "event", words)
    if counted["without_its_fields"]:
        yield _line(counted["without_its_fields"], "event", " without these fields")
    if accounting["records"]["events"] and not counted["counted"]:
        yield f"  NO EVENT HAS {fields}: the rules that count by them are silent."


def _line(number: int, noun: str, rest: str) -> str:
    """A figure and what it counts, in the singular for 1."""
    return f"  {number:>11,} {noun}{'s' if noun and number != 1 else ''}{rest}"


def _alerts(run: Mapping[str, Any], output: Path) -> Iterator[str]:
    metrics = run["metrics"]
    yield "Alerts"
    names = {rule["id"]: rule["name"] for rule in run["configuration"]["rules_applied"]}
    for name, rule in run["accounting"]["alerts"].items():
        held = f"; suppressed as repeats: {rule['suppressed']:,}" if rule["suppressed"] else ""
        cut = f"; cut by the cap and expired: {rule['expired']:,}" if rule["expired"] else ""
        wait = f"; waiting for the next firing: {rule['waiting']:,}" if rule["waiting"] else ""
        yield _line(rule["alerts"], "", f"{printable(names[name])}{held}{cut}{wait}")
    yield from calibrated(run)
    highest = highest_alerts(output / ALERTS)
    if highest:
        yield ""
        yield "The highest"
        yield from (line for lines, _ in highest for line in lines)
    if run["accounting"]["records"]["events"] and not any(metrics["anomalies"].values()):
        yield "  Nothing is rare yet: a call can be once there are others in its history."
    below = highest_below(run, output, len(highest)) if len(highest) < SHOWN else []
    if below:
        yield ""
        yield "The highest below the threshold, which are no alerts"
        yield from (line for lines, _ in below for line in lines)


def calibrated(run: Mapping[str, Any]) -> Iterator[str]:
    """Since when there are scores, and what they promise."""
    names = {rule["id"]: rule["name"] for rule in run["configuration"]["rules_applied"]}
    for rule, scopes in run["calibration"].items():
        without = [scope for scope, told in scopes.items() if told["since"] is None]
        with_scores = [(scope, told) for scope, told in scopes.items() if told["since"]]
        for scope, told in with_scores[:_SCOPES]:
            cases = told["cases_a_day"]["75"]
            yield (
                f"  {printable(names[rule])}, {printable(scope)}: scores since "
                f"{told['since'][:10]}; an ordinary day has {cases:g} at 75 or above"
            )
        if without:
            where = printable(without[0]) if len(without) == 1 else f"{len(without)} scopes"
            yield (
                f"  {printable(names[rule])}, {where}: no scores yet, they begin after "
                f"{WORKING_DAYS} working days; --scorer window gives some at once"
            )


def _next_steps(output: Path) -> Iterator[str]:
    shown = Path(os.path.relpath(output))
    yield "Files"
    yield f"  {shown}/alerts.ndjson    the alerts, one ECS document a line"
    yield f"  {shown}/anomalies/       all that was rare, also below the threshold (Avro)"
    yield f"  {shown}/dead_letters/    what could not be read, and why (Avro)"
    if any((output / "late").glob("*.avro")):
        yield f"  {shown}/late/            what came too late to be learned (Avro)"
    yield f"  {shown}/run.json         this account in full, and what each firing held back"
    yield "Next"
    yield f"  {_python()} -m json.tool {shown}/run.json | less"
    if (output / "alerts.ndjson").stat().st_size:
        yield f"  head -n 1 {shown}/alerts.ndjson | {_python()} -m json.tool | less"
    elif any((output / "anomalies").glob("*.avro")):
        yield f"  {_python()} -m fastavro {shown}/anomalies/*.avro | less"
    yield f"  {_program()} run --help"


def _python() -> str:
    """This Python, which has fastavro."""
    name = os.path.relpath(sys.executable)
    return sys.executable if name.startswith("..") else name


def _program() -> str:
    """How this program was called, where it would not be found by its name alone."""
    called = Path(sys.argv[0])
    if called.name != "raretrail" or shutil.which("raretrail"):
        return "raretrail"
    return os.path.relpath(called)
