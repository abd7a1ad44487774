"""A run that was stopped: what it says, what it goes on with, and what it refuses."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hamlet import (
    INCREMENTAL,
    SLICES,
    STEPS,
    between,
    call,
    calls,
    deliver,
    equal,
    process,
    rules,
    run,
    stopped,
)
from town import Done

import pipeline.run

GRAPH = "the graph of a step runs"
WRITTEN = "a step is written, not committed"
COMMITTED = "a step is committed, not published"


@pytest.fixture(scope="module")
def whole(place: Path, common: list[object]) -> Done:
    """The stepwise run that nobody stops."""
    return run(place / "whole", *common, *STEPS)


# Ctrl-C and SIGTERM


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_an_interrupt_says_what_is_done_and_the_same_command_goes_on(
    tmp_path: Path, common: list[object], whole: Done, signal: str
) -> None:
    command, output = [*common, *STEPS], tmp_path / "out"
    ended = stopped(tmp_path / "child", GRAPH, *command, "--output", output, signal=signal, step=3)
    assert ended.returncode == 130
    assert ended.stdout == ""
    lines = [line for line in ended.stderr.splitlines() if line.startswith("raretrail: ")]
    assert lines == [
        "raretrail: interrupted; 2 of 3 steps are done and kept; the same command goes on"
    ]
    assert "Traceback" not in ended.stderr
    assert not (output / ".lock").exists()
    assert not (output / ".work" / "next").exists()
    done = run(output, *command)
    assert (done.status, done.err) == (0, "Going on: 2 steps are done, 1 are left.\n")
    equal(done, whole)


def test_an_interrupted_backlog_of_days_loses_nothing(
    tmp_path: Path, common: list[object], whole: Done
) -> None:
    command, output = [*common, *INCREMENTAL], tmp_path / "out"
    ended = stopped(tmp_path / "child", WRITTEN, *command, "--output", output, signal="SIGTERM")
    assert ended.returncode == 130
    assert "what earlier runs found is kept, and the same command goes on" in ended.stderr
    done = run(output, *command)
    assert done.status == 0, done.err
    equal(done, run(tmp_path / "whole", *command))


# What an unfinished folder refuses


@pytest.fixture(scope="module")
def unfinished(place: Path, common: list[object]) -> Path:
    """A run that was killed in its second step."""
    output = place / "unfinished"
    ended = stopped(place / "child", GRAPH, *common, *STEPS, "--output", output)
    assert ended.returncode == -9, ended.stderr
    return output


def files(folder: Path) -> dict[str, bytes]:
    """All files that matter; what a killed step left is removed when a run goes on."""
    found = {path: path for path in folder.rglob("*") if path.is_file()}
    lost = (".lock", "next")
    return {
        str(path): path.read_bytes() for path in found if not set(path.parts).intersection(lost)
    }


OTHERS: list[tuple[list[object], str]] = [
    (["--step", "2d"], "that one has --step 1d, this one --step 2d"),
    (["--step", "none"], "that one has --step 1d, this one --step none"),
    ([], "that one has --step 1d, this one no --step"),
    (
        ["--step", "1d", "--identity", "session"],
        "that one has --identity role, this one --identity session",
    ),
    (
        ["--step", "1d", "--from", "2026-03-02"],
        "that one has no --from, this one --from 2026-03-02T00:00:00.000Z",
    ),
    (
        ["--step", "1d", "--until", "2026-03-04"],
        "that one has no --until, this one --until 2026-03-04T00:00:00.000Z",
    ),
    (["--step", "1d", "--as_live"], "that one has no --as_live, this one --as_live"),
    (["--step", "1d", "--scorer", "elastic"], "they differ in --rules or --scorer"),
    (
        ["--step", "1d", "--forget_after", "9d"],
        "that one has --forget_after 180d, this one --forget_after 9d",
    ),
    (["--step", "1d", "--incremental"], "that one has no --incremental, this one --incremental"),
]


@pytest.mark.parametrize(("arguments", "told"), OTHERS)
def test_another_command_is_refused_and_told_in_flags_what_differs(
    unfinished: Path, common: list[object], arguments: list[object], told: str
) -> None:
    before = files(unfinished)
    done = run(unfinished, *common, *arguments)
    assert done.status == 2
    assert done.err == (
        f"raretrail: --output {unfinished}: it holds an unfinished run of another command: {told}; "
        "repeat that command or name a new folder\n"
    )
    assert files(unfinished) == before


def test_a_replay_into_a_folder_of_incremental_runs_is_told_what_to_do(
    tmp_path: Path, common: list[object]
) -> None:
    assert run(tmp_path / "out", *common, *INCREMENTAL).status == 0
    done = run(tmp_path / "out", *common, *STEPS)
    assert done.status == 2
    assert "it belongs to incremental runs" in done.err
    assert "add --incremental, or name a new folder" in done.err


# A finished run that is asked for once more


@pytest.fixture(scope="module")
def finished(place: Path, common: list[object]) -> Done:
    """A run that came to its end."""
    return run(place / "finished", *common, *STEPS)


def test_the_same_command_prints_its_report_again(finished: Done, common: list[object]) -> None:
    before = files(finished.output)
    again = run(finished.output, *common, *STEPS)
    assert (again.status, again.out) == (0, finished.out)
    assert again.err.startswith(f"--output {finished.output}: this was done on ")
    assert again.err.count("\n") == 1
    assert files(finished.output) == before


@pytest.mark.parametrize(("arguments", "told"), OTHERS)
def test_of_a_finished_run_another_command_is_told_what_differs(
    finished: Done, common: list[object], arguments: list[object], told: str
) -> None:
    before = files(finished.output)
    done = run(finished.output, *common, *arguments)
    assert done.status == 2
    assert f"holds the results of a run, and {told}; name a new folder or remove it" in done.err
    assert files(finished.output) == before


def test_a_finished_run_of_which_the_input_has_grown_is_not_the_same(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    deliver(logs, between(0, 40))
    command = [logs, *rules(tmp_path)]
    assert run(tmp_path / "out", *command).status == 0
    assert run(tmp_path / "out", *command).status == 0
    deliver(logs, between(40, 41))
    done = run(tmp_path / "out", *command)
    assert done.status == 2
    assert "that one read 40 objects, now there are 41" in done.err


def test_the_time_of_a_run_is_that_of_all_its_steps(tmp_path: Path, common: list[object]) -> None:
    """Also of those that were done before it was stopped: objects and time are of one scope."""
    command, output = [*common, *STEPS], tmp_path / "out"
    stopped(tmp_path / "child", WRITTEN, *command, "--output", output, step=3)
    path = output / "run.json"
    document = json.loads(path.read_text())
    document["metrics"]["seconds"] = 1_000.0
    path.write_text(json.dumps(document))
    done = run(output, *command)
    assert 1_000 < done.run["metrics"]["seconds"] < 1_100


@pytest.mark.parametrize("change", ["one more", "one less", pytest.param("one that grew")])
def test_changed_input_of_a_finished_step_is_refused(tmp_path: Path, change: str) -> None:
    logs, output = tmp_path / "logs", tmp_path / "out"
    written = deliver(logs, calls())
    command = [logs, *rules(tmp_path), *STEPS]
    ended = stopped(tmp_path / "child", WRITTEN, *command, "--output", output, step=3)
    assert ended.returncode == -9, ended.stderr
    if change == "one more":
        deliver(logs, [call(20, "Usual1", 3)], mark="b")
    elif change == "one less":
        written[20].unlink()
    else:
        deliver(logs, [*between(20, 21), call(20, "Usual1", 3)])
    before = files(output)
    done = run(output, *command)
    assert done.status == 2, done.err
    assert done.err.count("\n") == 1
    assert "the objects of step 2026-03-02 have changed since it was done" in done.err
    assert files(output) == before


def test_objects_of_steps_still_to_come_may_change(tmp_path: Path) -> None:
    logs, output = tmp_path / "logs", tmp_path / "out"
    deliver(logs, between(0, SLICES - 50))
    command = [logs, *rules(tmp_path), *STEPS]
    ended = stopped(tmp_path / "child", WRITTEN, *command, "--output", output)
    assert ended.returncode == -9, ended.stderr
    deliver(logs, between(SLICES - 50, SLICES))
    done = run(output, *command)
    assert done.status == 0, done.err
    equal(done, run(tmp_path / "sound" / "out", logs, *rules(tmp_path), *STEPS))


def test_damage_to_the_ledger_is_told(tmp_path: Path, common: list[object]) -> None:
    output = tmp_path / "out"
    ended = stopped(tmp_path / "child", GRAPH, *common, *STEPS, "--output", output)
    assert ended.returncode == -9, ended.stderr
    path = output / ".work" / "ledger.json"
    path.write_bytes(path.read_bytes()[:100])
    done = run(output, *common, *STEPS)
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert f"--output {output}: its ledger.json is damaged" in done.err


def test_a_full_disk_while_going_on_is_told_in_words(
    tmp_path: Path, common: list[object], whole: Done
) -> None:
    """What a killed run committed cannot be published now; later it can."""
    command, output = [*common, *STEPS], tmp_path / "out"
    ended = stopped(tmp_path / "child", COMMITTED, *command, "--output", output)
    assert ended.returncode == -9, ended.stderr
    full = """
