"""The specification against the page that it was written from, and against the golden numbers."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path

import pytest
from reference import plain_loop


@pytest.mark.parametrize(
    ("p", "score"),
    [
        (0.035, 10.5), (0.01, 29.6), (0.005, 40.2), (0.0026, 50.2),
        (0.001, 64.8), (5.13e-4, 75.0), (2.5e-4, 86.0), (1e-4, 100),
    ],
)  # fmt: skip
def test_the_specification_scores_as_the_page_says(p: float, score: float) -> None:
    assert plain_loop.score(p) == pytest.approx(score, abs=0.06)


def test_the_specification_agrees_with_the_worked_example() -> None:
    total, new, second = 2981.50, 0.99950, 0.0450201 * 2981.50
    others = 19  # all equal, and none of them less than the second
    rest = (total - new - second) / others
    mass = {"new": new, "second": second} | {f"other{i}": rest for i in range(others)}
    p = plain_loop.probability(mass, "new")
    assert p == pytest.approx(3.53004e-4, rel=1e-5)
    assert plain_loop.score(p) == pytest.approx(80.72, abs=0.005)


def test_the_specification_agrees_with_the_golden_numbers(shared: Path) -> None:
    with gzip.open(shared / "parity" / "rare_golden.json.gz") as file:
        scenarios = json.load(file)
    small = sorted(scenarios, key=lambda s: sum(len(done) for _, done in s["buckets"]))[:3]
    for scenario in small:
        span = scenario["bucket_span_s"]
        slices: dict[str, dict[int, list[str]]] = defaultdict(dict)
        for start, done in scenario["buckets"]:
            for entity, action in done:
                slices[entity].setdefault(start // span, []).append(action)
        found = {
            (slice_ * span, entity, action): rare
            for entity, mine in slices.items()
            for (action, slice_), rare in plain_loop.elastic(mine, span).items()
        }
        golden = {(e["bucket"], e["entity"], e["action"]): e for e in scenario["expected"]}
        assert found.keys() == golden.keys(), scenario["name"]
        for key, rare in found.items():
            assert rare.probability == pytest.approx(golden[key]["probability"], rel=1e-6)
            assert rare.score == pytest.approx(golden[key]["score"], abs=0.001)
