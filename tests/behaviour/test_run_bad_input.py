"""Bad objects among good ones: each is a dead letter or a counted skip; the rest is unharmed."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from town import Done, Record, Town, calls, contents, raretrail_run

GOOD = [call.record for call in calls()[:60]]
BIG = 50 << 20


def envelope(*records: object) -> bytes:
    return json.dumps({"Records": records}).encode()


def changed(number: int = 0, **changes: object) -> Record:
    return {**GOOD[number], "eventID": f"changed-{number}-{sorted(changes)}", **changes}


def without(*fields: str) -> Record:
    return {key: value for key, value in GOOD[0].items() if key not in fields}


def deep(depth: int) -> bytes:
    """A sound record whose request parameters are nested so deep."""
    bomb = b"[" * depth + b"]" * depth
    return envelope(changed(1, requestParameters=0)).replace(
        b'"requestParameters": 0', b'"requestParameters": ' + bomb
    )


GZIPPED = gzip.compress(envelope(*GOOD[:12]), mtime=0)

# name of the object: (its bytes, events in it that are kept, what its dead letters say)
OBJECTS: dict[str, tuple[bytes, int, list[str]]] = {
    "truncated.json.gz": (GZIPPED[:-30], 0, ["gzip data ends early"]),
    "damaged.json.gz": (GZIPPED[:-8] + b"\0" * 8, 0, ["gzip data is damaged"]),
    "no_gzip.json.gz": (b"\x1f\x8bnonsense", 0, ["gzip data"]),
    "trailing.json.gz": (GZIPPED + b"behind", 12, ["Behind the gzip data"]),
    "truncated.ndjson.gz": (
        gzip.compress(b"".join(json.dumps(r).encode() + b"\n" for r in GOOD), mtime=0)[:-40],
        -1,
        ["gzip data ends early"],
    ),
    "invalid.json": (b'{"Records": [{"eventTime"', 0, ["not valid JSON"]),
    "words.json": (b"hello, this is no log", 0, ["begins with 'hello"]),
    "number.json": (b"42", 0, ["a number (42)"]),
    "utf16.json": (envelope(GOOD[0]).decode().encode("utf-16"), 0, [""]),
    "latin1.json": (
        json.dumps(changed(awsRegion="é"), ensure_ascii=False).encode("latin-1"),
        0,
        ["not valid UTF-8"],
    ),
    "records_is_text.json": (b'{"Records": "many"}', 0, ["Records is", "not a list"]),
    "numbers.json": (envelope(1, None, "x"), 0, ["", "", ""]),
    "wrong_types.json": (
        envelope(
            GOOD[0],
            changed(1, eventName=5),
            changed(2, eventTime=[]),
            changed(3, eventTime=1772409600),
            changed(4, userIdentity=["alice"]),
            changed(5, sourceIPAddress={"a": 1}),
            GOOD[1],
        ),
        2,
        [
            *("eventName is a number (5)", "eventTime is a list ([])", "eventTime is a number"),
            *("userIdentity is a list", "sourceIPAddress is a map"),
        ],
    ),
    "no_time.json": (envelope(without("eventTime"), GOOD[2]), 1, ["eventTime is missing"]),
    "no_name.json": (envelope(without("eventName"), GOOD[3]), 1, ["eventName is missing"]),
    "no_day.json": (
        envelope(changed(eventTime="2026-02-30T00:00:00Z"), GOOD[4]),
        1,
        ["2026-02-30T00:00:00Z", "no calendar"],
    ),
    "past_1970.json": (
        envelope(changed(eventTime="1970-01-01T00:00:00Z"), GOOD[5]),
        1,
        ["1 records have an eventTime before 2013-11-01", "1970-01-01T00:00:00"],
    ),
    "future_2099.json": (
        envelope(
            changed(1, eventTime="2099-12-31T23:59:59Z"),
            changed(2, eventTime="2098-01-01T00:00:00Z"),
            GOOD[6],
        ),
        1,
        ["2 records have an eventTime", "2098-01-01T00:00:00"],
    ),
    "huge_record.json": (
        envelope(GOOD[9], changed(requestParameters="x" * BIG), GOOD[10]),
        2,
        ["at most 16,777,216 are read"],
    ),
    "huge_record.ndjson.gz": (
        gzip.compress(
            b"\n".join(json.dumps(r).encode() for r in (changed(a="x" * BIG), GOOD[11])), 1
        ),
        1,
        ["at most 16,777,216 are read"],
    ),
    "brackets.json": (b"[" * 200_000, 0, [""]),
    "braces.json": (b'{"a":' * 200_000, 0, [""]),
    "deep_record.json": (deep(100_000), 0, ["nested too deeply"]),
    "envelopes.json": (b'{"detail":' * 20 + json.dumps(GOOD[12]).encode() + b"}" * 20, 0, [""]),
    "insight.json": (
        envelope(changed(eventType="AwsCloudTrailInsight"), GOOD[13]),
        1,
        ["Insight"],
    ),
}  # fmt: skip
UNREADABLE = "denied.json"
EMPTY = {"empty.json": b"", "blank.json": b" \n\t\n", "no_records.json": b'{"Records": []}'}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(the run over good and bad objects in one folder, the run over the good ones alone)."""
    folder = tmp_path_factory.mktemp("bad")
    for number in range(5):
        (folder / "good").mkdir(exist_ok=True)
        records = GOOD[20 + 8 * number : 28 + 8 * number]
        (folder / "good" / f"{number}.json").write_bytes(envelope(*records))
    (folder / "bad").mkdir()
    for name, (data, _, _) in OBJECTS.items():
        (folder / "bad" / name).write_bytes(data)
    for name, data in EMPTY.items():
        (folder / "bad" / name).write_bytes(data)
    (folder / "bad" / UNREADABLE).write_bytes(envelope(GOOD[0]))
    (folder / "bad" / "notes.txt").write_text("no log by its name")
    os.symlink("nowhere.json", folder / "bad" / "broken_link.json")
    os.symlink("../good", folder / "bad" / "linked_folder")
    (folder / "nothing").mkdir()

    real = os.open

    def deny(name: Any, *arguments: Any, **options: Any) -> int:
        if str(name).endswith(UNREADABLE):
            raise PermissionError(13, "Permission denied", name)
        return real(name, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        # Permission bits would not stop the superuser.
        patch.setattr(os, "open", deny)
        both = raretrail_run(folder / "both", folder / "good", folder / "bad", folder / "nothing")
    return both, raretrail_run(folder / "alone", folder / "good")


def letters_of(done: Done, name: str) -> list[Record]:
    letters = [letter for letter in done.dead if letter["origin"].endswith(f"/bad/{name}")]
    return sorted(letters, key=lambda letter: letter["position"])


def test_the_run_ends_well_and_closes(mixed: Any) -> None:
    both, _ = mixed
    assert both.status == 0, both.err
    assert both.run["accounting"]["closes"] is True
    assert "Traceback" not in both.err
    (line,) = both.err.splitlines()
    assert "No city database" in line


@pytest.mark.parametrize("name", OBJECTS)
def test_a_bad_object_is_a_dead_letter_with_its_reason(mixed: Any, name: str) -> None:
    both, _ = mixed
    data, events, reasons = OBJECTS[name]
    letters = letters_of(both, name)
    told = " | ".join(letter["reason"] for letter in letters)
    assert letters
    assert all(letter["reason"].strip() for letter in letters)
    assert all(reason in told for reason in reasons), told
    for letter in letters:
        assert letter["raw"]
        assert len(letter["raw"]) <= 1 << 20
        assert letter["raw_size"] >= len(letter["raw"])
        if events == 0 and letter["position"] < 0:
            assert data.startswith(letter["raw"])


def test_an_unreadable_file_is_a_dead_letter(mixed: Any) -> None:
    both, _ = mixed
    (letter,) = letters_of(both, UNREADABLE)
    assert letter["reason"] == "cannot be read: Permission denied"
    assert (letter["position"], letter["raw"], letter["raw_size"]) == (-1, b"", 0)


def test_each_of_many_bad_records_has_its_own_letter(mixed: Any) -> None:
    both, _ = mixed
    positions = [letter["position"] for letter in letters_of(both, "wrong_types.json")]
    assert positions == [1, 2, 3, 4, 5]
    assert [letter["position"] for letter in letters_of(both, "numbers.json")] == [0, 1, 2]


def test_of_a_huge_record_the_start_is_kept(mixed: Any) -> None:
    both, _ = mixed
    for name in ("huge_record.json", "huge_record.ndjson.gz"):
        (letter,) = letters_of(both, name)
        assert letter["raw_size"] > BIG
        assert len(letter["raw"]) == 1 << 20


def test_the_account_of_the_objects(mixed: Any) -> None:
    both, alone = mixed
    objects, records = (both.run["accounting"][part] for part in ("objects", "records"))
    assert objects["read"] == 5 + len(OBJECTS) + len(EMPTY) + 1
    hopeless = [name for name, (_, events, _) in OBJECTS.items() if events == 0]
    assert objects["unreadable"] == len(hopeless) + 1
    assert records["out_of_range"] == 1 + 2
    besides = ["past_1970.json", "future_2099.json", "empty.json", "blank.json"]
    assert records["unreadable"] == len(both.dead) - len(besides)
    assert objects["empty"] == 2
    assert alone.run["accounting"]["objects"]["unreadable"] == 0


def test_good_records_beside_bad_ones_are_kept(mixed: Any) -> None:
    both, alone = mixed
    kept = sum(events for _, events, _ in OBJECTS.values() if events > 0)
    events = both.run["accounting"]["records"]["events"]
    assert alone.run["accounting"]["records"]["events"] == 40
    before_the_damage = events - 40 - kept
    assert 0 < before_the_damage < len(GOOD), "the lines before the damage"


@pytest.mark.parametrize(
    ("reason", "number"),
    [
        ("empty folders", 1),
        ("no logs by their name", 1),
        ("linked folders", 1),
        ("links to nothing", 1),
    ],
)
def test_what_is_passed_over_is_counted_by_reason(mixed: Any, reason: str, number: int) -> None:
    both, _ = mixed
    skipped = both.run["accounting"]["objects"]["skipped"]
    assert sum(n for key, n in skipped.items() if reason in key) == number
    assert sum(skipped.values()) == 4
    assert all(f"skipped: {key}" in both.out for key in skipped)


@pytest.mark.parametrize("name", ["nothing", "notes.txt", "linked_folder", "broken_link.json"])
def test_what_is_passed_over_is_named(mixed: Any, name: str) -> None:
    both, _ = mixed
    told = {key: value for key, value in both.run.items() if key != "configuration"}
    assert name in json.dumps(told)


def test_names_of_what_is_passed_over_are_bounded_and_their_number_exact(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.json").write_bytes(envelope(GOOD[0]))
    for number in range(150):
        (tmp_path / "logs" / f"{number:03}.txt").touch()
    accounting = raretrail_run(tmp_path / "out", tmp_path / "logs").run["accounting"]
    ((reason, number),) = accounting["objects"]["skipped"].items()
    assert number == 150
    expected = [str(tmp_path / "logs" / f"{number:03}.txt") for number in range(100)]
    assert accounting["skipped"] == {reason: expected}


@pytest.mark.parametrize("name", ["empty.json", "blank.json"])
def test_an_empty_file_is_told(mixed: Any, name: str) -> None:
    """A log of no bytes is none: something went wrong where it was written."""
    both, _ = mixed
    (letter,) = letters_of(both, name)
    assert (letter["reason"], letter["position"]) == ("The object is empty.", -1)


def test_blank_lines_in_a_large_object_are_no_empty_object(tmp_path: Path) -> None:
    """It is read piece by piece, and a piece of it may hold nothing."""
    line = json.dumps(changed(requestParameters="x" * 100_000)).encode() + b"\n"
    (tmp_path / "a.ndjson").write_bytes(line * 90 + b"\n" * (24 << 20) + line)
    done = raretrail_run(tmp_path / "out", tmp_path / "a.ndjson")
    assert done.run["accounting"]["records"]["events"] == 91
    assert done.dead == []


def test_no_records_are_no_fault(mixed: Any) -> None:
    both, _ = mixed
    assert letters_of(both, "no_records.json") == []


def test_the_rest_of_the_run_is_unharmed(town: Town, done: Done, tmp_path: Path) -> None:
    """Beside bad objects the town's alerts and figures are byte for byte what they were."""
    bad = tmp_path / "bad"
    bad.mkdir()
    for name, (data, events, _) in OBJECTS.items():
        if events == 0:
            (bad / name).write_bytes(data)
    again = raretrail_run(tmp_path / "out", town.logs, bad, "--geoip_database", town.cities)
    assert again.status == 0
    assert (again.output / "alerts.ndjson").read_bytes() == (
        done.output / "alerts.ndjson"
    ).read_bytes()
    for part in ("detectors", "cells"):
        assert again.run["accounting"][part] == done.run["accounting"][part]
    names = Counter(Path(letter["origin"]).parent.name for letter in again.dead)
    assert list(names) == ["bad"]


@pytest.mark.parametrize(
    "time",
    ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00Z"],
)
def test_no_time_of_a_record_ends_the_run(tmp_path: Path, time: str) -> None:
    (tmp_path / "a.json").write_bytes(envelope(GOOD[0], changed(1, eventTime=time), GOOD[2]))
    done = raretrail_run(tmp_path / "out", tmp_path / "a.json")
    records = done.run["accounting"]["records"]
    assert (records["events"], records["out_of_range"]) == (2, 1)
    (letter,) = done.dead
    assert "1 records have an eventTime before 2013-11-01 or from" in letter["reason"]
    assert time.encode() in letter["raw"]


@pytest.mark.parametrize("name", ["1\n2.json", "\x1b[2J.json", os.fsdecode(b"\xff\xfe.json")])
def test_no_name_of_a_file_ends_the_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / name).write_bytes(envelope(GOOD[0], without("eventName")))
    (tmp_path / "logs" / "other.json").write_bytes(envelope(GOOD[1]))
    done = raretrail_run(tmp_path / "out", tmp_path / "logs")
    assert done.status == 0
    assert done.run["accounting"]["records"]["events"] == 2
    assert done.dead[0]["reason"].startswith("eventName is missing")
    assert all(line.isprintable() for line in done.out.splitlines())


def test_an_object_that_vanishes_is_a_dead_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(envelope(GOOD[0]))

    real = os.open

    def vanish(name: Any, *arguments: Any, **options: Any) -> int:
        if str(name).endswith("a.json"):
            Path(tmp_path, "b.json").unlink(missing_ok=True)
        return real(name, *arguments, **options)

    monkeypatch.setattr(os, "open", vanish)
    done = raretrail_run(tmp_path / "out", tmp_path / "a.json", tmp_path / "b.json")
    assert done.status == 0
    (letter,) = done.dead
    assert letter["origin"] == str(tmp_path / "b.json")
    assert letter["reason"] == "cannot be read: No such file or directory"


def test_nothing_but_bad_objects_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"nonsense")
    done = raretrail_run(tmp_path / "out", tmp_path / "a.json")
    assert done.status == 3
    assert done.run["accounting"]["objects"]["unreadable"] == 1
    assert "1 object, 1 of them unreadable" in " ".join(done.out.split())
    assert (done.output / "alerts.ndjson").read_bytes() == b""


