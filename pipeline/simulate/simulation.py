"""The simulation itself: plan all lives, then live, record and deliver them day by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from pipeline.files import write_whole
from pipeline.simulate.attacks import Intruders
from pipeline.simulate.background import Background
from pipeline.simulate.chance import Floats, shares, stream, uuids
from pipeline.simulate.delivery import Lane, Record, Trail, second_trail
from pipeline.simulate.labels import Row, attacks_table, label, labels_table
from pipeline.simulate.machines import Machine
from pipeline.simulate.organisation import Organisation
from pipeline.simulate.people import Person
from pipeline.simulate.places import write_city_database
from pipeline.simulate.records import Call, called_region, render
from pipeline.simulate.spec import Simulation, SimulationSummary

PEOPLE: Final = 0.42
MACHINES: Final = 0.30
BACKGROUND: Final = 0.28
"""Shares of the events."""
REPEATED: Final = 0.195
"""Share of the events that a second trail delivers too."""

Progress = Callable[[float], None]


class Actor(Protocol):
    """Whoever makes calls."""

    def calls(self, day: int) -> list[Call]:
        """Its calls of a day; days are asked for in order."""


def simulate(
    spec: Simulation, directory: Path, progress: Progress | None = None
) -> SimulationSummary:
    """Write a simulated organisation's logs, labels and city database into a directory.

    `progress` is told the finished share, from 0 to 1, every now and then. Memory holds one day.
    """
    life = Life(spec)
    summary = SimulationSummary(directory, people=spec.people, machines=spec.machines)
    summary.accounts = [account.id for account in life.organisation.accounts]
    directory.mkdir(parents=True, exist_ok=True)
    write_city_database(summary.city_database, spec.epoch)
    trails = _trails(spec, life, summary.logs)
    for day in range(spec.days):
        lanes = life.live(day, progress)
        for trail in trails:
            trail.deliver(day, lanes, last=day == spec.days - 1)
    attacks = life.intruders.attacks if life.intruders else []
    write_whole(summary.labels, (labels_table(life.labels),), durable=False)
    write_whole(summary.attacks_table, (attacks_table(attacks),), durable=False)
    summary.events, summary.attack_calls = life.events, len(life.labels)
    summary.attacks = len(attacks)
    summary.techniques = len({attack.story.technique for attack in attacks} - {"none"})
    for trail in trails:
        summary.records += trail.records
        summary.objects += trail.objects
        summary.bytes += trail.bytes
    if progress:
        progress(1.0)
    return summary


def _trails(spec: Simulation, life: Life, logs: Path) -> list[Trail]:
    """The organisation's own trail, and one that some accounts had before it."""
    own = logs / "trail-a" / "AWSLogs" / life.organisation.id
    older = second_trail(life.volumes, REPEATED)
    mean = spec.records_per_object
    return [
        Trail(spec.seed, "trail-a", own, None, mean),
        Trail(spec.seed, "trail-b", logs / "trail-b" / "AWSLogs", older, mean),
    ]


class Life:
    """Everybody, and what has happened so far."""

    def __init__(self, spec: Simulation) -> None:
        self.spec = spec
        self.organisation = Organisation(spec)
        self.people = people = [Person(self.organisation, i) for i in range(spec.people)]
        self.machines = machines = [Machine(self.organisation, i) for i in range(spec.machines)]
        accounts = [Background(self.organisation, each) for each in self.organisation.accounts]
        self.volumes: dict[str, Floats] = {}
        """What each account will record, day by day."""
        total = shares(spec.events, (PEOPLE, MACHINES, BACKGROUND))
        self._plan(total[0], people, [person.share for person in people])
        self._plan(total[1], machines, [machine.level for machine in machines])
        self._plan(total[2], accounts, [each.account.share for each in accounts])
        self.intruders: Intruders | None = None
        self.actors: dict[str, Actor] = {f"person {each.name}": each for each in people}
        self.actors |= {f"machine {each.name}": each for each in machines}
        self.actors |= {f"account {each.account.name}": each for each in accounts}
        if spec.attacks:
            self.intruders = self.actors["intruders"] = Intruders(
                self.organisation, people, machines
            )
            self.intruders.lay()
        self.events = 0
        self.labels: list[Row] = []

    def _plan(
        self,
        total: int,
        actors: Sequence[Person | Machine | Background],
        weights: Sequence[float],
    ) -> None:
        """Give everybody their share of the events."""
        for actor, calls in zip(actors, shares(total, weights), strict=True):
            actor.plan(calls)
            for account, volume in actor.volumes().items():
                self.volumes[account] = self.volumes.get(account, 0.0) + volume

    def live(self, day: int, progress: Progress | None) -> Mapping[Lane, list[Record]]:
        """All records of a day, by account and region."""
        lanes: dict[Lane, list[Record]] = defaultdict(list)
        for number, (name, actor) in enumerate(self.actors.items()):
            calls = actor.calls(day)
            ids = uuids(stream(self.spec.seed, "ids", name, day), 2 * len(calls))
            for call, event_id, request_id in zip(calls, ids[::2], ids[1::2], strict=True):
                record = render(call, event_id, request_id)
                lanes[call.account.id, called_region(call)].append((call.time, record))
                if call.step and self.intruders:
                    attack = self.intruders.attacks[call.step.attack]
                    self.labels.append(label(call, event_id, call.step.number, attack))
            self.events += len(calls)
            if progress and number % 40 == 0:
                progress((day + number / len(self.actors)) / self.spec.days)
        return lanes
