"""`--step`: which folder dates a step reads, how far it judges, and what it leaves."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hamlet import DAY, SLICES, between, call, calls, deliver
from hamlet import rules as hamlet_rules
from modes import START, Logs, Said, iso, judge
from town import SLICE_S, Call, write_cities

from pipeline.chain import Chain
from pipeline.files import read_json
from pipeline.steps import Step
from transforms.firing import time_of

DAYS = ["2026-03-02", "2026-03-03", "2026-03-04"]


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    """Nothing yet; a test delivers to its store, and shows it."""
    cities = write_cities(tmp_path / "city.mmdb")
    options = (*map(str, hamlet_rules(tmp_path)), "--geoip_database", str(cities))
    (tmp_path / "store").mkdir()
    return Logs(tmp_path / "store", tmp_path / "seen", options)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """(name, T of its last firing) of each step that is done."""
    done: list[tuple[str, str | None]] = []
    execute = Chain._execute

    def noting(self: Chain, step: Step, *arguments: Path) -> None:
        done.append((step.name, None if step.until is None else iso(time_of(step.until))))
        execute(self, step, *arguments)

    monkeypatch.setattr(Chain, "_execute", noting)
    return done


def flat(folder: Path, name: str, made: Iterable[Call]) -> None:
    """An object whose name says nothing of time."""
    data = "\n".join(json.dumps(one.record) for one in made).encode()
    (folder / f"{name}.ndjson.gz").write_bytes(gzip.compress(data, mtime=0))


def both(logs: Logs, folder: Path, *arguments: object, step: str = "1d") -> tuple[Said, Said]:
    """What is said in one step and in several."""
    logs.show()
    once = judge(logs, folder / "once", *arguments, "--step", "none")
    return once, judge(logs, folder / "steps", *arguments, "--step", step)


def files(output: Path) -> set[str]:
    """The beginnings of the names of files of anomalies, less what tells their content."""
    return {path.name.rpartition("-")[0] for path in (output / "anomalies").glob("*.avro")}


def test_each_step_reads_a_folder_date_and_leaves_files_of_its_name(
    logs: Logs, tmp_path: Path, steps: list[tuple[str, str | None]]
) -> None:
    """A call of 23:59 lies in the next day's folder: it is not late, and nothing counts twice."""
    deliver(logs.store, calls())
    once, stepwise = both(logs, tmp_path)
    assert stepwise == once
    assert len(once.alerts.splitlines()) == len(once.anomalies) == 4
    assert steps == [
        ("all", None),
        ("2026-03-02", "2026-03-02T21:45:00Z"),
        ("2026-03-03", "2026-03-03T21:45:00Z"),
        ("2026-03-04", None),
    ]
    assert files(tmp_path / "once") == {"all"}
    assert files(tmp_path / "steps") == set(DAYS)
    metrics = read_json(tmp_path / "steps" / "run.json")["metrics"]
    assert metrics["steps"] == 3
    assert sum(metrics["events_on_time"].values()) == len(calls())
    assert not any([*metrics["events_late"].values(), *metrics["events_too_late"].values()])
    assert [path.name for path in (tmp_path / "steps").iterdir() if path.name[0] == "."] == []
    assert not (tmp_path / "steps" / "snapshot").exists()


def test_steps_of_two_days(logs: Logs, tmp_path: Path, steps: list[tuple[str, str | None]]) -> None:
    deliver(logs.store, calls())
    once, stepwise = both(logs, tmp_path, step="2d")
    assert stepwise == once
    assert steps[1:] == [("2026-03-02+2d", "2026-03-03T21:45:00Z"), ("2026-03-04+2d", None)]


def test_days_without_objects_are_no_steps(
    logs: Logs, tmp_path: Path, steps: list[tuple[str, str | None]]
) -> None:
    """The step before judges up to its own end; what is pending waits in the snapshot."""
    deliver(logs.store, [*between(0, 2 * DAY), call(2 * DAY + 3, "Before")])
    deliver(logs.store, [call(20 * DAY, "After"), call(20 * DAY + 4, "After")])
    once, stepwise = both(logs, tmp_path)
    assert stepwise == once
    assert b'"action":"After"' in once.alerts
    assert steps[1:] == [
        ("2026-03-02", "2026-03-02T21:45:00Z"),
        ("2026-03-03", "2026-03-03T21:45:00Z"),
        ("2026-03-04", "2026-03-04T21:45:00Z"),
        ("2026-03-22", None),
    ]


@pytest.mark.parametrize(("days", "number"), [(7, 1), (8, 8)])
def test_more_than_a_week_goes_in_daily_steps_of_itself(
    logs: Logs, tmp_path: Path, days: int, number: int
) -> None:
    deliver(logs.store, [call(day * DAY, "Usual1") for day in range(days)])
    judge(logs.show(), tmp_path / "out")
    assert read_json(tmp_path / "out" / "run.json")["metrics"]["steps"] == number


