"""The files of a run: readable by others, complete, and in agreement with each other."""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections import Counter
from datetime import datetime
from importlib.metadata import version
from typing import Any

import fastavro
import pytest
from figures import RULE_OF
from town import SLICE_S, Done, Town, raretrail_run

REQUIRED = """
    id rule_id scorer entity action slice_start slice_end score probability factors first_seen
    last_seen count evidence
"""


@pytest.mark.parametrize("name", REQUIRED.split())
def test_an_anomaly_carries_what_the_design_says(done: Done, name: str) -> None:
    assert done.anomalies
    assert all(name in anomaly for anomaly in done.anomalies)


def test_anomalies_are_readable_by_avro_alone(done: Done) -> None:
    for anomaly in done.anomalies:
        assert isinstance(anomaly["slice_start"], datetime)
        assert anomaly["slice_start"].tzinfo is not None
        assert (anomaly["slice_end"] - anomaly["slice_start"]).total_seconds() == SLICE_S
        assert anomaly["slice_start"] <= anomaly["first_seen"] <= anomaly["last_seen"]
        assert anomaly["last_seen"] < anomaly["slice_end"]
        assert isinstance(anomaly["entity"], dict)
        assert 0 < anomaly["probability"] < 0.035
        assert 0 <= anomaly["score"] <= 100
        for factor in anomaly["factors"]:
            assert factor.keys() == {"name", "value", "words"}


def test_every_alert_is_an_anomaly_and_the_rest_is_kept(done: Done) -> None:
    anomalies = {anomaly["id"]: anomaly for anomaly in done.anomalies}
    assert len(anomalies) == len(done.anomalies) > len(done.alerts)
    for alert in done.alerts:
        anomaly = anomalies.pop(alert["kibana.alert.uuid"])
        ours = alert["raretrail"]
        for name in ("score", "probability", "entity", "count", "scorer", "factors"):
            assert anomaly[name] == ours[name]
        assert anomaly["rule_id"] == alert["kibana.alert.rule.uuid"]
        assert anomaly["action"] == alert["event"]["action"]
    rest = Counter(anomaly["action"] for anomaly in anomalies.values() if anomaly["score"] >= 75)
    assert rest == {"DeleteTrail": 2}, "the two repeats that were suppressed"
    assert sum(done.run["metrics"]["anomalies"].values()) == len(done.anomalies)


def undocumented(schema: Any, path: str) -> list[str]:
    """Where a schema's records, enums and fields lack a doc string."""
    if isinstance(schema, list):
        return [found for part in schema for found in undocumented(part, path)]
    if not isinstance(schema, dict):
        return []
    lacking = []
    if schema["type"] in ("record", "enum", "fixed") and not schema.get("doc"):
        lacking.append(f"{path}: {schema['name']}")
    for field in schema.get("fields", ()):
        here = f"{path}.{field['name']}"
        lacking += [] if field.get("doc") else [here]
        lacking += undocumented(field["type"], here)
    for inner in ("items", "values"):
        lacking += undocumented(schema.get(inner), f"{path}[]")
    return lacking


@pytest.fixture(scope="module")
def all_kinds(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run that leaves records of all kinds: one object cannot be read, one came after 5 hours."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "more").mkdir()
    (folder / "more" / "damaged.json").write_text("no JSON")
    first = min(town.logs.rglob("*.json.gz"))
    shutil.copyfile(first, folder / "more" / "1_CloudTrail_eu-west-1_20260302T0500Z_x.json.gz")
    flags = ("--geoip_database", town.cities, "--as_live")
    return raretrail_run(folder / "out", town.logs, folder / "more", *flags)


@pytest.mark.parametrize("folder", ["anomalies", "dead_letters", "late"])
def test_avro_files_explain_themselves(all_kinds: Done, folder: str) -> None:
    assert all_kinds.status == 0, all_kinds.err
    path = min((all_kinds.output / folder).iterdir())
    with path.open("rb") as file:
        schema = fastavro.reader(file).writer_schema
    assert isinstance(schema, dict)
    assert "Version" in schema["doc"]
    assert undocumented(schema, schema["name"]) == []


def test_run_json_says_how_it_was_made(town: Town, done: Done) -> None:
    run = done.run
    assert {"accounting", "configuration", "versions", "firings", "metrics"} <= set(run)
    assert run["versions"] == {
        "raretrail": version("raretrail"),
        "apache-beam": version("apache-beam"),
        "python": platform.python_version(),
    }
    asked = run["configuration"]
    assert asked["inputs"] == [str(town.logs)]
    assert asked["output"] == str(done.output)
    assert asked["geoip_database"] == str(town.cities)
    assert asked["geoip_sha256"] == hashlib.sha256(town.cities.read_bytes()).hexdigest()
    assert asked["identity"] == "role"
    assert {rule["uuid"] for rule in asked["rules_applied"]} == set(RULE_OF.values())
    for rule in asked["rules_applied"]:
        assert (rule["threshold"], rule["max_alerts"]) == (75, 100)
        assert rule["detector"]["scorer"] == "window"
    assert datetime.fromisoformat(run["started"]).tzinfo is not None
    assert run["metrics"]["seconds"] > 0


def test_run_json_tells_each_firing(done: Done) -> None:
    firings = done.run["firings"]
    assert sum(firing["alerts"] for firing in firings) == len(done.alerts)
    for firing in firings:
        mine = [
            alert["raretrail"]["score"]
            for alert in done.alerts
            if (alert["@timestamp"], alert["kibana.alert.rule.rule_id"])
            == (firing["firing"], firing["rule"])
        ]
        assert firing["alerts"] == len(mine)
        assert mine == sorted(mine, reverse=True)
        assert firing["new"] == len(mine) + firing["suppressed"]["number"]
        for kind in ("cut", "suppressed", "expired"):
            assert firing[kind]["number"] == len(firing[kind]["scores"])
    suppressed = [f["suppressed"]["scores"] for f in firings if f["suppressed"]["number"]]
    assert [len(scores) for scores in suppressed] == [1, 1]
    assert all(score >= 75 for scores in suppressed for score in scores)
