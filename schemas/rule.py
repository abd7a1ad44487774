"""Rules and detectors: what is counted, when it alerts, and what an analyst is told.

The fields of `Rule`, `Detector` and `Threat` are the keys of a rule file, and what each key allows
stands beside it. Everything wrong is a `RuleError` of one line (see `schemas.document`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from schemas.document import (
    LINE,
    LINK,
    PROSE,
    SLUG,
    UUID,
    Items,
    Names,
    Nested,
    Number,
    OneOf,
    RuleError,
    Text,
    Where,
    YesNo,
    allows,
    parse,
)
from schemas.event import FIELDS

__all__ = ["Detector", "Rule", "RuleError", "Threat", "Where", "detectors", "distinct"]

RARE: Final = "rare"
FIRST_ACTIVITY: Final = "first_activity"
FUNCTIONS: Final = (RARE, FIRST_ACTIVITY)
"""What a detector may look for: what is rare for an entity, or entities that are new."""
SCORERS: Final = ("contrast", "window", "elastic")
"""How it may be judged."""
SCOPES: Final = ("organisation", "account")
"""Among whom: where an entity's peers are."""
SEVERITIES: Final = ("low", "medium", "high", "critical")
MAX_LOOKBACK: Final = 24 * 60
"""Longest look-back, in minutes: an anomaly waits no longer than a day to become an alert."""

USER: Final = "user.name"
USERS: Final = ("cloud.account.id", USER)
"""What names a user entity, unless a rule says otherwise."""

FIELD: Final = OneOf("a field of an event", FIELDS)


@dataclass(frozen=True)
class Detector:
    """What is counted, of whom, and how it is judged. Equal detectors share their state.

    The identity policy is the run's, not the detector's.
    """

    name: str = field(compare=False, metadata=allows(SLUG))
    """What people call it; not a part of its identity."""
    function: str = field(metadata=allows(OneOf("a function", FUNCTIONS)))
    by_field: str = field(metadata=allows(FIELD))
    """The field whose values are judged."""
    partition_fields: tuple[str, ...] = field(metadata=allows(Items(FIELD, least=1)))
    """The fields whose values, in this order, name the entity: who, or where."""
    scorer: str = field(default="contrast", metadata=allows(OneOf("a scorer", SCORERS)))
    scope: str = field(default="organisation", metadata=allows(OneOf("a scope", SCOPES)))
    """Where the entities and their peers are: everywhere, or in each account by itself."""
    with_tool: bool = field(default=False, metadata=allows(YesNo()))
    """With `contrast`: weigh the tool (the family of the user agent), too."""
    guarded: bool = field(default=False, metadata=allows(YesNo()))
    """With `contrast`: what a single entity has does not count among its peers, and of its first
    times 20 a day count: against names that are made up (docs/decisions/0018)."""

    @classmethod
    def parse(cls, document: object, where: Where) -> Detector:
        """The detector that a mapping describes. Raises RuleError."""
        detector = parse(cls, document, where)
        if detector.by_field in detector.partition_fields:
            fault = f"{detector.by_field!r} is a partition field too: nothing could be rare"
            raise where.at("by_field").error(fault)
        if detector.function == FIRST_ACTIVITY and detector.scorer != "contrast":
            fault = f"{detector.scorer!r} cannot judge {FIRST_ACTIVITY}; leave it at 'contrast'"
            raise where.at("scorer").error(fault)
        return detector

    @property
    def counted(self) -> Detector:
        """The detector whose histories this one goes by: for first activity, the one that is alike
        and looks for what is rare.
        """
        return replace(self, function=RARE)

    @property
    def scope_field(self) -> str | None:
        """The field whose value is the scope of an event; None: one scope for all."""
        return "cloud.account.id" if self.scope == "account" else None

    def fingerprint(self) -> dict[str, Any]:
        """All that makes the detector what it is, ready for JSON: what a snapshot compares."""
        return {
            "by_field": self.by_field,
            "function": self.function,
            "partition_fields": list(self.partition_fields),
            "scope": self.scope,
            "scorer": self.scorer,
            **({"with_tool": True} if self.with_tool else {}),
            **({"guarded": True} if self.guarded else {}),
        }

    @property
    def key(self) -> str:
        """The same as one line of text: the detector's part in the keys of state.

        Snapshots hold it, so it never changes; what a detector learns to say later is added at
        the end, and only where it is said.
        """
        entity = ",".join(self.partition_fields)
        said = [
            word
            for word, is_said in (("tool", self.with_tool), ("guarded", self.guarded))
            if is_said
        ]
        return "/".join((self.function, self.by_field, entity, self.scorer, self.scope, *said))

    @classmethod
    def told(cls, name: str, fingerprint: Mapping[str, Any]) -> Detector:
        """The detector that a fingerprint is of; what else is told with it is passed over."""
        own = {each.name for each in fields(cls)}
        known = {key: value for key, value in fingerprint.items() if key in own}
        return cls(name=name, **known | {"partition_fields": tuple(known["partition_fields"])})

    @property
    def needs_cities(self) -> bool:
        """Whether nothing is counted without a city database."""
        return any(
            name.startswith("source.geo.") for name in (self.by_field, *self.partition_fields)
        )

    @property
    def of_users(self) -> bool:
        """Whether its entities are users."""
        return USER in self.partition_fields


