"""Incremental runs: each takes what is new, whatever came late, and their sum is the single run."""

from __future__ import annotations

import errno
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hamlet import (
    DAY,
    DELAY_S,
    END,
    POINTS,
    SLICES,
    between,
    call,
    calls,
    deliver,
    equal,
    rules,
    run,
    stopped,
)
from town import SLICE_S, START, Call, Done, read_avro

from pipeline.seen import TRIES

HOUR = 4
"""Slices."""


def at(slice_: int) -> int:
    """When everything of the slices before one is delivered, and judged."""
    return START + slice_ * SLICE_S + SLICE_S


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def round_of(tmp_path: Path, now: int, *more: object) -> Done:
    """One incremental run."""
    command = [tmp_path / "logs", *rules(tmp_path), "--incremental", *more]
    done = run(tmp_path / "out", *command, now=now)
    assert (done.status, done.err) == (0, "")
    assert done.run["accounting"]["closes"]
    return done


def alerts(output: Path) -> bytes:
    return (output / "alerts.ndjson").read_bytes()


def single(tmp_path: Path, name: str = "single") -> Done:
    """The replay of all there is."""
    done = run(tmp_path / name, tmp_path / "logs", *rules(tmp_path), "--step", "none")
    assert done.status == 0
    return done


def test_runs_in_an_odd_rhythm_find_what_the_single_run_finds(tmp_path: Path, logs: Path) -> None:
    marks = [0, 3, 4, 70, DAY + 34, DAY + 36, 2 * DAY, 2 * DAY + 1, 251, SLICES]
    for first, end in pairwise(marks):
        deliver(logs, between(first, end))
        round_of(tmp_path, at(end))
    done = round_of(tmp_path, END + 4 * 3600)
    assert done.alerts
    assert alerts(done.output) == alerts(single(tmp_path).output)
    assert done.run["accounting"]["records"]["read"] == len(calls())
    assert read_avro(done.output / "late") == []


