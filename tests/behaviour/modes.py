"""Logs that come to light as time goes on, and every way of judging them.

What a run sees is what had been delivered by then; all ways look at the same names.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import BytesCoder
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms import userstate
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp
from beams import Keep, kept, pipeline_on
from factory import SLICE

from pipeline.files import read_json, read_records
from pipeline.job import Job
from pipeline.options import parse_run
from pipeline.rules import load_rules
from pipeline.run import run_settings
from pipeline.simulate import Simulation, simulate
from schemas.anomaly import ANOMALY
from schemas.codec import Codec
from schemas.late import TOO_LATE
from transforms.firing import WHOLE, Course
from transforms.objects import Extent, ReadObjects, arrival_of, name_list

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FIRST = date(2026, 3, 2)
START = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)
BUNDLES = ["--runner=BundleBasedDirectRunner", "--streaming"]
QUIET_AFTER = 12
"""Quarters of an hour after an arrival, by whose end nothing of it waits any more."""

_RULE = """\
uuid: {number}0000000-0000-4000-8000-000000000000
id: rule-{number}
name: Rule {number}
description: A rule of the tests.
detector:
  name: {detector}
  function: rare
  by_field: event.action
  partition_fields: [{fields}]
  scorer: {scorer}
  scope: {scope}
