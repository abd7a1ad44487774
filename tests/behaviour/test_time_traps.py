"""Late, too late, ahead of time, idle for days: all ways to be live say the same of it.

Each trap is an object with one call of an action of its own, which alice never made before.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from hamlet import between, call, deliver
from hamlet import rules as hamlet_rules
from modes import MINUTE, START, Logs, Said, from_cron, iso, judge, live
from town import SLICE_S, write_cities

from pipeline.files import read_json, read_records
from pipeline.state import command
from schemas.late import TOO_LATE
from transforms.firing import Course, last_firing
from transforms.objects import DEAD_LETTER

HORIZON = 240
"""The slice before which all is history; what was delivered in the 4 hours before is read again."""
END = 284
WAYS = ("as live", "from cron", "unbounded")
HOUR_S, DAY_S = 3600, 86_400


class Trap(NamedTuple):
    """A call, and when it was delivered."""

    action: str
    slice: int
    second: int
    after: int
    """Seconds; the name of an object tells the minute that has begun."""
    alert: tuple[str, int] | None
    """Timing, and the firing by the slice that it judges: T is the end of that slice."""


TRAPS = (
    Trap("Tardy", 255, 31, HOUR_S - 60, ("late", 257)),
    Trap("Late", 255, 30, HOUR_S, ("late", 258)),
    Trap("LastLate", 256, 40, 8 * SLICE_S + 14 * 60, ("late", 263)),
    Trap("FirstTooLate", 256, 40, 9 * SLICE_S, ("too_late", 264)),
    Trap("FarTooLate", 256, 50, 5 * HOUR_S, ("too_late", 275)),
    Trap("FarTooLate", 283, 50, 240, ("on_time", 283)),  # it has not become usual
    Trap("Ahead", 270, 30, -50 * 60, ("on_time", 270)),
    Trap("AnHourAhead", 270, 0, -HOUR_S, ("on_time", 270)),
    Trap("MoreThanAnHourAhead", 270, 1, -HOUR_S - 1, None),
    Trap("AYearAhead", 260 + 365 * 96, 5, -365 * DAY_S, None),
    Trap("DaysLater", 740, 30, 240, ("on_time", 740)),
)
PLANTED = ("CreateAccessKey", "on_time", 250)
UNLEARNED = [trap for trap in TRAPS if trap.alert is None or trap.alert[0] == "too_late"]


def at(slice_: int) -> int:
    """When a slice begins."""
    return START + slice_ * SLICE_S * 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traps")


@pytest.fixture(scope="module")
def logs(folder: Path) -> Logs:
    """What arrived since 4 hours before the horizon, and the traps."""
    store = folder / "store"
    deliver(store, between(HORIZON - 16, END))
    for trap in TRAPS:
        deliver(store, [call(trap.slice, trap.action, trap.second)], trap.after, _mark(trap))
    cities = write_cities(folder / "city.mmdb")
    options = (*map(str, hamlet_rules(folder)), "--geoip_database", str(cities))
    return Logs(store, folder / "seen", options).show()


def _mark(trap: Trap) -> str:
    return f"trap{TRAPS.index(trap):02}-"


@pytest.fixture(scope="module")
def state(folder: Path, logs: Logs) -> Path:
    """The snapshot of a bounded run over what was before."""
    deliver(folder / "before", between(0, HORIZON))
    arguments = ("--until", iso(at(HORIZON)), "--snapshot_out", folder / "state")
    judge(logs, folder / "history", *arguments, inputs=[str(folder / "before")])
    return folder / "state"


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def reference(folder: Path, logs: Logs, state: Path) -> Said:
    output, begin = folder / "as live", ("--snapshot_in", state)
    return judge(logs.show(), output, *begin, "--as_live", "--step", "none")


@pytest.fixture(scope="module")
def said(way: str, folder: Path, logs: Logs, state: Path, reference: Said) -> Said:
    """What one of the ways says of the traps."""
    if way == "as live":
        return reference
    if way == "from cron":
        moments = [at(HORIZON) + minutes * MINUTE for minutes in (31, 262, 353, 600, 10 * 1440)]
        return from_cron(logs, folder / "from cron", moments, "--snapshot_in", state)
    course = Course(after=last_firing(at(HORIZON)))
    return live(logs.show(), folder / "unbounded", course=course, snapshot=state)


def alerts(said: Said) -> list[tuple[str, str, int]]:
    """(action, timing, firing)."""

    def told(line: bytes) -> tuple[str, str, int]:
        alert = json.loads(line)
        firing = datetime.fromisoformat(alert["raretrail"]["firing"]).timestamp()
        number = (round(firing) - START // 1000) // SLICE_S - 1
        return alert["event"]["action"], alert["raretrail"]["timing"], number

    return [told(line) for line in said.alerts.splitlines()]


def test_each_trap_is_told_when_and_how_it_became_known(said: Said) -> None:
    """What is more than an hour ahead of its arrival is none; within it, it waits for its time."""
    expected = [(trap.action, *trap.alert) for trap in TRAPS if trap.alert]
    assert sorted(alerts(said)) == sorted([*expected, PLANTED])
    firings = [firing for _, _, firing in alerts(said)]
    assert firings == sorted(firings)


def test_what_came_too_late_is_kept(said: Said) -> None:
    """And what was read again, too; but that is known, and not judged."""
    late = [TOO_LATE.decode(data) for data in said.late]
    judged = {record.action for record in late if record.judged}
    assert judged == {"FirstTooLate", "FarTooLate"}
    assert any(record.action.startswith("Usual") for record in late)


def test_all_ways_say_the_same(said: Said, reference: Said) -> None:
    assert said == reference


def test_steps_of_a_replay_as_live_say_the_same(
    logs: Logs, state: Path, reference: Said, tmp_path: Path
) -> None:
    """There are days in between of which there is no folder."""
    begin = ("--snapshot_in", state, "--as_live", "--step", "1d")
    assert judge(logs.show(), tmp_path / "out", *begin) == reference


def test_what_is_too_far_ahead_is_a_dead_letter(way: str, said: Said, folder: Path) -> None:
    """And a clock that is wrong moves no horizon."""
    if way == "unbounded":
        return
    letters = [letter.raw for letter in read_records(folder / way / "dead_letters", DEAD_LETTER)]
    assert len(letters) == 2
    for action in (b"MoreThanAnHourAhead", b"AYearAhead"):
        assert sum(action in raw for raw in letters) == 1
    horizon = read_json(folder / way / "run.json")["metrics"]["horizon"]
    last = at(740 + (9 if way == "as live" else 6))  # 90 minutes after the last delivery
    assert datetime.fromisoformat(horizon).timestamp() * 1000 == last


def history(state: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a snapshot holds of alice, without what came too late."""
    capsys.readouterr()
    command(["show", str(state), "alice"])
    title, *lines = capsys.readouterr().out.splitlines()
    assert "alice" in title
    return [line for line in lines if "too late to be learned: " not in line]


def test_histories_end_as_in_a_replay_of_what_was_learned(
    folder: Path, logs: Logs, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was late is learned as if it had been on time; what was too late is not."""
    until = ("--snapshot_in", state, "--until", iso(at(760)), "--step", "none")
    names = logs.show().names
    judge(logs, tmp_path / "1", *until, "--snapshot_out", tmp_path / "live", "--as_live")
    marks = tuple(f"_{_mark(trap)}" for trap in UNLEARNED)
    learned = [name for name in names if not any(mark in name for mark in marks)]
    assert len(learned) == len(names) - len(UNLEARNED)
    replayed = ("--snapshot_out", tmp_path / "replayed")
    judge(logs, tmp_path / "2", *until, *replayed, inputs=learned)
    assert history(tmp_path / "live", capsys) == history(tmp_path / "replayed", capsys)
    assert any("LastLate" in line for line in history(tmp_path / "live", capsys))
    capsys.readouterr()
    command(["show", str(tmp_path / "live"), "alice"])
    told = [
        line for line in capsys.readouterr().out.splitlines() if "too late to be learned: " in line
    ]
    strays = {line.rpartition(" ")[2] for line in told}
    assert {name for name in strays if "Usual" not in name} == {"FarTooLate", "FirstTooLate"}
