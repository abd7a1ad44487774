"""A scope as its schema has it, and back."""

from __future__ import annotations

from array import array

from schemas.state import (
    DayState,
    PopularityState,
    VerdictState,
    WatchedState,
    column,
    integers,
)
from transforms.contrast import Popularity
from transforms.history import KINDS
from transforms.scope import Scope, Verdict
from transforms.watched import Day


def watched_states(scope: Scope) -> dict[str, WatchedState]:
    """What a scope remembers, by detector."""
    return {
        detector: WatchedState(
            since=watched.since,
            actions=_popularity_state(watched.peers.actions),
            places=_popularity_state(watched.peers.places),
            tools=_popularity_state(watched.peers.tools),
            days=[_day_state(day, watched.days[day]) for day in sorted(watched.days)],
        )
        for detector, watched in sorted(scope.watched.items())
    }


def verdict_states(scope: Scope) -> list[VerdictState]:
    """The verdicts of the last two hours."""
    return [
        VerdictState(detector, slice_, action, entity, verdict.surprise, verdict.factors)
        for (detector, slice_, entity), actions in sorted(scope.verdicts.items())
        for action, verdict in sorted(actions.items())
    ]


def restore(scope: Scope, watched: dict[str, WatchedState], verdicts: list[VerdictState]) -> None:
    """Make an empty scope what the above was made from."""
    for detector, state in watched.items():
        found = scope.of(detector)
        for kind in KINDS:
            _fill(found.peers.table(kind), getattr(state, kind))
        found.days = {day.day: _day(day) for day in state.days}
        found.since = state.since
    for one in verdicts:
        actions = scope.verdicts.setdefault((one.detector, one.slice, one.entity), {})
        actions[one.action] = Verdict(one.surprise, one.factors)


def _popularity_state(table: Popularity) -> PopularityState:
    names = sorted(table.fans)
    return PopularityState(
        names=names,
        fans=column(array("I", [table.fans[name] for name in names])),
        first=column(array("i", [table.first[name][0] for name in names])),
        by=[table.first[name][1] for name in names],
    )


def _fill(table: Popularity, state: PopularityState) -> None:
    fans, first = integers("I", state.fans), integers("i", state.first)
    table.fans = dict(zip(state.names, fans, strict=True))
    table.first = dict(zip(state.names, zip(first, state.by, strict=True), strict=True))
    table.pairs, table.alone = sum(fans), fans.count(1)


def _day_state(number: int, day: Day) -> DayState:
    return DayState(
        day=number,
        sightings=day.sightings,
        failed=day.failed,
        wrote=day.wrote,
        judged=day.judged,
        highest=day.highest,
        open=dict(sorted(day.open.items())),
        booked=dict(sorted(day.booked.items())),
    )


def _day(state: DayState) -> Day:
    return Day(
        sightings=state.sightings,
        failed=state.failed,
        wrote=state.wrote,
        judged=state.judged,
        highest=state.highest,
        open=state.open,
        booked=state.booked,
    )
