"""State is taken out and put back whole, or refused with the reason."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hamlet import DAY, ROOT, RULE, SLICES, between, calls, deliver, process, rules, run, states
from town import Done, contents, write_cities

from pipeline import chain, snapshot
from pipeline.job import Job
from pipeline.lock import Lock
from pipeline.snapshot import publish

TIMES = ["2026-03-03T12:00:00Z", "2026-03-04T12:00:00Z"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hamlet's logs and a snapshot of its first day and a half."""
    folder = tmp_path_factory.mktemp("hamlet")
    deliver(folder / "logs", between(0, SLICES))
    write_cities(folder / "city.mmdb")
    done = taken(folder / "first", folder, folder / "state", TIMES[0])
    assert done.status == 0, done.err
    return folder


@pytest.fixture(scope="module")
def whole(place: Path) -> Done:
    """The single run up to the second time."""
    return taken(place / "whole", place, place / "whole state", TIMES[1])


def taken(output: Path, place: Path, state: Path, until: str, *more: object) -> Done:
    """A run that leaves its state."""
    common = [place / "logs", *rules(place), "--until", until, "--snapshot_out", state]
    return run(output, *common, *more)


def going_on(output: Path, place: Path, *more: object) -> Done:
    """A run that begins with a state and reads the rest."""
    return run(output, place / "logs", *rules(place), *more)


def copied(place: Path, tmp_path: Path) -> Path:
    """A snapshot of one's own to spoil."""
    shutil.copytree(place / "state", tmp_path / "state")
    return tmp_path / "state"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refusal(done: Done) -> str:
    """The line that a run was refused with."""
    assert done.status == 2, done.out + done.err
    assert done.out == ""
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("raretrail: ")
    assert not done.output.exists()
    return done.err


def test_two_runs_joined_by_a_snapshot_are_one(place: Path, whole: Done, tmp_path: Path) -> None:
    """Each reads what the other does not; what the first read beyond its horizon stays pending."""
    parts = joined(place, tmp_path, tmp_path / "middle", tmp_path / "next")
    alerts = [(done.output / "alerts.ndjson").read_bytes() for done in parts]
    assert all(alerts)
    assert b"".join(alerts) == (whole.output / "alerts.ndjson").read_bytes()
    assert all(done.run["accounting"]["closes"] for done in parts)
    assert parts[1].run["metrics"]["horizon"] == "2026-03-04T12:00:00.000Z"
    assert states(tmp_path / "next") == states(place / "whole state")


def joined(place: Path, tmp_path: Path, middle: Path, state: Path) -> list[Done]:
    """Two runs, one from the state that the other left."""
    done = []
    for number, (first, end) in enumerate(((0, DAY + 70), (DAY + 70, SLICES))):
        logs = deliver(place / "logs", between(first, end))
        given = [*logs, *rules(place), "--until", TIMES[number]]
        given += ["--snapshot_in", middle] if number else []
        given += ["--snapshot_out", state if number else middle]
        done.append(run(tmp_path / f"out {number}", *given))
        assert (done[-1].status, done[-1].err) == (0, "")
    return done


