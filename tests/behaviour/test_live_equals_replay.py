"""However a history is cut into runs, and whenever its objects are looked at: the same alerts."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from factory import SLICE
from modes import (
    DAY,
    HOUR,
    MINUTE,
    START,
    Logs,
    Said,
    from_cron,
    iso,
    judge,
    odd_rhythm,
    organisation,
)

from pipeline.files import read_json
from schemas.anomaly import ANOMALY
from schemas.late import TOO_LATE
from transforms.objects import arrival_of

OVERLAP = 4 * HOUR
"""What is read again when a run takes over from another, as DESIGN.md §2 has it."""


@pytest.fixture(scope="module", params=["window", "contrast"])
def by(request: pytest.FixtureRequest) -> str:
    """The scorer of most rules."""
    return str(request.param)


@pytest.fixture(scope="module")
def logs(by: str, tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """Nine days, in the second half of which there are intruders."""
    folder = tmp_path_factory.mktemp("organisation")
    return organisation(folder, 6, 9, 6_000, by, rounds=2, people=12, machines=8, accounts=1)


@pytest.fixture(scope="module")
def outputs(logs: Logs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the runs over some logs."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def once(logs: Logs, outputs: Path) -> Said:
    """One run over everything: what all other ways have to come to."""
    return judge(logs.show(), outputs / "once", "--step", "none")


@pytest.fixture(scope="module")
def busy(once: Said, outputs: Path) -> list[int]:
    """T of firings that cut something: what waits there has to be handed on."""
    firings = read_json(outputs / "once" / "run.json")["firings"]
    return [milliseconds(one["firing"]) for one in firings if one["cut"]["number"]]


def milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def waiting(folder: Path) -> int:
    """Anomalies that wait in a snapshot."""
    held: dict[str, int] = read_json(folder / "manifest.json")["held"]
    return sum(number for name, number in held.items() if name.startswith("held|waiting|"))


def test_the_organisation_has_what_can_go_wrong(by: str, once: Said, outputs: Path) -> None:
    """Dozens of alerts; and what is cut, suppressed and expired. By `contrast` an action is new
    once in two hours, so that there is nothing to suppress.
    """
    assert len(once.alerts.splitlines()) > 30
    assert len(set(once.anomalies)) == len(once.anomalies) > 50
    metrics = read_json(outputs / "once" / "run.json")["metrics"]
    assert all(metrics["alerts_cut"].values())
    assert all(metrics["alerts_expired"].values())
    assert any(metrics["alerts_suppressed"].values()) is (by == "window")
    assert once.late == []


def test_daily_steps_say_what_one_run_does(logs: Logs, once: Said, tmp_path: Path) -> None:
    assert judge(logs.show(), tmp_path / "out", "--step", "1d") == once
    assert read_json(tmp_path / "out" / "run.json")["metrics"]["steps"] == 9


def test_incremental_runs_in_an_odd_rhythm_say_what_one_run_does(
    logs: Logs, once: Said, busy: list[int], tmp_path: Path
) -> None:
    """Minutes, hours and days apart; also at T of firings that judge what was not yet delivered,
    and when what was cut waits from one run to the next.
    """
    found = [ANOMALY.decode(data) for data in once.anomalies]
    early = [one.slice_end for one in found if arrival_of(one.evidence[0].origin) > one.slice_end]
    moments = odd_rhythm(1, START + 5 * HOUR, logs.last)
    moments = sorted([*moments, min(early), max(early), busy[len(busy) // 3] + 15 * MINUTE])
    assert min(later - earlier for earlier, later in pairwise(moments)) < HOUR
    assert max(later - earlier for earlier, later in pairwise(moments[:-1])) > DAY
    assert from_cron(logs, tmp_path / "out", moments) == once


def test_a_replay_as_live_says_the_same_when_all_is_on_time(
    logs: Logs, once: Said, tmp_path: Path
) -> None:
    assert judge(logs.show(), tmp_path / "out", "--as_live", "--step", "4d") == once


# By hand


def chained(logs: Logs, folder: Path, cuts: list[int], again: int = 0) -> list[Said]:
    """Runs up to each of these times and one to the end, each from the snapshot of the one before.

    Each reads what was delivered since; and what was so long before, again.
    """
    came, done = list[Said](), 0
    logs.show()
    for number, until in enumerate([*cuts, None]):
        arguments: list[object] = []
        if number:
            arguments += ["--snapshot_in", folder / f"state{number - 1}"]
        if until is not None:
            arguments += ["--snapshot_out", folder / f"state{number}", "--until", iso(until)]
        end = logs.last if until is None else until + 15 * MINUTE
        new = logs.delivered(done - again, end)
        output = folder / f"out{number}"
        came.append(judge(logs, output, *arguments, "--step", "none", inputs=new))
        done = end
    return came


def test_a_chain_of_snapshots_by_hand_says_what_one_run_does(
    logs: Logs, once: Said, busy: list[int], tmp_path: Path
) -> None:
    """Cut where anomalies wait. --until is not a quarter of an hour: the one before it counts."""
    cuts = [busy[0], busy[len(busy) // 2] + 7 * MINUTE, busy[-1] + 1]
    came = chained(logs, tmp_path, cuts)
    assert b"".join(said.alerts for said in came) == once.alerts
    assert sorted(found for said in came for found in said.anomalies) == once.anomalies
    assert all(said.late == [] for said in came)
    for number, cut in enumerate(cuts):
        assert waiting(tmp_path / f"state{number}") > 0
        manifest = read_json(tmp_path / f"state{number}" / "manifest.json")
        assert milliseconds(manifest["horizon"]) == cut // SLICE * SLICE


def test_what_is_read_again_changes_no_alert(
    logs: Logs, once: Said, busy: list[int], tmp_path: Path
) -> None:
    """What is settled by then came too late to be counted again, and is known: it is not judged."""
    came = chained(logs, tmp_path, [busy[1], busy[-2]], again=OVERLAP)
    assert b"".join(said.alerts for said in came) == once.alerts
    assert sorted(found for said in came for found in said.anomalies) == once.anomalies
    late = [TOO_LATE.decode(data) for said in came for data in said.late]
    assert late
    assert not any(record.judged for record in late)


@pytest.mark.parametrize("way", ["from cron", "as live"])
def test_a_warm_start_goes_on_where_a_bounded_run_ended(
    logs: Logs, once: Said, busy: list[int], tmp_path: Path, way: str
) -> None:
    """A bounded run reads all that was there by H; then what arrived after H - 4 h is read."""
    horizon, state = busy[len(busy) // 2], tmp_path / "state"
    logs.see_only(0, horizon + 15 * MINUTE)
    until = ("--until", iso(horizon), "--snapshot_out", state, "--step", "none")
    before = judge(logs, tmp_path / "before", *until)
    assert waiting(state) > 0
    after, begin = horizon - OVERLAP, ("--snapshot_in", state)
    if way == "as live":
        logs.see_only(after, logs.last)
        then = judge(logs, tmp_path / "then", *begin, "--as_live", "--step", "none")
    else:
        moments = odd_rhythm(2, horizon + 25 * MINUTE, logs.last)
        then = from_cron(logs, tmp_path / "then", moments, *begin, after=after)
    assert before.alerts + then.alerts == once.alerts
    assert sorted(before.anomalies + then.anomalies) == once.anomalies
