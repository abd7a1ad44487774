"""Speed as ratios taken in one run: `python -m benchmarks.speed [--events N] [--rounds N]`.

Whole processes, from start to end, in turn: the plain loop and the whole embedded job over the
same simulated tree of small objects, and the naive sliding-window pipeline over a smaller tree
(it would take an hour over the large one), each as events per second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.simulate import Simulation, simulate

GOALS = {"job ÷ plain loop": 0.35, "job ÷ naive pipeline": 20.0}
NAIVE_EVENTS = 20_000


def tree(events: int, cache: Path) -> tuple[Path, int]:
    """(folder, records) of a simulated organisation, made once."""
    folder = cache / f"tree-{events}"
    done = folder / "records"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        people = max(20, events // 2500)
        spec = Simulation(events=events, people=people, machines=people)
        done.write_text(str(simulate(spec, folder).records))
    return folder, int(done.read_text())


def seconds(command: Sequence[str]) -> float:
    """Wall time of a whole process that must end well."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def job(folder: Path, scratch: Path) -> list[str]:
    """The command of a whole run."""
    shutil.rmtree(scratch / "out", ignore_errors=True)
    options = ["--geoip_database", str(folder / "city.mmdb"), "--output", str(scratch / "out")]
    return [sys.executable, "-m", "pipeline", "run", str(folder / "logs"), *options]


def measure(events: int, rounds: int, cache: Path, scratch: Path) -> dict[str, list[float]]:
    """Events per second of each contestant, one figure a round."""
    large, records = tree(events, cache)
    small, few = tree(NAIVE_EVENTS, cache)
    rates: dict[str, list[float]] = {"plain loop": [], "job": [], "naive pipeline": []}
    for _ in range(rounds):
        plain = [sys.executable, "-m", "benchmarks.plain", str(large / "logs")]
        naive = [sys.executable, "-m", "benchmarks.naive", str(small / "logs")]
        rates["plain loop"].append(records / seconds(plain))
        rates["job"].append(records / seconds(job(large, scratch)))
        rates["naive pipeline"].append(few / seconds(naive))
    return rates


def report(rates: dict[str, list[float]]) -> dict[str, Any]:
    """Medians and the ratios of each round, with their spread."""
    ratios = {}
    for name, goal in GOALS.items():
        base = rates[name.removeprefix("job ÷ ")]
        values = [a / b for a, b in zip(rates["job"], base, strict=True)]
        ratios[name] = {
            "median": round(median(values), 3),
            "min": round(min(values), 3),
            "max": round(max(values), 3),
            "goal": goal,
        }
    return {
        "events_per_second": {name: round(median(values)) for name, values in rates.items()},
        "ratios": ratios,
        "rounds": len(rates["job"]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }


def arguments(
    argv: Sequence[str] | None, name: str, events: int, rounds: int
) -> argparse.Namespace:
    """What a benchmark over simulated trees is told; the folder that they are kept in exists."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--events", type=int, default=events)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--cache", type=Path, default=Path("build/bench"))
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_args(argv)
    given.cache.mkdir(parents=True, exist_ok=True)
    return given


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say whether the goals are met."""
    given = arguments(argv, "speed", events=1_000_000, rounds=3)
    with tempfile.TemporaryDirectory() as scratch:
        result = report(measure(given.events, given.rounds, given.cache, Path(scratch)))
    for name, rate in result["events_per_second"].items():
        print(f"{name:22} {rate:>9,} events/s (median of {result['rounds']})")
    for name, ratio in result["ratios"].items():
        met = "met" if ratio["median"] >= ratio["goal"] else "MISSED"
        spread = f"{ratio['min']:.2f}–{ratio['max']:.2f}"
        print(f"{name:22} {ratio['median']:>9.2f} ({spread}), goal {ratio['goal']:g}: {met}")
    print(f"{result['machine']}, Python {result['python']}")
    if given.json:
        given.json.write_text(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
