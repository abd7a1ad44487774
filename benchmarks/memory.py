"""Memory of history: `python -m benchmarks.memory`. Bytes for each (entity, action) kept.

Resident: what a worker holds of an entity's history, by tracemalloc, names of actions shared as
they are between entities. Encoded: the same history as the job's state, one Avro record an entity;
names are in each. Snapshot: the file of these records, key and all. For people alone and for an
organisation in which 6 of 10 entities are machines with 1 to 6 actions: an entity costs something
whatever it does. Histories are those of the default scorer.
"""

from __future__ import annotations

import random
import sys
import tracemalloc
from io import BytesIO
from typing import Final

import fastavro

from pipeline.rules import load_rules
from pipeline.sinks import AVRO
from schemas.entity import ORGANISATION, EntityKey
from schemas.rule import Detector, detectors
from schemas.state import SAVED_STATE
from transforms.history import DAY, History
from transforms.own import Contrast
from transforms.score import ScoreFold

ENTITIES = 400
SLICES = 60
DAYS = 60
"""Over which these are spread."""
GOALS: Final = {"resident": 100, "snapshot": 24}


def histories(machines: float, seed: int = 1) -> list[History]:
    """Entities with actions out of 600: people with 20 to 240, and a share of machines."""
    chance = random.Random(seed)
    names = [f"DescribeSomething{number:03d}" for number in range(600)]
    made = []
    for _ in range(ENTITIES):
        person = min(240, 20 + int(chance.paretovariate(1.1) * 10))
        menu = chance.sample(names, chance.randint(1, 6) if chance.random() < machines else person)
        history = Contrast().history()
        for slice_ in sorted(chance.sample(range(DAYS * DAY), SLICES)):
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
    (detector, *_) = detectors(load_rules())
    saved = [_saved(history, detector, number) for number, history in enumerate(made)]
    encoded = sum(len(record["state"]) for record in saved)
    file = BytesIO()
    fastavro.writer(file, SAVED_STATE.schema, saved, **AVRO)
    sizes = {"resident": resident, "encoded": encoded, "snapshot": file.tell()}
    return {how: size / pairs for how, size in sizes.items()}


def _saved(history: History, detector: Detector, number: int) -> dict[str, bytes]:
    """One history as a record of a snapshot."""
    key = EntityKey(detector.key, ORGANISATION, ("111122223333", f"somebody-{number}")).encode()
    fold = ScoreFold((detector,))
    entity = fold.begin(key)
    entity.history = history
    return {"key": key, "state": fold.save(entity, {}, DAYS * DAY) or b""}


def main() -> int:
    """Measure and print."""
    for who, machines in (("people", 0.0), ("organisation", 0.6)):
        for how, size in measure(machines).items():
            goal = GOALS.get(how)
            met = "" if goal is None else "met" if size <= goal else "MISSED"
            said = met and f", goal {goal}: {met}"
            print(f"{who:13} {how:9} {size:6.1f} bytes a (entity, action){said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
