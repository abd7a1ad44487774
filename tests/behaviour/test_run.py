"""`raretrail run`, whole: what it reads, counts and finds equals what is known by other means."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fastavro
import maxminddb
import pytest
from town import (
    ACCOUNT,
    ALERTED_OF_CITIES,
    ALERTED_OF_USERS,
    CITIES,
    SLICE_S,
    START,
    Call,
    Done,
    Record,
    Town,
    cells_of,
    contents,
    iso,
    raretrail_run,
    read_avro,
)

ROOT = Path(__file__).parents[2]
USERS, PLACES = "command-by-user", "command-by-city"
RULE_OF = {
    USERS: "9254a54a-8d04-42e7-90d3-0731b63adac1",
    PLACES: "52010ebe-7c41-4455-b884-feac9e8429c5",
}
FILES = [
    "alerts.ndjson",
    "anomalies",
    "anomalies/anomalies-00000-of-00001.avro",
    "dead_letters",
    "dead_letters/dead_letters-00000-of-00001.avro",
    "run.json",
]


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
    for cells in accounting["cells"].values():
        assert cells["cells"] == cells["judged"]
        assert cells["cells"] <= cells["distinct_events"]
    for rule, figures in done.run["metrics"]["rules"].items():
        firings = [firing for firing in done.run["firings"] if firing["rule"] == rule]
        ended = figures["alerts"] + figures["suppressed"] + figures["expired"]
        assert sum(firing["new"] for firing in firings) == ended, "nothing waits at the end"
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
    assert done.run["metrics"]["horizon"] == iso(end).replace("Z", ".000Z")


# The town


def test_it_ends_well_and_leaves_its_files_and_no_others(done: Done) -> None:
    assert (done.status, done.err) == (0, "")
    assert contents(done.output) == FILES


def test_every_figure_equals_a_count_by_other_means(town: Town, done: Done) -> None:
    matches(town, done, town.deliveries)
    accounting = done.run["accounting"]
    assert accounting["objects"] == {
        "listed": len(town.delivered),
        "read": len(town.delivered),
        "unreadable": 0,
        "skipped": {},
    }
    assert accounting["records"]["read"] == len(town.deliveries) > len(town.calls)
    assert done.dead == []


def test_repeated_records_count_once_in_cells(town: Town, done: Done) -> None:
    """The cells of 15 events and fewer are counted exactly; one of 40 is an estimate."""
    cells = done.run["accounting"]["cells"]
    for name, entity in ((USERS, "user"), (PLACES, "city")):
        once = sum(bool(cells_of([call], entity)) for call in town.calls)
        assert abs(cells[name]["distinct_events"] - once) <= 20
        assert cells[name]["distinct_events"] < done.run["accounting"]["detectors"][name]["counted"]


def alerted(done: Done, rule: str) -> set[tuple[int, str]]:
    """(slice, action) of the alerts of a rule."""
    found = set()
    for alert in done.alerts:
        if alert["kibana.alert.rule.uuid"] == RULE_OF[rule]:
            at = datetime.fromisoformat(alert["raretrail"]["slice_start"]).timestamp()
            found.add(((round(at) - START) // SLICE_S, alert["event"]["action"]))
    return found


def test_it_alerts_on_what_was_planted_and_on_nothing_else(done: Done) -> None:
    assert alerted(done, USERS) == ALERTED_OF_USERS
    assert alerted(done, PLACES) == ALERTED_OF_CITIES
    assert len(done.alerts) == len(ALERTED_OF_USERS) + len(ALERTED_OF_CITIES)
    rules = done.run["metrics"]["rules"]
    assert [rule["suppressed"] for rule in rules.values()] == [1, 1]
    assert sorted(rule["alerts"] for rule in rules.values()) == [3, 4]


def test_alerts_lie_by_firing_rule_and_rank(done: Done) -> None:
    keys = [
        (a["@timestamp"], a["kibana.alert.rule.uuid"], a["raretrail"]["rank"]) for a in done.alerts
    ]
    assert keys == sorted(keys)
    assert keys[0][0] == iso(START + 511 * SLICE_S).replace("Z", ".000Z"), "the end of its slice"
    ranks = Counter(key[:2] for key in keys)
    assert [rank for key in dict.fromkeys(keys) for rank in [key[2]]] == [
        rank for number in ranks.values() for rank in range(1, number + 1)
    ]


def test_ids_are_what_the_design_says(done: Done) -> None:
    for alert in done.alerts:
        ours = alert["raretrail"]
        start = datetime.fromisoformat(ours["slice_start"]).timestamp()
        parts = [alert["kibana.alert.rule.uuid"], ours["scope"], ours["entity"]]
        text = canonical([*parts, alert["event"]["action"], round(start * 1000)])
        assert alert["kibana.alert.uuid"] == hashlib.sha256(text).hexdigest()[:32]
    assert len({alert["kibana.alert.uuid"] for alert in done.alerts}) == len(done.alerts)


def test_scores_are_those_of_the_page(done: Done) -> None:
    """A call that was never made: p is a little over 1.05 · mass / N, N from the slices ≤ b - 8."""
    aged = math.exp(-0.00025)
    for alert in done.alerts:
        ours = alert["raretrail"]
        at = datetime.fromisoformat(ours["slice_start"]).timestamp()
        learned = (round(at) - START) // SLICE_S - 7
        total = sum(5 * aged ** (n + 1) for n in range(1, learned + 1)) + aged
        assert 1 < ours["probability"] / (1.05 * aged / total) < 1.02
        expected = 100 * (0.05 + 0.95 * math.log(0.05 / ours["probability"]) / math.log(500))
        assert ours["score"] == pytest.approx(expected, abs=1e-4)
        assert ours["score"] == round(ours["score"], 4) >= 75
        assert ours["profile"]["slices"] == learned
        assert ours["seen_before"] == 0


def planted(town: Town, alert: Record) -> list[Call]:
    """The calls that an alert is about, earliest first."""
    start = round(datetime.fromisoformat(alert["raretrail"]["slice_start"]).timestamp())
    slice_ = (start - START) // SLICE_S
    found = [c for c in town.calls if (c.slice, c.action) == (slice_, alert["event"]["action"])]
    return sorted(
        found, key=lambda c: (c.time, hashlib.blake2b(c.id.encode(), digest_size=8).digest())
    )


def test_alerts_carry_the_three_earliest_events_and_their_records(town: Town, done: Done) -> None:
    for alert in done.alerts:
        about, shown = planted(town, alert), alert["raretrail"]["evidence"]
        assert [each["event_id"] for each in shown] == [call.id for call in about[:3]]
        for call, each in zip(about, shown, strict=False):
            assert each["time"] == iso(call.time).replace("Z", ".000Z")
            assert each["arn"] == call.identity["arn"]
            assert each["access_key"] == "AKIAALICE"
            assert each["agent"] == "aws-cli/2.15.0 Python/3.11"
            assert each["address"] == call.address
            assert (each["country"], each["city"]) == CITIES[call.address]
            assert (each["account"], each["region"]) == (ACCOUNT, "eu-west-1")
            assert each["error"] == call.error
            body = canonical(call.record)
            assert (each["body_bytes"], each["body_cut"]) == (len(body), True)
            assert body.decode().startswith(each["body"])
            assert canonical(call.parameters).decode().startswith(each["request_parameters"])
            assert 8_191 <= len(each["body"].encode()) <= 8_192


def test_alerts_tell_what_happened(town: Town, done: Done) -> None:
    for alert in done.alerts:
        about, ours = planted(town, alert), alert["raretrail"]
        assert ours["first_seen"] == iso(about[0].time).replace("Z", ".000Z")
        assert ours["last_seen"] == iso(about[-1].time).replace("Z", ".000Z")
        assert ours["count_exact"] is (len(about) < 16)
        assert ours["count"] == (len(about) if ours["count_exact"] else pytest.approx(40, rel=0.5))
        assert ours["failed"] is bool(about[0].error)
        assert ours["write"] is (alert["event"]["action"] != "GetSecretValue")
        assert alert["event"]["outcome"] == ("failure" if about[0].error else "success")
        assert alert.get("error", {}).get("code", "") == about[0].error
        assert alert["user"]["name"] == "alice"
        assert alert["cloud"]["account"]["id"] == ACCOUNT
        assert alert["source"]["geo"]["city_name"] == CITIES[about[0].address][1]


def test_alerts_say_nothing_of_the_run(town: Town, done: Done) -> None:
    text = (done.output / "alerts.ndjson").read_text("utf-8")
    for word in (
        str(town.logs),
        "_CloudTrail_eu-west-1_",
        socket.gethostname(),
        done.run["started"][:10],
    ):
        assert word not in text


def test_the_report_says_the_same(town: Town, done: Done) -> None:
    lines = done.out.splitlines()
    assert "Every record is accounted for." in lines
    for number, what in (
        (len(town.delivered), "objects"),
        (len(town.deliveries), "records, of which"),
    ):
        assert f"  {number:>11,} {what}" in lines
    wrapped = " ".join(" ".join(lines).split())
    groups: dict[str, float] = {}
    for alert in done.alerts:
        ours = alert["raretrail"]
        key = str([ours["firing"], alert["kibana.alert.rule.uuid"], ours["entity"], ours["users"]])
        groups[key] = max(groups.get(key, 0.0), ours["score"])
    highest = sorted(groups.values(), reverse=True)[:10]
    assert [f"{score:.1f}" for score in highest] == [
        line.split()[1]
        for line in lines
        if line[:4].strip().rstrip(".").isdigit() and "called" in line
    ]
    told = [" ".join(alert["kibana.alert.reason"].split()) in wrapped for alert in done.alerts]
    assert sum(told) == len(groups)
    assert "alerts.ndjson" in wrapped
    assert "run.json" in wrapped


# The files


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
    figures = done.run["metrics"]["rules"].values()
    assert sum(rule["anomalies"] for rule in figures) == len(done.anomalies)


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


@pytest.mark.parametrize("folder", ["anomalies", "dead_letters"])
def test_avro_files_explain_themselves(done: Done, folder: str) -> None:
    (path,) = (done.output / folder).iterdir()
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


# Other ways to ask


def test_the_same_records_elsewhere_give_the_same_alerts(
    town: Town, done: Done, tmp_path: Path
) -> None:
    shutil.copytree(town.logs, tmp_path / "moved" / "to" / "2019" / "logs")
    moved = raretrail_run(tmp_path / "out", tmp_path / "moved", "--geoip_database", town.cities)
    assert (moved.output / "alerts.ndjson").read_bytes() == alerts_of(done)


def alerts_of(done: Done) -> bytes:
    assert done.status == 0, done.err
    return (done.output / "alerts.ndjson").read_bytes()


def test_standard_input(
    town: Town, done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"".join(json.dumps(call.record).encode() + b"\n" for call in town.deliveries)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    piped = raretrail_run(tmp_path / "out", "-", "--geoip_database", town.cities)
    assert alerts_of(piped) == alerts_of(done)
    matches(town, piped, town.deliveries)
    assert piped.run["accounting"]["objects"]["read"] == 1


def test_a_file_of_options(town: Town, done: Done, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"inputs: {town.logs}\ngeoip-database: {town.cities}\nscorer: window\n")
    assert alerts_of(raretrail_run(tmp_path / "out", "--config", config)) == alerts_of(done)


def test_an_empty_folder_may_be_the_output(town: Town, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    some = sorted(town.logs.rglob("*.gz"))[:3]
    done = raretrail_run(tmp_path / "out", *some, "--geoip_database", town.cities)
    assert done.status == 0
    assert contents(done.output) == FILES
    assert alerts_of(done) == b""


@pytest.mark.parametrize("until", [511, 514])
def test_until(town: Town, done: Done, tmp_path: Path, until: int) -> None:
    end = START + until * SLICE_S
    part = raretrail_run(
        tmp_path / "out", town.logs, "--geoip_database", town.cities, "--until", iso(end)
    )
    matches(town, part, [call for call in town.deliveries if call.time < end])
    before = [line for line in alerts_of(done).splitlines() if ends(line) <= end]
    assert alerts_of(part).splitlines() == before
    assert before


def ends(line: bytes) -> int:
    """When the slice of an alert ends."""
    alert = json.loads(line)
    return round(datetime.fromisoformat(alert["raretrail"]["slice_end"]).timestamp())


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (START + 86_400, None),
        (START + 86_400 - 60, START + 2 * 86_400),
        (START + 3 * 86_400 + 1, START + 3 * 86_400 + 3_600),
    ],
)
def test_from_and_until(town: Town, tmp_path: Path, first: int, last: int | None) -> None:
    """A record of the last minutes of a day lies in the next day's folder, and is not lost."""
    flags = ["--from", iso(first), *(["--until", iso(last)] if last else [])]
    part = raretrail_run(tmp_path / "out", town.logs, "--geoip_database", town.cities, *flags)
    inside = [c for c in town.deliveries if first <= c.time and (last is None or c.time < last)]
    matches(town, part, inside)
    accounting = part.run["accounting"]
    assert accounting["objects"]["read"] < len(town.delivered), "folders are pruned"
    assert any("outside --from/--until" in reason for reason in accounting["objects"]["skipped"])
    assert part.run["configuration"]["from"] == iso(first).replace("Z", ".000Z")


