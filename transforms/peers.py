"""Weigh candidates against the entity's peers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from msgspec.structs import replace

from schemas.anomaly import ANOMALY, CANDIDATE, Candidate, anomaly
from schemas.change import CHANGE, Change
from schemas.counts import HELD, ROW, Row
from schemas.rule import Detector, Rule, companion, detectors, first_of
from schemas.state import SCOPE_STATE, ScopeState
from transforms.calibrate import score_of_rate
from transforms.firing import WHOLE, Course
from transforms.fold import Fold
from transforms.fold_by_key import FoldByKey
from transforms.judge import FLOOD
from transforms.scope import Scope, Verdict
from transforms.scope_state import restore, verdict_states, watched_states

Item = Candidate | Change


@dataclass
class ScopeFold:
    """State of one scope."""

    name: str
    scope: Scope
    counts: Counter[str] = field(default_factory=Counter)
    held: dict[str, int] = field(default_factory=dict)
    """How it was calibrated when it was forgotten in this run."""


class WeighFold:
    """The fold of WeighPeers: (scope, changes and candidates of a firing) → anomalies, one for
    each rule.

    `window` and `elastic` look at the entity alone: their candidates come scored, and pass.
    Those of `contrast` are judged among peers: users first, since cities carry their verdicts.
    """

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._detectors: dict[str, Detector] = {each.key: each for each in detectors(rules)}
        self._names = {key: each.name for key, each in self._detectors.items()}
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            self._names[rule.detector.key] = rule.detector.name
            self._rules.setdefault(rule.detector.key, []).append(rule)
        every = self._detectors.values()
        self._companions = {
            key: users.key
            for key, one in self._detectors.items()
            if not one.of_users and (users := companion(one, every)) is not None
        }
        self._with_tool = frozenset(key for key, one in self._detectors.items() if one.with_tool)
        self._guarded = frozenset(key for key, one in self._detectors.items() if one.guarded)

    def begin(self, key: bytes) -> ScopeFold:
        """A scope of which nothing is known."""
        scope = Scope(self._with_tool, self._guarded, self._companions)
        return ScopeFold(key.decode(), scope)

    def holds(self, data: bytes) -> bool:
        """Whether an element is a ScopeState."""
        return SCOPE_STATE.wrote(data)

    def load(self, key: bytes, data: bytes) -> tuple[ScopeFold, list[tuple[int, Item]], int]:
        """A ScopeState."""
        saved, state = SCOPE_STATE.decode(data), self.begin(key)
        restore(state.scope, saved.watched, saved.verdicts)
        later: list[Item] = [*saved.later, *saved.changes]
        return state, [(item.firing, item) for item in later], saved.done

    def read(self, data: bytes) -> Iterator[tuple[int, Item]]:
        """One candidate or change, due at its firing."""
        item = CHANGE.decode(data) if CHANGE.wrote(data) else CANDIDATE.decode(data)
        yield item.firing, item

    def fire(self, state: ScopeFold, items: list[Item], firing: int) -> Iterator[tuple[str, Any]]:
        """Learn what was settled, judge, book; an anomaly for each rule of a candidate's detector,
        and those that may alert by rule, too.
        """
        candidates = [item for item in items if isinstance(item, Candidate)]
        for candidate in candidates:
            state.counts[f"weighed|{self._detectors[candidate.detector].name}"] += 1
        asking = [found for found in candidates if found.own is not None]
        state.scope.apply(item for item in items if isinstance(item, Change))
        single = [found for found in candidates if not self._is_flood(found)]
        told = self._verdicts(state, asking)
        told += state.scope.judge_young(each for each in single if each.basis != "history")
        for candidate in single:
            if candidate.own is None and candidate.basis == "history":
                yield from self._anomalies(state, candidate)
        for candidate, verdict in told:
            yield from self._anomalies(state, candidate, verdict)
        for candidate in filter(self._is_flood, candidates):
            yield from self._flood(state, candidate)
        state.scope.book(asking, told)
        state.scope.forget(firing)
        if candidates:  # else nothing is asked of the days
            state.scope.close(firing)
        leaves = state.scope.leaves
        if leaves is not None and firing >= leaves:
            state.held = self._calibrations(state)
            state.scope.watched.clear()

    def _is_flood(self, candidate: Candidate) -> bool:
        """Whether a candidate takes the score of those that the peers have judged."""
        return candidate.action == FLOOD and candidate.scorer == "contrast"

    def _verdicts(
        self, state: ScopeFold, asking: list[Candidate]
    ) -> list[tuple[Candidate, Verdict]]:
        users = [found for found in asking if self._detectors[found.detector].of_users]
        cities = [found for found in asking if not self._detectors[found.detector].of_users]
        told = state.scope.judge_users(users)
        of_cities = state.scope.judge_cities(cities)
        for city in cities:
            state.counts[f"usual|{self._detectors[city.detector].name}"] += 1
        for city, _ in of_cities:
            state.counts[f"usual|{self._detectors[city.detector].name}"] -= 1
        return told + of_cities

    def _flood(self, state: ScopeFold, flood: Candidate) -> Iterator[tuple[str, Any]]:
        """A flood has the highest S of those of its slice that were judged one by one."""
        highest = state.scope.highest(flood)
        factors = [*flood.factors, *(highest.factors if highest else ())]
        yield from self._anomalies(
            state, flood, Verdict(highest.surprise, factors) if highest else None
        )

    def _anomalies(
        self, state: ScopeFold, candidate: Candidate, verdict: Verdict | None = None
    ) -> Iterator[tuple[str, Any]]:
        rate, detector = None, candidate.detector
        if verdict is not None:
            surprise, factors = verdict
            candidate = replace(candidate, surprise=surprise, factors=factors)
            rate = state.scope.rate(candidate, surprise)
        if candidate.basis == "first_activity":
            detector = first_of(detector)
        for rule in self._rules.get(detector, ()):
            found = anomaly(candidate, rule.uuid)
            if rate is not None:
                score = round(score_of_rate(rate, rule.cases_per_day), 4)
                found = replace(found, rate=rate, score=score)
            data = ANOMALY.encode(found)
            state.counts[f"anomalies|{rule.id}"] += 1
            yield "anomalies", data
            if found.score is not None and found.score >= rule.threshold:
                state.counts[f"alertable|{rule.id}"] += 1
                yield "alertable", (rule.uuid.encode(), data)

    def due(self, state: ScopeFold) -> int | None:
        """Nothing of its own accord."""
        return None

    def leaves(self, state: ScopeFold) -> int | None:
        """When all its entities have left, and nothing asks for its days any more."""
        return state.scope.leaves

    def save(self, state: ScopeFold, later: Mapping[int, list[Item]], done: int) -> bytes | None:
        """A ScopeState, unless nothing is known of the scope."""
        waiting = [item for firing in sorted(later) for item in later[firing]]
        candidates = [item for item in waiting if isinstance(item, Candidate)]
        changes = [item for item in waiting if isinstance(item, Change)]
        if not (waiting or state.scope.watched):
            return None
        saved = ScopeState(
            done=done,
            watched=watched_states(state.scope),
            verdicts=verdict_states(state.scope),
            later=sorted(candidates, key=_order),
            changes=sorted(changes, key=_order_of_change),
        )
        return SCOPE_STATE.encode(saved)

    def end(self, state: ScopeFold, later: Mapping[int, list[Item]]) -> Iterator[tuple[str, Any]]:
        """What was counted of the scope, and how its detectors are calibrated."""
        counts = {**state.counts, **state.held, **self._calibrations(state)}
        yield "counts", ROW.encode(Row(f"weigh {state.name}", counts))

    def _calibrations(self, state: ScopeFold) -> dict[str, int]:
        counts = {}
        for key, watched in state.scope.watched.items():
            if key in self._names:
                at = f"{HELD}scopes|{state.name}|{self._names[key]}"
                today = max(watched.days, default=0)
                calibration = watched.calibration(today)
                counts[f"{at}|days"] = calibration.days if calibration else 0
                counts[f"{at}|since"] = watched.since
        return counts


def _order(found: Candidate) -> tuple[int, str, list[tuple[str, str]], int, str]:
    entity = sorted(found.entity.items())
    return found.firing, found.detector, entity, found.slice, found.action


def _order_of_change(change: Change) -> tuple[int, str, str, int]:
    return change.firing, change.detector, change.entity, change.slice


@dataclass(eq=False)
class WeighPeers(beam.PTransform):  # type: ignore[misc]
    """KV[scope, Candidate, Change or saved state] → .anomalies: all of them; .alertable: KV[rule
    uuid, Anomaly] of those at or over the rule's threshold; .counts: accounting rows; .state:
    KV[scope, ScopeState].

    Keyed by scope, where the candidates of all its detectors meet. State and timer: see FoldByKey.
    """

    rules: tuple[Rule, ...]
    course: Course = WHOLE

    def expand(self, candidates: Any) -> Any:
        """See the class."""
        rules = self.rules

        def make() -> Fold[ScopeFold, Item]:
            return WeighFold(rules)

        tags = ("anomalies", "alertable", "counts")
        return candidates | FoldByKey("weigh", make, tags, 1, 1, self.course)
