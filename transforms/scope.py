"""The second stage of `contrast`: what a scope remembers of its entities, and how it judges by it.

Source: contrast.md, §2, §4 and §5. Days are counted from 1970, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schemas.anomaly import Candidate, Factor
from schemas.change import Change
from schemas.entity import entity_text
from schemas.rule import first_of
from transforms.calibrate import DAYS, HIGHEST, Calibration, calibrate, seldom
from transforms.contrast import Peers, Sightings, judge, judge_first
from transforms.firing import WINDOW
from transforms.history import DAY

SIGHTING_DAYS: Final = 30
"""Closed days over which the shares of failures and writes are taken."""


class Verdict(NamedTuple):
    """S and its factors."""

    surprise: float
    factors: list[Factor]


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

    @property
    def told(self) -> tuple[int, list[float]]:
        """What a calibration needs: the number of entities, and the 64 highest S."""
        if self.open:
            return len(self.open), sorted(self.open.values(), reverse=True)[:HIGHEST]
        return self.judged, self.highest

    def close(self) -> None:
        """Keep that only."""
        (self.judged, self.highest), self.open = self.told, {}


@dataclass
class Watched:
    """What a scope remembers of one detector."""

    peers: Peers = field(default_factory=Peers)
    days: dict[int, Day] = field(default_factory=dict)
    since: int = -1
    """The first firing that was calibrated."""
    _sightings: dict[int, Sightings] = field(default_factory=dict)
    _calibrations: dict[int, Calibration | None] = field(default_factory=dict)
    """By day, what the closed days before it come to: nothing is booked on them any more."""

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
            days = self._before(today, SIGHTING_DAYS)
            self._sightings[today] = Sightings(
                sum(day.sightings for day in days),
                sum(day.failed for day in days),
                sum(day.wrote for day in days),
            )
        return self._sightings[today]

    def calibration(self, today: int) -> Calibration | None:
        """The calibration by the closed days before `today`."""
        if today not in self._calibrations:
            told = [day.told for day in self._before(today, DAYS)]
            self._calibrations[today] = calibrate(told)
        return self._calibrations[today]

    def _before(self, today: int, number: int) -> list[Day]:
        """Of so many days before `today` those on which there was something."""
        return [self.days[day] for day in range(today - number, today) if day in self.days]

    def _day(self, candidate: Candidate) -> Day:
        return self.days.setdefault(candidate.slice // DAY, Day())

    def book_sighting(self, candidate: Candidate) -> None:
        """Count a candidate on the day of its slice."""
        day = self._day(candidate)
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


def _is_booked(candidate: Candidate) -> bool:
    return candidate.timing != "too_late" and not candidate.incident


def calibrated_as(candidate: Candidate) -> str:
    """The detector by whose days a candidate is scored: what has no history to ask has its own."""
    key = candidate.detector
    return key if candidate.basis == "history" else first_of(key)


def _doer(candidate: Candidate) -> tuple[str, int, str]:
    """The key of what was said of a candidate's entity in its slice."""
    return calibrated_as(candidate), candidate.slice, who_of(candidate)


def today_of(slice_: int) -> int:
    """The first day that is not closed when a slice is judged."""
    return (slice_ - WINDOW) // DAY


