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
from transforms.contrast import Peers, Popularity
from transforms.scope import Day, Scope, Verdict, Watched


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
        peers = Peers(
            _popularity(state.actions), _popularity(state.places), _popularity(state.tools)
        )
        days = {day.day: _day(day) for day in state.days}
        scope.watched[detector] = Watched(peers, days, state.since)
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


def _popularity(state: PopularityState) -> Popularity:
    fans, first = integers("I", state.fans), integers("i", state.first)
    return Popularity(
        fans=dict(zip(state.names, fans, strict=True)),
        pairs=sum(fans),
        first=dict(zip(state.names, zip(first, state.by, strict=True), strict=True)),
    )


def _day_state(number: int, day: Day) -> DayState:
    return DayState(
        day=number,
        sightings=day.sightings,
        failed=day.failed,
        wrote=day.wrote,
        judged=day.judged,
        highest=day.highest,
        open=dict(sorted(day.open.items())),
    )


def _day(state: DayState) -> Day:
    return Day(
        sightings=state.sightings,
        failed=state.failed,
        wrote=state.wrote,
        judged=state.judged,
        highest=state.highest,
        open=state.open,
    )
