"""What steps cost and save: `python -m benchmarks.replay [--events N]`.

Whole processes over simulated trees, with their peak memory: over N events one run, daily steps, an
incremental run and a second one that finds nothing new; over a tenth of them one run and daily
steps. Ends with 1 if a goal is missed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.speed import arguments, tree

DAYS = 28
GOALS = {
    "steps ÷ one run, time": 1.5,
    "steps ÷ one run, peak memory": 0.5,
    "what a step adds, seconds": 1.0,
    "10 × events, time": 11.0,
    "10 × events, peak memory of steps": 2.0,
    "incremental run with nothing new, seconds": 3.0,
}
"""What each figure should be at most."""


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    seconds: float
    peak: int
    """Bytes resident at most."""


def cost(folder: Path, output: Path, *options: str) -> Cost:
    """What a run costs, which must end well."""
    command = [sys.executable, "-m", "pipeline", "run", str(folder / "logs")]
    command += ["--geoip_database", str(folder / "city.mmdb"), "--output", str(output), *options]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command}: exit status {process.returncode}")
    return Cost(time.perf_counter() - began, usage.ru_maxrss * 1024)


def measure(large: Path, small: Path, scratch: Path) -> dict[str, float]:
    """One round of all figures."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    one = cost(large, scratch / "one", "--step", "none")
    steps = cost(large, scratch / "steps", "--step", "1d")
    few = cost(small, scratch / "few", "--step", "none")
    few_steps = cost(small, scratch / "few_steps", "--step", "1d")
    cost(large, scratch / "incremental", "--incremental", "--step", "none")
    idle = cost(large, scratch / "incremental", "--incremental")
    return {
        "steps ÷ one run, time": steps.seconds / one.seconds,
        "steps ÷ one run, peak memory": steps.peak / one.peak,
        "what a step adds, seconds": (steps.seconds - one.seconds) / (DAYS - 1),
        "10 × events, time": one.seconds / few.seconds,
        "10 × events, peak memory of steps": steps.peak / few_steps.peak,
        "incremental run with nothing new, seconds": idle.seconds,
        "one run, seconds": one.seconds,
        "one run, peak MB": one.peak / 1e6,
        "steps, peak MB": steps.peak / 1e6,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether the goals are met."""
    given = arguments(argv, "replay", events=2_000_000, rounds=1)
    large, records = tree(given.events, given.cache)
    small, _ = tree(given.events // 10, given.cache)
    with tempfile.TemporaryDirectory() as scratch:
        rounds = [measure(large, small, Path(scratch, "runs")) for _ in range(given.rounds)]
    print(f"{records:,} records, {given.rounds} rounds, median (least–most)")
    told, missed = {}, 0
    for name in rounds[0]:
        values = [figures[name] for figures in rounds]
        middle, goal = median(values), GOALS.get(name)
        met = goal is None or middle <= goal
        missed += not met
        limit = "" if goal is None else f", goal at most {goal:g}: {'met' if met else 'MISSED'}"
        print(f"{name:42} {middle:8.2f} ({min(values):.2f}–{max(values):.2f}){limit}")
        told[name] = {"median": middle, "min": min(values), "max": max(values), "goal": goal}
    if given.json:
        given.json.write_text(json.dumps(told, indent=2))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
