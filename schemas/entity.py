"""How entities are named in keys: as canonical JSON, so that no value can imitate another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

ORGANISATION: Final = "organisation"
"""The scope that all accounts share."""

ROOT: Final = "root"
"""The name of an account's root user as an entity."""

Entity = tuple[str, ...]
"""The values of a detector's partition fields, in their order."""


class EntityKey(msgspec.Struct, frozen=True, array_like=True):
    """The key of an entity's state."""

    detector: str
    scope: str
    entity: Entity

    def encode(self) -> bytes:
        """The key as bytes: equal for equal keys, everywhere."""
        return msgspec.json.encode(self)


_DECODER: Final = msgspec.json.Decoder(EntityKey)


def decode_key(data: bytes) -> EntityKey:
    """The key that was encoded."""
    return _DECODER.decode(data)


def entity_text(entity: Sequence[str]) -> str:
    """An entity as one string, for the sets of a cell: a JSON list."""
    return msgspec.json.encode(entity).decode()
