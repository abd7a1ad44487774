"""Memory of history: `python -m benchmarks.memory`. Bytes for each (entity, action) kept.

Resident: what a worker holds of an entity's history, by tracemalloc, names of actions shared as
they are between entities. Encoded: the same history in the state's Avro schema. For people alone
and for an organisation in which 6 of 10 entities are machines with 1 to 6 actions: an entity costs
something whatever it does.
"""

from __future__ import annotations

import random
import sys
import tracemalloc

from pipeline.rules import load_rules
from schemas.entity import ORGANISATION, EntityKey
from schemas.rule import detectors
from transforms.history import History
from transforms.score import ScoreFold

ENTITIES = 400
SLICES = 60
GOAL = 100


def histories(machines: float, seed: int = 1) -> list[History]:
    """Entities with actions out of 600: people with 20 to 240, and a share of machines."""
    chance = random.Random(seed)
    names = [f"DescribeSomething{number:03d}" for number in range(600)]
    made = []
    for _ in range(ENTITIES):
        person = min(240, 20 + int(chance.paretovariate(1.1) * 10))
        menu = chance.sample(names, chance.randint(1, 6) if chance.random() < machines else person)
        history = History()
        for slice_ in range(SLICES):
            history.learn(slice_, chance.sample(menu, min(len(menu), 8)), ("London",), ("boto3",))
        made.append(history)
    return made


def measure(machines: float) -> dict[str, float]:
    """Bytes a (entity, action), by how they are held."""
    histories(machines)  # names and code are there before anything is measured
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made = histories(machines)
    resident = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    pairs = sum(len(history.actions.row) for history in made)
    encoded = sum(len(_saved(history)) for history in made)
    return {"resident": resident / pairs, "encoded": encoded / pairs}


def _saved(history: History) -> bytes:
    """One history as a snapshot has it."""
    detector = detectors(load_rules())[0]
    key = EntityKey(detector.key, ORGANISATION, ("111122223333", "somebody"))
    fold = ScoreFold((detector,))
    entity = fold.begin(key.encode())
    entity.history = history
    return fold.save(entity, {}, SLICES) or b""


def main() -> int:
    """Measure and print."""
    for who, machines in (("people", 0.0), ("organisation", 0.6)):
        for how, size in measure(machines).items():
            met = "met" if size <= GOAL else "MISSED"
            print(f"{who:13} {how:9} {size:6.1f} bytes a (entity, action), goal {GOAL}: {met}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