@dataclass
class Scope:
    """What a scope remembers, by detector; and the verdicts of users that cities may carry."""

    with_tool: frozenset[str] = frozenset()
    """Detectors that have the factor `tool`, too."""
    companions: Mapping[str, str] = field(default_factory=dict)
    """City detector → the detector of the users whose verdicts it carries."""
    watched: dict[str, Watched] = field(default_factory=dict)
    verdicts: dict[tuple[str, int, str], dict[str, Verdict]] = field(default_factory=dict)
    """(detector, slice, entity) → action → verdict, of the last two hours."""

    def of(self, detector: str) -> Watched:
        """What is remembered of a detector."""
        watched = self.watched.get(detector)
        if watched is None:
            watched = self.watched[detector] = Watched()
        return watched

    def apply(self, changes: Iterable[Change]) -> None:
        """Take note of the settlements of a firing: first of what entered, so that nothing depends
        on whether the last one leaves before another comes.
        """
        told = list(changes)
        for change in told:
            self.of(change.detector).enter(change)
        for change in told:
            self.of(change.detector).leave(change)

    def judge_users(self, candidates: Iterable[Candidate]) -> list[tuple[Candidate, Verdict]]:
        """Verdicts of candidates of a user detector."""
        told = []
        for candidate in candidates:
            told.append(self._tell(candidate, self._own(candidate)))
        return told

    def _tell(self, candidate: Candidate, verdict: Verdict) -> tuple[Candidate, Verdict]:
        self.verdicts.setdefault(_doer(candidate), {})[candidate.action] = verdict
        return candidate, verdict

    def judge_young(self, candidates: Iterable[Candidate]) -> list[tuple[Candidate, Verdict]]:
        """Verdicts of candidates that have no history to ask: of each that the root user does; of
        an entity's first activity, of what its peers find oddest (tie: the smallest name).
        """
        told: dict[tuple[str, int, str, str], tuple[Candidate, Verdict]] = {}
        for found in sorted(candidates, key=lambda each: each.action):
            watched = self.of(found.detector)
            seen = watched.sightings(today_of(found.slice))
            verdict = Verdict(*judge_first(found.cell, found.action, watched.peers, seen))
            action = found.action if found.basis == "root" else ""
            key = (found.detector, found.slice, who_of(found), action)
            best = told.get(key)
            if best is None or verdict.surprise > best[1].surprise:
                told[key] = (found, verdict)
        return [self._tell(*each) if each[0].basis == "root" else each for each in told.values()]

    def judge_cities(self, candidates: Iterable[Candidate]) -> list[tuple[Candidate, Verdict]]:
        """Verdicts of candidates of a city detector: of its most surprising user who is a
        candidate too; the city's own where nobody with a name did it; none where it is usual for
        its users, who travel.
        """
        told = []
        for candidate in candidates:
            users_of = self.companions.get(candidate.detector, "")
            users = [user for user in candidate.cell.users if user]
            met = {}
            for user in users:
                said = self.verdicts.get((users_of, candidate.slice, user), {})
                if candidate.action in said:
                    met[user] = said[candidate.action]
            if met:
                user = min(met, key=lambda name: (-met[name].surprise, name))
                told.append(self._tell(candidate, met[user]))
            elif not users:
                told.append(self._tell(candidate, self._own(candidate)))
        return told

    def highest(self, candidate: Candidate) -> Verdict | None:
        """The highest S that was told of a candidate's entity in its slice, now or before."""
        told = self.verdicts.get(_doer(candidate), {}).values()
        return max(told, key=lambda verdict: (verdict.surprise, repr(verdict)), default=None)

    def _own(self, candidate: Candidate) -> Verdict:
        watched = self.of(candidate.detector)
        assert candidate.own is not None
        seen = watched.sightings(today_of(candidate.slice))
        with_tool = candidate.detector in self.with_tool
        found = judge(
            candidate.own, candidate.cell, candidate.action, watched.peers, seen, with_tool
        )
        return Verdict(*found)

    def book(
        self, candidates: Iterable[Candidate], told: Iterable[tuple[Candidate, Verdict]]
    ) -> None:
        """Count candidates and keep verdicts, when all of a firing are judged; what came too late,
        and what lies in an incident, is never booked.
        """
        for candidate in filter(_is_booked, candidates):
            self.of(candidate.detector).book_sighting(candidate)
        for candidate, verdict in told:
            if _is_booked(candidate):
                self.of(calibrated_as(candidate)).book(candidate, verdict.surprise)

    def rate(self, candidate: Candidate, surprise: float) -> float | None:
        """Entities of an ordinary day at least this odd; None before calibration.

        New entities may be too seldom to be calibrated by themselves where the others are.
        """
        today, key = today_of(candidate.slice), calibrated_as(candidate)
        watched, usual = self.of(key), self.of(candidate.detector)
        calibration = watched.calibration(today)
        if calibration is not None:
            return calibration.rate(surprise)
        if key == candidate.detector or usual.calibration(today) is None:
            return None
        days = range(today - min(DAYS, today - min(usual.days)), today)
        highest = [watched.days[day].told[1] for day in days if day in watched.days]
        return seldom(highest, len(days), surprise)

    def forget(self, firing: int) -> None:
        """Let go of verdicts that no later firing asks for."""
        for key in [key for key in self.verdicts if key[1] <= firing - WINDOW]:
            del self.verdicts[key]

    def close(self, firing: int) -> None:
        """Close the days that are over."""
        for watched in self.watched.values():
            today = today_of(firing)
            watched.close(today)
            if watched.since < 0 and watched.calibration(today) is not None:
                watched.since = firing
