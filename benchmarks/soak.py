"""Long campaigns: `python -m benchmarks.soak [--rounds N] [--seed N] [--kills N] [--events N]`.

Each round simulates an organisation, replays it in one run, and compares with that: a stepwise and
an incremental run, each killed again and again at random moments until it comes to its end; and
incremental runs in a random rhythm over a tree that grows. Alerts must be the same bytes, anomalies
the same set, the account closed. The seed of each round is printed: --seed repeats it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.files import read_records
from pipeline.options import parse_run
from pipeline.run import run_settings
from pipeline.simulate import Simulation, simulate
from pipeline.sources import find_objects
from pipeline.steps import date_of
from schemas.anomaly import ANOMALY
from transforms.objects import Extent, delivered_at

_HOUR_MS = 3_600_000


_CODE = """
import sys
from benchmarks.soak import closed
from pipeline.options import parse_run
from pipeline.run import run_settings

print("ready", flush=True)
sys.exit(run_settings(parse_run(sys.argv[1:]), closed, {now}))
"""


class Differs(Exception):  # noqa: N818
    """Two runs did not find the same."""


@dataclass
class Round:
    """A simulated organisation, a folder to work in, and the single run over it."""

    seed: int
    events: int
    kills: int
    folder: Path
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        people = max(8, self.events // 1000)
        spec = Simulation(seed=self.seed, events=self.events, people=people, machines=people)
        simulate(spec, self.folder / "tree")
        self.logs = self.folder / "tree" / "logs"
        self.common = ["--geoip_database", str(self.folder / "tree" / "city.mmdb")]
        self.now = max(map(_delivered, self._names())) + 4 * _HOUR_MS
        self.single = self._once(self.folder / "single", [str(self.logs), "--step", "none"])

    def _names(self) -> list[str]:
        found = find_objects([str(self.logs)], Extent(None, None, 0), self.folder / "unused")
        return found.names

    def _once(self, output: Path, arguments: Sequence[str], now: int | None = None) -> Path:
        """A run in this process, at a time of ours."""
        argv = [*arguments, *self.common, "--output", str(output)]
        with contextlib.redirect_stderr(io.StringIO()):
            status = run_settings(parse_run(argv), closed, now or self.now)
        if status:
            raise Differs(f"{output.name}: ended with {status}")
        return output

    def compare(self, output: Path) -> None:
        """Raise Differs unless a run found what the single run found."""
        alerts = [(folder / "alerts.ndjson").read_bytes() for folder in (self.single, output)]
        if alerts[0] != alerts[1]:
            raise Differs(f"{output.name}: other alerts, see {output}")
        records = [
            sorted(map(ANOMALY.encode, read_records(folder / "anomalies", ANOMALY)))
            for folder in (self.single, output)
        ]
        if records[0] != records[1]:
            raise Differs(f"{output.name}: other anomalies, see {output}")
        read = [_accounting(folder)["records"] for folder in (self.single, output)]
        if read[0] != read[1] or not _accounting(output)["closes"]:
            raise Differs(f"{output.name}: another account, see {output}/run.json")

    def steps(self) -> None:
        """The replay in steps that nobody stops."""
        days = self.chance.randint(1, 3)
        self.compare(self._once(self.folder / "steps", [str(self.logs), "--step", f"{days}d"]))

    def killed_steps(self) -> None:
        """The replay in steps, killed at random moments."""
        self._killed("killed steps", ["--step", "1d"])

    def killed_incremental(self) -> None:
        """A backlog of days, killed at random moments."""
        self._killed("killed incremental", ["--incremental", "--step", "1d"])

    def _killed(self, name: str, mode: Sequence[str]) -> None:
        output = self.folder / name.replace(" ", "-")
        argv = [str(self.logs), *mode, *self.common, "--output", str(output)]
        code = _CODE.format(now=self.now)
        whole = self._until_end(code, argv, None)
        shutil.rmtree(output)
        done = 0
        while done < self.kills:
            if self._until_end(code, argv, self.chance.uniform(0, whole)) >= 0:
                self.compare(output)
                _no_leftovers(output, "--incremental" in mode)
                shutil.rmtree(output)  # it came to its end: begin again
                continue
            done += 1
        self._until_end(code, argv, None)
        self.compare(output)
        _no_leftovers(output, "--incremental" in mode)

    def _until_end(self, code: str, argv: Sequence[str], kill_after: float | None) -> float:
        """Seconds that a process took; -1 if it was killed meanwhile."""
        command = [sys.executable, "-c", code, *argv]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            began = time.monotonic()
            if kill_after is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(kill_after)
                process.send_signal(signal.SIGKILL)
            status = process.wait()
        if status == -signal.SIGKILL:
            return -1
        if status:
            raise Differs(f"{' '.join(argv)}: ended with {status}")
        return time.monotonic() - began

    def grown(self) -> None:
        """Incremental runs in a random rhythm over a tree that grows as it was delivered."""
        names = sorted(self._names(), key=_delivered)
        grown, output = self.folder / "grown", self.folder / "incremental"
        grown.mkdir()
        count = self.chance.randint(3, 9)
        first, last = _delivered(names[0]), _delivered(names[-1])
        times = sorted(self.chance.randrange(first, last) for _ in range(count))
        at = 0
        for now in (*times, self.now):
            while at < len(names) and _delivered(names[at]) <= now:
                target = grown / Path(names[at]).relative_to(self.logs)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(names[at], target)
                at += 1
            self._once(output, [str(grown), "--incremental"], now)
        self.compare(output)


def _delivered(name: str) -> int:
    delivered = delivered_at(name)
    if delivered is None:
        raise Differs(f"{name}: does not say when it was delivered")
    assert date_of(name) is not None
    return delivered


def _accounting(output: Path) -> dict[str, dict[str, int]]:
    document: dict[str, dict[str, dict[str, int]]] = json.loads((output / "run.json").read_bytes())
    return document["accounting"]


def closed(output: Path) -> int:
    """In place of the report: 0 if the account closes."""
    return 0 if _accounting(output)["closes"] else 1


def _no_leftovers(output: Path, goes_on: bool) -> None:
    unwanted = {".lock", ".closed", "next", "done"} | (set() if goes_on else {".work", "snapshot"})
    for path in output.rglob("*"):
        if path.name in unwanted or path.name.endswith(".unfinished"):
            raise Differs(f"left behind: {path}")


CAMPAIGNS: dict[str, Callable[[Round], None]] = {
    "steps": Round.steps,
    "incremental": Round.grown,
    "killed steps": Round.killed_steps,
    "killed incremental": Round.killed_incremental,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Soak, print, and end with 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, help="of the first round; by default by the clock")
    parser.add_argument("--kills", type=int, default=20, help="of each killed run")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--keep", type=Path, help="folder that keeps what differed")
    given = parser.parse_args(argv)
    seed = int(time.time()) if given.seed is None else given.seed
    failed = 0
    for number in range(given.rounds):
        folder = Path(tempfile.mkdtemp(prefix="soak-", dir=given.keep))
        soaked, differed = Round(seed + number, given.events, given.kills, folder), 0
        for name, campaign in CAMPAIGNS.items():
            began = time.monotonic()
            try:
                campaign(soaked)
                told = "equal"
            except Differs as error:
                told, differed = f"DIFFERS: {error}", differed + 1
            print(
                f"seed {seed + number}: {name}: {told} ({time.monotonic() - began:.0f} s)",
                flush=True,
            )
        failed += differed
        if not (differed and given.keep):
            shutil.rmtree(folder)
    print(f"{given.rounds} rounds, {failed} campaigns differed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
