"""`raretrail simulate DIR`: flags, progress, and what was written in words."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from datetime import date
from pathlib import Path
from typing import Final

from pipeline.errors import UsageError
from pipeline.progress import StatusLine
from pipeline.simulate.simulation import simulate
from pipeline.simulate.spec import COUNTS, COVERS, Simulation, SimulationSummary

_STEPS: Final = 4
"""Lines of progress where the output is no terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `raretrail simulate`."""
    default = Simulation()
    parser.description = (
        "Write the CloudTrail logs of an invented organisation, in AWS's own layout, with attacks "
        "on it in the second half, their labels and a small city database."
    )
    parser.epilog = "exit status: 0 done; 1 could not be written; 2 refused; 130 ended by Ctrl-C"
    parser.add_argument("directory", metavar="DIR", type=Path, help="new or empty directory")
    numbers = (
        ("seed", "the same seed gives the same bytes"),
        ("accounts", "AWS accounts"),
        ("people", "people with a name"),
        ("machines", "roles of programs"),
        ("events", "distinct events, within 5 %%"),
        ("days", "days"),
        ("records_per_object", "mean size of an object; above 20 records wait longer than in AWS"),
        ("rounds", "how often each attack story is laid"),
    )
    for name, words in numbers:
        value = getattr(default, name)
        parser.add_argument(
            f"--{name}", type=int, default=value, metavar="N", help=f"{words} (default {value})"
        )
    parser.add_argument(
        "--start",
        type=_date,
        default=default.start,
        metavar="YYYY-MM-DD",
        help=f"the first day (default {default.start})",
    )
    parser.add_argument(
        "--cover",
        choices=COVERS,
        default=default.cover,
        help=f"how intruders hide (default {default.cover})",
    )
    parser.add_argument("--no_attacks", action="store_true", help="the same lives, undisturbed")


def run(args: argparse.Namespace) -> int:
    """Simulate; the exit status: 0 well, 1 could not be written. Raises UsageError."""
    directory: Path = args.directory
    try:
        spec = _specification(args)
        _check_directory(directory)
    except OSError as error:
        raise UsageError(_unwritable(error, directory)) from None
    try:
        with Progress() as progress:
            summary = simulate(spec, directory, progress.show)
    except OSError as error:
        print(f"raretrail: {_unwritable(error, directory)}", file=sys.stderr)
        return 1
    print(describe(spec, summary))
    return 0


def describe(spec: Simulation, summary: SimulationSummary) -> str:
    """What was written and where, and what to type next."""
    directory = shlex.quote(str(summary.directory))
    attacks = "no attacks"
    if summary.attacks:
        attacks = (
            f"{summary.attacks} attacks ({summary.techniques} techniques, {summary.attack_calls} "
            f"calls) in the second half"
        )
    size = f"{summary.records:,} records in {summary.objects:,} objects of two trails"
    return f"""\
Simulated {spec.days} days from {spec.start}: {len(summary.accounts)} accounts, \
{summary.people} people, {summary.machines} machine roles;
{summary.events:,} events, {attacks}.
  {directory}/logs         {size} ({summary.bytes / 1e6:.0f} MB)
  {directory}/labels.csv   every call of an intruder
  {directory}/attacks.csv  every attack
  {directory}/city.mmdb    where the addresses are
Next: raretrail run {directory}/logs --geoip_database {directory}/city.mmdb --output OUT"""


class Progress:
    """The finished share on stderr: one rewritten line on a terminal, else a few lines."""

    def __init__(self) -> None:
        self._status = StatusLine()
        self._began = time.monotonic()
        self._shown = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._status.clear()

    def show(self, share: float) -> None:
        """Tell how far the simulation is, from 0 to 1."""
        step = int(share * (100 if self._status.terminal else _STEPS))
        if step <= self._shown:
            return
        self._shown = step
        elapsed = time.monotonic() - self._began
        left = elapsed / share - elapsed
        self._status.show(f"simulating: {share:.0%}, about {left:.0f} s left")


def _specification(args: argparse.Namespace) -> Simulation:
    names = ("seed", *COUNTS, "start", "cover")
    values = {name: getattr(args, name) for name in names}
    try:
        return Simulation(**values, attacks=not args.no_attacks)
    except ValueError as error:
        raise UsageError(f"--{error}") from None


def _check_directory(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"DIR {directory}: is a file; name a new or empty directory")
    if directory.is_dir() and any(directory.iterdir()):
        raise UsageError(f"DIR {directory}: is not empty; name a new or empty directory")


def _unwritable(error: OSError, directory: Path) -> str:
    place = error.filename or directory
    return f"DIR {place}: cannot be written: {error.strerror}; name a directory that can, with room"


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("not a date, such as 2026-03-02") from None
