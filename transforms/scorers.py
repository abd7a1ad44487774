"""The scorers that a rule can name."""

from __future__ import annotations

from transforms import rarity
from transforms.own import Contrast


def scorer(name: str) -> Contrast | rarity.Scorer:
    """The scorer of a name."""
    return Contrast() if name == "contrast" else rarity.SCORERS[name]