def test_the_time_of_from_is_in_and_that_of_until_is_out(town: Town, tmp_path: Path) -> None:
    first, last = town.calls[500].time, town.calls[900].time
    flags = ["--from", iso(first), "--until", iso(last)]
    part = raretrail_run(tmp_path / "out", town.logs, "--geoip_database", town.cities, *flags)
    inside = [call for call in town.deliveries if first <= call.time < last]
    assert first in {call.time for call in inside}
    matches(town, part, inside)


def test_without_a_database_the_city_rule_is_off_and_said(
    town: Town, done: Done, tmp_path: Path
) -> None:
    part = raretrail_run(tmp_path / "out", town.logs)
    assert part.status == 0
    (line,) = part.err.splitlines()
    assert "“Unusual city for an AWS command” is off" in line
    assert "--geoip_database" in line
    assert "GeoLite2" in line
    assert [rule["id"] for rule in part.run["configuration"]["rules_applied"]] == [
        "unusual-aws-command-for-a-user"
    ]
    assert list(part.run["accounting"]["detectors"]) == [USERS]
    matches(town, part, town.deliveries)
    assert alerted(part, USERS) == ALERTED_OF_USERS
    assert alerted(part, PLACES) == set()


def test_elastic(town: Town, tmp_path: Path) -> None:
    done = raretrail_run(
        tmp_path / "out", town.logs, "--geoip_database", town.cities, "--scorer", "elastic"
    )
    matches(town, done, town.deliveries)
    assert {anomaly["scorer"] for anomaly in done.anomalies} == {"elastic"}
    scorers = [rule["detector"]["scorer"] for rule in done.run["configuration"]["rules_applied"]]
    assert scorers == ["elastic", "elastic"]
    scores = {
        anomaly["action"]: anomaly["score"]
        for anomaly in done.anomalies
        if anomaly["rule_id"] == RULE_OF[USERS] and anomaly["slice"] == START // SLICE_S + 510
    }
    assert scores["DeleteTrail"] == scores["StopLogging"] < 75, "two new calls dilute each other"


