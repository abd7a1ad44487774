"""Weigh candidates against the entity's peers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam

from schemas.anomaly import ANOMALY, CANDIDATE, Candidate, anomaly
from schemas.counts import ROW, Row
from schemas.rule import Rule
from schemas.state import SCOPE_STATE, ScopeState
from transforms.firing import WHOLE, Course
from transforms.fold import Fold, FoldByKey


@dataclass
class ScopeFold:
    """State of one scope. Scorers that look at the entity alone learn nothing of peers."""

    scope: str
    counts: Counter[str] = field(default_factory=Counter)


class WeighFold:
    """The fold of WeighPeers: (scope, candidates of a firing) → anomalies, one for each rule.

    `window` and `elastic` look at the entity alone: their candidates come scored, and pass.
    """

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._names = {rule.detector.key: rule.detector.name for rule in reversed(rules)}
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            self._rules.setdefault(rule.detector.key, []).append(rule)

    def begin(self, key: bytes) -> ScopeFold:
        """A scope of which nothing is known."""
        return ScopeFold(key.decode())

    def holds(self, data: bytes) -> bool:
        """Whether an element is a ScopeState."""
        return SCOPE_STATE.wrote(data)

    def load(self, key: bytes, data: bytes) -> tuple[ScopeFold, list[tuple[int, Candidate]], int]:
        """A ScopeState."""
        saved = SCOPE_STATE.decode(data)
        return self.begin(key), [(found.firing, found) for found in saved.later], saved.done

    def read(self, data: bytes) -> Iterator[tuple[int, Candidate]]:
        """One candidate, due at its firing."""
        candidate = CANDIDATE.decode(data)
        yield candidate.firing, candidate

    def fire(
        self, state: ScopeFold, items: list[Candidate], firing: int
    ) -> Iterator[tuple[str, Any]]:
        """An anomaly for each rule of a candidate's detector; those that may alert by rule, too."""
        for candidate in items:
            state.counts[f"weighed|{self._names[candidate.detector]}"] += 1
            for rule in self._rules[candidate.detector]:
                found = anomaly(candidate, rule.uuid)
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
        """Never: there is nothing to forget."""
        return None

    def save(
        self, state: ScopeFold, later: Mapping[int, list[Candidate]], done: int
    ) -> bytes | None:
        """A ScopeState, as long as anything is due later."""
        waiting = [found for firing in sorted(later) for found in sorted(later[firing], key=_order)]
        return SCOPE_STATE.encode(ScopeState(done, waiting)) if waiting else None

    def end(
        self, state: ScopeFold, later: Mapping[int, list[Candidate]]
    ) -> Iterator[tuple[str, Any]]:
        """What was counted of the scope."""
        yield "counts", ROW.encode(Row(f"weigh {state.scope}", dict(state.counts)))


def _order(found: Candidate) -> tuple[str, list[tuple[str, str]], int, str]:
    return found.detector, sorted(found.entity.items()), found.slice, found.action


@dataclass(eq=False)
class WeighPeers(beam.PTransform):  # type: ignore[misc]
    """KV[scope, Candidate or saved state] → .anomalies: all of them; .alertable: KV[rule uuid,
    Anomaly] of those at or over the rule's threshold; .counts: accounting rows; .state: KV[scope,
    ScopeState].

    Keyed by scope, where the candidates of all its detectors meet. State and timer: see FoldByKey.
    """

    rules: tuple[Rule, ...]
    course: Course = WHOLE

    def expand(self, candidates: Any) -> Any:
        """See the class."""
        rules = self.rules

        def make() -> Fold[ScopeFold, Candidate]:
            return WeighFold(rules)

        tags = ("anomalies", "alertable", "counts")
        return candidates | FoldByKey("weigh", make, tags, 1, 1, self.course)
