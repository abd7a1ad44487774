"""Choose the alerts of each firing: the highest first, at most so many, each once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam

from schemas.anomaly import ANOMALY, Anomaly
from schemas.rule import Rule
from schemas.selection import SELECTION, Selection
from transforms.fold import Fold, FoldByKey

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
    next_due: int | None = None


class SelectFold:
    """The fold of SelectAlerts: (rule, anomalies at or over its threshold, firing) → Selection."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = {rule.uuid.encode(): rule for rule in rules}

    def begin(self, key: bytes) -> RuleFold:
        """A rule with nothing waiting."""
        return RuleFold(self._rules[key])

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
            yield "selections", SELECTION.encode(selection)

    def due(self, state: RuleFold) -> int | None:
        """The next firing, while anything waits."""
        return state.next_due

    def end(self, state: RuleFold) -> Iterator[tuple[str, Any]]:
        """Nothing: by the horizon everything is chosen or expired."""
        return iter(())


def select(state: RuleFold, new: list[Anomaly], firing: int) -> Selection | None:
    """One firing of one rule (DESIGN.md, "SelectAlerts, exactly"); None if it has nothing to say.

    A rule acts when its interval ends; in between anomalies wait. An anomaly may be chosen at the
    firing at which it became known and after it for as long as the rule looks back.
    """
    rule = state.rule
    lookback = rule.lookback_minutes // _SLICE_MINUTES
    expired = [found for found in state.waiting if firing - found.firing >= lookback]
    waiting = [found for found in state.waiting if firing - found.firing < lookback]
    waiting += new
    acts = (firing + 1) * _SLICE_MINUTES % rule.interval_minutes == 0
    chosen, suppressed, cut = _walk(state, sorted(waiting, key=_order)) if acts else ([], [], [])
    state.waiting = cut if acts else waiting
    state.next_due = firing + 1 if state.waiting else None
    _forget_alerted(state, firing)
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
    """KV[rule uuid, bytes of Anomaly] → bytes of Selection, one a rule and firing.

    Keyed by rule. State and timer: see FoldByKey; the state is the anomalies, and what waits and
    what was alerted lately follow from them.
    """

    rules: tuple[Rule, ...]

    def expand(self, anomalies: Any) -> Any:
        """See the class."""
        rules = self.rules

        def make() -> Fold[RuleFold, Anomaly]:
            return SelectFold(rules)

        return anomalies | FoldByKey("select", make, ("selections",), 0)
