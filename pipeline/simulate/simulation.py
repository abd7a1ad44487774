"""The simulation itself: plan all lives, then live, record and deliver them day by day."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Final, Protocol

from pipeline.simulate.attacks import Attack, Intruders
from pipeline.simulate.background import Background
from pipeline.simulate.chance import shares, stream, uuids
from pipeline.simulate.delivery import Lane, Record, Trail, second_trail, write_whole
from pipeline.simulate.machines import Machine
from pipeline.simulate.organisation import Organisation
from pipeline.simulate.people import Person
from pipeline.simulate.places import write_city_database
from pipeline.simulate.records import Call, called_region, render, stamp
from pipeline.simulate.spec import Simulation, SimulationSummary

PEOPLE_SHARE: Final = 0.42
MACHINES_SHARE: Final = 0.30
"""The rest is AWS's own: services, sweeps, partners."""
REPEATED: Final = 0.195
"""Share of all events that a second trail delivers too."""

Progress = Callable[[float], None]


class Actor(Protocol):
    """Whoever makes calls."""

    def calls(self, day: int) -> list[Call]:
        """Its calls of a day; days are asked for in order."""


def simulate(
    spec: Simulation, directory: Path, progress: Progress | None = None
) -> SimulationSummary:
    """Write a simulated organisation's logs, labels and city database into a directory.

    `progress` is told the finished share, from 0 to 1, every now and then.
    """
    organisation = Organisation(spec)
    people = [Person(organisation, i) for i in range(spec.people)]
    machines = [Machine(organisation, i) for i in range(spec.machines)]
    background = [Background(organisation, account) for account in organisation.accounts]
    volumes = _plan(spec, people, machines, background)
    intruders = Intruders(organisation, people, machines) if spec.attacks else None
    actors: dict[str, Actor] = {f"person {p.name}": p for p in people}
    actors |= {f"machine {m.name}": m for m in machines}
    actors |= {f"background {b.account.name}": b for b in background}
    if intruders:
        actors["intruders"] = intruders

    summary = SimulationSummary(directory, people=len(people), machines=len(machines))
    summary.accounts = [account.id for account in organisation.accounts]
    directory.mkdir(parents=True, exist_ok=True)
    write_city_database(summary.city_database, spec.epoch)
    logs, mean = summary.logs, spec.records_per_object
    repeated = second_trail(volumes, REPEATED, spec.days)
    trails = [
        Trail(spec.seed, "trail-a", logs / "trail-a" / "AWSLogs" / organisation.id, None, mean),
        Trail(spec.seed, "trail-b", logs / "trail-b" / "AWSLogs", repeated, mean),
    ]
    labels: list[list[object]] = []
    for day in range(spec.days):
        lanes = _live(spec, day, actors, intruders, labels, summary, progress)
        for trail in trails:
            trail.deliver(day, lanes, last=day == spec.days - 1)
    summary.records = sum(trail.records for trail in trails)
    summary.objects = sum(trail.objects for trail in trails)
    summary.bytes = sum(trail.bytes for trail in trails)
    _write_labels(summary, labels, intruders.attacks if intruders else [])
    return summary


def _plan(
    spec: Simulation,
    people: Sequence[Person],
    machines: Sequence[Machine],
    background: Sequence[Background],
) -> dict[Lane, float]:
    """Give everybody their share of the events; what each account and region will record."""
    for_people, for_machines, rest = shares(
        spec.events, (PEOPLE_SHARE, MACHINES_SHARE, 1 - PEOPLE_SHARE - MACHINES_SHARE)
    )
    volumes: dict[Lane, float] = defaultdict(float)
    groups: list[tuple[int, Sequence[Person | Machine | Background], list[float]]] = [
        (for_people, people, [p.level for p in people]),
        (for_machines, machines, [m.level for m in machines]),
        (rest, background, [b.account.share for b in background]),
    ]
    for total, actors, weights in groups:
        for actor, calls in zip(actors, shares(total, weights), strict=True):
            actor.plan(calls)
            for lane, share in actor.lanes().items():
                volumes[lane] += calls * share
    return volumes


def _live(
    spec: Simulation,
    day: int,
    actors: dict[str, Actor],
    intruders: Intruders | None,
    labels: list[list[object]],
    summary: SimulationSummary,
    progress: Progress | None,
) -> dict[Lane, list[Record]]:
    """All records of a day, by account and region; labels for those that are an intruder's."""
    lanes: dict[Lane, list[Record]] = defaultdict(list)
    for number, (name, actor) in enumerate(actors.items()):
        calls = actor.calls(day)
        ids = uuids(stream(spec.seed, "ids", name, day), 2 * len(calls))
        for call, event, request in zip(calls, ids[::2], ids[1::2], strict=True):
            lane = (call.account.id, called_region(call.action, call.region))
            lanes[lane].append((call.time, render(call, event, request)))
            if call.step and intruders:
                labels.append(_label(call, event, intruders.attacks[call.step.attack]))
        summary.events += len(calls)
        if progress and number % 40 == 0:
            progress((day + number / len(actors)) / spec.days)
    return lanes


LABELS: Final = (
    "eventID",
    "eventTime",
    "account",
    "user",
    "action",
    "attack",
    "technique",
    "step",
    "address",
    "city",
    "country",
    "attack_id",
)
ATTACKS: Final = (
    "attack_id",
    "attack",
    "technique",
    "words",
    "victim",
    "account",
    "user",
    "begin",
    "end",
    "calls",
    "place",
    "cover",
    "address",
    "city",
    "country",
)


def _label(call: Call, event: str, attack: Attack) -> list[object]:
    step = call.step.number if call.step else 0
    return [
        event,
        stamp(call.time),
        call.caller.account,
        call.caller.user,
        call.action.name,
        attack.story.name,
        attack.story.technique,
        step,
        call.address,
        attack.city.city,
        attack.city.country,
        attack.number,
    ]


def _write_labels(
    summary: SimulationSummary, labels: list[list[object]], attacks: Sequence[Attack]
) -> None:
    labels.sort(key=lambda row: (str(row[1]), row[-1], str(row[0])))
    write_whole(summary.labels, _csv(LABELS, labels))
    rows = [
        [
            a.number,
            a.story.name,
            a.story.technique,
            a.story.words,
            "person" if isinstance(a.victim, Person) else "machine",
            a.account.id,
            a.user,
            stamp(a.calls[0].time),
            stamp(a.calls[-1].time),
            len(a.calls),
            a.place,
            a.cover,
            a.address,
            a.city.city,
            a.city.country,
        ]
        for a in attacks
    ]
    write_whole(summary.attacks_table, _csv(ATTACKS, rows))
    summary.attacks = len(attacks)
    summary.attack_calls = len(labels)
    summary.techniques = len({a.story.technique for a in attacks} - {"none"})


def _csv(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