def test_in_and_out_may_be_the_same_folder(place: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    joined(place, tmp_path, state, state)
    after = everything(state)
    listed = {one["name"] for one in json.loads(after["manifest.json"])["files"]}
    assert set(after) == listed | {"manifest.json"}
    assert states(state) == states(place / "whole state")


@pytest.mark.parametrize("stop", [".avro", "manifest.json"])
def test_a_snapshot_stays_whole_while_one_with_the_same_content_replaces_it(
    place: Path, tmp_path: Path, stop: str
) -> None:
    """Its files have the same names, which tell what they hold. On another disk they are copied."""
    state = copied(place, tmp_path)
    custom = f"""
import errno, os
replace = os.replace
def replacing(source, target):
    if str(target).startswith({str(state)!r}):
        if not str(source).startswith(str(target)):  # not its own unfinished file
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        if str(target).endswith({stop!r}):
            raise OSError(28, "No space left on device", "somewhere")
    return replace(source, target)
os.replace = replacing
"""
    command = [place / "logs", *rules(place), "--until", TIMES[0], "--snapshot_out", state]
    ended = process(tmp_path / "child", custom, "run", *command, "--output", tmp_path / "out")
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    done = going_on(tmp_path / "rest", place, "--snapshot_in", state)
    assert done.status == 0, done.err


@pytest.mark.parametrize("what", ["write_whole", "_Avro.write", "move"])
def test_a_full_disk_leaves_the_earlier_snapshot(place: Path, tmp_path: Path, what: str) -> None:
    state = copied(place, tmp_path)
    before = everything(state)
    owner = {"write_whole": "pipeline.files.os", "_Avro.write": "pipeline.sinks._Avro"}
    name = {"write_whole": "fsync", "_Avro.write": "write", "move": "move_whole"}[what]
    custom = f"""
import pipeline.files, pipeline.run, pipeline.sinks, pipeline.snapshot
def full(*_, **__):
    raise OSError(28, "No space left on device", "somewhere")
{owner.get(what, "pipeline.snapshot")}.{name} = full
"""
    command = [place / "logs", *rules(place), "--until", TIMES[1], "--snapshot_in", state]
    command += ["--snapshot_out", state, "--output", tmp_path / "out"]
    ended = process(tmp_path / "child", custom, "run", *command)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    told = [line for line in ended.stderr.splitlines() if line.startswith("raretrail: ")]
    assert len(told) == 1
    assert "No space left on device" in told[0]
    assert everything(state) == before


# What is refused


def change(name: str, value: object) -> Callable[[Path], None]:
    """Changes a value of the manifest, told as a.b.c."""

    def spoil(state: Path) -> None:
        path = state / "manifest.json"
        document = json.loads(path.read_bytes())
        *above, last = name.split(".")
        inner: Any = document
        for part in above:
            inner = inner[part]
        inner[last] = value
        path.write_text(json.dumps(document))

    return spoil


def first_file(state: Path) -> Path:
    return sorted(state.glob("score/*.avro"))[0]


def truncate(state: Path) -> None:
    path = first_file(state)
    path.write_bytes(path.read_bytes()[:-7])


def flip(state: Path) -> None:
    path = first_file(state)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


USER = "command-by-user"
SPOILT: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "missing": (shutil.rmtree, ["no such folder", "--snapshot_out"]),
    "no manifest": (lambda s: (s / "manifest.json").unlink(), ["no snapshot", "manifest.json"]),
    "half a manifest": (
        lambda s: (s / "manifest.json").write_bytes((s / "manifest.json").read_bytes()[:200]),
        ["manifest.json cannot be read", "make it anew"],
    ),
    "no JSON object": (
        lambda s: (s / "manifest.json").write_text("[]"),
        ["format None", "reads 0"],
    ),
    "missing file": (lambda s: first_file(s).unlink(), ["score/", "No such file"]),
    "truncated": (truncate, ["score/", "is damaged (has", "bytes)", "make it anew"]),
    "changed": (flip, ["score/", "is damaged (changed)"]),
    "format": (change("format", 9), ["format 9", "reads 0", "make it anew"]),
    "schema": (change("schemas.score", "00"), ["its step score is of another version"]),
    "no horizon": (change("horizon", "yesterday"), ["manifest.json", "make it anew"]),
    "identity": (
        change(f"detectors.{USER}.identity", "session"),
        [USER, "identity 'session', not 'role'"],
    ),
    "scorer": (change(f"detectors.{USER}.scorer", "elastic"), ["scorer 'elastic', not 'window'"]),
    "scope": (change(f"detectors.{USER}.scope", "account"), ["scope 'account'"]),
    "fields": (
        change(f"detectors.{USER}.partition_fields", ["user.name"]),
        ["partition_fields ['user.name'], not ['cloud.account.id', 'user.name']"],
    ),
    "constants": (
        change(f"detectors.{USER}.ageing", 0.001),
        ["detector command-by-user has ageing 0.001, not 0.00025"],
    ),
    "bounds": (change(f"detectors.{USER}.most_values", 9), ["most_values 9, not 2000"]),
    "database": (
        change(f"detectors.{USER}.city_database", "Other-City"),
        ["city_database 'Other-City', not None"],
    ),
    "more detectors": (
        change("detectors.another", {"city_database": "Test-City"}),
        ["the detector another", "does not have", "--geoip_database", "would be lost"],
    ),
}


@pytest.mark.parametrize("name", list(SPOILT))
def test_a_snapshot_that_is_refused(place: Path, tmp_path: Path, name: str) -> None:
    state = copied(place, tmp_path)
    spoil, told = SPOILT[name]
    spoil(state)
    before = contents(tmp_path)
    line = refusal(going_on(tmp_path / "out", place, "--snapshot_in", state))
    assert f"--snapshot_in {state}: " in line
    assert all(part in line for part in told), line
    assert contents(tmp_path) == before


def test_identity_and_scorer_of_the_command_are_compared(place: Path, tmp_path: Path) -> None:
    given = ["--snapshot_in", place / "state"]
    line = refusal(going_on(tmp_path / "out", place, *given, "--identity", "session"))
    assert "identity 'role', not 'session'" in line
    line = refusal(going_on(tmp_path / "out", place, *given, "--scorer", "elastic"))
    assert "scorer 'window', not 'elastic'" in line


