"""`raretrail watch`: a round at each quarter of an hour, by a clock of the test's own."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hamlet import DAY, SLICES, between, call, deliver, rules, run
from town import SLICE_S, START, contents

import pipeline.cli
import pipeline.watch
from pipeline.errors import UsageError
from pipeline.lock import Lock
from pipeline.watch import watch


class Clock:
    """Time that passes only while somebody sleeps; then things happen."""

    def __init__(self, now: float, *happen: Callable[[], object]) -> None:
        self.now = now
        self.slept: list[float] = []
        self._happen = list(happen)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Ends the watch, as Ctrl-C does, when nothing more is to happen."""
        self.slept.append(seconds)
        self.now += seconds
        if not self._happen:
            raise KeyboardInterrupt
        self._happen.pop(0)()


def nothing() -> None:
    """Happens."""


def watched(clock: Clock, *arguments: object) -> list[str]:
    """The lines that a watch told until it was interrupted."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert watch(list(map(str, arguments)), clock, clock.sleep) == 130
    assert err.getvalue() == "raretrail: watch ended; the same command goes on\n"
    return out.getvalue().splitlines()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    deliver(tmp_path / "logs", between(0, 80))
    return tmp_path / "logs"


def at(slice_: int, seconds: float = 0) -> float:
    return START + slice_ * SLICE_S + seconds


def test_a_round_begins_at_once_and_at_each_quarter_of_an_hour(tmp_path: Path, logs: Path) -> None:
    clock = Clock(at(81, 100.5), nothing, nothing, nothing)
    lines = watched(clock, logs, *rules(tmp_path), "--output", tmp_path / "out")
    assert clock.slept == [799.5, 900, 900, 900]
    assert [line for line in lines if not line.startswith("Judged up to ")] == []
    assert len(lines) == 4


def test_it_judges_up_to_a_quarter_of_an_hour_before_its_clock(tmp_path: Path, logs: Path) -> None:
    """The rounds' clock is the one that is given."""
    clock = Clock(at(81, 100), nothing)
    lines = watched(clock, logs, *rules(tmp_path), "--output", tmp_path / "out")
    read = f"{len(between(0, 80))} new records in 80 objects"
    assert lines == [
        f"Judged up to 2026-03-02 20:00 UTC: {read}, 0 new alerts; next at 20:30 UTC",
        "Judged up to 2026-03-02 20:15 UTC: nothing new to read, 0 new alerts; next at 20:45 UTC",
    ]


def test_each_alert_is_told_once_with_its_score_and_reason(tmp_path: Path, logs: Path) -> None:
    clock = Clock(
        at(81),
        lambda: deliver(logs, between(80, 81)),
        nothing,
        lambda: deliver(logs, [*between(81, 84), call(82, "GetSecretValue")]),
    )
    lines = watched(clock, logs, *rules(tmp_path), "--output", tmp_path / "out")
    text = " ".join("\n".join(lines).split())
    told = re.findall(r"1\. \d+\.\d alice in account \d+ called (\w+) ", text)
    assert told == ["DeleteTrail", "GetSecretValue"]
    counted = [line.split(": ")[1].split(";")[0] for line in lines if line.startswith("Judged")]
    assert counted == [
        f"{len(between(0, 80))} new records in 80 objects, 0 new alerts",
        "3 new records in 1 object, 1 new alert",
        "nothing new to read, 0 new alerts",
        "7 new records in 3 objects, 1 new alert, 2 events to be judged later",
    ]


def test_a_history_is_told_by_its_highest_alerts(tmp_path: Path, logs: Path) -> None:
    """Not the whole of it: it is in alerts.ndjson."""
    many = [call(81 + 9 * n, f"New{n:02}") for n in range(15)]
    deliver(logs, [*between(80, SLICES), *many])
    lines = watched(Clock(END_OF_ALL), logs, *rules(tmp_path), "--output", tmp_path / "out")
    assert f", {15 + 4} new alerts; next at " in lines[0]
    assert sum(" called " in line for line in lines) == 10
    assert lines[-1].startswith("     and 9 more, in ")
    assert lines[-1].endswith("out/alerts.ndjson")


END_OF_ALL = START + 4 * DAY * SLICE_S


