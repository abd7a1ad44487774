"""Agreement with golden numbers: `python -m benchmarks.parity GOLDEN.json.gz`.

Runs the scorer that a file is of, `elastic` or `contrast`, over each of its scenarios, through the
product's own history and scorer, and prints the greatest differences. Exit status 1 beyond the
tolerances, or where a judgement is missing or extra.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from benchmarks import parity_contrast
from transforms.history import History
from transforms.rarity import Elastic, score_of

PROBABILITY: Final = 1e-6
"""Greatest relative difference of probabilities."""
SCORE: Final = 0.001
"""Greatest difference of scores."""

_KEYS: Final = {"name", "bucket_span_s", "buckets", "expected"}

Judged = tuple[int, str, str]
"""(bucket start in seconds, entity, action)."""


@dataclass(frozen=True)
class Agreement:
    """How one scenario compares."""

    name: str
    expected: int
    probability: float
    score: float
    missing: int
    extra: int

    @property
    def holds(self) -> bool:
        """Whether it is within the tolerances."""
        within = self.probability <= PROBABILITY and self.score <= SCORE
        return within and not self.missing and not self.extra


def read_scenarios(path: Path) -> list[dict[str, Any]]:
    """The scenarios in a file. Raises OSError, EOFError or ValueError for any other file."""
    scenarios = json.loads(gzip.decompress(path.read_bytes()))
    if not isinstance(scenarios, list) or not scenarios:
        raise ValueError("not a list of scenarios")
    for scenario in scenarios:
        if not isinstance(scenario, dict):
            raise ValueError("a scenario must be a map")
        if not scenario.keys() >= _KEYS and not scenario.keys() >= parity_contrast.KEYS:
            either = " or ".join(", ".join(sorted(k)) for k in (_KEYS, parity_contrast.KEYS))
            raise ValueError(f"a scenario must have {either}")
    return scenarios


def judge(scenario: Mapping[str, Any]) -> dict[Judged, float]:
    """Probabilities below the limit for all (bucket, entity, action): learn, age, then score."""
    histories: dict[str, History] = {}
    found: dict[Judged, float] = {}
    for start, pairs in scenario["buckets"]:
        for entity, actions in _by_entity(pairs):
            history = histories.setdefault(entity, History(bucket_span_s=scenario["bucket_span_s"]))
            history.learn(start // 900, actions, (), ())
            for action, probability in Elastic().judge(history, actions).items():
                found[start, entity, action] = probability
    return found


def _by_entity(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, set[str]]]:
    for entity, rows in groupby(sorted(map(tuple, pairs)), key=itemgetter(0)):
        yield entity, {action for _, action in rows}


def compare(scenario: Mapping[str, Any]) -> Agreement:
    """A scenario's golden numbers against the product's."""
    golden = {(row["bucket"], row["entity"], row["action"]): row for row in scenario["expected"]}
    found = judge(scenario)
    both = golden.keys() & found.keys()
    return Agreement(
        name=scenario["name"],
        expected=len(golden),
        probability=max((abs(found[k] / golden[k]["probability"] - 1) for k in both), default=0),
        score=max((abs(score_of(found[k]) - golden[k]["score"]) for k in both), default=0),
        missing=len(golden.keys() - found.keys()),
        extra=len(found.keys() - golden.keys()),
    )


def main(argv: Sequence[str]) -> int:
    """Compare each file named."""
    if not argv:
        print("usage: python -m benchmarks.parity GOLDEN.json.gz …", file=sys.stderr)
        return 2
    holds = True
    for name in argv:
        try:
            scenarios = read_scenarios(Path(name))
        except (OSError, EOFError, ValueError) as error:
            print(f"parity: {name}: no golden numbers: {error}", file=sys.stderr)
            return 2
        print(f"{'scenario':40} {'judged':>7} {'greatest differences':44} missing extra")
        for scenario in scenarios:
            if scenario.keys() >= parity_contrast.KEYS:
                one = parity_contrast.compare(scenario)
                numbers = f"S {one.surprise:.1e}, factors {one.factors:.1e}, score {one.score:.1e}"
                row: Agreement | parity_contrast.Agreement = one
            else:
                rare = compare(scenario)
                numbers = f"Δp/p {rare.probability:.1e}, score {rare.score:.1e}"
                row = rare
            holds = holds and row.holds
            counts = f"{row.missing:7} {row.extra:5}"
            print(f"{row.name[:40]:40} {row.expected:7,} {numbers:44} {counts}")
    limits = f"p {PROBABILITY} relative, S {parity_contrast.SURPRISE}, score {SCORE}"
    print("agrees" if holds else f"DISAGREES: beyond {limits}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