@pytest.mark.parametrize(
    ("policy", "names"), [("role", 1), ("session", 1), ("principal", 133), ("issuer", 133)]
)
def test_who_a_user_is(town: Town, tmp_path: Path, policy: str, names: int) -> None:
    """alice, carol, root and the role, which has 133 sessions of machines."""
    done = raretrail_run(tmp_path / "out", town.logs, "--identity", policy)
    closes(done)
    assert done.run["metrics"]["entities"][USERS] == 3 + names
    assert done.run["configuration"]["identity"] == policy


def lowered(folder: Path, max_alerts: int) -> Path:
    """The built-in rule of users with a threshold of 20 and another cap."""
    built_in = ROOT / "pipeline" / "rules" / "unusual_aws_command_for_a_user.yaml"
    text = built_in.read_text("utf-8")
    text = text.replace("\nthreshold: 75\n", "\nthreshold: 20\n")
    text = text.replace("\nmax_alerts: 100\n", f"\nmax_alerts: {max_alerts}\n")
    folder.mkdir()
    (folder / "mine.yaml").write_text(text, "utf-8")
    return folder


def test_what_the_cap_cut_waits_and_is_told(town: Town, tmp_path: Path) -> None:
    rules = lowered(tmp_path / "rules", 1)
    done = raretrail_run(tmp_path / "out", town.logs, "--rules", rules)
    closes(done)
    assert done.run["configuration"]["rules_applied"][0]["threshold"] == 20
    firings = {firing["firing"]: firing for firing in done.run["firings"]}
    at = [iso(START + n * SLICE_S).replace("Z", ".000Z") for n in (511, 512, 513)]
    assert [firings[time]["cut"]["number"] for time in at] == [1, 0, 0]
    assert [firings[time]["alerts"] for time in at] == [1, 1, 1]
    ranked = [(alert["@timestamp"], alert["event"]["action"]) for alert in done.alerts]
    assert [pair for pair in ranked if pair[0] in at] == list(
        zip(at, ["DeleteTrail", "StopLogging", "CreateAccessKey"], strict=True)
    )
    assert done.run["metrics"]["rules"]["unusual-aws-command-for-a-user"]["firings_cut"] >= 1