def test_what_an_earlier_watch_told_is_not_told_again(tmp_path: Path, logs: Path) -> None:
    deliver(logs, between(80, SLICES))
    given = [logs, *rules(tmp_path), "--output", tmp_path / "out"]
    first = watched(Clock(END_OF_ALL), *given)
    assert sum(" called " in line for line in first) == 4
    second = watched(Clock(END_OF_ALL + 900), *given)
    assert len(second) == 1
    assert "UTC: nothing new to read, 0 new alerts; next" in second[0]


def test_it_goes_on_where_incremental_runs_stopped(tmp_path: Path, logs: Path) -> None:
    given = [logs, *rules(tmp_path)]
    assert run(tmp_path / "out", *given, "--incremental", now=int(at(81))).status == 0
    deliver(logs, between(80, 81))
    lines = watched(Clock(END_OF_ALL), *given, "--output", tmp_path / "out")
    assert ": 3 new records in 1 object, 1 new alert; next" in lines[0]


def test_between_rounds_the_folder_is_free(tmp_path: Path, logs: Path) -> None:
    output, free = tmp_path / "out", []

    def look() -> None:
        with Lock(output, "--output"):
            free.append(True)

    watched(Clock(END_OF_ALL, look), logs, *rules(tmp_path), "--output", output)
    assert free == [True]
    assert ".lock" not in contents(output)


def test_ctrl_c_ends_it_cleanly(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(END_OF_ALL)
    monkeypatch.setattr(pipeline.watch.time, "sleep", clock.sleep)
    monkeypatch.setattr("pipeline.watch.watch.__defaults__", (clock, clock.sleep))
    err = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(err):
        given = [logs, *rules(tmp_path), "--output", tmp_path / "out"]
        assert pipeline.cli.main(["watch", *map(str, given)]) == 130
    assert err.getvalue() == "raretrail: watch ended; the same command goes on\n"
    names = contents(tmp_path / "out")
    assert not [name for name in names if name.endswith((".lock", ".unfinished", "next", "done"))]


@pytest.mark.parametrize("fails", [1, 2])
def test_a_round_that_fails_ends_it_with_its_status(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    def break_it() -> None:
        monkeypatch.setattr("pipeline.sinks._Avro.write", full)

    clock = Clock(END_OF_ALL, break_it)
    if fails == 1:
        break_it()
    err = io.StringIO()
    argv = [logs, *rules(tmp_path), "--output", tmp_path / "out"]
    with redirect_stdout(io.StringIO()), redirect_stderr(err):
        status = watch(list(map(str, argv)), clock, clock.sleep)
    assert status == 1
    assert len(clock.slept) == fails - 1
    assert err.getvalue().count("\n") == 1
    left = "what earlier runs found is kept, and the same command goes on"
    assert err.getvalue().endswith(f"; {'nothing was written' if fails == 1 else left}\n")


def test_a_round_that_is_refused_ends_it(tmp_path: Path, logs: Path) -> None:
    output = tmp_path / "out"

    def damage() -> None:
        (output / "snapshot" / "manifest.json").unlink()

    clock = Clock(END_OF_ALL, damage)
    argv = [logs, *rules(tmp_path), "--output", output]
    with redirect_stdout(io.StringIO()), pytest.raises(UsageError, match=r"manifest\.json"):
        watch(list(map(str, argv)), clock, clock.sleep)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--incremental"],
        pytest.param(["--until", "2026-03-03"]),
        pytest.param(["--snapshot_out", "x", "--until", "2026-03-03"]),
        pytest.param(["--as_live"]),
        pytest.param(["--from", "2026-03-02"]),
    ],
)
def test_what_makes_no_sense_with_it_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "logs").mkdir()
    argv = [str(tmp_path / "logs"), "--output", str(tmp_path / "out"), *arguments]
    with pytest.raises(UsageError) as refusal:
        watch(argv, Clock(END_OF_ALL), not_at_all)
    assert str(refusal.value).startswith(f"{arguments[0]}: watch ")
    assert "together" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def not_at_all(seconds: float) -> None:
    """A sleep that nobody comes to."""
    raise AssertionError(f"a round was run, and {seconds} s would be waited")


def test_its_help_has_only_what_means_something_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        watch(["--help"], Clock(0), not_at_all)
    told = capsys.readouterr().out
    assert all(flag in told for flag in ("--geoip_database", "--snapshot_in", "--step", "Ctrl-C"))
    for flag in ("--incremental", "--as_live", "--from", "--until", "--snapshot_out"):
        assert flag not in told
    assert "130  ended by Ctrl-C" in told
