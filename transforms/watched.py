"""What a scope remembers of one detector: its entities' values, and the days that were judged.

Source: contrast.md, §2 and §4. Days are counted from 1970, in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from schemas.anomaly import Candidate
from schemas.change import Change
from schemas.entity import entity_text
from transforms.calibrate import DAYS, HIGHEST, Calibration, calibrate
from transforms.contrast import Peers, Popularity, Sightings
from transforms.history import DAY

SIGHTING_DAYS: Final = 30
"""Closed days over which the shares of failures and writes are taken."""
GUARDED: Final = 20
"""Candidates of an entity and day that count for these where that is guarded."""


@dataclass
class Day:
    """What was judged of one detector on one day."""

    sightings: int = 0
    """Candidates with n ≥ 5."""
    failed: int = 0
    wrote: int = 0
    judged: int = 0
    """Entities, once the day is closed."""
    highest: list[float] = field(default_factory=list)
    """Of these the 64 highest S, descending."""
    open: dict[str, float] = field(default_factory=dict)
    """Entity → its highest S, until the day is closed."""
    booked: dict[str, int] = field(default_factory=dict)
    """Entity → its candidates that were counted, until then, and only where that is guarded."""

    @property
    def told(self) -> tuple[int, list[float]]:
        """What a calibration needs: the number of entities, and the 64 highest S."""
        if self.open:
            return len(self.open), sorted(self.open.values(), reverse=True)[:HIGHEST]
        return self.judged, self.highest

    def close(self) -> None:
        """Keep that only."""
        (self.judged, self.highest), self.open, self.booked = self.told, {}, {}


@dataclass
class Watched:
    """What a scope remembers of one detector."""

    peers: Peers = field(default_factory=Peers)
    days: dict[int, Day] = field(default_factory=dict)
    since: int = -1
    """The first firing that was calibrated."""
    guarded: bool = False
    """Whether one entity alone can do but little to what is counted here."""
    _sightings: dict[int, Sightings] = field(default_factory=dict)
    _calibrations: dict[int, Calibration | None] = field(default_factory=dict)
    """By day, what the closed days before it come to: nothing is booked on them any more."""

    @classmethod
    def new(cls, guarded: bool) -> Watched:
        """Nothing is known yet."""
        return cls(Peers(*(Popularity(guarded=guarded) for _ in range(3))), guarded=guarded)

    def enter(self, change: Change) -> None:
        """Take note of what entered an entity's history."""
        for kind, values in change.entered.items():
            table = self.peers.table(kind)
            for value in values:
                table.enter(value, change.slice, change.entity)

    def leave(self, change: Change) -> None:
        """Take note of what left it."""
        for kind, values in change.left.items():
            table = self.peers.table(kind)
            for value in values:
                table.leave(value)

    def close(self, today: int) -> None:
        """Close the days before `today`, and forget those that nothing asks for any more."""
        for day in sorted(self.days):
            if day < today - SIGHTING_DAYS - 1:
                del self.days[day]
            elif day < today:
                self.days[day].close()
        for memo in (self._sightings, self._calibrations):
            for day in [day for day in memo if day < today - 1]:  # what is late asks for yesterday
                del memo[day]

    def sightings(self, today: int) -> Sightings:
        """First sightings of the closed days before `today`."""
        if today not in self._sightings:
            days = self.before(today, SIGHTING_DAYS)
            self._sightings[today] = Sightings(
                sum(day.sightings for day in days),
                sum(day.failed for day in days),
                sum(day.wrote for day in days),
            )
        return self._sightings[today]

    def calibration(self, today: int) -> Calibration | None:
        """The calibration by the closed days before `today`."""
        if today not in self._calibrations:
            told = [day.told for day in self.before(today, DAYS)]
            self._calibrations[today] = calibrate(told)
        return self._calibrations[today]

    def before(self, today: int, number: int) -> list[Day]:
        """Of so many days before `today` those on which there was something."""
        return [self.days[day] for day in range(today - number, today) if day in self.days]

    def _day(self, candidate: Candidate) -> Day:
        return self.days.setdefault(candidate.slice // DAY, Day())

    def book_sighting(self, candidate: Candidate) -> None:
        """Count a candidate on the day of its slice."""
        day = self._day(candidate)
        if self.guarded:
            who = who_of(candidate)
            day.booked[who] = day.booked.get(who, 0) + 1
            if day.booked[who] > GUARDED:
                return
        day.sightings += 1
        day.failed += candidate.cell.failed
        day.wrote += candidate.cell.write

    def book(self, candidate: Candidate, surprise: float) -> None:
        """Keep an entity's highest S on the day of the slice."""
        day = self._day(candidate)
        who = who_of(candidate)
        day.open[who] = max(day.open.get(who, surprise), surprise)


def who_of(candidate: Candidate) -> str:
    """The entity of a candidate, as the sets of cells have it."""
    return entity_text(tuple(candidate.entity.values()))
