"""Slices and cells: what is counted, as a semilattice.

A cell (entity, action, slice) is merged from many bundles, in any order, sometimes twice. Each
field merges idempotently, commutatively and associatively, so that at-least-once delivery gives
exactly-once results (DESIGN.md, "A cell is a semilattice").
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, TypeVar

import msgspec

SMALLEST: Final = 16
"""k of the k smallest event-id hashes: the count is exact below it."""
EVIDENCE: Final = 3
"""Events kept as evidence: the earliest."""
CONTEXTS: Final = 64
"""Most values of one context set."""

Stream = tuple[str, str, str]
"""(user, person, network): whose calls belong together. The user is empty in a user's own cells."""


class Evidence(msgspec.Struct, frozen=True, order=True, gc=False):
    """One event in small; its order is (time, event-id hash, place of the record)."""

    time: int
    hash: bytes
    origin: str
    """Object the record lies in; of two, the smaller name stays."""
    id: str
    provider: str
    user_name: str
    arn: str
    access_key: str
    session: str
    agent: str
    address: str
    country: str
    city: str
    account: str
    region: str
    error: str


class Cell(msgspec.Struct, frozen=True, gc=False):
    """What one entity's doing of one action in one slice amounts to. Sets are sorted tuples."""

    first: int
    """Earliest event, milliseconds since the epoch."""
    last: int
    """Latest event."""
    ids: tuple[bytes, ...]
    """The k smallest 8-byte hashes of event ids, ascending."""
    failed: bool
    """Every record has an error."""
    write: bool
    """Some record is not read-only."""
    place: tuple[str, ...]
    tool: tuple[str, ...]
    stream: tuple[Stream, ...]
    users: tuple[str, ...]
    """User entities, account and all."""
    account: tuple[str, ...]
    region: tuple[str, ...]
    error: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    """The 3 earliest events, by (time, hash)."""


def number_of(ids: tuple[bytes, ...]) -> tuple[int, bool]:
    """(number of distinct events, whether it is exact), from the k smallest hashes, ascending.

    At k hashes and more it is the k-minimum-values estimate (k − 1) / h_k, h_k the k-th smallest
    hash as a fraction of its range (Bar-Yossef et al. 2002), and at least k.
    """
    if len(ids) < SMALLEST:
        return len(ids), True
    fraction = (int.from_bytes(ids[-1], "big") + 1) / 2**64
    return max(SMALLEST, round((SMALLEST - 1) / fraction)), False


def merge(a: Cell, b: Cell) -> Cell:
    """The cell of both: idempotent, commutative, associative."""
    if a == b:
        return a
    return Cell(
        first=min(a.first, b.first),
        last=max(a.last, b.last),
        ids=smallest({*a.ids, *b.ids}),
        failed=a.failed and b.failed,
        write=a.write or b.write,
        place=bounded({*a.place, *b.place}),
        tool=bounded({*a.tool, *b.tool}),
        stream=bounded({*a.stream, *b.stream}),
        users=bounded({*a.users, *b.users}),
        account=bounded({*a.account, *b.account}),
        region=bounded({*a.region, *b.region}),
        error=bounded({*a.error, *b.error}),
        evidence=earliest((*a.evidence, *b.evidence)),
    )


def smallest(ids: set[bytes]) -> tuple[bytes, ...]:
    """The k smallest of a set of hashes, ascending."""
    return tuple(sorted(ids)[:SMALLEST])


def earliest(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """The 3 earliest events; of one event in two places, the place with the smaller name."""
    chosen: list[Evidence] = []
    for item in sorted(evidence):
        if all((item.time, item.hash) != (kept.time, kept.hash) for kept in chosen):
            chosen.append(item)
            if len(chosen) == EVIDENCE:
                break
    return tuple(chosen)


V = TypeVar("V", str, Stream)


def bounded(values: set[V]) -> tuple[V, ...]:
    """A set as a sorted tuple; of more than 64 values those with the smallest hashes."""
    if len(values) > CONTEXTS:
        return tuple(sorted(sorted(values, key=_order)[:CONTEXTS]))
    return tuple(sorted(values))


def hash_of(text: str) -> bytes:
    """8 bytes of BLAKE2b: the hash of an event id, and the order in which sets are bounded."""
    return blake2b(text.encode(), digest_size=8).digest()


def _order(value: str | Stream) -> tuple[bytes, str | Stream]:
    return hash_of(value if isinstance(value, str) else "\x1f".join(value)), value