threshold: {threshold}
max_alerts: {most}
interval_minutes: {interval}
lookback_minutes: {lookback}
"""
_USER, _CITY = "cloud.account.id, user.name", "source.geo.country_iso_code, source.geo.city_name"
_RULES: dict[str, list[tuple[object, ...]]] = {
    "window": [
        ("user", _USER, "window", "organisation", 0, 1, 15, 60),
        ("city", _CITY, "window", "organisation", 0, 2, 30, 60),
        ("elastic", _USER, "elastic", "account", 0, 2, 15, 30),
    ],
    "contrast": [
        ("user", _USER, "contrast", "organisation", 0, 1, 15, 30),
        ("city", _CITY, "contrast", "organisation", 0, 1, 30, 30),
        ("account", _CITY, "contrast", "account", 0, 1, 15, 15),  # has users that no rule names
    ],
}
"""Low thresholds and caps: dozens of alerts, and many that wait for the next firing, or expire."""


def write_rules(folder: Path, by: str = "window") -> Path:
    """Rules under which much is cut."""
    folder.mkdir(parents=True)
    names = ("detector", "fields", "scorer", "scope", "threshold", "most", "interval", "lookback")
    for number, values in enumerate(_RULES[by], start=1):
        text = _RULE.format(number=number, **dict(zip(names, values, strict=True)))
        (folder / f"{number}.yaml").write_text(text, encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Logs:
    """Objects, by what they are called where runs see them, and what to judge them by."""

    store: Path
    """Holds all of them, out of sight."""
    tree: Path
    """What runs read."""
    options: tuple[str, ...]
    """Rules and city database."""

    @property
    def names(self) -> list[str]:
        """Where all objects are seen, by delivery."""
        found = (path for path in self.store.rglob("*") if path.is_file())
        places = (str(self.tree / path.relative_to(self.store)) for path in found)
        return sorted(places, key=lambda name: (arrival_of(name), name))

    def show(self) -> Logs:
        """Let runs see everything."""
        return self.see_only(-1, sys.maxsize)

    def _show(self, name: str) -> None:
        place = Path(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(self.store / place.relative_to(self.tree))

    def hide(self) -> Logs:
        """Let runs see nothing."""
        shutil.rmtree(self.tree, ignore_errors=True)
        self.tree.mkdir(parents=True)
        return self

    def delivered(self, after: int, until: int) -> list[str]:
        """What was delivered after one time, and not after another."""
        return [name for name in self.names if after < arrival_of(name) <= until]

    def see_only(self, after: int, until: int) -> Logs:
        """Let runs see what was delivered after one time, and not after another."""
        self.hide()
        for name in self.delivered(after, until):
            self._show(name)
        return self

    @property
    def last(self) -> int:
        """The last delivery."""
        return arrival_of(self.names[-1])


def organisation(
    folder: Path, seed: int, days: int, events: int, by: str = "window", **changes: Any
) -> Logs:
    """A simulated organisation, all of whose records are delivered within minutes, and the rules
    of a scorer.
    """
    given: dict[str, Any] = {"accounts": 2, "people": 10, "machines": 6, "start": FIRST} | changes
    made = simulate(Simulation(seed=seed, days=days, events=events, **given), folder / "made")
    options = ("--rules", str(write_rules(folder / "rules", by)))
    cities = ("--geoip_database", str(made.city_database))
    return Logs(made.logs, folder / "seen", (*options, *cities)).hide()


@dataclass(frozen=True)
class Said:
    """What judging came to."""

    alerts: bytes
    anomalies: list[bytes]
    late: list[bytes]


def said(output: Path) -> Said:
    """What a run has left, and all of its figures close."""
    accounting = read_json(output / "run.json")["accounting"]
    assert accounting["closes"], accounting["gaps"]
    return Said(
        alerts=(output / "alerts.ndjson").read_bytes(),
        anomalies=_records(output / "anomalies", ANOMALY),
        late=_records(output / "late", TOO_LATE),
    )


def _records(folder: Path, codec: Codec[Any]) -> list[bytes]:
    return sorted(codec.encode(value) for value in read_records(folder, codec))


def judge(
    logs: Logs,
    output: Path,
    *arguments: object,
    now: int | None = None,
    inputs: Sequence[str] = (),
) -> Said:
    """One `raretrail run` over what is there to see, or over some of it."""
    named = inputs or [str(logs.tree)]
    argv = [*named, "--output", str(output), *logs.options, *map(str, arguments)]
    assert run_settings(parse_run(argv), lambda _: 0, now=now) == 0
    return said(output)


def from_cron(
    logs: Logs, output: Path, moments: Iterable[int], *arguments: object, after: int = -1
) -> Said:
    """Incremental runs at these times, each of which sees what was delivered by then."""
    for now in moments:
        came = judge(logs.see_only(after, now), output, "--incremental", *arguments, now=now)
    return came


def odd_rhythm(seed: int, first: int, last: int) -> list[int]:
    """Times that are minutes, hours or days apart, and one long after the last."""
    chance = random.Random(seed)
    moments = [first]
    while moments[-1] < last:
        some = (chance.randrange(1, 50) * MINUTE, chance.randrange(1, 20) * HOUR + 7, 2 * DAY)
        moments.append(moments[-1] + chance.choices(some, (2, 4, 3))[0])
    return [*moments, moments[-1] + 5 * DAY]


def iso(time: int) -> str:
    """A time as --until takes it."""
    return datetime.fromtimestamp(time / 1000, UTC).isoformat().replace("+00:00", "Z")


# The unbounded graph


def live(
    logs: Logs,
    output: Path,
    options: Sequence[str] = BUNDLES,
    names: Sequence[str] = (),
    *,
    course: Course = WHOLE,
    snapshot: Path | None = None,
) -> Said:
    """What the unbounded graph says of what there is to see, or of some of it."""
    given = parse_run([str(logs.tree), "--output", str(output), *logs.options])
    read = ReadObjects("role", str(given.geoip_database), Extent(None, None, START), arrivals=True)
    job = Job(
        read,
        tuple(load_rules(given.rules)),
        output,
        Course(after=course.after, unbounded=True),
        snapshot=snapshot,
    )
    output.mkdir()
    names = names or [name for name in logs.names if os.path.exists(name)]
    with _specs_known(), pipeline_on(options) as pipeline:
        judged = job.judge(pipeline | deliveries(names))
        judged.alerts | "KeepAlerts" >> Keep(output / "alerts")
        for name in ("anomalies", "late"):
            records = getattr(judged, name) | f"Hex_{name}" >> beam.Map(bytes.hex)
            records | f"Keep_{name}" >> Keep(output / name)
    told = sorted(kept(output / "alerts", tuple[int, str, list[bytes]]))
    return Said(
        alerts=b"".join(line + b"\n" for _, _, lines in told for line in lines),
        anomalies=sorted(map(bytes.fromhex, kept(output / "anomalies", str))),
        late=sorted(map(bytes.fromhex, kept(output / "late", str))),
    )


@contextmanager
def _specs_known() -> Iterator[None]:
    """What a DoFn declares is looked for once. The runner of the tests does so for each bundle,
    which takes most of its time (as measured).
    """
    names, known = ("get_dofn_specs", "is_stateful_dofn"), dict[tuple[str, type], Any]()

    def once(name: str, find: Any) -> Any:
        def found(dofn: Any) -> Any:
            key = (name, type(dofn))
            if key not in known:
                known[key] = find(dofn)
            return known[key]

        return found

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(userstate, name, once(name, getattr(userstate, name)))
        yield


def deliveries(names: Iterable[str]) -> TestStream:
    """Lists of names, stamped with their arrival, and a watermark that goes on by quarter-hours.

    A timer should hold back the watermark of what follows it. On Beam's own test runner it does
    not: instead the watermark steps over the milliseconds that lie between the steps' timers.
    Quarters in which nothing can be due are left out.
    """
    by_quarter: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        arrival = arrival_of(name)
        by_quarter[arrival // SLICE][arrival].append(name)
    stream = TestStream(coder=BytesCoder())
    for number in sorted({q + more for q in by_quarter for more in range(QUIET_AFTER + 1)}):
        stream.advance_watermark_to(_stamp(number * SLICE))
        if number in by_quarter:
            lists = sorted(by_quarter[number].items())
            stream.add_elements(
                [TimestampedValue(name_list(some), _stamp(arrival)) for arrival, some in lists]
            )
        for step in (1, 2):
            stream.advance_watermark_to(_stamp(number * SLICE + step))
    return stream.advance_watermark_to_infinity()


def _stamp(time: int) -> Timestamp:
    return Timestamp(micros=1000 * time)
