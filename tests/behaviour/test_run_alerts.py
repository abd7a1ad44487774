"""The alerts of a run, against the calls that they are about."""

from __future__ import annotations

import hashlib
import math
import socket
from collections import Counter
from datetime import datetime

import pytest
from figures import canonical, instant
from town import ACCOUNT, CITIES, SLICE_S, START, Call, Done, Record, Town


def test_alerts_lie_by_firing_rule_and_rank(done: Done) -> None:
    keys = [
        (a["@timestamp"], a["kibana.alert.rule.uuid"], a["raretrail"]["rank"]) for a in done.alerts
    ]
    assert keys == sorted(keys)
    assert keys[0][0] == instant(START + 511 * SLICE_S), "the end of its slice"
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
            assert each["time"] == instant(call.time)
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
        assert ours["first_seen"] == instant(about[0].time)
        assert ours["last_seen"] == instant(about[-1].time)
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
