"""Follow a folder in CloudTrail's layout: each new object once, and how far time has come."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

import apache_beam as beam
import msgspec
from apache_beam.coders import BytesCoder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from schemas.codec import Codec
from transforms.objects import arrival_of, name_list

SLACK_MS: Final = 5 * 60_000
"""How long after the time in its name an object may appear without being raised."""
_GRACE_MS: Final = 86_400_000
"""Date folders are looked at until a day after their end."""
_LIST_OBJECTS: Final = 64


class Followed(msgspec.Struct, frozen=True):
    """What is known of a folder after a poll; bounded by the objects of two or three days."""

    since: int
    """Start of the last complete poll; before the first, where to begin. Milliseconds."""
    watermark: int
    """Nothing is given an earlier arrival any more."""
    taken: dict[str, bytes]
    """Date folder → hashes of the objects taken, 8 bytes each, ascending."""


FOLLOWED: Final = Codec("followed", Followed)


def begin(start: int) -> Followed:
    """Before the first poll: objects from `start` on are wanted, by the time in their names."""
    return Followed(start, start, {})


def days(since: int, now: int) -> list[str]:
    """The dates yyyy/mm/dd whose folders may hold news: a day's grace before, to be sure."""
    first = datetime.fromtimestamp((since - _GRACE_MS) / 1000, UTC).date()
    last = datetime.fromtimestamp(now / 1000, UTC).date()
    return [f"{first + timedelta(days=n):%Y/%m/%d}" for n in range((last - first).days + 1)]


def regions(root: str) -> Iterator[str]:
    """The folders …/AWSLogs/[organisation/]account/CloudTrail/region below a folder, by name."""
    for path, folders, _ in os.walk(root):
        if os.path.basename(path) == "CloudTrail":
            yield from (os.path.join(path, name) for name in sorted(folders))
            folders.clear()
        else:
            folders[:] = sorted(name for name in folders if not name.startswith("CloudTrail-"))


def listing(root: str, since: int, now: int) -> dict[str, list[str]]:
    """Date folder → its objects: two or three folders for each region of each account.

    Listings a poll: 1 + trails + accounts + 3 × accounts × regions at most. What lies in older
    folders is not listed again, however long the history.
    """
    found = {}
    for region in regions(root):
        for day in days(since, now):
            folder = os.path.join(region, day)
            try:
                names = sorted(entry.path for entry in os.scandir(folder) if entry.is_file())
            except FileNotFoundError:
                continue
            found[folder] = [name for name in names if name.endswith((".json.gz", ".json"))]
    return found


def news(
    known: Followed, there: dict[str, list[str]], start: int
) -> tuple[list[str], dict[str, bytes]]:
    """(objects that were not taken yet, by arrival; what is taken with them).

    Folders that are not listed any more are forgotten. Objects from before `start` are taken for
    read.
    """
    new, taken = [], {}
    for folder, names in there.items():
        before = known.taken.get(folder, b"")
        hashes = {before[at : at + 8] for at in range(0, len(before), 8)}
        found = {_hash(name): name for name in names}
        new += [name for hash_, name in found.items() if hash_ not in hashes]
        taken[folder] = b"".join(sorted({*found, *hashes}))
    wanted = [(arrival_of(name), name) for name in new]
    return [name for arrival, name in sorted(wanted) if arrival >= start], taken


def _hash(name: str) -> bytes:
    return blake2b(os.path.basename(name).encode(errors="surrogateescape"), digest_size=8).digest()


def watermark_after(known: Followed, began: int) -> int:
    """How far time has come when a poll is complete: its start less the slack; never back."""
    return max(known.watermark, began - SLACK_MS)


def wall_clock() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(eq=False)
class FollowFolder(beam.PTransform):  # type: ignore[misc]
    """Pipeline → packed lists of names, for ever: what a folder in CloudTrail's layout gets.

    Unbounded; global window. A list is stamped with its least arrival, raised to the watermark
    where that has passed. The watermark is the start of the last complete poll less five minutes.
    Taken objects are remembered in the restriction, so that they are in every checkpoint.
    """

    root: str
    start: int
    """Objects delivered from then on; milliseconds since the epoch."""
    poll_seconds: float = 15.0
    clock: Callable[[], int] = wall_clock
    """On the worker; milliseconds since the epoch."""

    def expand(self, pipeline: Any) -> Any:
        """See the class."""
        roots = pipeline | beam.Create([self.root], reshuffle=False)
        return roots | "Follow" >> beam.ParDo(_follow(self)) | "Deal" >> beam.Reshuffle()


class _Tracker(RestrictionTracker):  # type: ignore[misc]
    """Claims whole polls: a poll is done, or it is not begun."""

    def __init__(self, state: bytes) -> None:
        self._state, self._over = state, False

    def current_restriction(self) -> bytes:
        return self._state

    def try_claim(self, position: bytes) -> bool:
        if not self._over:
            self._state = position
        return not self._over

    def try_split(self, fraction_of_remainder: float) -> tuple[bytes, bytes] | None:
        if self._over or fraction_of_remainder:
            return None
        rest, self._state, self._over = self._state, b"", True
        return self._state, rest

    def check_done(self) -> None:
        if not self._over:
            raise ValueError("a folder that is followed is never done")

    def is_bounded(self) -> bool:
        return False

    def current_progress(self) -> RestrictionProgress:
        return RestrictionProgress(fraction=float(self._over))


class _Provider(RestrictionProvider):  # type: ignore[misc]
    def __init__(self, start: int) -> None:
        self._start = start

    def initial_restriction(self, element: str) -> bytes:
        return FOLLOWED.encode(begin(self._start))

    def create_tracker(self, restriction: bytes) -> _Tracker:
        return _Tracker(restriction)

    def restriction_size(self, element: str, restriction: bytes) -> int:
        return 1

    def restriction_coder(self) -> BytesCoder:
        return BytesCoder()

    def truncate(self, element: str, restriction: bytes) -> None:
        return None  # a drain reads no more


def _follow(settings: FollowFolder) -> beam.DoFn:
    provider = _Provider(settings.start)
    estimator = ManualWatermarkEstimator.default_provider()

    class _Follow(beam.DoFn):  # type: ignore[misc]
        @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
        def process(
            self,
            root: str,
            tracker: Any = beam.DoFn.RestrictionParam(provider),
            watermark: Any = beam.DoFn.WatermarkEstimatorParam(estimator),
        ) -> Iterator[TimestampedValue]:
            known = FOLLOWED.decode(tracker.current_restriction())
            began = settings.clock()
            new, taken = news(known, listing(root, known.since, began), settings.start)
            after = Followed(max(began, known.since), watermark_after(known, began), taken)
            if not tracker.try_claim(FOLLOWED.encode(after)):
                return
            for at in range(0, len(new), _LIST_OBJECTS):
                names = new[at : at + _LIST_OBJECTS]
                stamp = max(arrival_of(names[0]), known.watermark)
                packed = name_list(names, floor=known.watermark)
                yield TimestampedValue(packed, _stamp(stamp))
            watermark.set_watermark(_stamp(after.watermark))
            tracker.defer_remainder(Timestamp.now() + settings.poll_seconds)

    return _Follow()


def _stamp(time: int) -> Timestamp:
    return Timestamp(micros=1000 * time)
