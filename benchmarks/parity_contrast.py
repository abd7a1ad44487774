"""The golden judgements of `contrast` against the product's own folds.

Cells become groups; each entity is folded by ScoreFold, and what comes of all of them, by
WeighFold: what the graph does, without the graph.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.anomaly import ANOMALY, Anomaly
from schemas.entity import ORGANISATION, EntityKey, entity_text
from schemas.rule import Detector, Rule
from schemas.slice import Cell, bounded, hash_of
from schemas.slices import Group
from transforms.fold import replay
from transforms.peers import WeighFold
from transforms.score import ScoreFold

SURPRISE: Final = 1e-6
"""Greatest difference of S and of factors."""
SCORE: Final = 0.001
"""Greatest difference of scores."""
KEYS: Final = {"name", "tool", "slices", "expected"}
_FIELDS: Final = {"user": "user.name", "city": "source.geo.city_name"}

Judged = tuple[str, int, str, str]
"""(rule, slice start in seconds, entity, action)."""


@dataclass(frozen=True)
class Agreement:
    """How one scenario compares."""

    name: str
    expected: int
    surprise: float
    factors: float
    score: float
    missing: int
    extra: int

    @property
    def holds(self) -> bool:
        """Whether it is within the tolerances."""
        within = max(self.surprise, self.factors) <= SURPRISE and self.score <= SCORE
        return within and not self.missing and not self.extra


def rules_of(with_tool: bool) -> dict[str, Rule]:
    """The two rules, on entities of one field each."""
    return {
        name: Rule(
            uuid=f"00000000-0000-4000-8000-00000000000{number}",
            id=name,
            name=name,
            description=name,
            detector=Detector(name, "rare", "event.action", (field,), with_tool=with_tool),
        )
        for number, (name, field) in enumerate(_FIELDS.items())
    }


class _Given(ScoreFold):
    """A ScoreFold whose elements name groups that are at hand."""

    def __init__(self, detector: Detector, groups: Mapping[bytes, list[Group]]) -> None:
        super().__init__((detector,), forget_after=1 << 30)
        self._groups = groups

    def holds(self, data: bytes) -> bool:
        return False

    def read(self, data: bytes) -> Iterator[tuple[int, Group]]:
        return ((group.firing, group) for group in self._groups[data])


def judge(scenario: Mapping[str, Any]) -> dict[Judged, Anomaly]:
    """All judgements of a scenario."""
    rules = rules_of(scenario["tool"])
    elements = messages(scenario["slices"], rules)
    said = replay(WeighFold(tuple(rules.values())), ORGANISATION.encode(), elements)
    found = [ANOMALY.decode(data) for tag, data in said if tag == "anomalies"]
    names = {rule.uuid: name for name, rule in rules.items()}
    return {
        (names[one.rule_id], one.slice_start // 1000, _only(one.entity), one.action): one
        for one in found
    }


def messages(slices: Iterable[list[Any]], rules: Mapping[str, Rule]) -> list[bytes]:
    """What the entities of a scenario tell their peers."""
    slices = list(slices)
    elements: list[bytes] = []
    for column, (name, rule) in enumerate(rules.items(), start=1):
        for entity, groups in _groups(slices, column, name == "user").items():
            key = EntityKey(rule.detector.key, ORGANISATION, (entity,)).encode()
            fold = _Given(rule.detector, {key: groups})
            elements += [one for tag, (_, one) in _pairs(replay(fold, key, [key]))]
    return elements


def _only(entity: Mapping[str, str]) -> str:
    (value,) = entity.values()
    return value


def _pairs(said: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    return ((tag, value) for tag, value in said if tag == "candidates")


def _groups(slices: Iterable[list[Any]], column: int, of_users: bool) -> dict[str, list[Group]]:
    """Entity → its groups."""
    found: dict[str, list[Group]] = defaultdict(list)
    for row in slices:
        slice_ = row[0] // 900
        groups: dict[str, Group] = {}
        for given in row[column]:
            group = groups.setdefault(given["entity"], Group(slice_, slice_))
            group.cells[given["action"]] = cell_of(given, slice_, of_users)
            group.delivered += 1
        for entity, group in groups.items():
            found[entity].append(group)
    return found


def cell_of(given: Mapping[str, Any], slice_: int, of_users: bool) -> Cell:
    """A cell as the product has it: one event in it, at the start of the slice."""
    streams = {("", *stream) if of_users else tuple(stream) for stream in given["stream"]}
    time = slice_ * 900_000
    return Cell(
        first=time,
        last=time,
        ids=(hash_of(f"{given['entity']} {given['action']} {slice_}"),),
        failed=given["failed"],
        write=given["write"],
        place=bounded(set(given["place"])),
        tool=bounded(set(given["tool"])),
        stream=bounded(streams),
        users=bounded({entity_text((user,)) for user in given["users"] if user}),
        account=(),
        region=(),
        error=(),
        evidence=(),
    )


def compare(scenario: Mapping[str, Any]) -> Agreement:
    """A scenario's golden judgements against the product's."""
    golden = {
        (row["rule"], row["slice"], row["entity"], row["action"]): row
        for row in scenario["expected"]
    }
    found = judge(scenario)
    both = golden.keys() & found.keys()
    surprise = factors = score = 0.0
    for key in both:
        right, mine = golden[key], found[key]
        surprise = max(surprise, abs((mine.surprise or 0.0) - right["S"]))
        mine_factors = {factor.name: factor.value for factor in mine.factors}
        alike = mine_factors.keys() == right["factors"].keys()
        off = [abs(mine_factors.get(n, 1e9) - value) for n, value in right["factors"].items()]
        factors = max(factors, *off, 0.0 if alike else 1e9)
        score = max(score, abs((mine.score or 0.0) - right["score"]))
    return Agreement(
        name=scenario["name"],
        expected=len(golden),
        surprise=surprise,
        factors=factors,
        score=score,
        missing=len(golden.keys() - found.keys()),
        extra=len(found.keys() - golden.keys()),
    )
