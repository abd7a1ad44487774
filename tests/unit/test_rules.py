"""Rules: what is built in, what is accepted, and each refusal word for word."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.rules import chosen, load_rules, parse_rule, with_scorer
from schemas.event import FIELDS
from schemas.rule import (
    SCORERS,
    Detector,
    Rule,
    RuleError,
    Threat,
    Where,
    detectors,
    first_of,
)
from transforms import rarity
from transforms.scorers import scorer

DETECTOR: dict[str, Any] = {
    "name": "command-by-user",
    "function": "rare",
    "by_field": "event.action",
    "partition_fields": ["cloud.account.id", "user.name"],
}
RULE: dict[str, Any] = {
    "uuid": "6f9a1c1e-4b8e-4a57-9d3b-0d1c3f2e5a77",
    "id": "mine",
    "name": "Mine",
    "description": "What it is about.",
    "detector": DETECTOR,
}
FULL: dict[str, Any] = RULE | {
    "detector": DETECTOR | {"scorer": "elastic", "scope": "account", "with_tool": True},
    "version": 3,
    "enabled": False,
    "threshold": 50.5,
    "cases_per_day": 0.5,
    "max_alerts": 10,
    "interval_minutes": 30,
    "lookback_minutes": 60,
    "severity": "high",
    "risk_score": 73,
    "tags": ["AWS"],
    "false_positives": ["One.", "Two."],
    "guide": "## Look\n\nThere.",
    "setup": "Nothing.",
    "references": ["https://example.org/a"],
    "threat": [
        {
            "tactic": "TA0001",
            "tactic_name": "Initial Access",
            "technique": "T1078.004",
            "technique_name": "Cloud Accounts",
        }
    ],
    "equivalents": {"elastic": "ac706eae"},
}


def keys(cls: Any) -> set[str]:
    return {each.name for each in fields(cls)}


# --- what is built in


@pytest.fixture(scope="module")
def built_in() -> list[Rule]:
    """Those that are on."""
    return chosen(load_rules(), (), ())


def test_the_two_rules_of_the_order_are_built_in_and_on(built_in: list[Rule]) -> None:
    user, city = built_in
    assert (user.id, city.id) == (
        "unusual-aws-command-for-a-user",
        "unusual-city-for-an-aws-command",
    )
    assert user.uuid == "9254a54a-8d04-42e7-90d3-0731b63adac1"
    assert city.uuid == "52010ebe-7c41-4455-b884-feac9e8429c5"
    assert user.detector.partition_fields == ("cloud.account.id", "user.name")
    assert city.detector.partition_fields == (
        "source.geo.country_iso_code",
        "source.geo.city_name",
    )
    assert user.equivalents == {"elastic": "ac706eae-d5ec-4b14-b4fd-e8ba8086f0e1"}
    assert city.equivalents == {"elastic": "809b70d3-e2c3-455e-af1b-2626a5a1a276"}


@pytest.mark.parametrize("index", [0, 1])
def test_built_in_rules_are_as_ordered_and_complete(built_in: list[Rule], index: int) -> None:
    rule = built_in[index]
    assert (rule.detector.function, rule.detector.by_field) == ("rare", "event.action")
    assert (rule.detector.scorer, rule.detector.scope) == ("contrast", "organisation")
    assert rule.detector.with_tool is False
    assert (rule.threshold, rule.cases_per_day, rule.max_alerts) == (75.0, 3.0, 100)
    assert (rule.interval_minutes, rule.lookback_minutes) == (15, 120)
    assert (rule.severity, rule.risk_score) == ("low", 21)
    assert (rule.version, rule.enabled) == (3 - index, True)
    assert all(reference.startswith("https://") for reference in rule.references)
    assert len(rule.guide) > 1000
    assert rule.description
    assert rule.setup
    assert rule.false_positives
    assert rule.references
    assert rule.tags
    assert "--geoip_database" in rule.setup or index == 0


def test_the_rules_of_what_is_new_are_there_and_off(built_in: list[Rule]) -> None:
    ids = ["first-activity-from-a-city", "first-activity-of-a-user"]
    every = load_rules()
    assert [rule.id for rule in every if not rule.enabled] == ids
    assert {rule.id for rule in chosen(every, ids[1:], ())} - {rule.id for rule in built_in} == {
        "first-activity-of-a-user"
    }
    cities, users = (rule.detector for rule in every if not rule.enabled)
    user, city = (rule.detector for rule in built_in)
    assert (users.counted, cities.counted) == (user, city)
    assert (users.key, cities.key) == (first_of(user.key), first_of(city.key))
    assert detectors(every) == detectors(built_in), "they go by the histories that are there"


def test_rules_are_turned_on_and_off_by_id() -> None:
    every = load_rules()
    kept = chosen(every, (), ["unusual-city-for-an-aws-command"])
    assert [rule.id for rule in kept] == ["unusual-aws-command-for-a-user"]
    with pytest.raises(RuleError, match=r"^--enable: 'first-activity' is not the id of a rule"):
        chosen(every, ["first-activity"], ())
    with pytest.raises(RuleError, match=r"^--disable: no rule is left that is on$"):
        chosen(every, (), [rule.id for rule in every])


def test_new_entities_can_be_judged_by_contrast_alone() -> None:
    every = load_rules()
    with pytest.raises(RuleError, match="--disable first-activity-from-a-city"):
        with_scorer(every, "window")


def test_every_built_in_file_names_every_key() -> None:
    """A new key of the schema is a decision for each rule that comes with the program.

    `with_tool` and `guarded` are choices that none of them makes: their defaults are the decision.
    """
    for path in (Path(__file__).parents[2] / "pipeline" / "rules").glob("*.yaml"):
        document = yaml.safe_load(path.read_text())
        assert set(document) == keys(Rule), path
        assert set(document["detector"]) == keys(Detector) - {"with_tool", "guarded"}, path
        assert all(set(threat) == keys(Threat) for threat in document["threat"]), path


# --- what is accepted


def test_a_rule_needs_little() -> None:
    rule = Rule.parse(RULE, Where("r.yaml"))
    assert (rule.threshold, rule.max_alerts, rule.version) == (75.0, 100, 1)
    assert rule.cases_per_day == 3.0
    assert (rule.interval_minutes, rule.lookback_minutes) == (15, 120)
    assert (rule.severity, rule.risk_score) == ("low", 21)
    assert rule.detector == Detector(
        name="command-by-user",
        function="rare",
        by_field="event.action",
        partition_fields=("cloud.account.id", "user.name"),
        scorer="contrast",
        scope="organisation",
        with_tool=False,
    )


def test_every_key_arrives_in_its_field() -> None:
    assert set(FULL) == keys(Rule)
    rule, _ = parse_rule(yaml.safe_dump(FULL).encode(), "r.yaml")
    assert rule == Rule.parse(FULL, Where("r.yaml"))
    assert (rule.threshold, rule.version, rule.severity) == (50.5, 3, "high")
    assert rule.cases_per_day == 0.5
    assert rule.false_positives == ("One.", "Two.")
    assert rule.guide == "## Look\n\nThere."
    assert rule.threat == (Threat("TA0001", "Initial Access", "T1078.004", "Cloud Accounts"),)
    assert (rule.detector.scope, rule.detector.with_tool) == ("account", True)
    assert isinstance(hash(rule), int)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("threshold", 0),
        ("threshold", 100),
        ("threshold", 74.999),
        ("cases_per_day", 0.01),
        ("cases_per_day", 10_000),
        ("max_alerts", 1),
        ("max_alerts", 10_000),
        ("lookback_minutes", 30),
        ("lookback_minutes", 1440),
        ("risk_score", 0),
    ],
)
def test_edges_are_allowed(path: str, value: float) -> None:
    rule = Rule.parse(RULE | {path: value}, Where("r.yaml"))
    assert getattr(rule, path) == value


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_of_an_event_can_partition(name: str) -> None:
    by = "event.action" if name != "event.action" else "error.code"
    document = DETECTOR | {"by_field": by, "partition_fields": [name]}
    assert Detector.parse(document, Where("r")).partition_fields == (name,)


# --- what a detector is


def test_the_key_of_a_detector_never_changes() -> None:
    """Snapshots hold it. What it says of tools is said only where they are weighed."""
    detector = Detector.parse(DETECTOR, Where("r"))
    assert detector.key == "rare/event.action/cloud.account.id,user.name/contrast/organisation"
    plain = {
        "by_field": "event.action",
        "function": "rare",
        "partition_fields": ["cloud.account.id", "user.name"],
        "scope": "organisation",
        "scorer": "contrast",
    }
    assert json.loads(json.dumps(detector.fingerprint())) == plain
    with_tool = Detector.parse(DETECTOR | {"with_tool": True}, Where("r"))
    assert with_tool.key == detector.key + "/tool"
    assert with_tool.fingerprint() == plain | {"with_tool": True}


def test_detectors_of_another_name_share_state_and_others_do_not() -> None:
    one = Detector.parse(DETECTOR, Where("r"))
    same = replace(one, name="other")
    assert (same, same.key, same.fingerprint()) == (one, one.key, one.fingerprint())
    others = [
        replace(one, by_field="error.code"),
        replace(one, partition_fields=("user.name", "cloud.account.id")),
        replace(one, scorer="elastic"),
        replace(one, scope="account"),
        replace(one, with_tool=True),
    ]
    assert len({one, *others}) == len({each.key for each in (one, *others)}) == 6
    rules = [Rule.parse(RULE | {"id": f"r{n}"}, Where("r")) for n in range(4)]
    mixed = [
        replace(r, detector=d) for r, d in zip(rules, [one, others[0], same, one], strict=True)
    ]
    assert [each.name for each in detectors(mixed)] == ["command-by-user", "command-by-user"]
    assert detectors(mixed) == [one, others[0]]


def test_the_field_of_a_scope() -> None:
    detector = Detector.parse(DETECTOR, Where("r"))
    assert detector.scope_field is None
    assert replace(detector, scope="account").scope_field == "cloud.account.id"


def test_every_scorer_that_a_rule_may_name_exists() -> None:
    assert [scorer(name).name for name in SCORERS] == ["contrast", "window", "elastic"]
    assert SCORERS[1:] == tuple(rarity.SCORERS)


def test_one_scorer_for_all(built_in: list[Rule]) -> None:
    for name in SCORERS:
        judged = with_scorer(built_in, name)
        assert {rule.detector.scorer for rule in judged} == {name}
        assert [
            replace(r, detector=b.detector) for r, b in zip(judged, built_in, strict=True)
        ] == built_in
    with pytest.raises(RuleError) as caught:
        with_scorer(built_in, "elastik")
    assert str(caught.value) == "--scorer: 'elastik' is not a scorer, nearest is 'elastic'"
