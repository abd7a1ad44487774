"""Runs that do not begin, that fail and that are interrupted: one line, and nothing left behind."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import maxminddb
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from town import Call, Done, Town, calls, contents, raretrail_run

import pipeline.chain
import pipeline.files
import pipeline.ledger
import pipeline.run
import pipeline.sinks
import transforms.describe
import transforms.locate
from pipeline.cli import main
from pipeline.files import UNFINISHED, write_json, write_whole

ROOT = Path(__file__).parents[2]
CALLS = calls()[:60]


def write_records(path: Path, made: list[Call]) -> None:
    path.write_bytes(b"".join(json.dumps(call.record).encode() + b"\n" for call in made))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sound log."""
    path = tmp_path_factory.mktemp("log") / "log.ndjson"
    write_records(path, CALLS)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which the test works."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_line(done: Done, status: int) -> str:
    """What a command that ended so told; fails if that is not one line for people."""
    assert done.status == status
    assert done.out == ""
    told = [line for line in done.err.splitlines() if "No city database" not in line]
    assert len(told) == 1, done.err
    assert told[0].startswith("raretrail: ")
    assert "Traceback" not in done.err
    return told[0]


# Runs that do not begin: exit status 2


RULE = (ROOT / "pipeline" / "rules" / "unusual_aws_command_for_a_user.yaml").read_text("utf-8")
CITY_RULE = (ROOT / "pipeline" / "rules" / "unusual_city_for_an_aws_command.yaml").read_text()


def other_database(path: Path, entry: dict[str, Any], kind: str) -> None:
    writer = MMDBWriter(database_type=kind)
    writer.insert_network(IPSet(["81.2.69.0/24"]), entry)
    writer.to_db_file(str(path))


def prepare_things(folder: Path) -> None:
    """Things that can be named wrongly."""
    (folder / "garbage.mmdb").write_bytes(b"no database")
    other_database(folder / "asn.mmdb", {"autonomous_system_number": 64496}, "Test-ASN")
    (folder / "broken.yaml").write_text("uuid: [")
    (folder / "wrong.yaml").write_text(RULE.replace("threshold: 75", "threshold: 175"))
    (folder / "unknown.yaml").write_text(RULE.replace("threshold: 75", "treshold: 75"))
    (folder / "city.yaml").write_text(CITY_RULE)
    (folder / "no_rules").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "something").touch()
    (folder / "finished").mkdir()
    (folder / "finished" / "run.json").touch()
    (folder / "file").touch()
    (folder / "empty").mkdir()
    (folder / "in" / "er").mkdir(parents=True)
    (folder / "in" / "er" / "log.json").touch()
    (folder / "link").symlink_to("in")


