"""Runs over the real sets, counted by other means: plain json, gzip, the role policy by hand."""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import maxminddb
import pytest
from figures import PLACES, USERS, closes
from town import SLICE_S, Done, Record, raretrail_run, read_avro

SETS = """
    boogy-1679 flaws-cloud-slice grycap-2017 misc-fixtures opensearch-catalog-840
    otrf-ec2-proxy-s3-exfil panther-rule-samples traildiscover umccr-eventversion-examples
    zmallen-stratus-datadog
""".split()  # noqa: SIM905
FIRST = datetime(2013, 11, 1, tzinfo=UTC).timestamp()
NOTHING = (None, "", "-", "none", [], {})


def told(value: Any) -> str:
    return "" if value in NOTHING else str(value)


def time_of(record: Record) -> float | None:
    """Seconds since the epoch; None if it has no time that is one."""
    try:
        time = datetime.fromisoformat(record["eventTime"])
    except (KeyError, TypeError, ValueError):
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def user_of(record: Record) -> str:
    who = record.get("userIdentity") or {}
    issuer = (who.get("sessionContext") or {}).get("sessionIssuer") or {}
    match who.get("type"):
        case "IAMUser" | "WebIdentityUser" | "SAMLUser":
            return told(who.get("userName"))
        case "AssumedRole" if ":role/aws-service-role/" in told(issuer.get("arn")):
            return ""
        case "AssumedRole" | "FederatedUser":
            return told(issuer.get("userName"))
        case "Root":
            return "root"
    return ""


def account_of(record: Record) -> str:
    who = record.get("userIdentity") or {}
    return told(who.get("accountId")) or told(record.get("recipientAccountId"))


def city_of(record: Record, cities: maxminddb.Reader) -> tuple[str, str] | None:
    try:
        found: Any = cities.get(record.get("sourceIPAddress")) or {}
    except (TypeError, ValueError):
        return None
    country = found.get("country", {}).get("iso_code")
    city = found.get("city", {}).get("names", {}).get("en")
    return (country, city) if country and city else None


def records_of(path: Path) -> list[Record]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def counted_by_other_means(records: list[Record], cities: Path) -> dict[str, Any]:
    insight = "AwsCloudTrailInsight"
    sound = [r for r in records if time_of(r) is not None and r.get("eventType") != insight]
    events = [r for r in sound if (time_of(r) or 0) >= FIRST]
    figures: dict[str, Any] = {
        "unreadable": len(records) - len(sound),
        "out_of_range": len(sound) - len(events),
        "events": len(events),
    }
    with maxminddb.open_database(cities) as reader:
        for name in (USERS, PLACES):
            cells = []
            for record in events:
                user = (account_of(record), user_of(record))
                entity = user if name == USERS else city_of(record, reader)
                if entity is not None and all(entity):
                    quarter = math.floor((time_of(record) or 0) / SLICE_S)
                    cells.append((entity, record["eventName"], quarter))
            figures[name] = {
                "counted": len(cells),
                "cells": len(set(cells)),
                "entities": len({cell[0] for cell in cells}),
            }
    return figures


def figures_of(done: Done) -> dict[str, Any]:
    """The same figures as the run gives them."""
    accounting, entities = closes(done), done.run["metrics"]["entities"]
    records = accounting["records"]
    figures: dict[str, Any] = {
        name: records[name] for name in ("unreadable", "out_of_range", "events")
    }
    for name in (USERS, PLACES):
        figures[name] = {
            "counted": accounting["detectors"][name]["counted"],
            "cells": accounting["cells"].get(name, {}).get("cells", 0),
            "entities": entities.get(name, 0),
        }
    return figures


@pytest.fixture(scope="session")
def mini(shared: Path) -> Path:
    return shared / "data" / "geoip" / "mini-city-2019.mmdb"


