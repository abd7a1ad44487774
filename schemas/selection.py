"""What a rule chose at one firing, and what it held back."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.anomaly import Anomaly
from schemas.codec import Codec


class Selection(msgspec.Struct, frozen=True):
    """One rule's firing. Scores are rounded to 4 decimals and in descending order."""

    rule_id: str
    firing: int
    """By the number of the slice that it judges."""
    alerts: list[Anomaly]
    """By rank: the highest first."""
    new: int
    """Anomalies at or over the threshold that became known."""
    cut: list[float]
    """Scores at or over the threshold that the cap held back; they wait."""
    suppressed: list[float]
    """Dropped for good: the entity's same action was alerted less than 2 h away."""
    expired: list[float]
    """Waited in vain as long as the rule looks back."""


SELECTION: Final = Codec("selection", Selection)
