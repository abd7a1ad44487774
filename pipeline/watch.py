"""`raretrail watch INPUT… --output OUT`: an incremental run every 15 minutes, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.errors import UsageError
from pipeline.files import read_json
from pipeline.options import parse_run
from pipeline.run import run_settings
from pipeline.sinks import ALERTS
from schemas.event import SLICE_MS
from schemas.words import printable

_PERIOD_S: Final = SLICE_MS / 1000


def watch(
    argv: Sequence[str],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """The whole command: ends by Ctrl-C, or with the status of a run that failed.

    A round begins when it is started and at each quarter of an hour, when the firing of the
    quarter before is due.
    """
    if "--incremental" in argv:
        raise UsageError("--incremental: watch is that already; leave it out")
    settings = parse_run([*argv, "--incremental"], "raretrail watch")
    told = _Told(settings.output)
    while True:
        status = run_settings(settings, told, round(clock() * 1000))
        if status:
            return status
        now = clock()
        sleep(_PERIOD_S - now % _PERIOD_S)


class _Told:
    """Tells what each round found: one line, and the alerts that are new."""

    def __init__(self, output: Path) -> None:
        alerts, run = output / ALERTS, output / "run.json"
        self._size = alerts.stat().st_size if alerts.exists() else 0
        self._records = read_json(run)["accounting"]["records"]["read"] if run.exists() else 0

    def __call__(self, output: Path) -> int:
        run = read_json(output / "run.json")
        records, metrics = run["accounting"]["records"]["read"], run["metrics"]
        new = list(self._new(output / ALERTS))
        more = f"{records - self._records:,} records, {len(new):,} alerts"
        print(f"judged up to {metrics['horizon']}: {more}", flush=True)
        self._records = records
        for alert in new:
            score = alert["raretrail"]["score"]
            print(f"  {score:>5.1f}  {printable(alert['kibana.alert.reason'])}", flush=True)
        return 0 if run["accounting"]["closes"] else 1

    def _new(self, path: Path) -> list[dict[str, Any]]:
        with path.open("rb") as file:
            file.seek(self._size)
            new = [msgspec.json.decode(line) for line in file]
            self._size = file.tell()
        return new
