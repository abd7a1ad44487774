"""The queries of the investigation guides: each runs, over files such as a run writes."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fastavro
import pytest

from pipeline.rules import load_rules
from schemas.alert import alert_document
from schemas.anomaly import ANOMALY, Candidate, Habit, Profile, anomaly
from schemas.rule import FIRST_ACTIVITY, Rule
from schemas.slice import Cell, Evidence

ACCOUNT, USER, ACTION, KEY = "111122223333", "alice", "CreateAccessKey", "AKIAEXAMPLE"
ADDRESS, ARN = "81.2.69.144", f"arn:aws:iam::{ACCOUNT}:user/{USER}"
FILLED = {"USER": USER, "ACTION": ACTION, "KEY": KEY, "ADDRESS": ADDRESS, "ARN": ARN}
FILLED["CITY"] = "London"
TIME = 1_762_000_000_000
RECORD = {
    "eventID": "e1",
    "eventTime": "2025-11-01T12:26:40Z",
    "eventName": ACTION,
    "sourceIPAddress": ADDRESS,
    "userIdentity": {"accessKeyId": KEY, "arn": ARN},
    "requestParameters": {"userName": USER},
}
VALUES = {
    "cloud.account.id": ACCOUNT,
    "user.name": USER,
    "source.geo.country_iso_code": "GB",
    "source.geo.city_name": "London",
}


def found_by(rule: Rule) -> Any:
    """An anomaly of alice's, from London."""
    evidence = Evidence(
        time=TIME, hash=b"12345678", origin="o.json.gz", id="e1", provider="iam.amazonaws.com",
        user_name=USER,
        arn=ARN, access_key=KEY, session="", agent="aws-cli/2", address=ADDRESS, country="GB",
        city="London", account=ACCOUNT, region="us-east-1", error="",
    )  # fmt: skip
    cell = Cell(
        first=TIME, last=TIME, ids=(b"12345678",), failed=False, write=True, place=("London",),
        tool=("aws-cli",), stream=(), users=(json.dumps([ACCOUNT, USER]),), account=(ACCOUNT,),
        region=("us-east-1",), error=(), evidence=(evidence,),
    )  # fmt: skip
    profile = Profile(
        since=0, latest=TIME, slices=9, hours=[0] * 168, n_actions=1, n_places=1,
        actions=[Habit("ListUsers", 9)], places=[Habit("London", 9)],
    )  # fmt: skip
    first = rule.detector.function == FIRST_ACTIVITY
    candidate = Candidate(
        detector=rule.detector.key,
        scorer=rule.detector.scorer,
        scope="organisation",
        entity={name: VALUES[name] for name in rule.detector.partition_fields},
        action=ACTION,
        slice=TIME // 900_000,
        firing=TIME // 900_000,
        probability=0.0003,
        score=82.5,
        basis="first_activity" if first else "history",
        cell=cell,
        profile=profile,
    )
    return anomaly(candidate, rule.uuid)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: rule.id)
def test_the_queries_of_a_guide_find_something(rule: Rule, tmp_path: Path) -> None:
    """Those over our own output and over logs; those that ask AWS are left out."""
    found = found_by(rule)
    out = tmp_path / "OUT"
    (out / "anomalies").mkdir(parents=True)
    document = alert_document(rule, found, found.firing, 1, [json.dumps(RECORD).encode()])
    (out / "alerts.ndjson").write_text(json.dumps(document) + "\n")
    with (out / "anomalies" / "anomalies-0.avro").open("wb") as stream:
        fastavro.writer(stream, ANOMALY.schema, [ANOMALY.read(ANOMALY.encode(found))])
    (tmp_path / "AWSLogs").mkdir()
    with gzip.open(tmp_path / "AWSLogs" / "o.json.gz", "wt") as text:
        json.dump({"Records": [RECORD]}, text)

    blocks = re.findall(r"```sh\n(.*?)```", rule.guide, re.DOTALL)
    commands = [re.sub(r"(?m)^aws .*$", "", block) for block in blocks if "curl" not in block]
    assert len(commands) >= 5
    for command in commands:
        line = re.sub(r"(--arg \w+) ([A-Z]+)", lambda m: f"{m[1]} '{FILLED[m[2]]}'", command)
        line = line.replace("python -m", f"{sys.executable} -m")
        shell = ["bash", "-o", "pipefail", "-c", line]
        run = subprocess.run(
            shell, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert (run.returncode, run.stderr) == (0, ""), command
        assert run.stdout.strip(), command