def test_an_empty_folder_may_be_the_beginning(tmp_path: Path, logs: Path) -> None:
    done = round_of(tmp_path, at(0))
    assert alerts(done.output) == b""
    assert done.run["accounting"]["objects"]["listed"] == 0
    deliver(logs, between(0, DAY))
    done = round_of(tmp_path, at(DAY))
    assert [alert["event"]["action"] for alert in done.alerts] == ["DeleteTrail"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    done = run(tmp_path / "out", tmp_path / "logs", "--incremental")
    assert done.status == 2
    assert done.err == (f"raretrail: input {tmp_path / 'logs'}: no such file or folder\n")
    assert not (tmp_path / "out").exists()


def test_where_nothing_is_new_nothing_is_read(tmp_path: Path, logs: Path) -> None:
    deliver(logs, between(0, DAY))
    before = round_of(tmp_path, at(DAY))
    told, records = alerts(before.output), before.run["accounting"]["records"]
    objects = before.run["accounting"]["objects"]["read"]
    after = round_of(tmp_path, at(DAY + 1))
    assert alerts(after.output) == told != b""
    assert after.run["accounting"]["records"] == records
    assert after.run["accounting"]["objects"]["read"] == objects == DAY
    assert after.run["metrics"]["horizon"] == "2026-03-03T00:15:00.000Z"


def test_what_was_read_earlier_is_counted(tmp_path: Path, logs: Path) -> None:
    deliver(logs, between(0, 10))
    round_of(tmp_path, at(10))
    done = round_of(tmp_path, at(11))
    skipped = done.run["accounting"]["objects"]["skipped"]
    assert skipped == {"objects that an earlier run has read": 10}


def test_what_waits_is_judged_when_it_is_due(tmp_path: Path, logs: Path) -> None:
    """Everything was read by the first run, but its slice had not ended for sure."""
    deliver(logs, between(0, 81))
    done = round_of(tmp_path, at(80))
    assert alerts(done.output) == b""
    done = round_of(tmp_path, at(81))
    assert [alert["event"]["action"] for alert in done.alerts] == ["DeleteTrail"]
    assert done.run["accounting"]["objects"]["read"] == 81


def test_an_object_that_grew_is_read_again_and_counts_once(tmp_path: Path, logs: Path) -> None:
    """As one does that is copied while a run looks at it."""
    part = between(80, 81)
    deliver(logs, between(0, 80))
    deliver(logs, part[:1], after=DELAY_S + part[-1].time - part[0].time)
    round_of(tmp_path, START + 80 * SLICE_S + 890 + DELAY_S)
    deliver(logs, part)
    done = round_of(tmp_path, at(81))
    assert alerts(done.output) == alerts(single(tmp_path).output) != b""
    assert done.run["accounting"]["objects"]["read"] == 82


def late_object(logs: Path, tmp_path: Path, made: list[Call], mark: str) -> None:
    """An object that is there only now, in the folder of its time."""
    deliver(logs, made, mark=mark)


def test_what_comes_late_into_an_older_folder_is_read(tmp_path: Path, logs: Path) -> None:
    """Too late to be learned: kept apart and counted, and judged where it is new."""
    deliver(logs, between(0, 2 * DAY))
    round_of(tmp_path, at(2 * DAY))
    before = alerts(tmp_path / "out")
    deliver(logs, [call(70, "Usual1", 7), call(70, "PutUserPolicy", 8)], mark="b")
    done = round_of(tmp_path, at(2 * DAY + 1))
    late = read_avro(done.output / "late")
    assert {one["action"] for one in late} == {"Usual1", "PutUserPolicy"}
    assert alerts(done.output).startswith(before)
    more = [alert["event"]["action"] for alert in done.alerts][before.count(b"\n") :]
    assert more == ["PutUserPolicy"]
    again = round_of(tmp_path, at(2 * DAY + 2))
    assert len(read_avro(again.output / "late")) == len(late)


def test_a_late_object_in_an_old_folder_is_read_alone(tmp_path: Path, logs: Path) -> None:
    deliver(logs, between(0, DAY))
    round_of(tmp_path, at(DAY))
    round_of(tmp_path, at(6 * DAY))
    deliver(logs, [call(5 * DAY + 90, "Usual1")])
    done = round_of(tmp_path, at(6 * DAY + 1))
    before, read = alerts(done.output), done.run["accounting"]["objects"]["read"]
    deliver(logs, [call(70, "PutUserPolicy", 8)], mark="b")
    done = round_of(tmp_path, at(6 * DAY + 2))
    assert done.run["accounting"]["objects"]["read"] == read + 1
    assert [one["action"] for one in read_avro(done.output / "late")] == ["PutUserPolicy"]
    more = [alert["event"]["action"] for alert in done.alerts][before.count(b"\n") :]
    assert more == ["PutUserPolicy"]
    assert alerts(done.output).startswith(before)


def test_what_is_late_on_two_days_is_too_late_on_both(tmp_path: Path, logs: Path) -> None:
    """The first of the run's steps reads an old folder, and must not put the horizon back."""
    deliver(logs, between(0, 2 * DAY + 12))
    round_of(tmp_path, at(2 * DAY + 12))
    deliver(logs, [call(20, "Usual1", 8), call(DAY + 54, "PutUserPolicy", 8)], mark="b")
    done = round_of(tmp_path, at(2 * DAY + 13), "--step", "1d")
    late = read_avro(done.output / "late")
    assert sorted(one["action"] for one in late) == ["PutUserPolicy", "Usual1"]


def test_late_and_new_objects_of_many_days_at_once(tmp_path: Path, logs: Path) -> None:
    """The run is cut into steps then, of which none goes back behind what was judged."""
    deliver(logs, between(0, 2 * DAY))
    done = round_of(tmp_path, at(2 * DAY))
    horizon, before = done.run["metrics"]["horizon"], alerts(done.output)
    deliver(logs, [call(20, "Usual1", 8)], mark="b")
    deliver(logs, between(2 * DAY, SLICES))
    done = round_of(tmp_path, at(SLICES), "--step", "1d")
    assert done.run["metrics"]["horizon"] > horizon
    assert alerts(done.output).startswith(before)
    ids = [alert["kibana.alert.uuid"] for alert in done.alerts]
    assert len(ids) == len(set(ids))
    (tmp_path / "one").mkdir()
    plain = tmp_path / "one" / "logs"
    deliver(plain, between(0, SLICES))
    wanted = run(tmp_path / "one" / "out", plain, *rules(tmp_path), "--step", "none")
    assert alerts(done.output) == alerts(wanted.output)


def horizons(output: Path) -> str:
    """The horizon that OUT's snapshot has."""
    manifest = json.loads((output / "snapshot" / "manifest.json").read_bytes())
    return str(manifest["horizon"])


@pytest.mark.parametrize("first", [0, DAY])
def test_a_clock_that_was_far_ahead_once_spoils_nothing(
    tmp_path: Path, logs: Path, first: int
) -> None:
    """Or from the beginning, when there were no logs yet. The horizon follows the deliveries."""
    deliver(logs, between(0, first))
    far = at(73 * 365 * DAY)
    done = round_of(tmp_path, far)
    assert horizons(done.output) == (
        "2026-03-03T01:15:00.000Z" if first else "2013-11-01T01:30:00.000Z"
    )
    for now in (DAY + 4, DAY + 20, 2 * DAY, SLICES):
        deliver(logs, between(first, now))
        first = now
        round_of(tmp_path, at(now))
    done = round_of(tmp_path, far)
    wanted = single(tmp_path)
    assert alerts(done.output) == alerts(wanted.output) != b""
    assert read_avro(done.output / "late") == []


def test_an_organisation_that_slept_for_weeks_goes_on(tmp_path: Path, logs: Path) -> None:
    """No run, or no delivery: what was delivered is judged before and after."""
    deliver(logs, between(0, DAY))
    for now in (DAY, 2 * DAY, 22 * DAY):
        done = round_of(tmp_path, at(now))
        assert [alert["event"]["action"] for alert in done.alerts] == ["DeleteTrail"]
    deliver(logs, [call(22 * DAY + slice_, "Usual1") for slice_ in range(8)])
    deliver(logs, [call(22 * DAY + 8, "StopLogging")])
    done = round_of(tmp_path, at(22 * DAY + 9))
    assert horizons(done.output) == "2026-03-24T02:15:00.000Z"
    assert alerts(done.output) == alerts(single(tmp_path).output)
    assert len(done.alerts) == 2


def test_old_history_may_be_read_long_after(tmp_path: Path, logs: Path) -> None:
    """And more of it is delivered when there is more: by its own time, not by the clock's."""
    for first, end in ((0, DAY), (DAY, 2 * DAY), (2 * DAY, SLICES)):
        deliver(logs, between(first, end))
        done = round_of(tmp_path, END + 300 * 86_400)
    assert alerts(done.output) == alerts(single(tmp_path).output) != b""
    assert read_avro(done.output / "late") == []


def test_a_clock_that_stands_still_stops_nothing(tmp_path: Path, logs: Path) -> None:
    for first, end in ((0, 40), (40, DAY)):
        deliver(logs, between(first, end))
        done = round_of(tmp_path, at(DAY))
    assert done.run["accounting"]["objects"]["read"] == DAY


def test_alerts_that_were_moved_away_are_missed(tmp_path: Path, logs: Path) -> None:
    """Else those of the next run would stand behind a hole."""
    deliver(logs, between(0, DAY))
    path = round_of(tmp_path, at(DAY)).output / "alerts.ndjson"
    text = path.read_bytes()
    path.write_bytes(text[:100])
    done = run(path.parent, logs, *rules(tmp_path), "--incremental", now=at(DAY + 1))
    assert done.status == 2
    assert f"alerts.ndjson has 100 of the {len(text):,} bytes" in done.err
    path.write_bytes(text)
    assert alerts(round_of(tmp_path, at(DAY + 1)).output) == text


def unreadable(monkeypatch: pytest.MonkeyPatch, *names: Path) -> None:
    """Objects that the system cannot read, as on a disk that is going to die."""
    opened = os.open

    def fail(name: Any, *arguments: Any, **options: Any) -> int:
        if Path(os.fsdecode(name)) in names:
            raise OSError(errno.EIO, "Input/output error", name)
        return opened(name, *arguments, **options)

    monkeypatch.setattr(os, "open", fail)


def test_what_could_not_be_read_once_is_read_the_next_time(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = deliver(logs, between(0, DAY))[80]
    with monkeypatch.context() as patch:
        unreadable(patch, planted)
        done = round_of(tmp_path, START + 80 * SLICE_S + 890 + DELAY_S)
        assert done.run["accounting"]["objects"]["unreadable"] == 1
        assert [letter["origin"] for letter in done.dead] == [str(planted)]
    done = round_of(tmp_path, at(DAY))
    assert alerts(done.output) == alerts(single(tmp_path).output) != b""
    assert done.run["accounting"]["objects"]["read"] == DAY + 1


def test_what_can_never_be_read_is_tried_eight_times(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, *_ = deliver(logs, between(0, 3))
    with monkeypatch.context() as patch:
        unreadable(patch, bad)
        for number in range(10):
            done = round_of(tmp_path, at(4 + number))
        assert len(done.dead) == TRIES == 8
        skipped = done.run["accounting"]["objects"]["skipped"]
        assert skipped["objects that could not be read 8 times; touch them to try again"] == 1
        bad.touch()
        done = round_of(tmp_path, at(20))
        assert len(done.dead) == 9


def test_a_clock_that_is_set_back_undoes_nothing(tmp_path: Path, logs: Path) -> None:
    deliver(logs, between(0, DAY))
    round_of(tmp_path, at(DAY))
    told, horizon = alerts(tmp_path / "out"), horizons(tmp_path / "out")
    deliver(logs, between(DAY, DAY + 4))
    round_of(tmp_path, at(DAY - 8))
    assert horizons(tmp_path / "out") == horizon
    assert alerts(tmp_path / "out") == told
    deliver(logs, between(DAY + 4, SLICES))
    done = round_of(tmp_path, END + 4 * 3600)
    assert alerts(done.output) == alerts(single(tmp_path).output)


def test_it_goes_on_from_a_snapshot_of_history(tmp_path: Path, logs: Path) -> None:
    history = tmp_path / "history"
    deliver(history, between(0, DAY))
    state = ["--until", "2026-03-03", "--snapshot_out", tmp_path / "state"]
    assert run(tmp_path / "first", history, *rules(tmp_path), *state).status == 0
    deliver(logs, between(DAY, SLICES))
    warm = ["--snapshot_in", tmp_path / "state"]
    for now in (at(2 * DAY), END + 4 * 3600):
        done = round_of(tmp_path, now, *warm)
    deliver(logs, between(0, DAY))
    both = alerts(tmp_path / "first") + alerts(done.output)
    assert both == alerts(single(tmp_path).output)


def test_a_backlog_is_taken_in_steps_and_may_be_killed_more_than_once(
    tmp_path: Path, logs: Path
) -> None:
    deliver(logs, calls())
    command = [logs, *rules(tmp_path), "--incremental", "--step", "1d"]
    late = END + 4 * 3600
    for number, point in enumerate(list(POINTS)[1:4:2]):
        given = [*command, "--output", tmp_path / "out"]
        ended = stopped(tmp_path / "child", point, *given, step=2 - number, now=late + number)
        assert ended.returncode == -9, ended.stderr
    done = run(tmp_path / "out", *command, now=late)
    assert (done.status, done.err) == (0, "")
    whole = run(tmp_path / "whole", *command, now=late)
    assert whole.run["metrics"]["steps"] == 3
    equal(done, whole)
    assert alerts(done.output) == alerts(single(tmp_path).output)


def test_what_earlier_runs_left_does_not_grow_by_each_run(tmp_path: Path, logs: Path) -> None:
    """From cron there are 35,000 runs a year."""
    deliver(logs, between(0, 4))
    sizes = []
    for number in range(6):
        round_of(tmp_path, at(20 + number))
        sizes.append((tmp_path / "out" / ".work" / "ledger.json").stat().st_size)
    assert sizes[-1] == sizes[1]


# What it tells


def test_the_first_run_tells_all_and_the_later_ones_what_is_new(tmp_path: Path, logs: Path) -> None:
    deliver(logs, between(0, 80))
    first = round_of(tmp_path, at(80))
    assert first.out.startswith("Judged up to 2026-03-02 20:00 UTC\nRead in ")
    deliver(logs, between(80, 81))
    lines = round_of(tmp_path, at(81)).out.splitlines()
    assert lines[0] == "Judged up to 2026-03-02 20:15 UTC: 3 new records in 1 object, 1 new alert"
    assert "called DeleteTrail" in " ".join(" ".join(lines[1:-1]).split())
    records = len(between(0, 81))
    assert lines[-1].startswith(f"In all: {records} records in 81 objects, 1 alert in ")


def test_where_nothing_is_new_two_lines_are_told(tmp_path: Path, logs: Path) -> None:
    deliver(logs, between(0, 81))
    round_of(tmp_path, at(80))
    assert len(round_of(tmp_path, at(81)).out.splitlines()) > 2, "its alert"
    lines = round_of(tmp_path, at(82)).out.splitlines()
    assert lines[0] == "Judged up to 2026-03-02 20:30 UTC: nothing new to read, 0 new alerts"
    assert len(lines) == 2


def test_what_waits_is_told(tmp_path: Path, logs: Path) -> None:
    deliver(logs, between(0, 80))
    round_of(tmp_path, at(80))
    deliver(logs, between(80, 81))
    told = round_of(tmp_path, at(80) + 60).out.splitlines()[0]
    assert told.endswith(": 3 new records in 1 object, 0 new alerts, 3 events to be judged later")


def test_what_was_not_told_is_told_by_the_next_run(tmp_path: Path, logs: Path) -> None:
    """As after a run that was killed before it could."""
    deliver(logs, between(0, 80))
    round_of(tmp_path, at(80))
    told = (tmp_path / "out" / ".work" / "told.json").read_bytes()
    deliver(logs, between(80, 81))
    round_of(tmp_path, at(81))
    (tmp_path / "out" / ".work" / "told.json").write_bytes(told)
    assert ": 3 new records in 1 object, 1 new alert\n" in round_of(tmp_path, at(82)).out


def test_what_asks_for_attention_is_told(tmp_path: Path, logs: Path) -> None:
    deliver(logs, between(0, 2 * DAY))
    round_of(tmp_path, at(2 * DAY))
    deliver(logs, [call(70, "Usual1", 7)], mark="b")
    (logs / "broken.json").write_text("{")
    out = round_of(tmp_path, at(2 * DAY + 1)).out
    assert "  1 event CAME MORE THAN 2 HOURS LATE: never learned, see " in out
    assert "  1 new dead letter: see " in out
    assert len(round_of(tmp_path, at(2 * DAY + 2)).out.splitlines()) == 2


def test_input_that_is_no_log_ends_with_3_and_none_at_all_with_0(
    tmp_path: Path, logs: Path
) -> None:
    command = [logs, *rules(tmp_path), "--incremental"]
    assert run(tmp_path / "out", *command, now=at(0)).status == 0
    (logs / "other.json").write_text('{"Records": [{"some": "thing"}]}')
    for second in (0, 1):
        done = run(tmp_path / "out", *command, now=at(1) + second)
        assert done.status == 3
        assert "NOTHING WAS JUDGED: no record" in done.out
