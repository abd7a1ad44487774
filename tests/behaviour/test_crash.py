"""Killed at any point: the same command goes on, and nothing is lost, doubled or left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from hamlet import INCREMENTAL, STEPS, equal, leftovers, run, states, stopped
from town import Done, contents

MODES = {"steps": STEPS, "incremental": INCREMENTAL}
CHOSEN = [
    "the graph of a step runs",
    "a step is written, not committed",
    "a step is committed, not published",
    "alerts are appended, nothing else published",
]
UNTIL: list[object] = ["--until", "2026-03-04T22:00:00Z"]


@pytest.fixture(scope="module")
def sound(place: Path, common: list[object]) -> dict[str, Done]:
    """The runs that nobody stops."""
    return {name: run(place / name, *common, *mode) for name, mode in MODES.items()}


def test_runs_that_nobody_stops_have_alerts_in_every_step(sound: dict[str, Done]) -> None:
    """Else the other tests here would hold of nothing."""
    for done in sound.values():
        assert done.status == 0, done.err
        days = [alert["raretrail"]["slice_start"][:10] for alert in done.alerts]
        assert days == ["2026-03-02", "2026-03-03", "2026-03-03", "2026-03-04"]
        assert done.run["metrics"]["steps"] == 3
    assert leftovers(sound["steps"].output) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("point", CHOSEN)
def test_killed_while(
    tmp_path: Path, common: list[object], sound: dict[str, Done], point: str, mode: str
) -> None:
    command = [*common, *MODES[mode]]
    output = tmp_path / "out"
    ended = stopped(tmp_path / "child", point, *command, "--output", output)
    assert ended.returncode == -9, ended.stderr
    assert (output / ".work").exists()
    done = run(output, *command)
    assert done.status == 0, done.err
    equal(done, sound[mode])
    gone = {".lock", "next", "done", ".closed"}
    assert not [path for path in output.rglob("*") if path.name in gone]
    assert not list(output.rglob("*.unfinished"))
    if mode == "steps":
        assert leftovers(output) == []


def test_killed_again_and_again(
    tmp_path: Path, common: list[object], sound: dict[str, Done]
) -> None:
    """Each time in the first step that it begins."""
    command, output = [*common, *STEPS], tmp_path / "out"
    for point in (CHOSEN[2], "all is published but the ledger"):
        ended = stopped(tmp_path / "child", point, *command, "--output", output, step=1)
        assert ended.returncode == -9, ended.stderr
    done = run(output, *command)
    assert done.status == 0, done.err
    equal(done, sound["steps"])
    assert leftovers(output) == []


@pytest.fixture(scope="module")
def wanted(place: Path, common: list[object]) -> Done:
    """A run that nobody stops and that leaves its state."""
    (place / "whole").mkdir()
    command = [*common, *STEPS, *UNTIL, "--snapshot_out", place / "whole" / "state"]
    return run(place / "whole" / "out", *command)


# The end of a run: results and state are there, but not yet where they are wanted


@pytest.mark.parametrize(
    "point",
    [
        "a step is committed, not published",
        "results are there, the state is not yet handed over",
        "a file of the state is there, its manifest is not",
        "all is handed over, what was needed for it is still there",
    ],
)
def test_killed_at_the_end_while(
    tmp_path: Path, common: list[object], wanted: Done, point: str
) -> None:
    state, output = tmp_path / "state", tmp_path / "out"
    command = [*common, *STEPS, *UNTIL, "--snapshot_out", state]
    ended = stopped(
        tmp_path / "child", point, *command, "--output", output, step=3, state=str(state)
    )
    assert ended.returncode == -9, ended.stderr
    done = run(output, *command)
    assert done.status == 0 or "holds the results of a run" in done.err
    equal(done, wanted)
    assert leftovers(output) == []
    assert [name for name in contents(state) if not name.endswith(".avro")] == [
        "manifest.json",
        "score",
    ]
    assert states(state) == states(wanted.output.parent / "state")


def test_killed_in_its_first_step_with_a_snapshot_to_write(
    tmp_path: Path, common: list[object]
) -> None:
    """The folder for the state was there, with a lock of the dead."""
    command = [*common, *STEPS, *UNTIL, "--snapshot_out", tmp_path / "state"]
    ended = stopped(tmp_path / "child", CHOSEN[0], *command, "--output", tmp_path / "out", step=1)
    assert ended.returncode == -9, ended.stderr
    done = run(tmp_path / "out", *command)
    assert done.status == 0, done.err
    assert (tmp_path / "state" / "manifest.json").exists()
    assert not (tmp_path / "state" / ".lock").exists()


def test_a_finished_run_is_not_begun_again(tmp_path: Path, common: list[object]) -> None:
    done = run(tmp_path / "out", *common)
    assert done.status == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = run(tmp_path / "out", *common)
    assert (again.status, again.out) == (0, done.out)
    assert "this was done on " in again.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
