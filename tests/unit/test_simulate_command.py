"""`raretrail simulate`: what it says, and how it refuses and breaks off."""

from __future__ import annotations

import argparse
import errno
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.simulate import command, delivery

FEW = ["--events", "1500", "--days", "3", "--people", "4", "--machines", "5", "--accounts", "2"]


def simulate(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(each) for each in arguments]))


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


@pytest.mark.parametrize("thing", ["full directory", "file", "no people"])
def test_wrong_use_is_one_line_and_status_2(
    thing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").write_text("mine")
    flags, words = {
        "full directory": ([tmp_path / "full"], f"DIR is {tmp_path}/full, which is not empty"),
        "file": ([tmp_path / "full" / "thing"], "which is a file"),
        "no people": ([tmp_path / "sim", "--people", "0"], "people is 0: it must be at least 1"),
    }[thing]
    assert simulate(*flags) == 2
    said = capsys.readouterr()
    assert words in said.err
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
    assert said.startswith("raretrail simulate: /proc/nowhere")
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
        with pytest.raises(KeyboardInterrupt):
            simulate(tmp_path / "sim", *FEW)
    left = [each for each in (tmp_path / "sim" / "logs").rglob("*") if each.is_file()]
    assert len(left) == 39
    for each in left:
        assert each.name.endswith(".json.gz")
        assert json.loads(gzip.decompress(each.read_bytes()))["Records"]
