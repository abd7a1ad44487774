"""How a run's folder grows by steps: a step is part of it whole or not at all, and once."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.errors import UsageError
from pipeline.ledger import RUN, SEEN, SNAPSHOT, WORK, Entry, Ledger

BEGUN = Entry(command={"inputs": ["logs"]}, started="2026-03-02T00:00:00+00:00", now=0)
FIRING = {"firing": "2026-03-02T00:15:00.000Z", "rule": "mine"}


def account(**counts: int) -> dict[str, Any]:
    """What a step counted."""
    return {"counts": counts, "firings": [FIRING]}


def write_step(folder: Path, mark: str, alerts: bytes | None = None) -> None:
    """What a step may leave, other files each time."""
    (folder / "anomalies").mkdir()
    (folder / "anomalies" / f"{mark}.avro").write_text(mark)
    if alerts is not None:
        (folder / "alerts.ndjson").write_bytes(alerts)
    (folder / RUN).write_text(json.dumps({"after": mark}))
    (folder / SEEN).write_text(mark)
    (folder / SNAPSHOT / "score").mkdir(parents=True)
    (folder / SNAPSHOT / "score" / f"{mark}.avro").write_text(mark)
    entry = {"name": f"score/{mark}.avro"}
    (folder / SNAPSHOT / "manifest.json").write_text(json.dumps({"files": [entry]}))


def add(output: Path, mark: str, alerts: bytes | None = None) -> Ledger:
    """One step more, as a process of its own would."""
    ledger = Ledger(output)
    with ledger.step() as folder:
        write_step(folder, mark, alerts)
        before = ledger.entry or BEGUN
        ledger.commit(before.after(mark, f"digest of {mark}", 1, account(records=1), len(mark)))
    return ledger


def contents(output: Path) -> dict[str, bytes]:
    """All files."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file()
    }


def test_it_begins_with_nothing(tmp_path: Path) -> None:
    assert Ledger(tmp_path).entry is None
    assert list(tmp_path.iterdir()) == []


def test_what_steps_leave(tmp_path: Path) -> None:
    add(tmp_path, "one", b"first\n")
    add(tmp_path, "two", b"second\nthird\n")
    ledger = Ledger(tmp_path)
    found = contents(tmp_path)
    entry = found.pop(f"{WORK}/ledger.json")
    assert found == {
        "alerts.ndjson": b"first\nsecond\nthird\n",
        "anomalies/one-one.avro": b"one",
        "anomalies/two-two.avro": b"two",
        "run.json": b'{"after": "two"}',
        f"{WORK}/seen.avro": b"two",
        "snapshot/score/two.avro": b"two",
        "snapshot/manifest.json": b'{"files": [{"name": "score/two.avro"}]}',
    }
    assert (tmp_path / "late").is_dir()
    assert (tmp_path / "dead_letters").is_dir()
    assert ledger.entry == msgspec.json.decode(entry, type=Entry)
    assert ledger.entry == msgspec.structs.replace(
        BEGUN,
        steps={"one": "digest of one", "two": "digest of two"},
        horizon=3,
        done=2,
        alerts_bytes=19,
        listed=2,
        counts={"records": 2},
        firings=[FIRING, FIRING],
    )


def test_a_step_without_alerts_leaves_an_empty_file(tmp_path: Path) -> None:
    add(tmp_path, "one")
    assert (tmp_path / "alerts.ndjson").read_bytes() == b""
    add(tmp_path, "two", b"some\n")
    add(tmp_path, "three")
    assert (tmp_path / "alerts.ndjson").read_bytes() == b"some\n"


@pytest.mark.parametrize("cause", [RuntimeError, KeyboardInterrupt])
def test_a_step_that_fails_leaves_nothing(tmp_path: Path, cause: type[BaseException]) -> None:
    ledger = add(tmp_path, "one", b"first\n")
    before = contents(tmp_path)

    def fail() -> None:
        with ledger.step() as folder:
            write_step(folder, "two", b"second\n")
            raise cause

    with pytest.raises(cause):
        fail()
    assert contents(tmp_path) == before
    assert not (tmp_path / WORK / "next").exists()


