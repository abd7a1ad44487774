"""Sentences about anomalies, and that nobody's text does harm in them."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from factory import ACCOUNT, SLICE, at, cell, hash_of, rule

from pipeline.accounting import run_document
from pipeline.report import report
from schemas.alert import alert_document
from schemas.anomaly import ANOMALY, Anomaly, Profile
from schemas.rule import Rule
from schemas.slice import Evidence
from schemas.words import iso, place, printable, sentence, user_names, who_of

SLICE_AT = 1_969_388
"""2026-03-02T11:00:00Z"""
ALICE = {"cloud.account.id": ACCOUNT, "user.name": "alice"}
LAGOS = {"source.geo.country_iso_code": "NG", "source.geo.city_name": "Lagos"}

HOSTILE = {
    "ANSI escape": "\x1b[2J\x1b]0;owned\x07",
    "C1 escape": "\x9b31m",
    "new line": "first\nsecond\r\nthird",
    "other line ends": "a\u2028b\u2029c\x0bd\x0ce\x85f",
    "bidi": "safe\u202egnp.exe\u2066x\u2069",
    "invisible": "zero\u200bwidth\ufeff\u00adhyphen",
    "tag characters": "a\U000e0041b",
    "null": "a\x00b",
    "long": "x" * 10_000,
    "long escapes": "\n" * 10_000,
    "tab and backspace": "a\tb\bc",
}


def event(**changes: str) -> Evidence:
    texts = dict.fromkeys(Evidence.__struct_fields__[2:], "")
    return Evidence(time=at(SLICE_AT, 150), hash=hash_of("e"), **(texts | changes))


def known(days: float = 30, n_actions: int = 12) -> Profile:
    since = SLICE_AT * SLICE - round(days * 86_400_000)
    return Profile(since, at(SLICE_AT - 8), 400, [0] * 168, n_actions, 2, [], [])


NOBODY = Profile(None, None, 0, [0] * 168, 0, 0, [], [])


def found(
    entity: dict[str, str] = ALICE,
    action: str = "DeleteTrail",
    *,
    number: int = 1,
    seen: int = 0,
    seen_last: int | None = None,
    profile: Profile | None = None,
    score: float = 90.0,
    evidence: tuple[Evidence, ...] = (event(city="London", country="GB"),),
    **in_cell: Any,
) -> Anomaly:
    """An anomaly of so many events, the first of them 2.5 minutes into the slice."""
    ids = tuple(sorted(hash_of(str(n)) for n in range(number)))[:16]
    first = at(SLICE_AT, 150)
    return Anomaly(
        id="0" * 32,
        rule_id=rule().uuid,
        scorer="window",
        scope="organisation",
        entity=entity,
        action=action,
        slice=SLICE_AT,
        slice_start=at(SLICE_AT),
        slice_end=at(SLICE_AT + 1),
        firing=SLICE_AT,
        score=score,
        seen=seen,
        seen_last=seen_last,
        first_seen=first,
        last_seen=first,
        count=number,
        count_exact=number < 16,
        evidence=evidence,
        cell=cell(first, ids=ids, **in_cell),
        profile=profile or known(),
    )


def users(*names: str) -> tuple[str, ...]:
    return tuple(json.dumps([ACCOUNT, name]) for name in names)


WHEN = "on 2026-03-02 11:02 UTC"
NEW = "never before in 30 days of history (12 actions)"


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        (found(), f"alice in account {ACCOUNT} called DeleteTrail from London, GB once {WHEN}: "),
        (found(), f"{WHEN}: {NEW}"),
        (found(number=2), f"called DeleteTrail from London, GB 2 times {WHEN}: {NEW}"),
        (found(number=15), f"15 times {WHEN}"),
        (found(number=200), "about "),
        (found(failed=True), f"once {WHEN}, every time with an error: {NEW}"),
        (found(failed=True, number=3), f"3 times {WHEN}, every time with an error: {NEW}"),
        (found({"user.name": "alice"}), "alice called DeleteTrail from London, GB once"),
        (found({"cloud.account.id": ACCOUNT}), f"account in account {ACCOUNT} called"),
        (found({"cloud.account.id": ACCOUNT, "user.name": "root"}), f"root in account {ACCOUNT}"),
        (found(evidence=()), f"called DeleteTrail once {WHEN}"),
        (found(evidence=(event(country="GB"),)), "called DeleteTrail from GB once"),
        (found(evidence=(event(city="Monaco"),)), "called DeleteTrail from Monaco once"),
        (found(evidence=(event(address="203.0.113.7"),)), "from 203.0.113.7 once"),
        (found(evidence=(event(),)), "from nowhere known once"),
        # a city
        (found(LAGOS, users=users("bob")), f"bob called DeleteTrail from Lagos, NG once {WHEN}: "),
        (found(LAGOS), "somebody without a user name called DeleteTrail from Lagos, NG once"),
        (found(LAGOS, users=users("bob", "al")), "al, bob called DeleteTrail from Lagos, NG"),
        (found(LAGOS, users=users("d", "c", "b", "a")), "a, b, c and 1 more called"),
        (found(LAGOS, users=users(*"gfedcba")), "a, b, c and 4 more called"),
        (
            found(LAGOS, users=(*users("bob"), json.dumps(["444455556666", "bob"]))),
            "bob called DeleteTrail from Lagos, NG",
        ),
        # how new it is
        (found(profile=NOBODY), f"{WHEN}: the first time it is seen at all"),
        (found(profile=known(1, 2)), ": never before in 1 day of history (2 actions)"),
        (found(profile=known(0.1, 2)), ": never before in 1 day of history (2 actions)"),
        (found(profile=known(1.6, 2)), ": never before in 2 days of history (2 actions)"),
        (
            found(seen=4, seen_last=at(SLICE_AT - 960)),
            ": 4 times before in 30 days of history (12 actions), the last 2 hours aside,"
            " last on 2026-02-20",
        ),
        (found(seen=2), ": 2 times before in 30 days of history (12 actions)"),
    ],
)
def test_sentences(judged: Anomaly, words: str) -> None:
    assert words in sentence(judged)


@pytest.mark.parametrize("judged", [found(seen=1), found(profile=known(1, 1)), found(number=1)])
def test_one_is_singular(judged: Anomaly) -> None:
    words = sentence(judged)
    assert not any(plural in words for plural in (" 1 times", " 1 days", "(1 actions)")), words


def test_an_estimate_is_called_one() -> None:
    number = int(sentence(found(number=200)).partition("about ")[2].split()[0])
    assert 100 < number < 400
    assert "about" not in sentence(found(number=15))
    assert "about" in sentence(found(number=16))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DeleteTrail", "DeleteTrail"),
        ("Zoë ☃ 東京", "Zoë ☃ 東京"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202e", "\\u202e"),
        ("", ""),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def harmless(text: str) -> None:
    """One line without anything that steers a terminal or turns the order of reading."""
    assert text.isprintable()
    assert not {unicodedata.category(c) for c in text} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_harmless_in_a_sentence(text: str) -> None:
    seen = event(city=text, country=text, address=text)
    for judged in (
        found(action=text),
        found({"cloud.account.id": text, "user.name": text}, evidence=(seen,)),
        found(evidence=(event(address=text),)),
        found({"source.geo.country_iso_code": text, "source.geo.city_name": text}),
        found(LAGOS, users=users(text, text + "2", text + "3", text + "4")),
    ):
        harmless(sentence(judged))
        assert len(sentence(judged)) < 700


@pytest.mark.parametrize("score", [90.0, 50.0], ids=["alert", "below the threshold"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_harmless_in_the_report(tmp_path: Path, text: str, score: float) -> None:
    seen = event(city=text, country=text, address=text)
    entity = {"cloud.account.id": text, "user.name": text}
    bad = found(entity, text, evidence=(seen,), users=users(text), score=score)
    of = rule()
    lines = b""
    if score >= of.threshold:
        lines = msgspec.json.encode(alert_document(of, bad, SLICE_AT, 1, [None])) + b"\n"
    (tmp_path / "alerts.ndjson").write_bytes(lines)
    write_avro(tmp_path / "anomalies" / "a.avro", bad)
    run = run_json(of, alerts=int(score >= of.threshold))
    told = list(report(run, tmp_path))
    assert any("called" in line for line in told)
    for line in told:
        harmless(line)
    assert sum(map(len, told)) < 5_000


def write_avro(path: Path, *anomalies: Anomaly) -> None:
    path.parent.mkdir()
    records = [msgspec.to_builtins(each, builtin_types=(bytes,)) for each in anomalies]
    with path.open("wb") as file:
        fastavro.writer(file, ANOMALY.schema, records)


def run_json(of: Rule, alerts: int) -> dict[str, Any]:
    """run.json of a run with one anomaly."""
    header = {
        "started": "2026-03-02T00:00:00+00:00",
        "carried_in": {},
        "listing": {"listed": 1, "skipped": {}},
        "configuration": {
            "incremental": False,
            "snapshot_out": None,
            "rules_applied": [
                {
                    "uuid": of.uuid,
                    "id": of.id,
                    "name": of.name,
                    "counts": of.detector.name,
                    "threshold": of.threshold,
                    "detector": of.detector.fingerprint(),
                }
            ],
        },
        "versions": {},
    }
    counts = {
        "objects|read": 1,
        "records|read": 1,
        "records|events": 1,
        f"anomalies|{of.id}": 1,
        **{f"{what}|{of.id}": alerts for what in ("alertable", "selected", "alerts")},
    }
    document = run_document(header, counts, [], (of,))
    document["metrics"]["seconds"] = 1.0
    return document


@pytest.mark.parametrize(
    ("entity", "words"),
    [
        (ALICE, f"alice in account {ACCOUNT}"),
        ({"user.name": "alice"}, "alice"),
        ({"service.name": "lambda", "cloud.region": "eu"}, "lambda / eu"),
        ({"cloud.account.id": ACCOUNT}, f"account in account {ACCOUNT}"),
    ],
)
def test_entities_in_words(entity: dict[str, str], words: str) -> None:
    assert who_of(found(entity)) == words


def test_the_account_of_an_entity_is_its_scope_where_that_is_an_account() -> None:
    judged = msgspec.structs.replace(found({"user.name": "alice"}), scope=ACCOUNT)
    assert who_of(judged) == f"alice in account {ACCOUNT}"


@pytest.mark.parametrize(
    ("entity", "words"),
    [
        (LAGOS, "Lagos, NG"),
        ({"source.geo.city_name": "Lagos"}, "Lagos"),
        ({"source.geo.country_iso_code": "NG"}, "NG"),
        ({}, ""),
    ],
)
def test_places_in_words(entity: dict[str, str], words: str) -> None:
    assert place(entity) == words


def test_names_of_users_are_told_without_accounts_and_once() -> None:
    assert user_names(('["1","bob"]', '["2","bob"]', '["al"]')) == ["al", "bob"]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_772_449_200_001, "2026-03-02T11:00:00.001Z"),
        (1_772_449_200_999, "2026-03-02T11:00:00.999Z"),
        (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
    ],
)
def test_times(ms: int, text: str) -> None:
    assert iso(ms) == text
