"""What a cell must hold, worked out from its events alone by the words of DESIGN.md.

"A cell is a semilattice": nothing here merges, packs or goes step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b

from schemas.event import Event
from schemas.slice import Cell, Evidence


def hash_of(text: str) -> bytes:
    """8 bytes of BLAKE2b: of an event id, and the order in which sets are bounded."""
    return blake2b(text.encode(), digest_size=8).digest()


def cell_of(events: Iterable[Event], of_user: bool) -> Cell:
    """The cell of events of one (entity, action, slice), a user's or a city's."""
    events = list(events)

    def values(get: Callable[[Event], str]) -> tuple[str, ...]:
        present = {get(each) for each in events} - {""}
        return tuple(sorted(sorted(present, key=hash_of)[:64]))

    streams = {stream_of(each, of_user) for each in events} - {("", "", "")}
    few_streams = sorted(streams, key=lambda stream: hash_of("\x1f".join(stream)))[:64]
    return Cell(
        first=min(each.time for each in events),
        last=max(each.time for each in events),
        ids=tuple(sorted({hash_of(each.id) for each in events})[:16]),
        failed=all(each.error for each in events),
        write=any(each.write for each in events),
        place=values(lambda e: place_of(e, of_user)),
        tool=values(lambda e: e.tool),
        stream=tuple(sorted(few_streams)),
        users=values(user_of),
        account=values(lambda e: e.account),
        region=values(lambda e: e.region),
        error=values(lambda e: e.error),
        evidence=three_earliest(events),
    )


def user_of(each: Event) -> str:
    """The user entity, as a JSON list of account and name."""
    return f'["{each.account}","{each.actor.user}"]' if each.actor.user else ""


def place_of(each: Event, of_user: bool) -> str:
    """contrast.md §1: the city; nothing where AWS acts for the user; in city cells who it was."""
    if of_user:
        return "" if each.actor.service else each.source.place
    return user_of(each) or each.actor.kind


def stream_of(each: Event, of_user: bool) -> tuple[str, str, str]:
    return "" if of_user else user_of(each), each.actor.person, each.source.network


def three_earliest(events: Iterable[Event]) -> tuple[Evidence, ...]:
    """By (time, event-id hash); of one event in two places the place with the smaller name."""
    best: dict[tuple[int, bytes], Evidence] = {}
    for each in sorted(map(evidence_of, events)):
        best.setdefault((each.time, each.hash), each)
    return tuple(best[key] for key in sorted(best)[:3])


def evidence_of(each: Event) -> Evidence:
    return Evidence(
        time=each.time,
        hash=hash_of(each.id),
        origin=each.origin,
        id=each.id,
        provider=each.provider,
        user_name=each.actor.user_name,
        arn=each.actor.arn,
        access_key=each.actor.access_key,
        session=each.actor.session,
        agent=each.agent,
        address=each.source.address,
        country=each.source.country,
        city=each.source.city,
        account=each.account,
        region=each.region,
        error=each.error,
    )
