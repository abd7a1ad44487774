"""What a rule refuses, key by key and value by value, word for word."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.rules import load_rules
from schemas.event import FIELDS
from schemas.rule import Detector, Rule, RuleError, Where, distinct

RULES = Path(__file__).parents[2] / "pipeline" / "rules"
FULL: dict[str, Any] = yaml.safe_load((RULES / "unusual_aws_command_for_a_user.yaml").read_text())
"""A rule that has every key."""
RULE: dict[str, Any] = {key: FULL[key] for key in ("uuid", "id", "name", "description", "detector")}
"""The same with no more than it needs."""
DETECTOR: dict[str, Any] = FULL["detector"]


def names(cls: Any) -> str:
    return ", ".join(each.name for each in fields(cls))


def changed(path: str, value: object, base: dict[str, Any] = FULL) -> dict[str, Any]:
    """A copy of the rule with another value at a dotted path."""
    document = deepcopy(base)
    *parents, last = path.split(".")
    inner: Any = document
    for step in parents:
        inner = inner[int(step) if step.isdigit() else step]
    inner[last] = value
    return document


def refusal(document: object) -> str:
    with pytest.raises(RuleError) as caught:
        Rule.parse(document, Where("r.yaml"))
    return str(caught.value)


# --- what is refused: keys


def typo(key: str) -> str:
    return key[:-1] + ("x" if key[-1] != "x" else "y") if len(key) > 3 else key + "x"


@pytest.mark.parametrize(
    ("where", "key"),
    [("", key) for key in FULL]
    + [("detector", key) for key in FULL["detector"]]
    + [("threat.0", key) for key in FULL["threat"][0]],
)
def test_a_typo_in_any_key_is_answered_with_the_right_one(
    where: str, key: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.yaml"
    text = yaml.safe_dump(FULL, sort_keys=False, width=1000)
    indent = {"": "", "detector": "  ", "threat.0": "(?:- |  )"}[where]
    section = text.index({"": "", "detector": "detector:", "threat.0": "threat:"}[where])
    pattern = re.compile(rf"(?m)^({indent}){key}:")
    found = pattern.search(text, section)
    assert found
    path.write_text(pattern.sub(rf"\g<1>{typo(key)}:", text[: found.end()]) + text[found.end() :])
    line = text.count("\n", 0, found.start()) + 1
    with pytest.raises(RuleError) as caught:
        load_rules([path])
    dotted = f"{where}.{typo(key)}".lstrip(".").replace(".0", "[0]")
    what = {"": "rule", "detector": "detector", "threat.0": "threat"}[where]
    expected = f"{path}:{line}: {dotted}: not a key of a {what}, nearest is {key!r}"
    assert str(caught.value) == expected


@pytest.mark.parametrize("key", RULE)
def test_a_missing_key_is_named(key: str) -> None:
    document = {name: value for name, value in RULE.items() if name != key}
    assert refusal(document) == f"r.yaml: {key} is missing, and a rule needs it"


@pytest.mark.parametrize("key", ["name", "function", "by_field", "partition_fields"])
def test_a_missing_key_of_the_detector_is_named(key: str) -> None:
    inner = {name: value for name, value in DETECTOR.items() if name != key}
    text = refusal(changed("detector", inner))
    assert text == f"r.yaml: detector: {key} is missing, and a detector needs it"


# --- what is refused: values

NUMBER = "a number from 0 to 100"
QUARTERS = "a multiple of 15 from 15 to 1440"
NO_FIELD = "is not a field of an event"
SLUG = "lower-case words joined by hyphens"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("threshold", 100.001, f"100.001 is not {NUMBER}"),
        ("threshold", -1, f"-1 is not {NUMBER}"),
        ("threshold", "75", f"'75' is not {NUMBER}"),
        ("threshold", True, f"true is not {NUMBER}"),
        ("threshold", None, f"nothing is not {NUMBER}"),
        ("threshold", float("nan"), f"nan is not {NUMBER}"),
        ("threshold", float("inf"), f"inf is not {NUMBER}"),
        ("cases_per_day", 0, "0 is not a number from 0.01 to 10000"),
        ("cases_per_day", 10_001, "10001 is not a number from 0.01 to 10000"),
        ("detector.with_tool", 1, "1 is neither true nor false"),
        ("detector.with_tool", "yes", "'yes' is neither true nor false"),
        ("detector.guarded", 1, "1 is neither true nor false"),
        ("max_alerts", 0, "0 is not a whole number from 1 to 10000"),
        ("max_alerts", 10_001, "10001 is not a whole number from 1 to 10000"),
        ("max_alerts", 10.0, "10.0 is not a whole number from 1 to 10000"),
        ("interval_minutes", 20, f"20 is not {QUARTERS}"),
        ("interval_minutes", 0, f"0 is not {QUARTERS}"),
        ("lookback_minutes", 100, f"100 is not {QUARTERS}"),
        ("lookback_minutes", 1455, f"1455 is not {QUARTERS}"),
        ("severity", "hihg", "'hihg' is not a severity, nearest is 'high'"),
        (
            "severity",
            "zzz",
            "'zzz' is not a severity, known are low, medium, high, critical",
        ),
        ("risk_score", 101, "101 is not a whole number from 0 to 100"),
        ("version", 0, "0 is not a whole number from 1 to 1000000"),
        ("uuid", "6F9A1C1E", "'6F9A1C1E' is not a lower-case UUID"),
        ("id", "Not A Slug", f"'Not A Slug' is not {SLUG}"),
        ("id", "a--b", f"'a--b' is not {SLUG}"),
        ("id", "a" * 81, f"'{'a' * 56}... is not {SLUG}"),
        ("name", "two\nlines", r"'two\nlines' is not one line of text"),
        ("name", "  ", "'  ' is not one line of text"),
        ("name", 7, "7 is not one line of text (quote it)"),
        ("description", [], "a list is not text"),
        ("guide", "a\x1b[31mb", r"'a\x1b[31mb' holds the character '\x1b', which no text may"),
        ("setup", "a\u202eb", r"'a\u202eb' holds the character '\u202e', which no text may"),
        ("detector", "rare", f"'rare' is not a detector: a mapping of {names(Detector)}"),
        ("detector.function", "raer", "'raer' is not a function, nearest is 'rare'"),
        ("detector.scorer", "windows", "'windows' is not a scorer, nearest is 'window'"),
        ("detector.scorer", "zzz", "'zzz' is not a scorer, known are contrast, window, elastic"),
        ("detector.scope", "acount", "'acount' is not a scope, nearest is 'account'"),
        (
            "detector.by_field",
            "event.acton",
            "'event.acton' is not a field of an event, nearest is 'event.action'",
        ),
        (
            "detector.by_field",
            "user.name",
            "'user.name' is a partition field too: nothing could be rare",
        ),
        ("detector.by_field", "q", f"'q' {NO_FIELD}, known are {', '.join(FIELDS)}"),
        ("detector.by_field", ["event.action"], f"a list {NO_FIELD}, nearest is 'event.action'"),
        ("detector.partition_fields", "user.name", "'user.name' is not a list"),
        ("detector.partition_fields", [], "0 items are too few, it needs 1"),
        ("threat", {}, "a mapping is not a list"),
        ("equivalents", [], "a list is not a mapping of names to texts"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(path: str, value: object, fault: str) -> None:
    assert refusal(changed(path, value)) == f"r.yaml: {path}: {fault}"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (
            "detector.partition_fields",
            ["cloud.account.id", "user.nam"],
            "detector.partition_fields[1]: 'user.nam' is not a field of an event,"
            " nearest is 'user.name'",
        ),
        (
            "detector.partition_fields",
            ["user.name", "user.name"],
            "detector.partition_fields[1]: 'user.name' stands there twice",
        ),
        ("tags", ["a", 2], "tags[1]: 2 is not one line of text (quote it)"),
        ("tags", ["a", "a"], "tags[1]: 'a' stands there twice"),
        (
            "references",
            ["javascript:alert(1)"],
            "references[0]: 'javascript:alert(1)' is not a link that begins with"
            " https:// or http://",
        ),
        (
            "threat",
            [FULL["threat"][0] | {"technique": "1078"}],
            "threat[0].technique: '1078' is not a technique such as T1078.004",
        ),
        (
            "equivalents",
            {"Elastic SIEM": "x"},
            f"equivalents.'Elastic SIEM': 'Elastic SIEM' is not {SLUG}",
        ),
    ],
)
def test_a_wrong_item_is_named_by_its_place(path: str, value: object, fault: str) -> None:
    assert refusal(changed(path, value)) == f"r.yaml: {fault}"


def test_the_look_back_covers_the_interval() -> None:
    text = refusal(changed("interval_minutes", 240))
    assert text == "r.yaml: lookback_minutes: 120 is less than interval_minutes, 240"


@pytest.mark.parametrize("document", [None, "text", [RULE], 7])
def test_a_rule_is_a_mapping(document: object) -> None:
    assert refusal(document).endswith(f" is not a rule: a mapping of {names(Rule)}")


def test_a_hostile_key_is_shown_in_one_short_line() -> None:
    text = refusal(RULE | {"a\nb\x1b" * 1000: 1})
    assert text.startswith(r"r.yaml: 'a\nb\x1ba\nb")
    assert "\n" not in text
    assert len(text) < 400


# --- what is refused: several rules


def pair(**second: object) -> list[tuple[Rule, Where]]:
    """Two rules in two files that differ in whatever must differ, but for what is given."""
    other = {"uuid": "6f9a1c1e-4b8e-4a57-9d3b-0d1c3f2e5a77", "id": "other", "name": "Other"}
    lines = {(): 1, ("uuid",): 2, ("id",): 3, ("name",): 4, ("detector", "name"): 6}
    first = (RULE, Where("a.yaml", lines))
    return [
        (Rule.parse(d, w), w) for d, w in (first, (RULE | other | second, Where("b.yaml", lines)))
    ]


@pytest.mark.parametrize(("key", "line"), [("uuid", 2), ("id", 3), ("name", 4)])
def test_a_name_stands_for_one_rule(key: str, line: int) -> None:
    assert len(distinct(pair())) == 2
    with pytest.raises(RuleError) as caught:
        distinct(pair(**{key: RULE[key]}))
    expected = f"b.yaml:{line}: {key}: {RULE[key]!r} is taken by a.yaml:{line}"
    assert str(caught.value) == expected


def test_a_name_stands_for_one_detector() -> None:
    with pytest.raises(RuleError) as caught:
        distinct(pair(detector=DETECTOR | {"scorer": "elastic"}))
    assert str(caught.value) == (
        "b.yaml:6: detector.name: 'command-by-user' is the name of another detector in a.yaml:6"
    )
