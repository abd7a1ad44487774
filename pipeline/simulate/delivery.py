"""CloudTrail's delivery: records wait a few minutes, and come in small objects, out of order."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator

from pipeline.files import write_whole
from pipeline.simulate.chance import Floats, letters, stream

Lane = tuple[str, str]
"""An account and a region: each has its own objects."""
Record = tuple[float, str]
"""Time and JSON."""

PROMPT: Final = 20
"""Mean number of records in an object up to which records wait as with AWS: 10 minutes at most."""
SLOW: Final = 0.45
"""Share of records that take longer than what happened with them."""
LONGEST_LAG: Final = 125.0
LONGEST_WAIT: Final = 410.0
"""Seconds until a record is ready, and until the object then is cut; a name's minute is rounded
up, so that nothing takes more than 10 minutes."""
LEVEL: Final = 4
"""Of compression: faster than AWS's, a little larger."""


class Parcel(NamedTuple):
    """Records that become one object, or several when there are many."""

    lane: Lane
    time: float
    records: list[str]


class Trail:
    """A trail, which delivers the records of its accounts to a bucket of its own."""

    def __init__(
        self, seed: int, name: str, root: Path, accounts: Mapping[str, int] | None, mean: int
    ) -> None:
        """`accounts` says from which day on each is recorded; None records all."""
        self.seed, self.name, self.root = seed, name, root
        self.accounts, self.mean = accounts, mean
        self.records = self.objects = self.bytes = 0
        self._waiting: dict[Lane, list[Record]] = {}
        self._folders: set[Path] = set()

    def deliver(self, day: int, lanes: Mapping[Lane, list[Record]], last: bool) -> None:
        """Write a day's records; what an object still has room for may wait for the next day."""
        parcels: list[Parcel] = []
        for lane in sorted({*lanes, *self._waiting}):
            if self.accounts is not None and self.accounts.get(lane[0], day + 1) > day:
                continue
            chance = stream(self.seed, self.name, *lane, day)
            records = self._waiting.pop(lane, []) + lanes.get(lane, [])
            parcels += self._pack(chance, lane, records, last)
        limit = self._limit([len(parcel.records) for parcel in parcels])
        chance = stream(self.seed, self.name, "objects", day)
        for parcel in parcels:
            for part in _divide(chance, parcel.records, limit):
                self._write(chance, parcel.lane, parcel.time, part)

    def _pack(
        self, chance: Generator, lane: Lane, records: list[Record], last: bool
    ) -> Iterator[Parcel]:
        """Records in the order in which they are ready, cut every few minutes."""
        records.sort(key=lambda record: record[0])
        times = np.array([time for time, _ in records])
        # Records of one moment go the same way through AWS; many take longer.
        _, moment = np.unique(times // 20, return_inverse=True)
        lags = 5.0 + chance.exponential(25.0, len(times))[moment]
        slow = chance.random(len(times)) < SLOW
        lags[slow] += chance.exponential(60.0, int(slow.sum()))
        ready = times + np.minimum(lags, LONGEST_LAG)
        order = np.argsort(ready, kind="stable")
        ready = ready[order]
        least = self._least()
        begin = 0
        while begin < len(order):
            close = float(ready[begin] + min(chance.gamma(2.2, 80.0), LONGEST_WAIT))
            end = max(int(np.searchsorted(ready, close, "right")), begin + least)
            if end > len(order) and least > 1 and not last:
                self._waiting[lane] = [records[i] for i in order[begin:]]
                return
            end = min(end, len(order))
            time = max(close, float(ready[end - 1]) + 1.0)
            yield Parcel(lane, time, [records[i][1] for i in order[begin:end]])
            begin = end

    def _least(self) -> int:
        """The least number of records for which an object waits."""
        if self.mean <= PROMPT:
            return 1
        small = self.records < self.mean * self.objects
        return round(self.mean * (1.2 if small else 0.8))

    def _limit(self, sizes: list[int]) -> int:
        """The largest object today, so that all objects so far have the mean that was asked for."""
        if not sizes:
            return 1
        array = np.array(sizes)
        wanted = (self.records + int(array.sum())) / self.mean - self.objects
        low, high = 1, int(array.max())
        while low < high:
            middle = (low + high) // 2
            if np.ceil(array / middle).sum() > wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def _write(self, chance: Generator, lane: Lane, time: float, records: list[str]) -> None:
        """One object, as AWS names it; it appears whole or not at all."""
        account, region = lane
        moment = datetime.fromtimestamp(-(-time // 60) * 60, UTC)
        folder = self.root / account / "CloudTrail" / region / f"{moment:%Y/%m/%d}"
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        unique = letters(chance, "mixed", 16)
        name = f"{account}_CloudTrail_{region}_{moment:%Y%m%dT%H%MZ}_{unique}.json.gz"
        text = '{"Records":[' + ",".join(records) + "]}"
        data = gzip.compress(text.encode(), LEVEL, mtime=0)
        write_whole(folder / name, (data,), durable=False)
        self.records += len(records)
        self.objects += 1
        self.bytes += len(data)


def _divide(chance: Generator, records: list[str], limit: int) -> Iterator[list[str]]:
    """Parts of about equal size, none larger than about the limit."""
    parts = -(-len(records) // limit)
    if parts == 1:
        yield records
        return
    edges = np.arange(1, parts) * (len(records) / parts)
    wobble = chance.uniform(-0.25, 0.25, parts - 1) * (len(records) / parts)
    cuts = [0, *np.rint(edges + wobble).astype(int).tolist(), len(records)]
    for begin, end in pairwise(cuts):
        if end > begin:
            yield records[begin:end]


def second_trail(volumes: Mapping[str, Floats], share: float) -> dict[str, int]:
    """Accounts that have a second trail, and from which day, so that it repeats a share of all.

    `volumes` is what each account will record, day by day.
    """
    total = {account: float(volume.sum()) for account, volume in volumes.items()}
    wanted = share * sum(total.values())
    chosen: dict[str, int] = {}
    for account in sorted(total, key=lambda account: (-total[account], account)):
        if total[account] <= wanted:
            chosen[account] = 0
            wanted -= total[account]
    left = [account for account in total if account not in chosen]
    if left:
        account = min(left, key=lambda account: (total[account], account))
        still = np.append(np.cumsum(volumes[account][::-1])[::-1], 0.0)
        chosen[account] = int(np.argmin(np.abs(still - wanted)))
    return chosen
