"""What a run tells on the terminal: the account, the highest alerts, where things are."""

from __future__ import annotations

import heapq
import os
import re
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from pipeline.files import read_json, read_records
from schemas.anomaly import ANOMALY, Anomaly
from schemas.words import printable, sentence
from transforms.calibrate import WORKING_DAYS
from transforms.objects import DEAD_LETTER

T = TypeVar("T")

_SHOWN: Final = 10
_REASONS: Final = 5
_WIDTH: Final = 96
_SCOPES: Final = 3
_TIMINGS: Final = {
    "late": ", late: judged when they came, and learned",
    "too_late": ", MORE THAN 2 HOURS LATE: never learned, see late/; judged only if new",
    "not_due": ", to be judged by a later run",
}


def print_report(output: Path) -> int:
    """Print the report of a finished run; exit status 1 if its accounting does not close."""
    run = read_json(output / "run.json")
    for line in report(run, output):
        print(line)
    return 0 if run["accounting"]["closes"] else 1


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
    yield f"Read in {metrics['seconds']:.0f} s"
    yield _line(objects["read"], "object", unreadable)
    yield from (_line(n, "", f"passed over: {reason}") for reason, n in objects["skipped"].items())
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
    else:
        yield "THE ACCOUNTING DOES NOT CLOSE; please report this:"
        yield from (f"  {gap}" for gap in accounting["gaps"])
    if not records["events"]:
        yield "NOTHING WAS JUDGED: no record of these objects is an event of CloudTrail in range."


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
    yield from _calibrated(run, names)
    highest = _highest(output / "alerts.ndjson")
    if highest:
        yield ""
        yield "The highest"
        for number, (alert, others) in enumerate(highest, start=1):
            yield from _entry(number, alert.ours.score, alert.rule, alert.reason, others)
    if run["accounting"]["records"]["events"] and not any(metrics["anomalies"].values()):
        yield "  Nothing is rare yet: a call can be once there are others in its history."
    below = _below_threshold(run, output, _SHOWN - len(highest)) if len(highest) < _SHOWN else []
    if below:
        named = {rule["uuid"]: rule["name"] for rule in run["configuration"]["rules_applied"]}
        yield ""
        yield "The highest below the threshold, which are no alerts"
        for number, (found, others) in enumerate(below, start=len(highest) + 1):
            score, name = found.score or 0.0, named[found.rule_id]
            yield from _entry(number, score, name, sentence(found), others)


def _calibrated(run: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    """Since when there are scores, and what they promise."""
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


def _entry(number: int, score: float, rule: str, words: str, others: int = 0) -> Iterator[str]:
    more = f" (and {others:,} more of the same quarter-hour)" if others else ""
    margin = " " * 12
    yield from textwrap.wrap(
        words + more,
        width=_WIDTH,
        initial_indent=f" {number:>2}. {score:>5.1f}  ",
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield f"{margin}[{printable(rule)}]"


def _grouped(
    found: Iterable[T], key: Callable[[T], Any], order: Callable[[T], Any], number: int
) -> list[tuple[T, int]]:
    """The first by `order` of each group, with the number of others that it stands for."""
    groups: dict[Any, tuple[T, int]] = {}
    for one in found:
        same = key(one)
        best, others = groups.get(same, (one, -1))
        groups[same] = (min(best, one, key=order), others + 1)
    return heapq.nsmallest(number, groups.values(), key=lambda pair: order(pair[0]))


class _Ours(msgspec.Struct):
    score: float
    firing: str
    rank: int
    probability: float | None
    entity: dict[str, str]
    users: list[str]


class _Alert(msgspec.Struct):
    """What the report needs of an alert: documents with their records would fill the memory."""

    time: str = msgspec.field(name="@timestamp")
    uuid: str = msgspec.field(name="kibana.alert.rule.uuid")
    rule: str = msgspec.field(name="kibana.alert.rule.name")
    reason: str = msgspec.field(name="kibana.alert.reason")
    ours: _Ours = msgspec.field(name="raretrail")


_ALERT: Final = msgspec.json.Decoder(_Alert)


def _highest(path: Path) -> list[tuple[_Alert, int]]:
    """The alerts of the highest scores, those of one rule, firing, entity and users together; of
    equal ones the rarer first, then the earlier.
    """
    with path.open("rb") as lines:
        return _grouped(map(_ALERT.decode, lines), _same_alert, _rank, _SHOWN)


def _same_alert(alert: _Alert) -> tuple[object, ...]:
    ours = alert.ours
    return alert.uuid, ours.firing, tuple(ours.entity.values()), tuple(ours.users)


def _rank(alert: _Alert) -> tuple[float, float, str, int]:
    ours = alert.ours
    return -ours.score, ours.probability or 0.0, alert.time, ours.rank


def _below_threshold(
    run: Mapping[str, Any], output: Path, number: int
) -> list[tuple[Anomaly, int]]:
    """The highest anomalies below their rule's threshold, grouped as alerts are."""
    rules = run["configuration"]["rules_applied"]
    thresholds = {rule["uuid"]: rule["threshold"] for rule in rules}
    below = (
        found
        for found in read_records(output / "anomalies", ANOMALY)
        if found.score is not None and found.score < thresholds[found.rule_id]
    )
    return _grouped(below, _same_anomaly, _order, number)


def _same_anomaly(found: Anomaly) -> tuple[object, ...]:
    return found.rule_id, found.firing, tuple(found.entity.values()), found.cell.users


def _order(found: Anomaly) -> tuple[float, int, str]:
    return -(found.score or 0.0), found.first_seen, found.id


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
    else:
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
