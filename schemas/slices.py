"""What the shuffle carries: one entity's slices of one bundle.

What many events share (who, from where, with what) is written once, as a context; a cell refers
to it by number. A cell stays packed until somebody looks into it: an action that the entity is
known to do costs one look-up and no decoding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from io import BytesIO
from itertools import zip_longest
from operator import attrgetter
from typing import Any, Final

import fastavro
import msgspec

from schemas.codec import Codec, load_schema
from schemas.event import SLICE_MS
from schemas.slice import (
    CONTEXTS,
    Cell,
    Evidence,
    Stream,
    bounded,
    earliest,
    hash_of,
    merge,
    number_of,
    smallest,
)

_SLICES: Final = Codec[Any]("slices", object)
_CELL: Final = load_schema("packedcell")


class Context(msgspec.Struct, frozen=True, gc=False):
    """Who, from where and with what; the fields are described in `avro/context.avsc`."""

    place: str = ""
    tool: str = ""
    user: str = ""
    person: str = ""
    network: str = ""
    entity: str = ""
    account: str = ""
    region: str = ""
    error: str = ""
    arn: str = ""
    access_key: str = ""
    session: str = ""
    agent: str = ""
    address: str = ""
    country: str = ""
    city: str = ""

    @property
    def stream(self) -> Stream:
        """(user, person, network)."""
        return (self.user, self.person, self.network)


_SETS: Final = ("place", "tool", "entity", "account", "region", "error")


class Packer:
    """Collects the slices of one entity; `bytes` gives them in one piece."""

    def __init__(self) -> None:
        self._contexts: dict[Context, int] = {}
        self._names: dict[str, int] = {}
        self._groups: list[dict[str, Any]] = []

    def context(self, context: Context) -> int:
        """The number of a context in the table."""
        return self._contexts.setdefault(context, len(self._contexts))

    def group(self, slice_: int, firing: int) -> None:
        """Begin a group: cells that follow are of this slice, known at this firing."""
        self._start = slice_ * SLICE_MS
        self._groups.append(
            {
                "slice": slice_,
                "firing": firing,
                "contexts": set(),
                "actions": [],
                "counts": [],
                "cells": [],
            }
        )

    def cell(
        self,
        action: str,
        first: int,
        last: int,
        ids: tuple[bytes, ...],
        failed: bool,
        write: bool,
        contexts: Collection[int],
        evidence: Iterable[tuple[int, str, str, str, int]],
    ) -> None:
        """Add a cell: times in ms, contexts by number.

        Evidence is (time, id, provider, origin, context).
        """
        if len(contexts) > CONTEXTS:
            contexts = self._bound(contexts)
        start, names, out = self._start, self._names, BytesIO()
        fastavro.schemaless_writer(
            out,
            _CELL,
            {
                "first": first - start,
                "last": last - start,
                "ids": b"".join(ids),
                "failed": failed,
                "write": write,
                "contexts": contexts,
                "evidence": [
                    {
                        "time": time - start,
                        "id": id_,
                        "provider": names.setdefault(provider, len(names)),
                        "origin": names.setdefault(origin, len(names)),
                        "context": context,
                    }
                    for time, id_, provider, origin, context in evidence
                ],
            },
        )
        group = self._groups[-1]
        group["contexts"].update(contexts)
        group["actions"].append(names.setdefault(action, len(names)))
        group["counts"].append(number_of(ids)[0])
        group["cells"].append(out.getvalue())

    def _bound(self, contexts: Collection[int]) -> list[int]:
        """Fewer contexts that say the same sets, each of them bounded.

        The sets are put side by side as columns, padded with "absent".
        """
        table = list(self._contexts)
        sets = _sets([table[number] for number in contexts])
        rows = zip_longest(sets["stream"], *(sets[name] for name in _SETS))
        return [
            self.context(
                Context(
                    **dict(zip(("user", "person", "network"), stream or ("", "", ""), strict=True)),
                    **{name: value or "" for name, value in zip(_SETS, values, strict=True)},
                )
            )
            for stream, *values in rows
        ]

    def bytes(self) -> bytes:
        """Everything that was added, as Avro."""
        return _SLICES.write(
            {
                "contexts": [msgspec.structs.asdict(context) for context in self._contexts],
                "names": list(self._names),
                "groups": [
                    {**group, "contexts": sorted(group["contexts"])} for group in self._groups
                ],
            }
        )


class Packed:
    """A cell as it came, and the number of its events."""

    __slots__ = ("_contexts", "_names", "_raw", "_slice", "events")

    def __init__(
        self, raw: bytes, events: int, contexts: list[Context], names: list[str], slice_: int
    ) -> None:
        self._raw, self._contexts, self._names, self._slice = raw, contexts, names, slice_
        self.events = events

    def open(self) -> Cell:
        """The cell itself, with its times, sets and evidence in full."""
        record: Any = fastavro.schemaless_reader(BytesIO(self._raw), _CELL, None)
        start, ids = self._slice * SLICE_MS, record["ids"]
        sets = _sets([self._contexts[number] for number in record["contexts"]])
        return Cell(
            first=start + record["first"],
            last=start + record["last"],
            ids=smallest({ids[at : at + 8] for at in range(0, len(ids), 8)}),
            failed=record["failed"],
            write=record["write"],
            place=sets["place"],
            tool=sets["tool"],
            stream=sets["stream"],
            users=sets["entity"],
            account=sets["account"],
            region=sets["region"],
            error=sets["error"],
            evidence=earliest(self._evidence(start, item) for item in record["evidence"]),
        )

    def _evidence(self, start: int, item: dict[str, Any]) -> Evidence:
        context = self._contexts[item["context"]]
        return Evidence(
            time=start + item["time"],
            hash=hash_of(item["id"]),
            origin=self._names[item["origin"]],
            id=item["id"],
            provider=self._names[item["provider"]],
            arn=context.arn,
            access_key=context.access_key,
            session=context.session,
            agent=context.agent,
            address=context.address,
            country=context.country,
            city=context.city,
            account=context.account,
            region=context.region,
            error=context.error,
        )


def opened(cell: Cell | Packed) -> Cell:
    """The cell itself, whether packed or not."""
    return cell.open() if isinstance(cell, Packed) else cell


def events_of(cell: Cell | Packed) -> int:
    """Number of distinct events of a cell, packed or not."""
    return cell.events if isinstance(cell, Packed) else number_of(cell.ids)[0]


class Group:
    """One entity's events of one slice that became known at one firing."""

    __slots__ = ("cells", "firing", "places", "slice", "tools")

    def __init__(self, slice_: int, firing: int) -> None:
        self.slice, self.firing = slice_, firing
        self.cells: dict[str, Cell | Packed] = {}
        self.places: set[str] = set()
        self.tools: set[str] = set()

    def absorb(self, other: Group) -> None:
        """Merge another group of the same slice into this one."""
        self.places |= other.places
        self.tools |= other.tools
        for action, cell in other.cells.items():
            known = self.cells.get(action)
            self.cells[action] = cell if known is None else merge(opened(known), opened(cell))


def unpack(data: bytes) -> Iterator[Group]:
    """The groups in `data`; raises SchemaError on bytes of another version."""
    record = _SLICES.read(data)
    contexts = [Context(**row) for row in record["contexts"]]
    names: list[str] = record["names"]
    for row in record["groups"]:
        group = Group(row["slice"], row["firing"])
        for action, events, raw in zip(row["actions"], row["counts"], row["cells"], strict=True):
            group.cells[names[action]] = Packed(raw, events, contexts, names, group.slice)
        group.places = {contexts[number].place for number in row["contexts"]} - {""}
        group.tools = {contexts[number].tool for number in row["contexts"]} - {""}
        yield group


_ONE: Final = {name: attrgetter(name) for name in _SETS}


def _sets(contexts: list[Context]) -> dict[str, Any]:
    """The bounded sets that contexts amount to; absent values are in none of them."""
    sets: dict[str, Any] = {
        name: bounded({get(context) for context in contexts} - {""}) for name, get in _ONE.items()
    }
    sets["stream"] = bounded({context.stream for context in contexts} - {("", "", "")})
    return sets
