"""What an incremental run tells: what is new since it was last told, then what there is in all.

OUT/.work/told.json holds what has been told. It is written after the telling, so that no alert
stays untold because a run was stopped: it is told by the next one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.files import read_json, write_json
from pipeline.highest import highest_alerts
from pipeline.ledger import RUN, WORK
from pipeline.report import calibrated, nothing_judged, report, status_of, unclosed_lines
from pipeline.sinks import ALERTS
from schemas.words import minute, number

_TOLD: Final = "told.json"


class Standing(msgspec.Struct, frozen=True):
    """How far the runs on a folder have come, in all."""

    objects: int = 0
    records: int = 0
    dead_letters: int = 0
    too_late: int = 0
    alerts: int = 0

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> Standing:
        """As run.json has it."""
        accounting = run["accounting"]
        objects, records = accounting["objects"], accounting["records"]
        return cls(
            objects["read"],
            records["read"],
            records["unreadable"] + records["out_of_range"],
            _most(accounting["detectors"], "too_late"),
            sum(rule["alerts"] for rule in accounting["alerts"].values()),
        )

    def since(self, before: Standing) -> Standing:
        """What has come since then."""
        names = self.__struct_fields__
        return Standing(*(getattr(self, name) - getattr(before, name) for name in names))


def _most(detectors: Mapping[str, Mapping[str, int]], what: str) -> int:
    """Each detector counts the same events: the most that one of them has."""
    return max((detector[what] for detector in detectors.values()), default=0)


def print_news(output: Path) -> int:
    """Tell what came of an incremental run, of the first one in full; its exit status."""
    run, before = read_json(output / RUN), _told(output)
    if before is None:
        _tell(output, run, report(run, output))
    else:
        new = Standing.of(run).since(before)
        _tell(output, run, [_headline(run, new), *_details(run, output, new), _in_all(run, output)])
    return status_of(run)


def print_round(output: Path, ending: str) -> int:
    """Tell what came of a round of `watch`: a line that ends so, and what asks for attention.

    Exit status 1 if the accounting does not close.
    """
    run, before = read_json(output / RUN), _told(output)
    new = Standing.of(run).since(before or Standing())
    first = calibrated(run) if before is None else ()
    _tell(output, run, [_headline(run, new) + ending, *first, *_details(run, output, new)])
    return 0 if run["accounting"]["closes"] else 1


def _headline(run: Mapping[str, Any], new: Standing) -> str:
    found = "nothing new to read"
    if new.objects:
        found = f"{number(new.records, 'new record')} in {number(new.objects, 'object')}"
    waiting = _most(run["accounting"]["detectors"], "not_due")
    wait = f", {number(waiting, 'event')} to be judged later" if waiting else ""
    alerts = number(new.alerts, "new alert")
    return f"Judged up to {minute(run['metrics']['horizon'])}: {found}, {alerts}{wait}"


def _details(run: Mapping[str, Any], output: Path, new: Standing) -> Iterator[str]:
    """What asks for attention, and the highest of the new alerts."""
    place = os.path.relpath(output)
    if new.dead_letters:
        yield f"  {number(new.dead_letters, 'new dead letter')}: see {place}/dead_letters/"
    if new.too_late:
        late = number(new.too_late, "event")
        yield f"  {late} CAME MORE THAN 2 HOURS LATE: never learned, see {place}/late/"
    for name, rule in run["accounting"]["alerts"].items():
        if rule["waiting"]:
            yield f"  {name}: {rule['waiting']:,} more wait for the next firing (the cap)"
    yield from unclosed_lines(run)
    yield from nothing_judged(run)
    if not new.alerts:
        return
    told = highest_alerts(output / ALERTS, Standing.of(run).alerts - new.alerts)
    for lines, _ in told:
        yield from lines
    more = new.alerts - sum(stands_for for _, stands_for in told)
    if more:
        yield f"     and {more:,} more, in {place}/{ALERTS}"


def _in_all(run: Mapping[str, Any], output: Path) -> str:
    now = Standing.of(run)
    read = f"{number(now.records, 'record')} in {number(now.objects, 'object')}"
    return f"In all: {read}, {number(now.alerts, 'alert')} in {os.path.relpath(output)}/{ALERTS}"


def _told(output: Path) -> Standing | None:
    """What has been told of a folder; None if nothing has, or nobody knows."""
    try:
        return msgspec.convert(read_json(output / WORK / _TOLD), Standing)
    except (OSError, msgspec.MsgspecError):
        return None


def _tell(output: Path, run: Mapping[str, Any], lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
    sys.stdout.flush()
    with suppress(OSError):  # then it is told once more
        write_json(output / WORK / _TOLD, msgspec.to_builtins(Standing.of(run)))
