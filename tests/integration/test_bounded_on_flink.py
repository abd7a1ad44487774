"""A bounded run on a cluster says what the embedded one does, to the byte and to the count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from modes import DAY, START, Logs, Said, iso, judge

from pipeline.files import read_json

MODES = {"batch": [], "streaming": ["--streaming"]}


def account(output: Path) -> Any:
    """What run.json says of records, cells, alerts and firings."""
    run = read_json(output / "run.json")
    return run["accounting"], run["firings"], run["calibration"]


@pytest.fixture(scope="module")
def embedded(logs: Logs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Any]:
    output = tmp_path_factory.mktemp("embedded") / "out"
    came = judge(logs, output)
    assert came.alerts
    assert came.anomalies
    return came, account(output)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_on_the_cluster_says_what_the_embedded_one_does(
    cluster: Cluster, logs: Logs, embedded: tuple[Said, Any], tmp_path: Path, mode: str
) -> None:
    came = judge(logs, tmp_path / "out", *cluster.options, *MODES[mode])
    assert (came, account(tmp_path / "out")) == embedded


def test_the_state_that_it_leaves_is_what_another_runner_goes_on_with(
    cluster: Cluster, logs: Logs, embedded: tuple[Said, Any], tmp_path: Path
) -> None:
    until, state = iso(START + DAY + DAY // 2), tmp_path / "state"
    split = ("--until", until, "--snapshot_out", state)
    before = judge(logs, tmp_path / "before", *split, *cluster.options, "--runner=FlinkRunner")
    after = judge(logs, tmp_path / "after", "--snapshot_in", state)
    whole, _ = embedded
    assert before.alerts
    assert after.alerts
    assert before.alerts + after.alerts == whole.alerts
    assert sorted(before.anomalies + after.anomalies) == whole.anomalies
