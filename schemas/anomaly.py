"""From judgement to anomaly: what is known of an action that an entity is not known to do."""

from __future__ import annotations

import hashlib
import json
from typing import Final, Literal

import msgspec

from schemas.codec import Codec
from schemas.event import SLICE_MS
from schemas.slice import Cell, Evidence, number_of

Timing = Literal["on_time", "late", "too_late"]
Basis = Literal["history", "first_activity", "root"]


class Habit(msgspec.Struct, frozen=True, gc=False):
    """A value and the number of slices in which the entity had it."""

    name: str
    count: int


class Profile(msgspec.Struct, frozen=True):
    """An entity before the window: bounded, and the same in every run."""

    since: int | None
    """Start of the first learned slice, milliseconds since the epoch; None: nothing learned."""
    latest: int | None
    """End of the last learned slice."""
    slices: int
    hours: list[int]
    """Learned slices by weekday and hour, Monday 00:00 UTC first: 168 numbers."""
    n_actions: int
    n_places: int
    actions: list[Habit]
    """The 20 most frequent."""
    places: list[Habit]


class Factor(msgspec.Struct, frozen=True):
    """One addend of a score, as a number and in words."""

    name: str
    value: float
    words: str


class Own(msgspec.Struct, frozen=True, gc=False):
    """What an entity's own history says of a candidate, for its peers to weigh.

    Counts are numbers of learned slices up to 8 before; a t is a number of different values.
    """

    n_actions: int
    t_actions: int
    n_places: int
    t_places: int
    n_tools: int
    t_tools: int
    places: dict[str, int]
    """Of the cell's places those that the entity has had, and how often."""
    tools: dict[str, int]
    window: list[Habit]
    """The different actions of the 2-hour window that share a stream with it, itself too."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What candidates and anomalies have in common."""

    scorer: str
    scope: str
    """`organisation`, or an account: where peers live."""
    entity: dict[str, str]
    """Partition field to value."""
    action: str
    slice: int
    firing: int
    """The firing at which it became known, by the number of the slice it judges."""
    arrival: int | None = None
    timing: Timing = "on_time"
    basis: Basis = "history"
    """What the score goes by: the entity's history; or, where that is too short, what its peers do:
    for the first thing that an entity does, and for all that the root user does."""
    incident: bool = False
    """Whether the slice lies in a confirmed incident, of which nothing is learned."""
    probability: float | None = None
    surprise: float | None = None
    """S, for scorers of contrast."""
    score: float | None = None
    """0–100, rounded to 4 decimals; None before calibration."""
    rate: float | None = None
    """Entities of an ordinary day of the scope that are at least this odd, once calibrated."""
    factors: list[Factor] = []
    seen: int = 0
    """Learned slices in which the entity did the action before."""
    seen_last: int | None = None
    """End of the last of them, milliseconds since the epoch."""
    cell: Cell
    profile: Profile


class Candidate(Judgement, frozen=True, kw_only=True):
    """A judgement of an entity's own history, on its way to its peers."""

    detector: str
    """Key of the detector."""
    own: Own | None = None
    """For scorers that ask the peers."""


class Anomaly(Judgement, frozen=True, kw_only=True):
    """A judged (rule, scope, entity, action, slice)."""

    id: str
    rule_id: str
    """uuid of the rule."""
    slice_start: int
    """Milliseconds since the epoch, as the other times."""
    slice_end: int
    first_seen: int
    last_seen: int
    count: int
    """Number of distinct events."""
    count_exact: bool
    evidence: tuple[Evidence, ...]
    """The cell's 3 earliest events; its cell holds none."""


def anomaly(candidate: Candidate, rule_uuid: str) -> Anomaly:
    """The anomaly that a scored candidate is for one rule of its detector."""
    number, exact = number_of(candidate.cell.ids)
    start = candidate.slice * SLICE_MS
    shared = {name: getattr(candidate, name) for name in Judgement.__struct_fields__}
    shared["cell"] = msgspec.structs.replace(candidate.cell, evidence=())
    return Anomaly(
        id=anomaly_id(rule_uuid, candidate.scope, candidate.entity, candidate.action, start),
        rule_id=rule_uuid,
        slice_start=start,
        slice_end=start + SLICE_MS,
        first_seen=candidate.cell.first,
        last_seen=candidate.cell.last,
        count=number,
        count_exact=exact,
        evidence=candidate.cell.evidence,
        **shared,
    )


def anomaly_id(
    rule_uuid: str, scope: str, entity: dict[str, str], action: str, slice_start: int
) -> str:
    """First 32 hex digits of SHA-256 of canonical JSON: the same in every run.

    Canonical: keys sorted, no spaces, UTF-8; the slice is its start in milliseconds.
    """
    text = json.dumps(
        [rule_uuid, scope, entity, action, slice_start],
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


CANDIDATE: Final = Codec("candidate", Candidate)
ANOMALY: Final = Codec("anomaly", Anomaly)