@dataclass(frozen=True)
class Threat:
    """A technique of MITRE ATT&CK, and the tactic that it serves here."""

    tactic: str = field(metadata=allows(Text("a tactic such as TA0001", r"TA\d{4}")))
    tactic_name: str = field(metadata=allows(LINE))
    technique: str = field(
        metadata=allows(Text("a technique such as T1078.004", r"T\d{4}(\.\d{3})?"))
    )
    technique_name: str = field(metadata=allows(LINE))

    @classmethod
    def parse(cls, document: object, where: Where) -> Threat:
        """The technique that a mapping describes. Raises RuleError."""
        return parse(cls, document, where)


@dataclass(frozen=True)
class Rule:
    """A detector, when its anomalies become alerts, and what is said about them."""

    uuid: str = field(metadata=allows(UUID))
    """Goes into the ids of alerts: never changes."""
    id: str = field(metadata=allows(SLUG))
    """What people type."""
    name: str = field(metadata=allows(LINE))
    description: str = field(metadata=allows(PROSE))
    detector: Detector = field(metadata=allows(Nested(Detector.parse)))
    version: int = field(default=1, metadata=allows(Number(1, 1_000_000, step=1)))
    enabled: bool = field(default=True, metadata=allows(YesNo()))
    """Whether it runs unless somebody says otherwise."""
    threshold: float = field(default=75.0, metadata=allows(Number(0, 100)))
    """The least score of an alert."""
    cases_per_day: float = field(default=3.0, metadata=allows(Number(0.01, 10_000)))
    """With `contrast`: how many entities an ordinary day has that score 75 or more."""
    max_alerts: int = field(default=100, metadata=allows(Number(1, 10_000, step=1)))
    """Most alerts at one firing."""
    interval_minutes: int = field(default=15, metadata=allows(Number(15, MAX_LOOKBACK, step=15)))
    lookback_minutes: int = field(default=120, metadata=allows(Number(15, MAX_LOOKBACK, step=15)))
    severity: str = field(default="low", metadata=allows(OneOf("a severity", SEVERITIES)))
    risk_score: int = field(default=21, metadata=allows(Number(0, 100, step=1)))
    tags: tuple[str, ...] = field(default=(), metadata=allows(Items(LINE)))
    false_positives: tuple[str, ...] = field(default=(), metadata=allows(Items(PROSE)))
    guide: str = field(default="", metadata=allows(PROSE))
    """What an analyst does with an alert, in Markdown."""
    setup: str = field(default="", metadata=allows(PROSE))
    """What the rule needs, in Markdown."""
    references: tuple[str, ...] = field(default=(), metadata=allows(Items(LINK)))
    threat: tuple[Threat, ...] = field(default=(), metadata=allows(Items(Nested(Threat.parse))))
    equivalents: Mapping[str, str] = field(
        default_factory=dict, hash=False, metadata=allows(Names())
    )
    """The same rule elsewhere: product → its id there."""

    @classmethod
    def parse(cls, document: object, where: Where) -> Rule:
        """The rule that a mapping describes, alone (see `distinct`). Raises RuleError."""
        rule = parse(cls, document, where)
        if rule.lookback_minutes < rule.interval_minutes:
            fault = (
                f"{rule.lookback_minutes} is less than interval_minutes, {rule.interval_minutes}"
            )
            raise where.at("lookback_minutes").error(fault)
        return rule


def distinct(parsed: Iterable[tuple[Rule, Where]]) -> list[Rule]:
    """The rules, once nothing that names one names two. Raises RuleError.

    uuid, id and name are a rule's own; a detector's name stands for one detector.
    """
    rules: list[Rule] = []
    taken: dict[tuple[str, str], Where] = {}
    named: dict[str, tuple[Detector, Where]] = {}
    for rule, where in parsed:
        for key in ("uuid", "id", "name"):
            value, place = getattr(rule, key), where.at(key)
            first = taken.setdefault((key, value), place)
            if first is not place:
                raise place.error(f"{value!r} is taken by {first.spot}")
        place = where.at("detector").at("name")
        detector, at = named.setdefault(rule.detector.name, (rule.detector, place))
        if detector != rule.detector:
            raise place.error(f"{detector.name!r} is the name of another detector in {at.spot}")
        rules.append(rule)
    return rules


def detectors(rules: Iterable[Rule]) -> list[Detector]:
    """What is counted: each detector once, in the order of the rules; of equal ones the first.

    Where cities are judged by `contrast`, users are too, though no rule may ask for it: what is
    new to a city is weighed by what is new to its users.
    """
    asked = sorted((rule.detector for rule in rules), key=lambda each: each.function != RARE)
    found = list(dict.fromkeys(each.counted for each in asked))
    for city in [each for each in found if each.scorer == "contrast" and not each.of_users]:
        if companion(city, found) is None:
            name, fields = f"users-of-{city.name}", user_fields(found)
            found.append(replace(city, name=name, partition_fields=fields))
    return found


def first_of(key: str) -> str:
    """The key of the detector of the first activity of another's entities."""
    return FIRST_ACTIVITY + key.removeprefix(RARE)


def user_fields(detectors: Iterable[Detector]) -> tuple[str, ...]:
    """What names a user entity in a city's cells: the first user detector's fields, if there is
    one.
    """
    return next((each.partition_fields for each in detectors if each.of_users), USERS)


def companion(city: Detector, detectors: Iterable[Detector]) -> Detector | None:
    """The detector of the users whose verdicts a city carries: it is alike in all else."""
    every = list(detectors)
    alike = replace(city, partition_fields=user_fields(every))
    return next((each for each in every if each == alike), None)
