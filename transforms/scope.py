"""The second stage of `contrast`: what a scope remembers of its entities, and how it judges by it.

Source: contrast.md, §2, §4 and §5. Days are counted from 1970, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.anomaly import Candidate, Factor
from schemas.change import Change
from schemas.rule import first_of
from transforms.calibrate import DAYS, seldom
from transforms.contrast import judge, judge_first
from transforms.firing import WINDOW
from transforms.history import DAY
from transforms.watched import SIGHTING_DAYS, Watched, who_of


class Verdict(NamedTuple):
    """S and its factors."""

    surprise: float
    factors: list[Factor]


def _is_booked(candidate: Candidate) -> bool:
    return candidate.timing != "too_late" and not candidate.incident


def _by_slice(candidate: Candidate) -> tuple[int, str]:
    return candidate.slice, candidate.action


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
    guarded: frozenset[str] = frozenset()
    """Detectors whose numbers of peers no entity can shift alone."""
    companions: Mapping[str, str] = field(default_factory=dict)
    """City detector → the detector of the users whose verdicts it carries."""
    watched: dict[str, Watched] = field(default_factory=dict)
    verdicts: dict[tuple[str, int, str], dict[str, Verdict]] = field(default_factory=dict)
    """(detector, slice, entity) → action → verdict, of the last two hours."""

    def of(self, detector: str) -> Watched:
        """What is remembered of a detector."""
        watched = self.watched.get(detector)
        if watched is None:
            watched = self.watched[detector] = Watched.new(detector in self.guarded)
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
        for candidate in sorted(filter(_is_booked, candidates), key=_by_slice):
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
        span = min(DAYS, today - min(usual.days))
        highest = [day.told[1] for day in watched.before(today, span)]
        return seldom(highest, span, surprise)

    @property
    def leaves(self) -> int | None:
        """The first firing that asks for none of the days any more, if no entity is left; None
        while one is, and where nothing is known.
        """
        if not self.watched or any(one.peers.known for one in self.watched.values()):
            return None
        days = [day for one in self.watched.values() for day in one.days]
        return (max(days) + SIGHTING_DAYS + 1) * DAY + WINDOW if days else 0

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