import errno
import pipeline.ledger
def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "somewhere")
pipeline.ledger.os.fsync = full
"""
    again = process(tmp_path / "child", full, "run", *command, "--output", output)
    assert again.returncode in (1, 2)
    assert "Traceback" not in again.stderr
    assert "No space left on device" in again.stderr
    done = run(output, *command)
    assert done.status == 0, done.err
    equal(done, whole)


def test_a_run_that_waited_for_another_does_not_take_its_results(
    tmp_path: Path, common: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one ends between the look at OUT and the lock."""
    command, output = [*common, *STEPS], tmp_path / "out"
    ended = stopped(tmp_path / "child", COMMITTED, *command, "--output", output)
    assert ended.returncode == -9, ended.stderr
    claim = pipeline.run._claim

    def overtaken(folder: Path) -> list[Path]:
        monkeypatch.setattr(pipeline.run, "_claim", claim)
        assert run(output, *command).status == 0
        return claim(folder)

    monkeypatch.setattr(pipeline.run, "_claim", overtaken)
    done = run(output, *command)
    assert done.status == 2
    assert "holds the results of a run" in done.err
    assert done.alerts


def test_a_full_disk_after_the_only_step_keeps_it(
    tmp_path: Path, common: list[object], whole: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have taken hours, and is on the disk."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.ledger.move_whole", full)
        failed = run(tmp_path / "out", *common, "--step", "none")
    assert failed.status == 1
    assert "1 of 1 steps are done and kept; the same command goes on" in failed.err
    done = run(tmp_path / "out", *common, "--step", "none")
    assert done.status == 0, done.err
    assert (done.output / "alerts.ndjson").read_bytes() == (
        whole.output / "alerts.ndjson"
    ).read_bytes()
