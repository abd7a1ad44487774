"""Memory of history: `python -m benchmarks.memory`. Bytes for each (entity, action) kept.

Resident: what a worker holds of an entity's history, by tracemalloc, names of actions shared as
they are between entities. Encoded: the same history in the state's Avro schema.
"""

from __future__ import annotations

import random
import sys
import tracemalloc

from schemas.state import ENTITY_STATE
from transforms.history import History

ENTITIES = 400
SLICES = 60
GOAL = 100


def histories(seed: int = 1) -> list[History]:
    """Entities with 5 to 240 actions out of 600, most of them few."""
    chance = random.Random(seed)
    names = [f"DescribeSomething{number:03d}" for number in range(600)]
    made = []
    for _ in range(ENTITIES):
        menu = chance.sample(names, min(240, 5 + int(chance.paretovariate(1.1) * 15)))
        history = History()
        for slice_ in range(SLICES):
            history.learn(slice_, chance.sample(menu, min(len(menu), 8)), ("London",), ("boto3",))
        made.append(history)
    return made


def main() -> int:
    """Measure, print; exit status 1 beyond the goal."""
    histories()  # names and code are there before anything is measured
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made = histories()
    resident = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    pairs = sum(len(history.actions.row) for history in made)
    encoded = sum(len(ENTITY_STATE.encode(history.state())) for history in made)
    for name, size in (("resident", resident), ("encoded", encoded)):
        met = "met" if size / pairs <= GOAL else "MISSED"
        print(f"{name:10} {size / pairs:6.1f} bytes a (entity, action), goal {GOAL}: {met}")
    print(f"{pairs:,} (entity, action) of {ENTITIES} entities")
    return int(max(resident, encoded) / pairs > GOAL)


if __name__ == "__main__":
    sys.exit(main())
