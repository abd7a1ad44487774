"""Four weeks in one run, and in 28 steps of a day: the same alerts, by every scorer."""

from __future__ import annotations

from pathlib import Path

import pytest
from modes import judge, organisation

from pipeline.files import read_json


@pytest.mark.parametrize("by", ["window", "contrast"])
def test_28_daily_steps_say_what_one_run_does(tmp_path: Path, by: str) -> None:
    """By `contrast` from the fifth working day on, when there are scores."""
    logs = organisation(tmp_path, 3, 28, 4_000, by, people=6, machines=3, accounts=1).show()
    once = judge(logs, tmp_path / "once", "--step", "none")
    assert judge(logs, tmp_path / "steps", "--step", "1d") == once
    assert read_json(tmp_path / "steps" / "run.json")["metrics"]["steps"] == 28
    days = {line[: len('{"@timestamp":"2026-03-02')] for line in once.alerts.splitlines()}
    assert len(days) >= 5, "or there is little to compare"
