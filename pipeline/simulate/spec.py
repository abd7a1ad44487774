"""What to simulate, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

COVERS: Final = ("mixed", "alone", "busy", "camouflaged", "slow")
COUNTS: Final = (
    "accounts",
    "people",
    "machines",
    "days",
    "events",
    "records_per_object",
    "rounds",
)


@dataclass(frozen=True)
class Simulation:
    """A simulated organisation. The same specification gives the same bytes."""

    seed: int = 7
    accounts: int = 6
    people: int = 80
    """People with a name, through IAM users, single sign-on and roles they share."""
    machines: int = 90
    """Roles of programs."""
    start: date = date(2026, 3, 2)
    """The first day, in UTC; a Monday, unless chosen otherwise."""
    days: int = 28
    events: int = 200_000
    """Distinct events, within 5 %."""
    records_per_object: int = 12
    """Mean. Up to 20 no record waits longer than 10 minutes, as with AWS; larger objects fill
    for as long as they need, and the lags are as long as that takes."""
    attacks: bool = True
    """Whether intruders come, in the second half. The other lives are the same without them."""
    rounds: int = 1
    """How often every attack story is laid, each time over other victims."""
    cover: str = "mixed"
    """How intruders hide: `alone`, `busy` (the victim works at the same time), `camouflaged`
    (3, 5 or 10 calls that the victim makes often among theirs), `slow` (one call a day, none of
    them twice), or `mixed`: each in turn."""

    def __post_init__(self) -> None:
        for name in COUNTS:
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} {value}: must be at least 1")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed}: must be at least 0")
        if self.cover not in COVERS:
            raise ValueError(f"cover {self.cover}: must be one of {', '.join(COVERS)}")

    @property
    def epoch(self) -> int:
        """The first second, since 1970."""
        return int(datetime.combine(self.start, time(), UTC).timestamp())


@dataclass
class SimulationSummary:
    """What a simulation wrote, and where."""

    directory: Path
    events: int = 0
    """Distinct events."""
    records: int = 0
    """Records in all objects: events, and what the second trail repeats."""
    objects: int = 0
    bytes: int = 0
    """Size of all objects as they lie on disk."""
    people: int = 0
    machines: int = 0
    attacks: int = 0
    techniques: int = 0
    attack_calls: int = 0
    accounts: list[str] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        """The trails' buckets: what `raretrail run` reads."""
        return self.directory / "logs"

    @property
    def labels(self) -> Path:
        """One row for each call of an intruder."""
        return self.directory / "labels.csv"

    @property
    def attacks_table(self) -> Path:
        """One row for each attack."""
        return self.directory / "attacks.csv"

    @property
    def city_database(self) -> Path:
        """Where the simulated addresses are, in MaxMind's format."""
        return self.directory / "city.mmdb"
