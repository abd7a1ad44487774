"""Killed before any change of the disk that a run makes: the same command goes on from there.

The graph is not run here: what it leaves in a step's folder is written by hand.
"""

from __future__ import annotations

import gc
import re
import tempfile
from functools import cache
from pathlib import Path

import pytest
from disk import Lasting, stopped_at, watched
from hamlet import DAY, END, call, deliver, rules

from pipeline.chain import Chain
from pipeline.errors import UsageError
from pipeline.files import write_json
from pipeline.lock import LOCK
from pipeline.options import RunSettings, parse_run
from pipeline.rules import load_rules
from pipeline.run import run_settings
from pipeline.steps import Step

NOW = (END - 20 * 3600) * 1000
MODES: dict[str, list[object]] = {
    "incremental": ["--incremental", "--step", "1d"],
    "steps from state to state": [
        *("--step", "1d", "--until", "2026-03-03T22:00:00Z"),
        *("--snapshot_in", "{place}/state", "--snapshot_out", "{place}/state"),
    ],
}


def write(folder: Path, step: Step, state: list[str]) -> None:
    """What the graph leaves of a step; `state`: what it began with."""
    new = [str(len(state))] if step.names else []  # an incremental run may have nothing to do
    for name in new:
        (folder / "alerts.ndjson").write_text(f"{step.name[-10:]} after {state}\n")
        (folder / "anomalies").mkdir()
        (folder / "anomalies" / f"{name}.avro").write_text(step.name[-10:])
    read = {"objects|read": len(step.names)}
    write_json(folder / "account.json", {"counts": read, "firings": []})
    (folder / "state" / "score").mkdir(parents=True)
    for name in (*state, *new):
        (folder / "state" / "score" / f"{name}.avro").write_text(name)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Steps are written by hand, and everything temporary lies where it is watched."""

    def execute(self: Chain, step: Step, folder: Path, journal: Path) -> None:
        before = self._state_before(folder)
        state = sorted(path.stem for path in before.glob("score/*")) if before else []
        write(folder, step, state)

    monkeypatch.setattr(Chain, "_execute", execute)
    monkeypatch.setattr("pipeline.run.load_rules", cache(load_rules))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    deliver(tmp_path / "logs", [call(day * DAY + 20, "Usual1") for day in range(2)])
    return tmp_path / "logs"


@pytest.fixture
def before(tmp_path: Path, logs: Path) -> Path:
    """A snapshot to begin with."""
    state = tmp_path / "before"
    until = ["--until", "2026-03-02T12:00:00Z", "--snapshot_out", state]
    assert run(asked(tmp_path / "first", logs, *until, *rules(tmp_path))) == "ended with 0"
    return state


def asked(output: Path, *arguments: object) -> RunSettings:
    """A command line."""
    return parse_run([*map(str, arguments), "--output", str(output)])


def run(settings: RunSettings) -> str:
    """A whole run, and how it ended."""
    try:
        return f"ended with {run_settings(settings, lambda _: 0, NOW)}"
    except UsageError as error:
        return str(error)


def contents(folder: Path) -> dict[str, str]:
    """All that there is in a folder, but for what tells when and where."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name == LOCK:  # of the dead, which holds nothing
            continue
        text = path.read_text(errors="replace") if path.is_file() else "folder"
        known = path.name not in ("run.json", "ledger.json", "seen.avro")
        name = re.sub(r"T\d{6}-\d+-", "-", str(path.relative_to(folder)))  # of one run more or less
        found[name] = text if known else "there"
    return found


def copy_of(before: Path, place: Path) -> None:
    """The snapshot at the place where it may be renewed."""
    (place / "state" / "score").mkdir(parents=True)
    for path in (path for path in before.rglob("*") if path.is_file()):
        (place / "state" / path.relative_to(before)).write_bytes(path.read_bytes())


class Place:
    """A folder, and a command whose results lie in it."""

    def __init__(self, folder: Path, mode: str, logs: Path, before: Path) -> None:
        self.folder = folder
        options = [str(each).format(place=folder) for each in MODES[mode]]
        self._asked = asked(folder / "out", logs, *rules(before.parent), *options)
        folder.mkdir()
        copy_of(before, folder)

    def run(self) -> str:
        """The command, once."""
        return run(self._asked)


@pytest.mark.parametrize("mode", MODES)
def test_killed_before_any_change(tmp_path: Path, mode: str, logs: Path, before: Path) -> None:
    sound = Place(tmp_path / "sound", mode, logs, before)
    assert sound.run() == "ended with 0"
    wanted, change = contents(sound.folder), 0
    gc.freeze()  # what there is by now need not be looked at again and again
    while True:
        place = Place(tmp_path / str(change), mode, logs, before)
        if not stopped_at(change, place.run):
            break
        gc.collect()  # the dead hold no locks
        ended = place.run()
        assert ended == "ended with 0" or "holds the results of a run" in ended, change
        assert contents(place.folder) == wanted, change
        change += 1
    gc.unfreeze()
    assert change > 50


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_taken_away_before_what_replaces_it_is_on_the_disk(
    tmp_path: Path, mode: str, logs: Path, before: Path
) -> None:
    """A power cut forgets what was not synced: names in a folder, and what is in a file."""
    place = Place(tmp_path / "place", mode, logs, before)
    lasting = Lasting(place.folder)
    with watched(lasting.before):
        assert place.run() == "ended with 0"
    assert lasting.faults == []