def test_two_workers_give_the_same_alerts(town: Town, done: Done, tmp_path: Path) -> None:
    """As a process of its own, since the workers are."""
    ended = command(
        *("run", town.logs, "--geoip_database", town.cities, "--output", tmp_path / "out"),
        *("--direct_num_workers", "2", "--direct_running_mode", "multi_processing"),
    )
    assert ended.returncode == 0, ended.stderr
    two = Done(0, ended.stdout, ended.stderr, tmp_path / "out")
    assert alerts_of(two) == alerts_of(done)
    matches(town, two, town.deliveries)
    assert two.run["accounting"] == done.run["accounting"]
    by_id = {anomaly["id"]: anomaly for anomaly in done.anomalies}
    assert {anomaly["id"]: anomaly for anomaly in two.anomalies} == by_id
    of_beam = ("INFO:", "WARNING:")  # its workers log to stderr, whatever they are told
    assert all(line.startswith(of_beam) for line in ended.stderr.splitlines())


# As a process of its own


def command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    given = {"cwd": ROOT, "capture_output": True, "text": True} | options
    return subprocess.run(argv, check=False, **given)


def test_a_process_ends_with_status_0_and_a_report(town: Town, tmp_path: Path) -> None:
    objects = [path.read_bytes() for path in sorted(town.logs.rglob("*.gz"))[:20]]
    records = [json.loads(gzip.decompress(data))["Records"] for data in objects]
    argv = ["run", "-", "--output", "there", "--geoip_database", town.cities]
    ended = command(
        *argv,
        input=b"".join(objects),
        text=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == b""
    assert b"Every record is accounted for." in ended.stdout
    assert contents(tmp_path / "there") == FILES
    run = json.loads((tmp_path / "there" / "run.json").read_bytes())
    assert run["accounting"]["records"]["events"] == sum(map(len, records))


def test_the_console_command() -> None:
    script = Path(sys.executable).with_name("raretrail")
    told = subprocess.run([script, "version"], capture_output=True, text=True, check=True).stdout
    assert told == f"raretrail {version('raretrail')}\n"
    usage = subprocess.run([script], capture_output=True, text=True, check=False)
    assert usage.returncode == 2
    assert "raretrail COMMAND" in usage.stdout + usage.stderr


# The real sets, counted by other means: plain json, gzip, and the role policy in a few lines

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


def test_all_real_sets_at_once(shared: Path, mini: Path, tmp_path: Path) -> None:
    """The folder as it is, with tables and a set in CSV beside the logs."""
    folder = shared / "data" / "sets"
    done = raretrail_run(tmp_path / "out", folder, "--geoip_database", mini)
    assert done.status == 0
    records = [record for name in SETS for record in records_of(folder / f"{name}.ndjson.gz")]
    assert figures_of(done) == counted_by_other_means(records, mini)
    assert done.run["accounting"]["objects"]["read"] == len(SETS)
    others = [path for path in folder.iterdir() if not path.name.endswith(".ndjson.gz")]
    assert sum(done.run["accounting"]["objects"]["skipped"].values()) == len(others)


def test_the_set_of_csv_is_a_dead_letter(shared: Path, tmp_path: Path) -> None:
    path = shared / "data" / "sets" / "otrf-s3-honeybucket.csv.gz"
    done = raretrail_run(tmp_path / "out", path)
    assert done.status == 0
    assert closes(done)["objects"]["unreadable"] == 1
    (letter,) = done.dead
    assert letter["origin"] == str(path)


def test_the_folder_of_traps(shared: Path, mini: Path, tmp_path: Path) -> None:
    """Its files by hand: two members, none, plain under .gz and a BOM; 34 lines are no records."""
    folder = shared / "data" / "traps"
    done = raretrail_run(tmp_path / "out", folder, "--geoip_database", mini)
    assert done.status == 0
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
