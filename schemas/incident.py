"""Confirmed incidents: times of an entity of which nothing is to be learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.document import LINE, Where, nearest, show
from schemas.event import FIELDS, SLICE_MS
from schemas.text import moment

KEYS: Final = ("entity", "from", "until", "why")


@dataclass(frozen=True)
class Incident:
    """What an entity did in [start, end), milliseconds since the epoch, is judged, not learned."""

    entity: Mapping[str, str] = field(hash=False)
    """Partition field → value; an entity is meant that has them all, whatever else it has."""
    start: int
    end: int

    @classmethod
    def parse(cls, document: object, where: Where) -> Incident:
        """The incident that a mapping of texts describes. Raises RuleError."""
        if not isinstance(document, Mapping):
            raise where.error(
                f"{show(document)} is not an incident: a mapping of {', '.join(KEYS)}"
            )
        for key in document:
            if key not in KEYS:
                raise where.at(key).error(f"not a key of an incident, {nearest(key, KEYS)}")
        for key in KEYS[:3]:
            if key not in document:
                raise where.error(f"{key} is missing, and an incident needs it")
        if "why" in document:
            LINE.read(document["why"], where.at("why"))
        start, end = (_time(document[key], where.at(key)) for key in ("from", "until"))
        if start >= end:
            fault = f"{document['until']} is not after from, {document['from']}"
            raise where.at("until").error(fault)
        return cls(_entity(document["entity"], where.at("entity")), start, end)

    def concerns(self, entity: Mapping[str, str]) -> bool:
        """Whether an entity, partition field to value, is meant."""
        return self.entity.items() <= entity.items()

    @property
    def slices(self) -> range:
        """The slices that it touches."""
        return range(self.start // SLICE_MS, -(-self.end // SLICE_MS))


def _entity(value: object, where: Where) -> dict[str, str]:
    if not isinstance(value, Mapping) or not value:
        raise where.error(
            f"{show(value)} is not a mapping of fields to values, as user.name: alice"
        )
    for key in value:
        if key not in FIELDS:
            raise where.at(key).error(f"not a field of an event, {nearest(key, FIELDS)}")
    return {key: _text(each, where.at(key)) for key, each in value.items()}


def _text(value: object, where: Where) -> str:
    if not isinstance(value, str) or not value:
        raise where.error(f"{show(value)} is not text")
    return value


def _time(value: object, where: Where) -> int:
    try:
        return moment(value if isinstance(value, str) else "")
    except ValueError as error:
        raise where.error(f"{show(value)} is {error}") from None
