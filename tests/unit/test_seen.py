"""The memory of what was read: it misses nothing, and it does not grow without end."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.seen import LOOK_BACK_DAYS, TRIES, Seen, day_of, too_old

MARCH_2 = 20_514
"""Days from 1970 to 2026-03-02."""


def folder(root: Path, day: int) -> Path:
    """The folder of a day counted from 1970."""
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return root / f"{date:%Y/%m/%d}"


def write(root: Path, day: int, name: str, text: str = "x") -> str:
    """An object in the folder of a day."""
    place = folder(root, day)
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text)
    return str(place / name)


def again(seen: Seen, path: Path) -> Seen:
    """The same memory after it was written and read."""
    path.write_bytes(seen.encode())
    return Seen(path)


def test_it_begins_with_nothing_seen(tmp_path: Path) -> None:
    name = write(tmp_path, MARCH_2, "a")
    assert Seen(tmp_path / "none").news([name]) == [name]
    assert Seen(tmp_path / "none").news([]) == []


@pytest.mark.parametrize("age", [0, 3, 30])
def test_what_was_read_is_not_new(tmp_path: Path, age: int) -> None:
    names = [write(tmp_path, MARCH_2 - age, mark) for mark in "bac"]
    seen = Seen(tmp_path / "none")
    seen.note(names, (), names, MARCH_2)
    assert seen.news(names) == []
    assert again(seen, tmp_path / "seen").news(names) == []


def test_news_keep_their_order(tmp_path: Path) -> None:
    names = [write(tmp_path, day, mark) for mark in "ba" for day in (MARCH_2 + 1, MARCH_2)]
    assert Seen(tmp_path / "none").news(names) == names


@pytest.mark.parametrize("age", [0, 3, 30, LOOK_BACK_DAYS])
def test_what_is_new_is_told_alone(tmp_path: Path, age: int) -> None:
    old, other = write(tmp_path, MARCH_2 - age, "a"), write(tmp_path, MARCH_2, "a")
    seen = Seen(tmp_path / "none")
    seen.note([old, other], (), [old, other], MARCH_2)
    new = write(tmp_path, MARCH_2 - age, "b")
    assert again(seen, tmp_path / "seen").news([old, new, other]) == [new]


@pytest.mark.parametrize("age", [0, 30])
@pytest.mark.parametrize("change", ["size", "time"])
def test_an_object_that_changed_is_new(tmp_path: Path, age: int, change: str) -> None:
    name = write(tmp_path, MARCH_2 - age, "a")
    other = write(tmp_path, MARCH_2 - 1, "b")
    seen = Seen(tmp_path / "none")
    seen.note([name, other], (), [name, other], MARCH_2)
    before = os.stat(name)
    if change == "size":
        Path(name).write_text("xy")
        os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert seen.news([name, other]) == [name]


def test_an_object_that_grows_while_it_is_read_is_new_again(tmp_path: Path) -> None:
    """What was read is what it was when the run looked, not what it is when the run ends."""
    name = write(tmp_path, MARCH_2, "a")
    seen = Seen(tmp_path / "none")
    assert seen.news([name]) == [name]
    Path(name).write_text("more than there was")
    seen.note([name], (), [name], MARCH_2)
    assert seen.news([name]) == [name]


@pytest.mark.parametrize("age", [0, 30])
def test_a_part_that_is_not_read_yet_stays_new(tmp_path: Path, age: int) -> None:
    """As of a backlog of days that was interrupted."""
    read = [write(tmp_path, MARCH_2 - age, mark) for mark in "ab"]
    left = [write(tmp_path, MARCH_2 - age + 1, mark) for mark in "ab"]
    seen = Seen(tmp_path / "none")
    seen.note(read, (), read + left, MARCH_2)
    assert seen.news(read + left) == left
    assert again(seen, tmp_path / "seen").news(read + left) == left


def test_objects_of_one_folder_without_a_date_are_told_one_by_one(tmp_path: Path) -> None:
    names = [str(tmp_path / mark) for mark in "abc"]
    for name in names:
        Path(name).touch()
    seen = Seen(tmp_path / "none")
    seen.note(names[:1], (), names, MARCH_2 + 1_000)
    assert seen.news(names) == names[1:]
    seen.note(names[:2], (), names, MARCH_2 + 2_000)
    assert seen.news(names) == names[2:]


def test_what_is_gone_is_forgotten_and_new_if_it_comes_back(tmp_path: Path) -> None:
    name, other = write(tmp_path, MARCH_2, "a"), write(tmp_path, MARCH_2, "b")
    seen = Seen(tmp_path / "none")
    seen.note([name, other], (), [name, other], MARCH_2)
    seen.note([], (), [other], MARCH_2)
    assert seen.news([name, other]) == [name]
    Path(name).unlink()
    assert seen.news([name, other]) == [], "the run itself says that it is gone"


def test_folders_of_dates_that_are_gone_may_come_back(tmp_path: Path) -> None:
    """As of a disk that is not mounted for a while; but what is too old does not."""
    name, undated = write(tmp_path, MARCH_2, "a"), str(tmp_path / "a")
    Path(undated).touch()
    seen = Seen(tmp_path / "none")
    seen.note([name, undated], (), [name, undated], MARCH_2)
    seen.note([], (), [], MARCH_2 + LOOK_BACK_DAYS)
    assert again(seen, tmp_path / "seen").news([name, undated]) == [undated]
    seen.note([], (), [], MARCH_2 + LOOK_BACK_DAYS + 1)
    assert seen.news([name, undated]) == [name, undated]


@pytest.mark.parametrize("age", [0, 30])
def test_what_could_not_be_read_is_new_until_it_was_tried_often(tmp_path: Path, age: int) -> None:
    bad, good = write(tmp_path, MARCH_2 - age, "a"), write(tmp_path, MARCH_2 - age, "b")
    seen, names = Seen(tmp_path / "none"), [bad, good]
    assert seen.news(names) == names
    seen.note(names, {bad}, names, MARCH_2)
    for _ in range(TRIES - 1):
        seen = again(seen, tmp_path / "seen")
        assert seen.news(names) == [bad]
        assert not seen.gave_up(bad)
        seen.note([], (), names, MARCH_2)  # a step that reads something else
        seen.note([bad], {bad}, names, MARCH_2)
    seen = again(seen, tmp_path / "seen")
    assert seen.news(names) == []
    assert seen.gave_up(bad)
    assert not seen.gave_up(good)
    Path(bad).write_text("mended")
    assert seen.news(names) == [bad]
    seen.note([bad], (), names, MARCH_2)
    assert seen.news(names) == []
    assert not seen.gave_up(bad)


def test_the_memory_levels_off(tmp_path: Path) -> None:
    """Objects of 100 days, 8 bytes each while they are looked at."""
    seen, there, sizes = Seen(tmp_path / "none"), list[str](), list[int]()
    for day in range(100):
        new = [write(tmp_path, MARCH_2 + day, f"{number:03}") for number in range(10)]
        there = [name for name in (*there, *new) if not too_old(name, MARCH_2 + day)]
        assert seen.news(there) == new
        seen.note(new, (), there, MARCH_2 + day)
        sizes.append(len(seen.encode()))
    assert sizes[-1] == sizes[LOOK_BACK_DAYS]
    line = len(str(folder(tmp_path, MARCH_2)))
    assert sizes[-1] < (LOOK_BACK_DAYS + 1) * (10 * 8 + line + 10)


def test_how_far_back_is_looked() -> None:
    name = str(folder(Path("/logs"), MARCH_2) / "a")
    assert not too_old(name, MARCH_2 + LOOK_BACK_DAYS)
    assert too_old(name, MARCH_2 + LOOK_BACK_DAYS + 1)
    assert not too_old("/logs/undated", MARCH_2 * 2)
    assert day_of(MARCH_2 * 86_400_000) == day_of(MARCH_2 * 86_400_000 + 86_399_999) == MARCH_2
    assert LOOK_BACK_DAYS == 90


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"junk" + data])
def test_a_damaged_memory_is_told(tmp_path: Path, damage: object) -> None:
    name = write(tmp_path, MARCH_2, "a")
    seen = Seen(tmp_path / "none")
    seen.note([name], (), [name], MARCH_2)
    path = tmp_path / "seen.avro"
    assert callable(damage)
    path.write_bytes(damage(seen.encode()))
    with pytest.raises(UsageError, match="damaged") as refusal:
        Seen(path)
    assert str(refusal.value).startswith(f"{path}: damaged")
    assert "start in a new folder" in str(refusal.value)


def test_the_same_memory_is_the_same_bytes(tmp_path: Path) -> None:
    names = [write(tmp_path, MARCH_2 - age, mark) for age in (0, 9) for mark in "ab"]
    one, other = Seen(tmp_path / "none"), Seen(tmp_path / "none")
    one.note(names, (), names, MARCH_2)
    other.note(names[::-1], (), names[::-1], MARCH_2)
    assert one.encode() == other.encode()