# arguments beside the log and --output out; what the line names: thing, value, fix
REFUSALS: dict[str, tuple[list[str], list[str]]] = {
    "wrong flag": (["--geoip_databse", "x"], ["--geoip_databse", "did you mean --geoip_database"]),
    "wrong flag of Beam": (["--runer=x"], ["--runer", "did you mean --runner"]),
    "no time": (["--from", "yesterday"], ["--from yesterday", "2026-03-02"]),
    "no span": (["--from", "2026-03-02", "--until", "2026-03-01"], ["--until 2026-03-01"]),
    "unknown scorer": (["--scorer", "elastik"], ["--scorer elastik", "did you mean elastic"]),
    "unknown identity": (["--identity", "arn"], ["--identity arn", "issuer"]),
    "unknown runner": (["--runner", "FnApiRuner"], ["FnApiRuner", "did you mean FnApiRunner"]),
    "no class": (["--runner", "no.such.Runner"], ["--runner no.such.Runner", "no such runner"]),
    "missing input": (["gone.json"], ["input gone.json", "no such file"]),
    "glob": (["gone*.json"], ["input gone*.json", "no file matches"]),
    "remote": (["s3://bucket/logs"], ["s3://bucket/logs", "only local files"]),
    "missing database": (["--geoip_database", "gone.mmdb"], ["gone.mmdb", "no such file"]),
    "no database": (["--geoip_database", "garbage.mmdb"], ["garbage.mmdb", "GeoLite2"]),
    "folder as database": (["--geoip_database", "empty"], ["empty", "GeoLite2"]),
    "ASN database": (["--geoip_database", "asn.mmdb"], ["asn.mmdb", "names no city", "GeoLite2"]),
    "missing rules": (["--rules", "gone.yaml"], ["gone.yaml", "no such file"]),
    "folder without rules": (["--rules", "no_rules"], ["no_rules", "no rule file"]),
    "broken rule": (["--rules", "broken.yaml"], ["broken.yaml:1", "YAML"]),
    "wrong rule": (["--rules", "wrong.yaml"], ["wrong.yaml:", "threshold", "175", "0 to 100"]),
    "unknown key": (["--rules", "unknown.yaml"], ["unknown.yaml:", "treshold", "threshold"]),
    "rule twice": (["--rules", "city.yaml", "--rules", "city.yaml"], ["city.yaml", "is taken by"]),
    "cities only": (["--rules", "city.yaml"], ["--geoip_database", "every rule needs one"]),
    "missing options": (["--config", "gone.yaml"], ["--config gone.yaml", "cannot be read"]),
    "existing output": (["--output", "full"], ["--output", "full", "is not empty", "new folder"]),
    "existing run": (["--output", "finished"], ["finished", "results of a run", "remove it"]),
    "file as output": (["--output", "file"], ["--output", "file", "is a file", "new folder"]),
    "output in an input": (["in", "--output", "in/out"], ["--output", "in/out", "input in,"]),
    "output is an input": (["in", "--output", "in"], ["--output", "the input in,"]),
    "input in output": (["in/er", "--output", "in"], ["--output", "holds the input in/er"]),
    "output under a link": (["in", "--output", "link/out"], ["link/out", "the input in,"]),
    "output of a pattern": (["in/*", "--output", "in/out"], ["in/out", "match the input in/*"]),
    "output of any pattern": (["in/**/*.json", "--output", "in/out"], ["match the input in/**"]),
    "output below a file": (["--output", "file/out"], ["--output", "file/out", "cannot be"]),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_wrong_is_told_before_anything_is_made(here: Path, log: Path, name: str) -> None:
    prepare_things(here)
    before = contents(here)
    arguments, told = REFUSALS[name]
    output = ["--output", "out"] if "--output" not in arguments else []
    done = refused([str(log), *output, *arguments])
    line = one_line(done, 2)
    assert all(part in line for part in told), line
    assert line.isprintable()
    assert contents(here) == before


def refused(arguments: list[str]) -> Done:
    """As raretrail_run, with --output among the arguments."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["run", *arguments])
    return Done(status, out.getvalue(), err.getvalue(), Path("out"))


@pytest.mark.parametrize(
    "name",
    [
        "GeoIP2-City-Test-Broken-Double-Format.mmdb",
        "GeoIP2-City-Test-Invalid-Node-Count.mmdb",
        "GeoLite2-ASN-Test.mmdb",
        "mini-city-2019.csv",
    ],
)
def test_broken_and_other_databases(here: Path, log: Path, shared: Path, name: str) -> None:
    path = shared / "data" / "geoip" / name
    line = one_line(raretrail_run(here / "out", log, "--geoip_database", path), 2)
    assert str(path) in line
    assert contents(here) == []


@pytest.mark.parametrize(
    ("given", "output"),
    [("in", "out"), ("in/*.ndjson", "in/out"), ("*/log.ndjson", "out"), ("in", "inner")],
)
def test_folders_that_lie_apart_are_no_fault(
    here: Path, log: Path, given: str, output: str
) -> None:
    (here / "in").mkdir()
    (here / "in" / "log.ndjson").write_bytes(log.read_bytes())
    assert raretrail_run(Path(output), given).status == 0


def test_a_snapshot_lies_apart_too(here: Path, log: Path) -> None:
    (here / "in").mkdir()
    (here / "in" / "log.ndjson").write_bytes(log.read_bytes())
    flags = ["--until", "2026-03-09", "--snapshot_out", "in/state"]
    line = one_line(raretrail_run(here / "out", "in", *flags), 2)
    assert "--snapshot_out" in line
    assert "lies in the input in," in line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"Records": [{"some": "thing"}]}', "no record of these objects is an event"),
        ("user", "no event has the fields that the rules count by"),
    ],
)
def test_a_run_that_judged_nothing_ends_with_3(here: Path, text: str, told: str) -> None:
    if text == "user":  # a service's call has none
        record = CALLS[0].record | {"userIdentity": {"type": "AWSService", "invokedBy": "x"}}
        text = json.dumps(record)
    (here / "log.json").write_text(text)
    for _ in range(2):  # the second prints the report of the first
        done = raretrail_run(here / "out", "log.json")
        assert done.status == 3
        assert f"NOTHING WAS JUDGED: {told}" in done.out


def test_every_command_tells_its_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "watch", "state", "simulate"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "exit status" in capsys.readouterr().out


def test_nothing_to_read(here: Path) -> None:
    (here / "empty").mkdir()
    line = one_line(raretrail_run(here / "out", here / "empty"), 2)
    assert "empty folders: 1" in line
    assert contents(here) == ["empty"]


def test_an_output_that_cannot_be_written(
    here: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def deny(self: Path, *arguments: Any, **options: Any) -> None:
        if self.name == "out":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", deny)
    line = one_line(raretrail_run(here / "out", log), 2)
    assert f"--output {here / 'out'}: cannot be written: Permission denied" in line


def test_no_command_and_a_wrong_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "raretrail COMMAND" in capsys.readouterr().out
    assert main(["rnu"]) == 2
    err = capsys.readouterr().err
    assert err == "raretrail: command rnu: no such command (did you mean run?)\n"
    for word in ("help", "--help", "-h"):
        assert main([word]) == 0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["run", "gone.json", "--output", "out"], 2),
        (["run", "--geoip-databse", "x"], 2),
        (["run", "{log}", "--output", "out", "--runner", "Nonsense"], 2),
        (["nonsense"], 2),
    ],
)
def test_a_process_that_refuses_ends_with_2_and_one_line(
    here: Path, log: Path, arguments: list[str], status: int
) -> None:
    argv = [sys.executable, "-m", "pipeline", *(each.format(log=log) for each in arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == status
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("raretrail: ")
    assert contents(here) == []


# Runs that fail: files are whole or not there


def full_disk(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/file")


def fault(*_: object, **__: object) -> Any:
    raise RuntimeError("a fault of ours")


def when_writing(kind: Callable[..., Any], name: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Breaks a step of the run."""

    class Failing:
        """An Avro file that cannot be written."""

        write = staticmethod(kind)

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        if name == "flush":
            monkeypatch.setattr(pipeline.files.os, "fsync", kind)
        elif name == "records":
            monkeypatch.setattr(pipeline.sinks, "Writer", lambda *_, **__: Failing())
        elif name == "seal":
            monkeypatch.setattr(pipeline.chain, "write_json", kind)
        elif name == "commit":
            monkeypatch.setattr(pipeline.ledger, "write_json", kind)
        elif name == "describe":
            monkeypatch.setattr(transforms.describe, "alert_document", kind)
        else:
            monkeypatch.setattr(pipeline.sinks, name, kind)

    return patch


STEPS = ["write_whole", "write_json", "flush", "records", "seal", "commit", "describe"]


@pytest.mark.parametrize(
    ("step", "given"),
    [*((step, "new") for step in STEPS), ("records", "empty"), ("write_json", "deep")],
)
def test_a_run_that_fails_leaves_everything_as_it_was(
    town: Town, here: Path, monkeypatch: pytest.MonkeyPatch, step: str, given: str
) -> None:
    output = here / ("deep/er/out" if given == "deep" else "out")
    if given == "empty":
        output.mkdir()
    before = contents(here)
    when_writing(full_disk, step)(monkeypatch)
    done = raretrail_run(output, town.logs, "--geoip_database", town.cities)
    line = one_line(done, 1)
    assert "No space left on device" in line
    assert "nothing was written" in line
    assert contents(here) == before


@pytest.mark.parametrize("step", ["write_json", "records"])
def test_a_fault_of_ours_leaves_nothing_either(
    town: Town, here: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    when_writing(fault, step)(monkeypatch)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        raretrail_run(here / "out", town.logs, "--geoip_database", town.cities)
    assert contents(here) == []


def test_a_database_that_turns_out_to_be_damaged_is_told(
    town: Town, here: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transforms.locate, "_open", maxminddb.open_database)
    path = shared / "data" / "geoip" / "GeoIP2-City-Test-Broken-Double-Format.mmdb"
    line = one_line(raretrail_run(here / "out", town.logs, "--geoip_database", path), 1)
    assert str(path) in line
    assert "damaged" in line
    assert contents(here) == []


def test_accounting_that_does_not_close_ends_with_1(
    log: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.accounting.unclosed", lambda *_: ["one ≠ two"])
    done = raretrail_run(here / "out", log)
    assert done.status == 1
    assert "THE ACCOUNTING DOES NOT CLOSE" in done.out
    assert "one ≠ two" in done.out
    assert done.run["accounting"]["closes"] is False


def breaking(parts: int) -> Iterator[bytes]:
    for _ in range(parts):
        yield b"x" * 100_000
    raise RuntimeError("in the middle")


@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "folder" / "file"
    if before is not None:
        write_whole(path, [before])
    with pytest.raises(RuntimeError):
        write_whole(path, breaking(5))
    assert (path.read_bytes() if path.exists() else None) == before
    assert not list(tmp_path.rglob(f"*{UNFINISHED}"))
    write_whole(path, [b"new", b"er"])
    assert path.read_bytes() == b"newer"
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_bytes() == b"newer"


# Ctrl-C


def test_an_interrupted_run_leaves_nothing(here: Path) -> None:
    """Interrupted when it has told that a part has been read; stderr is a terminal for it."""
    logs = here / "logs"
    logs.mkdir()
    text = b"".join(json.dumps(call.record).encode() + b"\n" for call in CALLS[:30])
    for number in range(8_000):
        (logs / f"{number:05}.json").write_bytes(text)
    ours, its = pty.openpty()
    argv = [sys.executable, "-m", "pipeline", "run", str(logs), "--output", str(here / "out")]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=its)
    os.close(its)
    progress = told_until(ours, b" s left)")
    process.send_signal(signal.SIGINT)
    ending = told_until(ours, None)
    out, _ = process.communicate()
    os.close(ours)
    assert b"of 8,000 objects read (" in progress
    assert process.returncode == 130
    lines = ending.decode().replace("\r", "\n").replace("\x1b[K", "").splitlines()
    assert [line for line in lines if line and "objects read" not in line] == [
        "raretrail: interrupted; nothing was written"
    ]
    assert out == b""
    assert contents(here) == ["logs", *(f"logs/{number:05}.json" for number in range(8_000))]


def told_until(terminal: int, word: bytes | None) -> bytes:
    """What is told on a terminal until a word comes, or to its end."""
    told = b""
    while word is None or word not in told:
        try:
            more = os.read(terminal, 65_536)
        except OSError:  # how a terminal ends on Linux
            more = b""
        if not more:
            break
        told += more
    return told


def test_an_interrupt_before_it_began_leaves_nothing(
    here: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline.run, "find_objects", interrupt)
    assert one_line(raretrail_run(here / "out", log), 130) == "raretrail: interrupted"
    assert contents(here) == []