@pytest.mark.parametrize("until", ["2026-03-03", TIMES[0], "2026-03-03T12:14:59Z"])
def test_a_horizon_that_is_not_before_until(place: Path, tmp_path: Path, until: str) -> None:
    given = ["--snapshot_in", place / "state", "--until", until]
    line = refusal(going_on(tmp_path / "out", place, *given))
    assert "--until: not after the snapshot, whose horizon is 2026-03-03T12:00:00.000Z" in line


def test_to_write_a_snapshot_needs_an_end(place: Path, tmp_path: Path) -> None:
    line = refusal_of_command(place, tmp_path, "--snapshot_out", tmp_path / "state")
    assert "--snapshot_out: needs --until TIME" in line
    assert contents(tmp_path) == []


def refusal_of_command(place: Path, tmp_path: Path, *arguments: object) -> str:
    return refusal(run(tmp_path / "out", place / "logs", *arguments))


# What is no conflict


def test_thresholds_texts_and_caps_may_change(place: Path, tmp_path: Path) -> None:
    text = RULE.replace("threshold: 0", "threshold: 1").replace("max_alerts: 100", "max_alerts: 9")
    text = text.replace("severity: low", "severity: high").replace("version: 1", "version: 2")
    assert text != RULE
    path = tmp_path / "rule.yaml"
    path.write_text(text)
    done = run(tmp_path / "out", place / "logs", "--rules", path, "--snapshot_in", place / "state")
    assert (done.status, done.err) == (0, "")
    assert done.alerts


def test_a_new_detector_starts_cold_and_the_run_says_so(place: Path, tmp_path: Path) -> None:
    both = ["--rules", ROOT / "pipeline" / "rules" / "unusual_city_for_an_aws_command.yaml"]
    more = [*both, "--geoip_database", place / "city.mmdb", "--snapshot_in", place / "state"]
    done = going_on(tmp_path / "out", place, *more)
    assert done.status == 0, done.err
    names = ("command-by-city", "users-of-command-by-city")
    assert done.err.splitlines() == [
        f"The detector {name} is not in the snapshot: it starts without a history."
        for name in names
    ]


def test_another_time_to_forget_is_told_and_once(place: Path, tmp_path: Path) -> None:
    """Less is remembered, or what is left lasts longer: no reason to lose months of state."""
    state = copied(place, tmp_path)
    given = ["--snapshot_in", state, "--snapshot_out", state, "--forget_after", "1d"]
    done = taken(tmp_path / "out", place, state, TIMES[1], *given)
    assert done.status == 0
    assert done.err == (
        "--forget_after: 1d from now on; what the snapshot holds was kept for 180d, and who was "
        "forgotten then stays forgotten.\n"
    )
    assert done.run["accounting"]["closes"]
    again = ["--until", "2026-03-05", "--snapshot_in", state, "--forget_after", "1d"]
    done = going_on(tmp_path / "again", place, *again)
    assert (done.status, done.err) == (0, "")


# Where another run replaces it


def replaced(state: Path, other: Path) -> None:
    """What a run does that writes another snapshot there."""
    shutil.copytree(other, state.parent / "new")
    publish(state.parent / "new", state)