@pytest.mark.parametrize("end", [2 * DAY - 10, 2 * DAY + 30])
def test_steps_up_to_a_time_and_from_there(logs: Logs, tmp_path: Path, end: int) -> None:
    """What is later stays pending: the run that goes on has to read one object at least."""
    deliver(logs.store, calls())
    whole = judge(logs.show(), tmp_path / "whole", "--step", "none")
    until = ("--until", iso(START + end * SLICE_S * 1000))
    once, stepwise = both(logs, tmp_path, *until, "--snapshot_out", tmp_path / "state")
    assert stepwise == once
    begin = ("--snapshot_in", tmp_path / "state", "--step", "1d")
    then = judge(logs, tmp_path / "then", *begin, inputs=logs.names[-1:])
    assert stepwise.alerts + then.alerts == whole.alerts
    assert sorted(stepwise.anomalies + then.anomalies) == whole.anomalies


def test_an_alert_before_the_end_of_a_step_suppresses_its_repeat_behind_it(
    logs: Logs, tmp_path: Path
) -> None:
    """21:45 of the second day lies between the two; a third comes after two hours."""
    deliver(logs.store, calls())
    deliver(logs.store, [call(slice_, "Again") for slice_ in (180, 185, 193)], mark="again")
    once, stepwise = both(logs, tmp_path)
    assert stepwise == once
    assert stepwise.alerts.count(b'"action":"Again"') == 2


def test_steps_between_two_times(logs: Logs, tmp_path: Path) -> None:
    """What is outside is left out, by each of the steps."""
    deliver(logs.store, calls())
    times = [iso(START + slice_ * SLICE_S * 1000 + 10_000) for slice_ in (40, 250)]
    once, stepwise = both(logs, tmp_path, "--from", times[0], "--until", times[1])
    assert stepwise == once
    assert stepwise.alerts
    outside = [
        read_json(tmp_path / name / "run.json")["accounting"]["records"]["outside_from_until"]
        for name in ("once", "steps")
    ]
    assert outside[0] == outside[1] > 0


# Objects without a date


def test_objects_without_a_date_are_cut_by_the_times_of_their_events(
    logs: Logs, tmp_path: Path, steps: list[tuple[str, str | None]]
) -> None:
    """Named so that their order tells nothing; no step outruns the first event of a later one."""
    for name, first, end in (("z", 0, DAY), ("a", DAY - 20, 2 * DAY), ("m", 2 * DAY + 4, SLICES)):
        flat(logs.store, name, between(first, end))
    once, stepwise = both(logs, tmp_path)
    assert stepwise == once
    overlap = min(one.time for one in between(DAY - 20, DAY))
    assert steps[1:] == [
        ("2026-03-02", iso(overlap * 1000 // 900_000 * 900_000)),
        ("2026-03-03", "2026-03-04T00:00:00Z"),
        ("2026-03-04", None),
    ]


def test_objects_with_and_without_a_date(
    logs: Logs, tmp_path: Path, steps: list[tuple[str, str | None]]
) -> None:
    """The one without is read on the day of its last event."""
    deliver(logs.store, between(0, SLICES))
    flat(logs.store, "bob", [call(slice_, "Usual1", user="bob") for slice_ in range(90, 130)])
    once, stepwise = both(logs, tmp_path)
    assert stepwise == once
    assert steps[1:] == [
        ("2026-03-02", "2026-03-02T21:45:00Z"),
        ("2026-03-03", "2026-03-03T21:45:00Z"),
        ("2026-03-04", None),
    ]


def test_an_object_of_weeks_is_one_step_and_the_run_says_why(
    logs: Logs,
    tmp_path: Path,
    steps: list[tuple[str, str | None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    flat(logs.store, "weeks", [call(day * DAY, "Usual1") for day in range(15)])
    flat(logs.store, "day", between(0, DAY))
    once, stepwise = both(logs, tmp_path)
    assert stepwise == once
    assert steps == [("all", None), ("all", None)]
    told = f"--step: {logs.tree}/weeks.ndjson.gz holds events of 14 days and cannot be cut"
    assert f"{told}; all is judged in one step." in capsys.readouterr().err


def test_what_has_no_events_at_all_is_read_with_the_first_step(
    logs: Logs, tmp_path: Path, steps: list[tuple[str, str | None]]
) -> None:
    deliver(logs.store, calls())
    (logs.store / "nothing.json").write_bytes(b"nothing")
    once, stepwise = both(logs, tmp_path)
    assert stepwise == once
    assert [name for name, _ in steps[1:]] == DAYS
    dead = sorted(path.name for path in (tmp_path / "steps" / "dead_letters").iterdir())
    assert [name[:10] for name in dead] == DAYS[:1]