@pytest.mark.parametrize("name", SETS)
def test_a_real_set(shared: Path, mini: Path, tmp_path: Path, name: str) -> None:
    path = shared / "data" / "sets" / f"{name}.ndjson.gz"
    records = records_of(path)
    done = raretrail_run(tmp_path / "out", path, "--geoip_database", mini)
    assert (done.status, done.err) == (0, "")
    assert figures_of(done) == counted_by_other_means(records, mini)
    assert done.run["accounting"]["records"]["read"] == len(records)
    figures = done.run["accounting"]["records"]
    assert len(done.dead) == figures["unreadable"] + bool(figures["out_of_range"])
    assert {letter["origin"] for letter in done.dead} <= {str(path)}
    assert all(letter["reason"] and letter["raw"] for letter in done.dead)


@pytest.mark.parametrize("scorer", ["window", "contrast"])
def test_all_real_sets_at_once(shared: Path, mini: Path, tmp_path: Path, scorer: str) -> None:
    """The folder as it is, with tables and a set in CSV beside the logs."""
    folder = shared / "data" / "sets"
    flags = ("--geoip_database", mini, "--scorer", scorer)
    done = raretrail_run(tmp_path / "out", folder, *flags)
    applied = done.run["configuration"]["rules_applied"]
    assert {rule["detector"]["scorer"] for rule in applied} == {scorer}
    assert done.status == 0
    records = [record for name in SETS for record in records_of(folder / f"{name}.ndjson.gz")]
    assert figures_of(done) == counted_by_other_means(records, mini)
    assert done.run["accounting"]["objects"]["read"] == len(SETS)
    others = [path for path in folder.iterdir() if not path.name.endswith(".ndjson.gz")]
    assert sum(done.run["accounting"]["objects"]["skipped"].values()) == len(others)


def test_the_set_of_csv_is_a_dead_letter(shared: Path, tmp_path: Path) -> None:
    path = shared / "data" / "sets" / "otrf-s3-honeybucket.csv.gz"
    done = raretrail_run(tmp_path / "out", path)
    assert done.status == 3
    assert closes(done)["objects"]["unreadable"] == 1
    (letter,) = done.dead
    assert letter["origin"] == str(path)


def test_the_folder_of_traps(shared: Path, mini: Path, tmp_path: Path) -> None:
    """Its files by hand: two members, none, plain under .gz and a BOM; 34 lines are no records."""
    folder = shared / "data" / "traps"
    done = raretrail_run(tmp_path / "out", folder, "--geoip_database", mini)
    assert done.status == 3, "none of its few events has a user or a known city"
    accounting = closes(done)
    good: list[Record] = []
    for name in ("plain_not_gzipped.json.gz", "records_plus_bom.json"):
        good += json.loads((folder / name).read_bytes().decode("utf-8-sig"))["Records"]
    text = gzip.decompress((folder / "concatenated_members.json.gz").read_bytes()).decode()
    decoder = json.JSONDecoder()
    while text.strip():
        document, end = decoder.raw_decode(text.strip())
        good, text = good + document["Records"], text.strip()[end:]
    no_records = {
        "traps.ndjson": len((folder / "traps.ndjson").read_text("utf-8").splitlines()),
        "principal_profiles.json": len(
            json.loads((folder / "principal_profiles.json").read_bytes())
        ),
        "truncated.json.gz": 1,
    }
    assert accounting["records"]["events"] == len(good)
    assert accounting["records"]["unreadable"] == sum(no_records.values())
    assert accounting["objects"]["read"] == 7
    assert accounting["objects"]["unreadable"] == len(no_records)
    assert Counter(Path(letter["origin"]).name for letter in done.dead) == no_records
    figures, expected = figures_of(done), counted_by_other_means(good, mini)
    assert {name: figures[name] for name in (USERS, PLACES)} == {
        name: expected[name] for name in (USERS, PLACES)
    }


def test_the_records_of_the_traps(shared: Path, mini: Path, tmp_path: Path) -> None:
    """Each trap's record as a line: all are accounted for."""
    lines = (shared / "data" / "traps" / "traps.ndjson").read_text("utf-8").splitlines()
    records = [json.loads(line)["record"] for line in lines]
    path = tmp_path / "traps.ndjson"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    done = raretrail_run(tmp_path / "out", path, "--geoip_database", mini)
    assert done.status == 0
    figures = closes(done)["records"]
    assert figures["read"] >= len(records)
    assert figures["unreadable"] + figures["out_of_range"] >= len(
        read_avro(done.output / "dead_letters")
    )