def test_what_a_killed_step_left_is_removed(tmp_path: Path) -> None:
    add(tmp_path, "one", b"first\n")
    before = contents(tmp_path)
    for folder in ("next", "done"):
        (tmp_path / WORK / folder).mkdir()
        (tmp_path / WORK / folder / "alerts.ndjson").write_text("half\n")
    ledger = Ledger(tmp_path)
    assert contents(tmp_path) == before
    assert ledger.entry is not None
    assert list(ledger.entry.steps) == ["one"]


def test_a_step_begins_in_an_empty_folder(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    (tmp_path / WORK / "next").mkdir(parents=True)
    (tmp_path / WORK / "next" / "something").touch()
    with ledger.step() as folder:
        assert list(folder.iterdir()) == []


class Stop(BaseException):
    """A crash: nothing after it happens."""


def test_alerts_that_were_half_written_are_written_again(tmp_path: Path) -> None:
    add(tmp_path, "one", b"first\n")
    ledger = Ledger(tmp_path)
    original = Ledger._publish

    def half(self: Ledger) -> None:
        with (self.output / "alerts.ndjson").open("ab") as file:
            file.write(b"sec")
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "_publish", half)
        with pytest.raises(Stop):
            add(tmp_path, "two", b"second\n")
    assert Ledger._publish is original
    del ledger
    Ledger(tmp_path)
    assert (tmp_path / "alerts.ndjson").read_bytes() == b"first\nsecond\n"


def test_nothing_but_results_is_left_when_it_is_closed(tmp_path: Path) -> None:
    ledger = add(tmp_path, "one", b"first\n")
    ledger.close()
    assert set(contents(tmp_path)) == {"alerts.ndjson", "anomalies/one-one.avro", "run.json"}
    assert not (tmp_path / WORK).exists()
    assert not (tmp_path / SNAPSHOT).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"command": 1}', "{}", '{"unknown": 1}'])
def test_a_damaged_ledger_is_told(tmp_path: Path, text: str) -> None:
    add(tmp_path, "one", b"first\n")
    (tmp_path / WORK / "ledger.json").write_text(text)
    with pytest.raises(UsageError, match=r"its ledger\.json is damaged") as refusal:
        Ledger(tmp_path)
    assert str(refusal.value).startswith(f"--output {tmp_path}: ")


def test_a_ledger_of_another_version_is_told(tmp_path: Path) -> None:
    add(tmp_path, "one", b"first\n")
    path = tmp_path / WORK / "ledger.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(document | {"format": 9}))
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="format 9"):
        Ledger(tmp_path)
    assert contents(tmp_path) == before


def test_an_entry_is_followed_by_another_without_being_changed() -> None:
    first = BEGUN.after(
        "a", "x", 2, {"counts": {"n": 1, "held|n": 5, "latest|n": 3}, "firings": []}, 7
    )
    second = first.after(
        "b", "y", 3, {"counts": {"n": 2, "held|n": 1, "latest|n": 2}, "firings": [FIRING]}, None
    )
    assert BEGUN.steps == {}
    assert (first.listed, first.horizon, first.firings) == (2, 7, [])
    assert second.counts == {"n": 3, "held|n": 1, "latest|n": 3}
    assert second.steps == {"a": "x", "b": "y"}
    assert (second.listed, second.horizon, second.firings) == (5, 7, [FIRING])


def test_a_full_disk_while_publishing_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, "one", b"first\n")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.snapshot.move_whole", full)
        with pytest.raises(OSError, match="No space left"):
            add(tmp_path, "two", b"second\n")
    ledger = Ledger(tmp_path)
    assert ledger.entry is not None
    assert list(ledger.entry.steps) == ["one", "two"]
    assert (tmp_path / "alerts.ndjson").read_bytes() == b"first\nsecond\n"
    assert (tmp_path / SNAPSHOT / "score" / "two.avro").read_text() == "two"
