"""`raretrail run` as a process of its own."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from figures import FOLDERS, alerts_of, files_of, matches
from town import Done, Town

ROOT = Path(__file__).parents[2]


def command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    given = {"cwd": ROOT, "capture_output": True, "text": True} | options
    return subprocess.run(argv, check=False, **given)


def test_two_workers_give_the_same_alerts(town: Town, done: Done, tmp_path: Path) -> None:
    """As a process of its own, since the workers are."""
    ended = command(
        *("run", town.logs, "--geoip_database", town.cities, "--output", tmp_path / "out"),
        *("--direct_num_workers", "2", "--direct_running_mode", "multi_processing"),
        *("--scorer", "window"),
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


def test_a_process_ends_with_status_0_and_a_report(town: Town, tmp_path: Path) -> None:
    objects = [path.read_bytes() for path in sorted(town.logs.rglob("*.gz"))[:20]]
    records = [json.loads(gzip.decompress(data))["Records"] for data in objects]
    argv = ["run", "-", "--output", "there", "--geoip_database", town.cities, "--scorer", "window"]
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
    assert files_of(tmp_path / "there") == FOLDERS
    run = json.loads((tmp_path / "there" / "run.json").read_bytes())
    assert run["accounting"]["records"]["events"] == sum(map(len, records))


def test_the_console_command() -> None:
    script = Path(sys.executable).with_name("raretrail")
    told = subprocess.run([script, "version"], capture_output=True, text=True, check=True).stdout
    assert told == f"raretrail {version('raretrail')}\n"
    usage = subprocess.run([script], capture_output=True, text=True, check=False)
    assert usage.returncode == 2
    assert "raretrail COMMAND" in usage.stdout + usage.stderr
