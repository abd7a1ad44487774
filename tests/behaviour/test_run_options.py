"""Other ways to ask for a run: other places, spans of time, scorers, identities and rules."""

from __future__ import annotations

import io
import json
import shutil
import sys
from datetime import datetime
from pathlib import Path

import pytest
from figures import (
    FOLDERS,
    PLACES,
    RULE_OF,
    USERS,
    alerted,
    alerts_of,
    closes,
    files_of,
    instant,
    matches,
)
from town import ALERTED_OF_USERS, SLICE_S, START, Done, Town, iso, raretrail_run

ROOT = Path(__file__).parents[2]


def test_the_same_records_elsewhere_give_the_same_alerts(
    town: Town, done: Done, tmp_path: Path
) -> None:
    shutil.copytree(town.logs, tmp_path / "moved" / "to" / "2019" / "logs")
    moved = raretrail_run(tmp_path / "out", tmp_path / "moved", "--geoip_database", town.cities)
    assert (moved.output / "alerts.ndjson").read_bytes() == alerts_of(done)


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
    assert files_of(done.output) == FOLDERS
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
    assert part.run["configuration"]["from"] == instant(first)


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
    text = text.replace("scorer: contrast", "scorer: window")
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
    at = [instant(START + n * SLICE_S) for n in (511, 512, 513)]
    assert [firings[time]["cut"]["number"] for time in at] == [1, 0, 0]
    assert [firings[time]["alerts"] for time in at] == [1, 1, 1]
    ranked = [(alert["@timestamp"], alert["event"]["action"]) for alert in done.alerts]
    assert [pair for pair in ranked if pair[0] in at] == list(
        zip(at, ["DeleteTrail", "StopLogging", "CreateAccessKey"], strict=True)
    )
    cut = sum(firing["cut"]["number"] for firing in done.run["firings"])
    assert done.run["metrics"]["alerts_cut"]["unusual-aws-command-for-a-user"] == cut >= 1
