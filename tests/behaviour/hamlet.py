"""A hamlet: three days of one user, small enough to be run over and over, and ways to stop a run.

Alice calls 2 of 5 APIs in each quarter of an hour; she makes some calls that she never made,
one of them just before midnight: its object lies in the next day's folder.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from town import ACCOUNT, SLICE_S, START, Call, Done, Record, iam_user, read_avro

from pipeline.errors import UsageError
from pipeline.news import print_news
from pipeline.options import parse_run
from pipeline.report import print_report
from pipeline.run import run_settings

ROOT = Path(__file__).parents[2]
STEPS: list[object] = ["--step", "1d"]
INCREMENTAL: list[object] = ["--incremental", "--step", "1d"]
DAY = 96
"""Slices of a day."""
SLICES = 3 * DAY - 4
PLANTED = {80: "DeleteTrail", 130: "GetSecretValue", 191: "StopLogging", 250: "CreateAccessKey"}
"""Slice → what alice never did before."""
END = START + 3 * DAY * SLICE_S
DELAY_S = 240
_RULE = (
    (ROOT / "pipeline" / "rules" / "unusual_aws_command_for_a_user.yaml")
    .read_text("utf-8")
    .replace("scorer: contrast", "scorer: window")
)
RULE = _RULE.replace("threshold: 75", "threshold: 0")
"""Every anomaly is an alert."""


def call(slice_: int, action: str, second: int = 30, user: str = "alice") -> Call:
    """One call, so many seconds into a slice."""
    time = START + slice_ * SLICE_S + second
    id_ = f"{user} {action} {time}"
    return Call(time, action, user, ACCOUNT, "81.2.69.144", id_, iam_user(user))


def calls() -> list[Call]:
    """All events of the hamlet."""
    chance, made = random.Random(7), []
    for slice_ in range(SLICES):
        for number in chance.sample(range(5), 2):
            made.append(call(slice_, f"Usual{number}", chance.randrange(SLICE_S)))
        if slice_ in PLANTED:
            made.append(call(slice_, PLANTED[slice_], 890))
    return made


def deliver(
    folder: Path, made: Iterable[Call], after: int = DELAY_S, mark: str = "a"
) -> list[Path]:
    """An object for each quarter of an hour, delivered so many seconds after its last call."""
    parts: dict[int, list[Call]] = {}
    for one in made:
        parts.setdefault(one.slice, []).append(one)
    written = []
    for slice_, part in parts.items():
        stamp = datetime.fromtimestamp(max(one.time for one in part) + after, UTC)
        days = folder / "AWSLogs" / ACCOUNT / "CloudTrail" / "eu-west-1" / f"{stamp:%Y/%m/%d}"
        name = f"{ACCOUNT}_CloudTrail_eu-west-1_{stamp:%Y%m%dT%H%MZ}_{mark}{slice_:05}.json.gz"
        days.mkdir(parents=True, exist_ok=True)
        data = json.dumps({"Records": [one.record for one in part]}).encode()
        (days / name).write_bytes(gzip.compress(data, mtime=0))
        written.append(days / name)
    return written


def between(first: int, end: int) -> list[Call]:
    """The calls of some slices."""
    return [one for one in calls() if first <= one.slice < end]


def run(output: Path, *arguments: object, now: int = END + 1800) -> Done:
    """`raretrail run … --output OUTPUT` in this process, at a time of one's own in seconds."""
    out, err = io.StringIO(), io.StringIO()
    argv = [*map(str, arguments), "--output", str(output)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            settings = parse_run(argv)
            report = print_news if settings.incremental else print_report
            status = run_settings(settings, report, now * 1000)
        except UsageError as error:  # as the command line has it
            print(f"raretrail: {error}", file=sys.stderr)
            status = 2
    return Done(status, out.getvalue(), err.getvalue(), output)


def rules(folder: Path) -> list[object]:
    """The option that makes an alert of every anomaly."""
    path = folder / "rule.yaml"
    path.write_text(RULE, "utf-8")
    return ["--rules", path]


# Processes that are stopped


_HEAD = """
import os, signal
import pipeline.chain, pipeline.ledger, pipeline.run, pipeline.sinks, pipeline.snapshot

settings = pipeline.run.run_settings
pipeline.run.run_settings = lambda asked, report: settings(asked, report, {now})

def stop():
    os.kill(os.getpid(), signal.{signal})

def before(owner, name, when):
    original = getattr(owner, name)
    def stopping(*arguments, **options):
        if when(*arguments):
            stop()
        return original(*arguments, **options)
    setattr(owner, name, stopping)

begun = []
before(pipeline.ledger.Ledger, "step", lambda self: begun.append(self))
"""

POINTS: Mapping[str, str] = {
    "the graph of a step runs": """
before(pipeline.sinks._Avro, "close",
       lambda self: len(begun) == {step} and self._writer is not None)
""",
    "a step is written, not committed": """
before(pipeline.ledger.Ledger, "commit", lambda *_: len(begun) == {step})
""",
    "a step is committed, not published": """
before(pipeline.ledger.Ledger, "_publish", lambda *_: len(begun) == {step})
""",
    "alerts are appended, nothing else published": """
class Folders(dict):
    def values(self):
        if len(begun) == {step}:
            stop()
        return super().values()

pipeline.ledger.FOLDERS = Folders(pipeline.ledger.FOLDERS)
""",
    "all is published but the ledger": """
before(pipeline.ledger.Path, "replace",
       lambda self, target: len(begun) == {step} and self.name == "ledger.json")
""",
    "results are there, the state is not yet handed over": """
before(pipeline.run, "finish", lambda *_: True)
""",
    "a file of the state is there, its manifest is not": """
original = pipeline.snapshot.move_whole
def move(source, target):
    original(source, target)
    if "{state}" in str(target):
        stop()
pipeline.snapshot.move_whole = move
""",
    "all is handed over, what was needed for it is still there": """
before(pipeline.ledger.Ledger, "close", lambda *_: True)
""",
}


def stopped(
    scratch: Path,
    point: str,
    *arguments: object,
    step: int = 2,
    signal: str = "SIGKILL",
    now: int = END + 1800,
    state: str = "/",
) -> subprocess.CompletedProcess[str]:
    """A process `python -m pipeline run …` that gets a signal at a point of its n-th step."""
    text = _HEAD.format(now=now * 1000, signal=signal)
    return process(scratch, text + POINTS[point].format(step=step, state=state), "run", *arguments)


def process(scratch: Path, custom: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m pipeline …` with some code run before anything else."""
    scratch.mkdir(exist_ok=True)
    (scratch / "sitecustomize.py").write_text(custom, "utf-8")
    argv = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": f"{scratch}{os.pathsep}{ROOT}"}
    return subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


# What is compared


def told(done: Done) -> Record:
    """run.json without what may differ: times of the wall clock and the folder's own name."""
    document = json.loads(json.dumps(done.run))
    del document["started"], document["metrics"]["seconds"]
    if document["configuration"]["incremental"]:  # of several runs what the last one skipped
        del document["accounting"]["objects"]["skipped"], document["accounting"]["skipped"]
    del document["configuration"]["output"], document["configuration"]["snapshot_out"]
    return document


def equal(one: Done, other: Done, key: Callable[[Any], Any] = repr) -> None:
    """Two runs that found the same: alerts byte for byte, records as sets, and the account."""
    alerts = [(each.output / "alerts.ndjson").read_bytes() for each in (one, other)]
    assert alerts[0] == alerts[1]
    for folder in ("anomalies", "late", "dead_letters"):
        found = [sorted(read_avro(each.output / folder), key=key) for each in (one, other)]
        assert found[0] == found[1], folder
    assert one.run["accounting"]["closes"] is other.run["accounting"]["closes"] is True
    assert told(one) == told(other)


def states(folder: Path) -> list[tuple[str, bytes, bytes]]:
    """(step, key, state) of a snapshot."""
    return sorted(
        (step.name, one["key"], one["state"])
        for step in folder.iterdir()
        if step.is_dir()
        for one in read_avro(step)
    )


def leftovers(output: Path) -> list[str]:
    """What a finished folder must not hold."""
    return [
        path.name
        for path in output.rglob("*")
        if path.name in (".work", ".lock", ".closed", "snapshot") or ".unfinished" in path.name
    ]
