"""What is remembered is small."""

from __future__ import annotations

from benchmarks.memory import GOALS, measure


def test_a_snapshot_holds_an_action_of_an_entity_in_24_bytes() -> None:
    for machines in (0.0, 0.6):
        assert 0 < measure(machines)["snapshot"] <= GOALS["snapshot"]