# More than half of the first thousand objects are dead letters


def thousand(folder: Path, kinds: list[bool]) -> Path:
    """A folder of small objects, of which some are bad, in this order."""
    folder.mkdir()
    for number, bad in enumerate(kinds):
        data = b"nonsense" if bad else envelope(GOOD[number % 60])
        (folder / f"{number:05}.json").write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("kinds", "stops"),
    [
        ([True] * 500 + [False] * 500, False),
        ([False] * 500 + [True] * 500, False),
        ([True] * 501 + [False] * 499, True),
        ([False] * 499 + [True] * 501, True),
        ([True] * 501 + [False] * 600, True),
        ([False] * 600 + [True] * 700, False),
        ([True] * 999, False),
    ],
    ids=["half", "half, last", "501", "501, last", "501 of 1101", "after the first", "only 999"],
)
def test_an_input_that_is_something_else_stops_the_run(
    tmp_path: Path, kinds: list[bool], stops: bool
) -> None:
    done = raretrail_run(tmp_path / "out", thousand(tmp_path / "logs", kinds))
    told = [line for line in done.err.splitlines() if "No city database" not in line]
    if stops:
        assert done.status == 1
        (line,) = told
        assert line.startswith("raretrail: 501 of the first 1000 objects could not be read")
        assert "does not look like CloudTrail" in line
        assert not done.output.exists()
    else:
        assert (done.status, told) == (3 if all(kinds) else 0, [])
        assert done.run["accounting"]["objects"]["unreadable"] == sum(kinds)
        assert "dead_letters" in contents(done.output)
