"""Choose the alerts of each firing: the highest first, at most so many, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam

from schemas.anomaly import ANOMALY, Anomaly
from schemas.counts import HELD, ROW, Row
from schemas.rule import Rule
from schemas.selection import SELECTION, Selection
from schemas.state import RULE_STATE, AlertedKey, RuleState
from transforms.firing import WHOLE, Course
from transforms.fold import Fold
from transforms.fold_by_key import FoldByKey

_APART = 8
"""Slices: the same action of the same entity less than this far from an alert is no new one."""
_REMEMBERED = 16
"""Firings for which an alerted key is kept beyond the rule's look-back."""
_SLICE_MINUTES = 15

Key = tuple[str, tuple[tuple[str, str], ...], str]


@dataclass
class RuleFold:
    """State of one rule: what waits, and what was alerted lately."""

    rule: Rule
    waiting: list[Anomaly] = field(default_factory=list)
    alerted: dict[Key, list[int]] = field(default_factory=dict)
    """Slices of the alerts of a (scope, entity, action)."""
    due: int | None = None
    """The next firing, while anything waits."""
    counts: Counter[str] = field(default_factory=Counter)

    def count(self, selection: Selection) -> None:
        """Count what a firing chose and held back."""
        name = self.rule.id
        self.counts[f"firings|{name}"] += 1
        self.counts[f"selected|{name}"] += selection.new
        self.counts[f"alerts|{name}"] += len(selection.alerts)
        self.counts[f"cut|{name}"] += len(selection.cut)
        self.counts[f"suppressed|{name}"] += len(selection.suppressed)
        self.counts[f"expired|{name}"] += len(selection.expired)