def test_a_snapshot_that_is_replaced_while_a_run_reads_it(
    place: Path, whole: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken as it was when the run began: whatever was there is read to its end."""
    state = copied(place, tmp_path)
    build = Job.build

    def replacing(self: Job, *arguments: Any) -> None:
        replaced(state, place / "whole state")
        build(self, *arguments)

    wanted = going_on(tmp_path / "wanted", place, "--snapshot_in", state)
    monkeypatch.setattr(Job, "build", replacing)
    done = going_on(tmp_path / "out", place, "--snapshot_in", state)
    assert done.status == 0, done.err
    assert alerts_of(done) == alerts_of(wanted) != b""
    assert states(state) == states(place / "whole state")
    assert not list((tmp_path / "out").rglob("begin"))


def test_a_snapshot_that_is_replaced_before_it_is_taken(
    place: Path, whole: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are gone, and what was planned does not fit the new one."""
    state, begin = copied(place, tmp_path), chain.Chain.run

    def replacing(self: chain.Chain, journal: Path) -> None:
        replaced(state, place / "whole state")
        begin(self, journal)

    monkeypatch.setattr(chain.Chain, "run", replacing)
    line = refusal(going_on(tmp_path / "out", place, "--snapshot_in", state))
    assert f"--snapshot_in {state}: another run has replaced it" in line
    assert "start again" in line


def test_a_snapshot_that_is_replaced_while_it_is_checked(
    place: Path, whole: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, digest, other = copied(place, tmp_path), snapshot.file_digest, [place / "whole state"]

    def replacing(*arguments: Any) -> Any:
        while other:
            replaced(state, other.pop())
        return digest(*arguments)

    monkeypatch.setattr(snapshot, "file_digest", replacing)
    manifest = snapshot.open_snapshot(state, "--snapshot_in")
    assert manifest.horizon == "2026-03-04T12:00:00.000Z"


def alerts_of(done: Done) -> bytes:
    return (done.output / "alerts.ndjson").read_bytes()


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EPERM])
def test_a_snapshot_on_another_disk_is_copied(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    wanted = going_on(tmp_path / "wanted", place, "--snapshot_in", place / "state")
    monkeypatch.setattr(os, "link", refuse)
    done = going_on(tmp_path / "out", place, "--snapshot_in", place / "state")
    assert done.status == 0, done.err
    assert alerts_of(done) == alerts_of(wanted)


# Where it is not written


def test_a_folder_that_is_no_snapshot_is_not_touched(place: Path, tmp_path: Path) -> None:
    state = tmp_path / "photos"
    (state / "score").mkdir(parents=True)
    (state / "score" / "holiday.jpg").write_text("mine")
    before = everything(tmp_path)
    line = refusal(taken(tmp_path / "out", place, state, TIMES[0]))
    assert f"--snapshot_out {state}: is not empty and no snapshot" in line
    assert everything(tmp_path) == before


@pytest.mark.parametrize("manifest", ['{"name": "web app", "icons": []}', "no JSON", "[]"])
def test_a_manifest_of_something_else_makes_no_snapshot(
    place: Path, tmp_path: Path, manifest: str
) -> None:
    state = tmp_path / "app"
    (state / "icons").mkdir(parents=True)
    (state / "icons" / "16.png").write_text("mine")
    (state / "manifest.json").write_text(manifest)
    before = everything(tmp_path)
    line = refusal(taken(tmp_path / "out", place, state, TIMES[0]))
    assert f"--snapshot_out {state}: is not empty and no snapshot" in line
    assert everything(tmp_path) == before


def test_files_beside_a_snapshot_stay(place: Path, tmp_path: Path) -> None:
    state = copied(place, tmp_path)
    (state / "notes").mkdir()
    (state / "notes" / "why.txt").write_text("mine")
    done = taken(tmp_path / "out", place, state, TIMES[1], "--snapshot_in", state)
    assert done.status == 0, done.err
    assert (state / "notes" / "why.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "where",
    [
        "a file",
        "below a file",
        pytest.param("OUT"),
        pytest.param("OUT/snapshot"),
    ],
)
def test_a_place_where_no_snapshot_can_be(place: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("mine")
    output = tmp_path / "out"
    state = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "state",
        "OUT": output,
        "OUT/snapshot": output / "snapshot",
    }[where]
    line = refusal(taken(output, place, state, TIMES[0]))
    assert f"--snapshot_out {state}: " in line
    assert "in use" not in line
    assert everything(tmp_path) == {"file": b"mine"}


def test_a_run_that_is_refused_or_fails_leaves_no_folder_for_a_snapshot(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--snapshot_in", tmp_path / "gone"]
    refusal(taken(tmp_path / "out", place, tmp_path / "state", TIMES[0], *given))
    assert contents(tmp_path) == []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr("pipeline.sinks._Avro.write", full)
    assert taken(tmp_path / "out", place, tmp_path / "state", TIMES[0]).status == 1
    assert contents(tmp_path) == []


def test_two_runs_cannot_write_one_at_the_same_time(place: Path, tmp_path: Path) -> None:
    for state in (copied(place, tmp_path), tmp_path / "new"):
        state.mkdir(exist_ok=True)
        with Lock(state, "--snapshot_out"):
            before = everything(state)
            line = refusal(taken(tmp_path / "out", place, state, TIMES[1]))
            assert f"--snapshot_out {state}: in use by process " in line
            assert everything(state) == before


def test_the_logs_reach_beyond_both_times() -> None:
    """Else the horizons would not be what ends these runs."""
    assert max(one.slice for one in calls()) > 2.5 * DAY


# A snapshot that is there already


def test_a_newer_snapshot_replaces_an_older_one_and_says_so(place: Path, tmp_path: Path) -> None:
    state = copied(place, tmp_path)
    done = taken(tmp_path / "out", place, state, TIMES[1])
    assert done.status == 0
    assert done.err == (
        f"--snapshot_out {state}: its snapshot up to 2026-03-03 12:00 UTC is replaced by one up to "
        "2026-03-04 12:00 UTC.\n"
    )
    assert json.loads((state / "manifest.json").read_text())["horizon"].startswith("2026-03-04T12")


def test_an_older_snapshot_does_not_replace_a_newer_one(place: Path, tmp_path: Path) -> None:
    state = copied(place, tmp_path)
    before = everything(state)
    told = refusal(taken(tmp_path / "out", place, state, "2026-03-03T11:00:00Z"))
    assert f"--snapshot_out {state}: holds a snapshot up to 2026-03-03 12:00 UTC" in told
    assert "newer than one up to 2026-03-03 11:00 UTC" in told
    assert everything(state) == before
