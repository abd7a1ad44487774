"""The labels: which calls are an intruder's, and which attacks were laid."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Final

from pipeline.simulate.attacks import Attack
from pipeline.simulate.people import Person
from pipeline.simulate.records import Call, stamp

CALLS: Final = (
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
    "session",
    "begin",
    "end",
    "calls",
    "place",
    "cover",
    "address",
    "city",
    "country",
)

Row = tuple[object, ...]


def label(call: Call, event_id: str, step: int, attack: Attack) -> Row:
    """The row of an intruder's call."""
    return (
        event_id,
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
    )


def labels_table(rows: Iterable[Row]) -> bytes:
    """labels.csv: a row for each call of an intruder, in order of time."""
    return _csv(CALLS, sorted(rows, key=lambda row: (row[1], row[-1], row[0])))


def attacks_table(attacks: Sequence[Attack]) -> bytes:
    """attacks.csv: a row for each attack."""
    return _csv(ATTACKS, map(_attack, attacks))


def _attack(attack: Attack) -> Row:
    return (
        attack.number,
        attack.story.name,
        attack.story.technique,
        attack.story.words,
        "person" if isinstance(attack.victim, Person) else "machine",
        attack.account.id,
        attack.caller.user,
        attack.caller.session,
        stamp(attack.calls[0].time),
        stamp(attack.calls[-1].time),
        len(attack.calls),
        attack.place,
        attack.cover,
        attack.address,
        attack.city.city,
        attack.city.country,
    )


def _csv(header: Row, rows: Iterable[Row]) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
