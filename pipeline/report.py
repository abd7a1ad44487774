"""What a run tells on the terminal: the account, the highest alerts, where things are."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.files import read_json
from schemas.words import printable

_SHOWN: Final = 10
_WIDTH: Final = 96


def print_report(output: Path) -> int:
    """Print the report of a finished run; exit status 1 if its accounting does not close."""
    run = read_json(output / "run.json")
    for line in report(run, output):
        print(line)
    return 0 if run["accounting"]["closes"] else 1


def report(run: Mapping[str, Any], output: Path) -> Iterator[str]:
    """The lines of the report."""
    yield from _account(run["accounting"], run["metrics"])
    yield ""
    yield from _alerts(run, output)
    yield ""
    yield from _next_steps(run, output)


def _account(accounting: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[str]:
    objects, records = accounting["objects"], accounting["records"]
    yield "Read"
    unreadable = f", {objects['unreadable']:,} of them unreadable" if objects["unreadable"] else ""
    yield f"  {objects['read']:>11,} objects{unreadable}, in {metrics['seconds']:.0f} s"
    for reason, number in objects["skipped"].items():
        yield f"  {number:>11,} passed over: {reason}"
    yield f"  {records['read']:>11,} records, of which"
    yield f"  {records['events']:>11,}   events to judge"
    yield f"  {records['unreadable']:>11,}   unreadable, kept as dead letters"
    yield f"  {records['out_of_range']:>11,}   with an impossible time, one dead letter an object"
    if records["outside_from_until"]:
        yield f"  {records['outside_from_until']:>11,}   outside --from/--until"
    if records["not_records"]:
        yield f"  {records['not_records']:>11,} control messages, which hold no records"
    for name, detector in accounting["detectors"].items():
        cells = accounting["cells"].get(name, {"cells": 0, "distinct_events": 0})
        share = 100 * detector["counted"] / detector["events"] if detector["events"] else 0.0
        yield f"Counted by {name}"
        yield (
            f"  {detector['counted']:>11,} events ({share:.0f} %) of "
            f"{metrics['entities'].get(name, 0):,} entities; the other "
            f"{detector['without_its_fields']:,} lack its fields"
        )
        yield (
            f"  {cells['cells']:>11,} different (entity, action, quarter of an hour), "
            f"of {cells['distinct_events']:,} different events"
        )
    if accounting["closes"]:
        yield "Every record is accounted for."
    else:
        yield "THE ACCOUNTING DOES NOT CLOSE; please report this:"
        yield from (f"  {gap}" for gap in accounting["gaps"])


def _alerts(run: Mapping[str, Any], output: Path) -> Iterator[str]:
    rules = run["metrics"]["rules"]
    total = sum(rule["alerts"] for rule in rules.values())
    if not total:
        anomalies = sum(rule["anomalies"] for rule in rules.values())
        yield f"No alerts; {anomalies:,} anomalies stayed below the threshold."
        return
    yield f"{total:,} alerts, by rule"
    for name, rule in rules.items():
        held = f", {rule['suppressed']:,} repeats suppressed" if rule["suppressed"] else ""
        cut = f", {rule['expired']:,} cut by the cap and expired" if rule["expired"] else ""
        yield f"  {rule['alerts']:>11,} {name}{held}{cut}"
    yield ""
    yield f"The {min(_SHOWN, total)} highest"
    for number, alert in enumerate(_highest(output / "alerts.ndjson"), start=1):
        ours = alert["raretrail"]
        name = printable(alert["kibana.alert.rule.name"])
        yield f" {number:>2}. {ours['score']:>5.1f}  {name}  [{alert['kibana.alert.uuid'][:8]}]"
        yield from _wrapped(alert["kibana.alert.reason"], 12)


def _highest(path: Path) -> list[dict[str, Any]]:
    """The alerts of the highest scores; of equal ones the rarer first, then the earlier."""
    with path.open("rb") as lines:
        return heapq.nsmallest(_SHOWN, map(msgspec.json.decode, lines), key=_rank)


def _rank(alert: Mapping[str, Any]) -> tuple[float, float, str, int]:
    ours = alert["raretrail"]
    return -ours["score"], ours["probability"] or 0.0, alert["@timestamp"], ours["rank"]


def _wrapped(text: str, indent: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        if line and len(line) + len(word) + 1 > _WIDTH - indent:
            yield " " * indent + line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield " " * indent + line


def _next_steps(run: Mapping[str, Any], output: Path) -> Iterator[str]:
    yield "Files"
    yield f"  {output}/alerts.ndjson     the alerts, one ECS document a line"
    yield f"  {output}/anomalies/        everything that was rare, also below the threshold (Avro)"
    yield f"  {output}/dead_letters/     what could not be read, and why (Avro)"
    yield f"  {output}/run.json          this account in full, and what each firing held back"
    yield "Next"
    yield f"  jq -r '.[\"kibana.alert.reason\"]' {output}/alerts.ndjson | less"
    yield f"  jq .accounting {output}/run.json"
    yield "  raretrail run --help"
