"""The unbounded graph, on runners that can tell it how time goes on, says what a bounded run does.

Its watermark is that of arrivals; see `modes.deliveries`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from apache_beam.utils.timestamp import Timestamp
from modes import BUNDLES, DAY, HOUR, MINUTE, START, Logs, Said, iso, judge, live, organisation
from relay import Relay, message
from test_three_steps import PRISM, options_of

from pipeline.files import read_json
from schemas.late import TOO_LATE
from transforms.firing import Course, due_time, last_firing
from transforms.fold_by_key import FoldByKey, _unbounded

RUNNERS = ("BundleBasedDirectRunner", PRISM)


def runner_options(runner: str) -> list[str]:
    return [*options_of(runner), "--streaming"] if runner == PRISM else BUNDLES


DAYS = {"window": 3, "contrast": 7}
"""There are scores by `contrast` once 4 working days are over."""


@pytest.fixture(scope="module", params=DAYS)
def by(request: pytest.FixtureRequest) -> str:
    """The scorer of most rules."""
    return str(request.param)


@pytest.fixture(scope="module")
def logs(by: str, tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """Days of a few who do much: what is cut waits, and some of it expires."""
    folder = tmp_path_factory.mktemp("organisation")
    return organisation(folder, 2, DAYS[by], 6_000, by, people=4, machines=3).show()


@pytest.fixture(scope="module")
def once(logs: Logs, tmp_path_factory: pytest.TempPathFactory) -> Said:
    output = tmp_path_factory.mktemp("once") / "out"
    came = judge(logs, output, "--step", "none")
    metrics = read_json(output / "run.json")["metrics"]
    assert all(metrics["alerts_cut"].values())
    assert any(metrics["alerts_expired"].values())
    return came


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_unbounded_graph_says_what_one_run_does(
    logs: Logs, once: Said, tmp_path: Path, runner: str
) -> None:
    came = live(logs, tmp_path / "out", runner_options(runner))
    assert came == once


@pytest.mark.parametrize("runner", RUNNERS)
def test_it_goes_on_from_a_snapshot_of_a_bounded_run(
    by: str, logs: Logs, once: Said, tmp_path: Path, runner: str
) -> None:
    """A warm start: then what arrived after H - 4 h is read, some of it again."""
    horizon = START + (DAYS[by] - 1) * DAY + 9 * HOUR + 30 * MINUTE
    state = tmp_path / "state"
    argv = ("--until", iso(horizon), "--snapshot_out", state)
    there = logs.delivered(0, horizon + 15 * MINUTE)
    before = judge(logs, tmp_path / "before", *argv, inputs=there)
    names = logs.delivered(horizon - 4 * HOUR, logs.last)
    course = Course(after=last_firing(horizon))
    options = runner_options(runner)
    then = live(logs, tmp_path / "then", options, names, course=course, snapshot=state)
    assert before.alerts
    assert then.alerts
    assert before.alerts + then.alerts == once.alerts
    assert sorted(before.anomalies + then.anomalies) == once.anomalies
    assert not any(TOO_LATE.decode(data).judged for data in then.late)


class Held:
    """A bag, a value and a timer of one key, as a DoFn is given them."""

    def __init__(self) -> None:
        self.bag: list[bytes] = []
        self.value: int | None = None
        self.timer: Timestamp | None = None

    def add(self, data: bytes) -> None:
        self.bag.append(data)

    def read(self) -> Any:
        return self.value

    def write(self, value: int) -> None:
        self.value = value

    def set(self, time: Timestamp) -> None:
        self.timer = time


def test_a_timer_that_fires_again_does_not_lose_the_one_set_since() -> None:
    """Beam's own test runner clears a timer whenever it delivers it, and sometimes does so twice:
    the second time it clears the timer that the first time set, and the key would sleep for good.
    """
    step = _unbounded("relay")(FoldByKey("relay", Relay, ("out", "ends"), 0, 0))
    step.setup()
    held = Held()
    step.process(message("key0", 9, "<1>"), held, held, held)
    assert (held.value, held.timer) == (9, Timestamp(micros=1000 * due_time(9, 0)))
    held.timer = None
    before = Timestamp(micros=1000 * due_time(8, 0))
    assert list(step.fire(b"key0", before, held, held, held)) == []
    assert (held.value, held.timer) == (9, Timestamp(micros=1000 * due_time(9, 0)))
