"""`raretrail simulate`: what it says, and how it refuses and breaks off."""

from __future__ import annotations

import errno
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.simulate import delivery

FEW = ["--events", "1500", "--days", "3", "--people", "4", "--machines", "5", "--accounts", "2"]


def simulate(*arguments: object) -> int:
    return main(["simulate", *map(str, arguments)])


def test_it_says_what_was_written_and_what_to_type_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(tmp_path / "sim", *FEW) == 0
    said = capsys.readouterr()
    place = tmp_path / "sim"
    assert said.out.splitlines()[-1] == (
        f"Next: raretrail run {place}/logs --geoip_database {place}/city.mmdb --output OUT"
    )
    assert "2 accounts, 4 people, 5 machine roles" in said.out
    assert {each.name for each in place.iterdir()} == {
        "attacks.csv",
        "city.mmdb",
        "labels.csv",
        "logs",
    }
    assert 2 <= len(said.err.splitlines()) <= 5
    assert "\r" not in said.err


def test_a_terminal_shows_one_line_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert simulate(tmp_path / "sim", *FEW) == 0
    shown = capsys.readouterr().err
    assert shown.count("\r\x1b[K") > 3
    assert "\n" not in shown
    assert shown.endswith("\r\x1b[K")


def test_no_attacks_leaves_the_labels_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(tmp_path / "sim", *FEW, "--no_attacks") == 0
    assert "no attacks" in capsys.readouterr().out
    assert len((tmp_path / "sim" / "labels.csv").read_text().splitlines()) == 1


REFUSED = {
    "a full directory": (["full"], "DIR full: is not empty; name a new or empty directory"),
    "a file": (["full/thing"], "DIR full/thing: is a file; name a new or empty directory"),
    "no people": (["sim", "--people", "0"], "--people 0: must be at least 1"),
    "no seed": (["sim", "--seed=-1"], "--seed -1: must be at least 0"),
    "no number": (["sim", "--days", "many"], "--days many: not a whole number; see"),
    "no date": (
        ["sim", "--start", "monday"],
        "--start monday: not a date, such as 2026-03-02",
    ),
    "no value": (["sim", "--days"], "--days: a value is missing; see raretrail simulate --help"),
    "no cover": (
        ["sim", "--cover", "camoflaged"],
        "--cover camoflaged: no such value (did you mean camouflaged?); choose mixed, alone, busy, "
        "camouflaged or slow",
    ),
    "no flag": (["sim", "--evnts", "5"], "--evnts: no such option (did you mean --events?)"),
    "no directory": ([], "DIR: not given; see raretrail simulate --help"),
    "two directories": (["sim", "sam"], "sam: one argument too many; see"),
}


@pytest.mark.parametrize("thing", REFUSED)
def test_wrong_use_is_one_line_and_status_2(
    thing: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").write_text("mine")
    flags, words = REFUSED[thing]
    assert simulate(*flags) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"raretrail: {words}")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert [each.name for each in tmp_path.iterdir()] == ["full"]


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    assert simulate(tmp_path, *FEW) == 0
    assert (tmp_path / "logs").is_dir()


def test_a_place_that_cannot_be_written_is_one_line_and_status_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert simulate("/proc/nowhere/sim", *FEW) == 1
    said = capsys.readouterr().err
    assert said.startswith("raretrail: DIR /proc/nowhere")
    assert said.count("\n") == 1


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_what_breaks_off_leaves_no_half_object(
    error: BaseException,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, written = delivery.write_whole, list[Path]()

    def breaking(data: bytes) -> Iterator[bytes]:
        yield data[: len(data) // 2]
        raise error

    def fail_later(path: Path, parts: tuple[bytes], *, durable: bool) -> None:
        written.append(path)
        whole = len(written) < 40
        write(path, parts if whole else breaking(*parts), durable=durable)

    monkeypatch.setattr(delivery, "write_whole", fail_later)
    if isinstance(error, OSError):
        assert simulate(tmp_path / "sim", *FEW) == 1
        assert "No space left" in capsys.readouterr().err.splitlines()[-1]
    else:
        assert simulate(tmp_path / "sim", *FEW) == 130
    left = [each for each in (tmp_path / "sim" / "logs").rglob("*") if each.is_file()]
    assert len(left) == 39
    for each in left:
        assert each.name.endswith(".json.gz")
        assert json.loads(gzip.decompress(each.read_bytes()))["Records"]
