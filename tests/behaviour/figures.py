"""What the figures of a run add up to, and what of it is compared from run to run."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from town import SLICE_S, START, Call, Done, Town, cells_of, contents, iso

USERS, PLACES = "command-by-user", "command-by-city"
RULE_OF = {
    USERS: "9254a54a-8d04-42e7-90d3-0731b63adac1",
    PLACES: "52010ebe-7c41-4455-b884-feac9e8429c5",
}
FOLDERS = ["alerts.ndjson", "anomalies", "dead_letters", "late", "run.json"]
"""What every run leaves behind."""
FATES = ("judged", "known", "usual", "too_young", "flood_excess")
"""What can become of a cell."""


def files_of(output: Path) -> list[str]:
    """All that a run left behind; a digest in a name is written so."""
    return [re.sub(r"-[0-9a-f]{24}\.avro$", "-DIGEST.avro", name) for name in contents(output)]


def canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def closes(done: Done) -> dict[str, Any]:
    """The accounting, whose equations are added up here again."""
    accounting = done.run["accounting"]
    assert accounting["closes"] is True
    assert accounting["gaps"] == []
    objects, records = accounting["objects"], accounting["records"]
    assert objects["listed"] == objects["read"]
    parts = ("unreadable", "out_of_range", "outside_from_until", "events")
    assert records["read"] == sum(records[part] for part in parts)
    for detector in accounting["detectors"].values():
        assert detector["events"] == records["events"]
        assert detector["events"] == detector["without_its_fields"] + detector["counted"]
        assert detector["counted"] == detector["on_time"], "in a replay nothing is late"
        nothing = ("late", "too_late", "not_due_before", "not_due")
        assert [detector[name] for name in nothing] == [0] * len(nothing)
    metrics = done.run["metrics"]
    applied = [rule["detector"] for rule in done.run["configuration"]["rules_applied"]]
    looks_back = {detector["scorer"] for detector in applied} <= {"window", "elastic"}
    for name, cells in accounting["cells"].items():
        assert cells["cells"] == sum(cells[fate] for fate in FATES)
        if looks_back:  # these judge everything, known or not
            assert cells["cells"] == cells["judged"] + cells["flood_excess"]
        assert metrics["cells_unsettled"][name] == 0
        assert cells["cells"] <= cells["distinct_events"]
    for rule, figures in accounting["alerts"].items():
        firings = [firing for firing in done.run["firings"] if firing["rule"] == rule]
        ended = figures["alerts"] + figures["suppressed"] + figures["expired"]
        assert sum(firing["new"] for firing in firings) == ended, "nothing waits at the end"
        assert (figures["waiting_before"], figures["waiting"]) == (0, 0)
        assert figures["alertable"] == figures["selected_from"] == ended
        for name, metric in (("alerts", "alerts"), ("suppressed", "alerts_suppressed")):
            assert metrics[metric][rule] == figures[name]
    return accounting


def matches(town: Town, done: Done, deliveries: list[Call]) -> None:
    """The figures of a run over some of the town equal counts taken here."""
    accounting = closes(done)
    assert accounting["records"]["events"] == len(deliveries)
    once = {call.id: call for call in deliveries}.values()
    for name, entity in ((USERS, "user"), (PLACES, "city")):
        if name not in accounting["detectors"]:
            continue
        counted = sum(bool(cells_of([call], entity)) for call in deliveries)
        assert accounting["detectors"][name]["counted"] == counted
        cells = cells_of(once, entity)
        assert accounting["cells"][name]["cells"] == len(cells)
        assert done.run["metrics"]["entities"][name] == len({cell[0] for cell in cells})
    last = max(call.slice for call in deliveries)
    end = START + (last + 1 + 8) * SLICE_S
    assert done.run["metrics"]["horizon"] == instant(end)


def alerted(done: Done, rule: str) -> set[tuple[int, str]]:
    """(slice, action) of the alerts of a rule."""
    found = set()
    for alert in done.alerts:
        if alert["kibana.alert.rule.uuid"] == RULE_OF[rule]:
            at = datetime.fromisoformat(alert["raretrail"]["slice_start"]).timestamp()
            found.add(((round(at) - START) // SLICE_S, alert["event"]["action"]))
    return found


def alerts_of(done: Done) -> bytes:
    assert done.status == 0, done.err
    return (done.output / "alerts.ndjson").read_bytes()


def instant(seconds: int) -> str:
    """A time as documents have it."""
    return iso(seconds).replace("Z", ".000Z")
