"""The fold of a scope, moved by hand, and candidates that ask it."""

from __future__ import annotations

from collections.abc import Iterable

from factory import ACCOUNT, BY_CITY, at, candidate, cell, detector, rule
from msgspec.structs import replace

from schemas.anomaly import ANOMALY, Anomaly, Candidate, Factor, Habit, Own
from schemas.change import Change
from schemas.counts import ROW
from schemas.entity import entity_text
from schemas.rule import Detector, Rule
from transforms.peers import WeighFold

DAY = 96
NOW = 20_000 * DAY + 40
"""A slice in the middle of a day."""
USER = rule("users", detector=detector("contrast"))
CITY = rule("cities", detector=detector("contrast", BY_CITY, name="by-city"))


class Weighed:
    """The fold of a scope, moved by hand."""

    def __init__(self, *rules: Rule) -> None:
        self.fold = WeighFold(rules or (USER, CITY))
        self.state = self.fold.begin(b"organisation")

    def fire(self, firing: int, *items: Candidate | Change) -> list[Anomaly]:
        """The anomalies of a firing."""
        out = self.fold.fire(self.state, list(items), firing)
        return [ANOMALY.decode(value) for tag, value in out if tag == "anomalies"]

    def counts(self) -> dict[str, int]:
        """What was counted so far."""
        ((_, row),) = self.fold.end(self.state, {})
        return ROW.decode(row).counts

    def resume(self, done: int) -> None:
        """Go on as a later run does."""
        data = self.fold.save(self.state, {}, done)
        assert data is not None
        self.state, later, until = self.fold.load(b"organisation", data)
        assert (list(later), until) == ([], done)


def own(n: int = 100, new: int = 10) -> Own:
    """A history of n pairs of an action and a slice, of so many actions; alone, at home."""
    return Own(n, new, n, 1, 0, 0, {}, {}, [Habit("New", 0)])


def user(
    name: str = "alice",
    slice_: int = NOW,
    firing: int | None = None,
    action: str = "New",
    n: int = 100,
    of: Detector = USER.detector,
    **changes: object,
) -> Candidate:
    """A user's first time; the greater n, the higher is S."""
    given = candidate(None, slice_, action, name, firing=firing, of=of)
    return _asking(given, n, **changes)


def city(
    *users: str,
    name: str = "London",
    slice_: int = NOW,
    firing: int | None = None,
    action: str = "New",
    n: int = 10,
    **changes: object,
) -> Candidate:
    """A city's first time, done by these users."""
    given = candidate(None, slice_, action, firing=firing, of=CITY.detector)
    given = replace(given, entity=dict(zip(BY_CITY, ("GB", name), strict=True)))
    who = tuple(sorted(entity_text((ACCOUNT, each)) for each in users))
    return _asking(given, n, users=who, **changes)


def _asking(given: Candidate, n: int, **changes: object) -> Candidate:
    late = given.firing - given.slice
    when = "on_time" if not late else "late" if late < 8 else "too_late"
    happened = cell(at(given.slice), **changes)
    return replace(given, scorer="contrast", own=own(n), cell=happened, timing=when)  # type: ignore[arg-type]


def flood(of: Candidate, number: int = 3) -> Candidate:
    """What stands for those beyond 20 of the candidate's slice."""
    factors = [Factor("flood", float(number), f"{number} more")]
    return replace(of, action="flood", own=None, factors=factors)


def of_rule(found: Iterable[Anomaly], of: Rule) -> list[Anomaly]:
    return [each for each in found if each.rule_id == of.uuid]


def factor(found: Anomaly, name: str) -> float:
    (value,) = [each.value for each in found.factors if each.name == name]
    return value