class SelectFold:
    """The fold of SelectAlerts: (rule, anomalies at or over its threshold, firing) → Selection."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = {rule.uuid.encode(): rule for rule in rules}

    def begin(self, key: bytes) -> RuleFold:
        """A rule with nothing waiting."""
        return RuleFold(self._rules[key])

    def holds(self, data: bytes) -> bool:
        """Whether an element is a RuleState."""
        return RULE_STATE.wrote(data)

    def load(self, key: bytes, data: bytes) -> tuple[RuleFold, list[tuple[int, Anomaly]], int]:
        """A RuleState."""
        saved, state = RULE_STATE.decode(data), self.begin(key)
        state.waiting = saved.waiting
        state.due = saved.done + 1 if saved.waiting else None
        for one in saved.alerted:
            entity = tuple(sorted(one.entity.items()))
            state.alerted[one.scope, entity, one.action] = one.slices
        return state, [(found.firing, found) for found in saved.later], saved.done

    def read(self, data: bytes) -> Iterator[tuple[int, Anomaly]]:
        """One anomaly, due at its firing."""
        found = ANOMALY.decode(data)
        yield found.firing, found

    def fire(
        self, state: RuleFold, items: list[Anomaly], firing: int
    ) -> Iterator[tuple[str, bytes]]:
        """Choose among the new and the waiting; the rest waits, is suppressed or expires."""
        selection = select(state, items, firing)
        if selection is not None:
            state.count(selection)
            yield "selections", SELECTION.encode(selection)

    def due(self, state: RuleFold) -> int | None:
        """The next firing, while anything waits."""
        return state.due

    def leaves(self, state: RuleFold) -> int | None:
        """Never: what was alerted is forgotten when the rule is next looked at."""
        return None

    def save(self, state: RuleFold, later: Mapping[int, list[Anomaly]], done: int) -> bytes | None:
        """A RuleState, unless there is nothing to remember."""
        _forget_alerted(state, done)
        later_on = (sorted(later[firing], key=_order) for firing in sorted(later))
        waiting = [found for each in later_on for found in each]
        if not (state.waiting or any(state.alerted.values()) or waiting):
            return None
        alerted = [
            AlertedKey(scope, dict(entity), action, slices)
            for (scope, entity, action), slices in sorted(state.alerted.items())
            if slices
        ]
        return RULE_STATE.encode(
            RuleState(done, sorted(state.waiting, key=_order), alerted, waiting)
        )

    def end(self, state: RuleFold, later: Mapping[int, list[Anomaly]]) -> Iterator[tuple[str, Any]]:
        """What was counted of the rule, and how many anomalies wait for a later firing."""
        waiting = len(state.waiting) + sum(map(len, later.values()))
        counts = {**state.counts, f"{HELD}waiting|{state.rule.id}": waiting}
        yield "counts", ROW.encode(Row(f"select {state.rule.uuid}", counts))


def select(state: RuleFold, new: list[Anomaly], firing: int) -> Selection | None:
    """One firing of one rule (DESIGN.md, "SelectAlerts, exactly"); None if it has nothing to say.

    A rule acts when its interval ends; in between anomalies wait. An anomaly may be chosen at the
    firing at which it became known and after it for as long as the rule looks back.
    """
    rule = state.rule
    _forget_alerted(state, firing)
    lookback = rule.lookback_minutes // _SLICE_MINUTES
    expired = [found for found in state.waiting if firing - found.firing >= lookback]
    waiting = [found for found in state.waiting if firing - found.firing < lookback]
    waiting += new
    acts = (firing + 1) * _SLICE_MINUTES % rule.interval_minutes == 0
    chosen, suppressed, cut = _walk(state, sorted(waiting, key=_order)) if acts else ([], [], [])
    state.waiting = cut if acts else waiting
    state.due = firing + 1 if state.waiting else None
    if not (new or expired or chosen or suppressed or cut):
        return None
    return Selection(
        rule_id=rule.uuid,
        firing=firing,
        alerts=chosen,
        new=len(new),
        cut=_scores(cut),
        suppressed=_scores(suppressed),
        expired=_scores(expired),
    )


def _walk(
    state: RuleFold, ordered: list[Anomaly]
) -> tuple[list[Anomaly], list[Anomaly], list[Anomaly]]:
    """(chosen, suppressed, cut), walking from the highest score down."""
    chosen: list[Anomaly] = []
    suppressed: list[Anomaly] = []
    cut: list[Anomaly] = []
    for found in ordered:
        near = state.alerted.setdefault(_key(found), [])
        if any(abs(found.slice - slice_) < _APART for slice_ in near):
            suppressed.append(found)
        elif len(chosen) < state.rule.max_alerts:
            chosen.append(found)
            near.append(found.slice)
        else:
            cut.append(found)
    return chosen, suppressed, cut


def _forget_alerted(state: RuleFold, firing: int) -> None:
    remembered = state.rule.lookback_minutes // _SLICE_MINUTES + _REMEMBERED
    for key, slices in list(state.alerted.items()):
        kept = [slice_ for slice_ in slices if firing - slice_ < remembered]
        if kept:
            state.alerted[key] = kept
        else:
            del state.alerted[key]


def _order(found: Anomaly) -> tuple[float, int, str]:
    """Highest score, earliest event, id: the same order everywhere."""
    return -(found.score or 0.0), found.first_seen, found.id


def _key(found: Anomaly) -> Key:
    return found.scope, tuple(sorted(found.entity.items())), found.action


def _scores(anomalies: list[Anomaly]) -> list[float]:
    return sorted((found.score or 0.0 for found in anomalies), reverse=True)


@dataclass(eq=False)
class SelectAlerts(beam.PTransform):  # type: ignore[misc]
    """KV[rule uuid, bytes of Anomaly or saved state] → .selections: bytes of Selection, one a rule
    and firing; .counts: accounting rows; .state: KV[rule uuid, RuleState].

    Keyed by rule. State and timer: see FoldByKey; the state is the anomalies, and what waits and
    what was alerted lately follow from them.
    """

    rules: tuple[Rule, ...]
    course: Course = WHOLE

    def expand(self, anomalies: Any) -> Any:
        """See the class."""
        rules = self.rules

        def make() -> Fold[RuleFold, Anomaly]:
            return SelectFold(rules)

        return anomalies | FoldByKey("select", make, ("selections", "counts"), 2, 0, self.course)
