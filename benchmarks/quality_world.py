"""One simulated organisation of the quality bench, judged by every scorer through the real job.

The organisation lives four weeks without an intruder. The job goes through them once and leaves
its state at the beginning of each day of the last working week. From there each overlay of attacks
is judged in a run of its own over that day's logs and the overlay's.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.quality_lanes import LANES, Alert, by_lane, write_rules
from pipeline.files import read_records
from pipeline.options import parse_run
from pipeline.run import run_settings
from pipeline.simulate import Simulation, simulate
from pipeline.simulate.people import Person
from pipeline.simulate.records import DAY
from pipeline.simulate.variants import Laid, Overlay, overlays
from schemas.anomaly import ANOMALY, Anomaly

SIZES: Final = {
    "small": Simulation(accounts=3, people=30, machines=40, events=75_000),
    "medium": Simulation(accounts=6, people=80, machines=90, events=200_000),
    "large": Simulation(accounts=9, people=200, machines=160, events=450_000),
}
OBJECT: Final = 20
"""Records an object: as many as a lane can fill without waiting longer than AWS does."""
WATCHED: Final = (14, 15, 16, 17, 18, 21, 22, 23, 24, 25)
"""Working days, from 0, over whose attack-free life alerts are counted."""
IDLE: Final = (19, 20)
"""The weekend between them."""
ATTACKED: Final = (21, 22, 23, 24, 25)
"""Days on which overlays are laid."""


class Outcome(msgspec.Struct):
    """What came of one attack."""

    story: str
    technique: str
    variant: str
    victim: str
    """`person` or `machine`."""
    best: dict[str, float]
    """Lane → the highest rank of an alert that shows one of the attack's events."""
    alerts: dict[str, int]
    """Lane → how many such alerts there are without a threshold."""


class World(msgspec.Struct):
    """An organisation, as the bench has seen it."""

    size: str
    seed: int
    people: int
    events: int
    days: int
    """Attack-free working days."""
    idle_days: int
    benign: dict[str, list[float]]
    """Lane → ranks of all alerts of these days, descending."""
    idle: dict[str, list[float]]
    """The same for days of a weekend."""
    overlays: int
    outcomes: list[Outcome]


@dataclass
class Bench:
    """The folders of one organisation, and what the job says of it."""

    spec: Simulation
    folder: Path
    lanes: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.lanes = write_rules(self.folder / "rules")
        self.life = self.folder / "life"

    def benign(self) -> list[Anomaly]:
        """Live four weeks, and judge them; state is left at the beginning of each attacked day."""
        simulate(self.spec, self.life)
        first, last = ATTACKED[0], ATTACKED[-1]
        logs = [str(self.life / "logs")]
        told = self._run(logs, "--until", self._day(first), *self._leave(first))
        for day in ATTACKED:
            end = ("--until", self._day(day + 1), *self._leave(day + 1)) if day < last else ()
            told += self._run(self._logs_of(day, day + 1), *self._from(day), *end)
        return told

    def attacked(self, overlay: Overlay) -> list[Anomaly]:
        """Judge an overlay's day, or days, up to its end."""
        last = max(call.time for laid in overlay.laid for call in laid.attack.calls)
        days = range(overlay.day, int(last - self.spec.epoch) // DAY + 1)
        logs = [*self._logs_of(*days), str(overlay.logs)]
        return self._run(logs, *self._from(overlay.day), "--until", _iso(last + 900))

    def _run(self, logs: Iterable[str], *flags: str) -> list[Anomaly]:
        """All anomalies of a run of the real job."""
        output = self.folder / "out"
        shutil.rmtree(output, ignore_errors=True)
        common = ("--rules", str(self.folder / "rules"), "--output", str(output), "--step", "none")
        cities = ("--geoip_database", str(self.life / "city.mmdb"))
        status = run_settings(parse_run([*logs, *common, *cities, *flags]), lambda _: 0)
        if status:
            raise RuntimeError(f"the run over {output} failed")
        return list(read_records(output / "anomalies", ANOMALY))

    def _leave(self, day: int) -> tuple[str, str]:
        return "--snapshot_out", str(self.folder / "state" / str(day))

    def _from(self, day: int) -> tuple[str, str]:
        return "--snapshot_in", str(self.folder / "state" / str(day))

    def _day(self, day: int) -> str:
        return _iso(self.spec.epoch + day * DAY)

    def _logs_of(self, *days: int) -> list[str]:
        """Folders of days, with what was delivered after midnight."""
        found: list[str] = []
        for day in days:
            date = (self.spec.start + timedelta(days=day)).strftime("%Y/%m/%d")
            for depth in ("*", "*/*"):
                place = self.life / "logs"
                found += map(str, place.glob(f"*/AWSLogs/{depth}/CloudTrail/*/{date}"))
        return sorted(found)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def measure(size: str, seed: int, folder: Path, most: int | None = None) -> World:
    """Everything that the bench asks of one organisation; `most` overlays, for a trial."""
    spec = replace(SIZES[size], seed=seed, attacks=False, records_per_object=OBJECT)
    bench = Bench(spec, folder)
    calm = bench.benign()
    world = World(
        size=size,
        seed=seed,
        people=spec.people,
        events=spec.events,
        days=len(WATCHED),
        idle_days=len(IDLE),
        benign=_ranks(bench, calm, WATCHED),
        idle=_ranks(bench, calm, IDLE),
        overlays=0,
        outcomes=[],
    )
    for overlay in overlays(spec, folder / "attacks", ATTACKED):
        if world.overlays == most:
            break
        alerts = by_lane(bench.attacked(overlay), bench.lanes)
        world.outcomes += outcomes(overlay.laid, alerts)
        world.overlays += 1
    return world


def _ranks(bench: Bench, told: Iterable[Anomaly], days: Sequence[int]) -> dict[str, list[float]]:
    """Ranks of what each lane would alert on some days."""
    first = bench.spec.epoch // DAY
    chosen = [one for one in told if one.slice_start // (DAY * 1000) - first in days]
    return {
        lane: [rank for rank, _ in alerts] for lane, alerts in by_lane(chosen, bench.lanes).items()
    }


def outcomes(laid: Sequence[Laid], alerts: Mapping[str, Sequence[Alert]]) -> list[Outcome]:
    """Of each attack the highest alert that shows one of its events, by lane."""
    attack_of = {event: number for number, one in enumerate(laid) for event in one.events}
    best: list[dict[str, float]] = [{} for _ in laid]
    many: list[Counter[str]] = [Counter() for _ in laid]
    for lane in LANES:
        for rank, anomaly in alerts[lane]:
            hit = {attack_of[one.id] for one in anomaly.evidence if one.id in attack_of}
            for number in hit:
                best[number][lane] = max(best[number].get(lane, rank), rank)
                many[number][lane] += 1
    return [
        Outcome(
            story=one.attack.story.name,
            technique=one.attack.story.technique,
            variant=one.variant.name,
            victim="person" if isinstance(one.attack.victim, Person) else "machine",
            best=best[number],
            alerts=dict(many[number]),
        )
        for number, one in enumerate(laid)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure one organisation, and write what was seen as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_world")
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("seed", type=int)
    parser.add_argument("output", type=Path)
    parser.add_argument("--overlays", type=int, help="judge only so many overlays")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="raretrail-quality-") as scratch:
        world = measure(given.size, given.seed, Path(scratch), given.overlays)
    given.output.write_bytes(msgspec.json.encode(world))
    return 0


if __name__ == "__main__":
    sys.exit(main())
