"""Real records, however they are cut into runs, say and leave the same."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from modes import (
    DAY,
    HOUR,
    MINUTE,
    START,
    Logs,
    from_cron,
    iso,
    judge,
    write_rules,
)
from msgspec.structs import replace

from pipeline.index import spans
from pipeline.snapshot import saved_states
from schemas.state import ENTITY_STATE, EntityState
from transforms.objects import Extent

SETS = (
    "boogy-1679",
    "flaws-cloud-slice",
    "grycap-2017",
    "misc-fixtures",
    "opensearch-catalog-840",
    "otrf-ec2-proxy-s3-exfil",
    "panther-rule-samples",
    "traildiscover",
    "umccr-eventversion-examples",
    "zmallen-stratus-datadog",
)
DAYS = 3
LAG = 4 * MINUTE


def logs_of(shared: Path, store: Path, tree: Path, folder: Path) -> Logs:
    cities = shared / "data" / "geoip" / "GeoLite2-City-Test.mmdb"
    rules = ("--rules", str(write_rules(folder / "rules")))
    return Logs(store, tree, (*rules, "--geoip_database", str(cities)))


# As they are: each set is one object without a date, most of them of minutes


@pytest.mark.parametrize("name", SETS)
def test_a_set_leaves_the_same_histories_at_once_in_steps_and_from_a_snapshot(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Both runs of the chain read all of it. What spans years cannot be cut; the run says so."""
    file = shared / "data" / "sets" / f"{name}.ndjson.gz"
    logs = logs_of(shared, file.parent, file, tmp_path)
    first, last = spans([str(file)], Extent(None, None, 2 * START))[str(file)]

    end, middle = last + 3 * HOUR, (first + last) // 2 + 2 * HOUR

    def left(way: str, until: int, *arguments: object) -> dict[bytes, EntityState]:
        up_to = ("--until", iso(until), "--snapshot_out", tmp_path / f"{way}-state")
        judge(logs, tmp_path / way, *up_to, *arguments)
        return histories(tmp_path / f"{way}-state")

    whole = left("whole", end, "--step", "none")
    assert whole
    capsys.readouterr()
    assert left("steps", end, "--step", "1d") == whole
    told = "cannot be cut; all is judged in one step" in capsys.readouterr().err
    assert told == (last - first > 2 * DAY)
    left("one", middle, "--step", "none")
    begin = ("--snapshot_in", tmp_path / "one-state")
    assert left("two", end, "--step", "none", *begin) == whole


def histories(snapshot: Path) -> dict[bytes, EntityState]:
    """What is remembered by entity, but for what was read again and is kept as too late."""
    return {
        saved.key: replace(ENTITY_STATE.decode(saved.state), strays={})
        for path in (snapshot / "score").glob("*.avro")
        for saved in saved_states(path)
    }


# Repeated: what the sets hold day after day, and some of it on the last day only


@pytest.fixture(scope="module")
def repeated(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Logs:
    folder = tmp_path_factory.mktemp("repeated")
    quarters: dict[int, list[Any]] = defaultdict(list)
    for name in SETS:
        records = list(records_of(shared / "data" / "sets" / f"{name}.ndjson.gz"))
        for day in range(DAYS):
            for number, record in enumerate(records):
                if day < DAYS - 1 and number % 7 == 0:
                    continue
                time = START + day * DAY + number * DAY // len(records)
                when = {"eventTime": iso(time // 1000 * 1000)}
                quarters[time // (15 * MINUTE)].append(record | when)
    for quarter, some in quarters.items():
        stamp = datetime.fromtimestamp(((quarter + 1) * 15 * MINUTE + LAG) / 1000, UTC)
        place = folder / "store" / f"{stamp:%Y/%m/%d}"
        place.mkdir(parents=True, exist_ok=True)
        data = gzip.compress(json.dumps({"Records": some}).encode(), mtime=0)
        name = f"111122223333_CloudTrail_eu-west-1_{stamp:%Y%m%dT%H%MZ}_x.json.gz"
        (place / name).write_bytes(data)
    return logs_of(shared, folder / "store", folder / "seen", folder).show()


def records_of(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a set that say when they were."""
    with gzip.open(path) as lines:
        for line in lines:
            record = json.loads(line)
            if isinstance(record, dict) and "eventTime" in record:
                yield record


def test_real_records_day_after_day_say_the_same_at_once_in_steps_and_from_cron(
    repeated: Logs, tmp_path: Path
) -> None:
    once = judge(repeated, tmp_path / "once", "--step", "none")
    assert len(once.alerts.splitlines()) > 10
    assert judge(repeated, tmp_path / "steps", "--step", "1d") == once
    odd = (25 * HOUR + 7 * MINUTE, 26 * HOUR, 47 * HOUR, 9 * DAY)
    moments = [START + time for time in odd]
    assert from_cron(repeated, tmp_path / "cron", moments) == once
