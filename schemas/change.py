"""What a settlement changes among peers: which values entered or left an entity's history."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.codec import Codec


class Change(msgspec.Struct, frozen=True, gc=False):
    """One entity's values that are new to its history, or gone from it, by kind."""

    detector: str
    """Key of the detector."""
    entity: str
    """As in the sets of cells: a JSON list."""
    slice: int
    """The slice that was learned; of an entity that is forgotten, its last."""
    firing: int
    """The firing at which it takes effect."""
    entered: dict[str, list[str]] = {}
    """actions, places, tools → values."""
    left: dict[str, list[str]] = {}


CHANGE: Final = Codec("change", Change)
