"""What a followed folder gives, and how far time has come."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transforms import follow
from transforms.follow import FOLLOWED, SLACK_MS, Followed, begin, days, listing, news, regions

NOON = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1000)
MINUTE = 60_000
DAY = 24 * 60 * MINUTE
HERE = "AWSLogs/111122223333/CloudTrail/eu-west-1"


def put(root: Path, time: int, number: int = 0, folder: str = HERE) -> str:
    at = datetime.fromtimestamp(time / 1000, UTC)
    name = f"111122223333_CloudTrail_eu-west-1_{at:%Y%m%dT%H%MZ}_{number:016}.json.gz"
    path = root / folder / f"{at:%Y/%m/%d}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return str(path)


def poll(root: Path, known: Followed, now: int, start: int = 0) -> tuple[list[str], Followed]:
    new, taken = news(known, listing(str(root), known.since, now), start)
    return new, Followed(now, follow.watermark_after(known, now), taken)


def test_each_object_is_taken_once_by_arrival(tmp_path: Path) -> None:
    later, earlier = put(tmp_path, NOON + MINUTE), put(tmp_path, NOON)
    new, known = poll(tmp_path, begin(NOON), NOON + 5 * MINUTE)
    assert new == [earlier, later]
    another = put(tmp_path, NOON, 7)
    assert poll(tmp_path, known, NOON + 6 * MINUTE)[0] == [another]


def test_what_was_taken_survives_as_bytes(tmp_path: Path) -> None:
    put(tmp_path, NOON)
    _, known = poll(tmp_path, begin(NOON), NOON + MINUTE)
    assert poll(tmp_path, FOLLOWED.decode(FOLLOWED.encode(known)), NOON + MINUTE)[0] == []


def test_objects_from_before_the_start_are_left_and_not_looked_at_again(tmp_path: Path) -> None:
    put(tmp_path, NOON - MINUTE)
    wanted = put(tmp_path, NOON)
    assert poll(tmp_path, begin(NOON), NOON + MINUTE, start=NOON)[0] == [wanted]


def test_a_poll_lists_two_dates_of_each_region_and_no_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(30):
        for region in ("eu-west-1", "us-east-1"):
            put(tmp_path, NOON - day * DAY, folder=f"AWSLogs/111122223333/CloudTrail/{region}")
    listed: list[str] = []
    scan = os.scandir

    def scandir(path: str) -> object:
        listed.append(str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listing(str(tmp_path), NOON, NOON + MINUTE)
    dated = [path for path in listed if "/2026/" in path]
    assert sorted({path[-10:] for path in dated}) == ["2026/03/01", "2026/03/02"]
    assert len(dated) == 4
    assert len(listed) <= 4 + 4, "root, AWSLogs, account, CloudTrail"


def test_the_days_that_a_job_was_down_are_looked_at() -> None:
    assert days(NOON - 2 * DAY, NOON) == ["2026/02/27", "2026/02/28", "2026/03/01", "2026/03/02"]


def test_memory_is_bounded_by_the_folders_that_are_looked_at(tmp_path: Path) -> None:
    known = begin(NOON)
    for day in range(6):
        for number in range(10):
            put(tmp_path, NOON + day * DAY, number)
        new, known = poll(tmp_path, known, NOON + day * DAY + MINUTE)
        assert len(new) == 10
        assert sum(map(len, known.taken.values())) <= 3 * 10 * 8, (
            "a day, its eve, and the day of the last poll"
        )


def test_digests_insights_and_half_written_files_are_no_objects(tmp_path: Path) -> None:
    put(tmp_path, NOON, folder="AWSLogs/111122223333/CloudTrail-Digest/eu-west-1")
    put(tmp_path, NOON, folder="AWSLogs/111122223333/CloudTrail-Insight/eu-west-1")
    Path(put(tmp_path, NOON)).rename(Path(put(tmp_path, NOON) + ".part"))
    assert poll(tmp_path, begin(NOON), NOON + MINUTE)[0] == []


def test_trails_and_organisations_are_found(tmp_path: Path) -> None:
    folders = ["a/AWSLogs/o-1/111122223333/CloudTrail/eu-west-1", f"b/{HERE}"]
    for folder in folders:
        put(tmp_path, NOON, folder=folder)
    assert list(regions(str(tmp_path))) == [str(tmp_path / folder) for folder in folders]


def test_time_comes_on_with_complete_polls_and_never_goes_back() -> None:
    known = Followed(NOON, NOON, {})
    assert follow.watermark_after(known, NOON + MINUTE) == NOON
    assert follow.watermark_after(known, NOON + SLACK_MS + 1) == NOON + 1


def test_a_poll_is_done_or_not_begun() -> None:
    """What a checkpoint holds is what is left: after a poll, what it knows."""
    tracker = follow._Tracker(b"before")
    assert tracker.try_claim(b"after")
    assert tracker.try_split(0.5) is None
    assert tracker.try_split(0) == (b"", b"after")
    tracker.check_done()
    assert not tracker.try_claim(b"more")
    untouched = follow._Tracker(b"before")
    with pytest.raises(ValueError, match="never done"):
        untouched.check_done()
    assert untouched.try_split(0) == (b"", b"before")
    assert not untouched.try_claim(b"after")
