"""Confirmed incidents: what lies in one is judged, and neither learned nor booked."""

from __future__ import annotations

from pathlib import Path

import pytest
from factory import ACCOUNT, at, detector
from msgspec.structs import replace
from stepped import CONTRAST, WINDOW, Stepped, group
from weighed import DAY, NOW, USER, Weighed, user

from pipeline.incidents import load_incidents
from schemas.incident import Incident
from schemas.rule import Detector, RuleError
from transforms.score import ScoreFold

ALICE = {"user.name": "alice"}


def with_incident(of: Detector, *incidents: Incident) -> Stepped:
    fold = Stepped(of)
    fold.fold = ScoreFold((of,), incidents=incidents)
    fold.state = fold.fold.begin(fold.key)
    return fold


def during(start: int, end: int, entity: dict[str, str] | None = None) -> Incident:
    """From the first millisecond of one slice to the last of another."""
    return Incident(entity or ALICE, at(start), at(end + 1))


# --- stage 1


@pytest.mark.parametrize("of", [WINDOW, detector("elastic"), CONTRAST], ids=lambda of: of.scorer)
def test_nothing_of_an_incident_is_learned(of: Detector) -> None:
    fold = with_incident(of, during(20, 22))
    for slice_ in range(10, 30):
        fold.fire(slice_, group(slice_, Get=None, **({"Evil": None} if slice_ > 19 else {})))
    for slice_ in range(30, 40):
        fold.fire(slice_)
    history = fold.state.history
    assert history.actions.of("Get") == 17
    assert history.actions.of("Evil") == 7
    assert history.buckets == 17
    assert fold.cells()["kept_out"] == 6


def test_what_it_did_in_an_incident_is_new_again_afterwards() -> None:
    fold = with_incident(CONTRAST, during(20, 20))
    for slice_ in range(1, 20):
        fold.fire(slice_, group(slice_, Get=None))
    told = [fold.fire(slice_, group(slice_, Evil=None)) for slice_ in (20, 40)]
    assert [[(one.action, one.incident) for one in found] for found in told] == [
        [("Evil", True)],
        [("Evil", False)],
    ]


def test_a_redelivery_of_it_is_not() -> None:
    fold = with_incident(CONTRAST, during(20, 20))
    for slice_ in range(10, 20):
        fold.fire(slice_, group(slice_, Get=None))
    fold.fire(20, group(20, Evil=None))
    assert fold.fire(40, group(20, 40, Evil=None)) == []


def test_peers_are_not_told_of_it() -> None:
    fold = with_incident(CONTRAST, during(10, 10))
    fold.fire(10, group(10, Evil=None))
    fold.fire(30, group(30, Get=None))
    fold.fire(40)
    assert [change.entered["actions"] for change in fold.changes] == [["Get"]]


def test_a_slice_that_an_incident_touches_lies_in_it() -> None:
    incident = Incident(ALICE, at(10, 899.999), at(12, 0.001))
    assert incident.slices == range(10, 13)
    assert Incident(ALICE, at(10), at(12)).slices == range(10, 12)


def test_an_incident_concerns_who_has_all_that_it_says() -> None:
    whole = {"cloud.account.id": ACCOUNT, "user.name": "alice"}
    assert Incident(ALICE, 0, 1).concerns(whole)
    assert Incident(whole, 0, 1).concerns(whole)
    assert not Incident(whole, 0, 1).concerns(ALICE)
    assert not Incident({"user.name": "bob"}, 0, 1).concerns(whole)
    fold = with_incident(CONTRAST, during(10, 10, {"user.name": "bob"}), during(12, 12, whole))
    assert [slice_ for slice_ in range(9, 14) if fold.state.in_incident(slice_)] == [12]


# --- stage 2


def test_nothing_of_an_incident_is_booked() -> None:
    fold = Weighed(USER)
    (found,) = fold.fire(NOW, replace(user(), incident=True))
    assert found.incident
    assert found.surprise is not None
    assert NOW // DAY not in fold.state.scope.of(USER.detector.key).days


# --- the file


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "incidents.yaml"
    path.write_text(text)
    return path


def test_a_file_of_incidents_is_read(tmp_path: Path) -> None:
    text = """
- entity: {cloud.account.id: 011122223333, user.name: alice}
  from: 2026-03-02T10:00:00Z
  until: 2026-03-03
  why: INC-42
- entity:
    source.geo.country_iso_code: NO
    source.geo.city_name: Oslo
  from: 2026-03-02T10:00:00+01:00
  until: 2026-03-02 09:00:01
"""
    first, second = load_incidents(written(tmp_path, text))
    assert first.entity == {"cloud.account.id": "011122223333", "user.name": "alice"}
    assert (first.start, first.end) == (1_772_445_600_000, 1_772_496_000_000)
    assert second.entity["source.geo.country_iso_code"] == "NO", "no truth value, a country"
    assert second.end - second.start == 1000


def test_a_file_may_be_empty(tmp_path: Path) -> None:
    assert load_incidents(written(tmp_path, "")) == ()
    assert load_incidents(written(tmp_path, "[]\n")) == ()


GOOD = "- entity: {user.name: alice}\n  from: 2026-03-02\n  until: 2026-03-03\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("entity: {}\n", ":1: not a list of incidents, each with entity, from and until"),
        ("- alice\n", ":1: [0]: 'alice' is not an incident: a mapping of entity, from, until, why"),
        (GOOD.replace("until", "to"), ":3: [0].to: not a key of an incident, known are "),
        (GOOD.replace("  from: 2026-03-02\n", ""), ":1: [0]: from is missing"),
        (GOOD.replace("-02", "-31"), ":3: [0].until: 2026-03-03 is not after from, 2026-03-31"),
        (GOOD.replace("2026-03-03", "tomorrow"), ":3: [0].until: 'tomorrow' is not a time"),
        (GOOD.replace("user.name", "user"), ":1: [0].entity.user: not a field of an event, nea"),
        (GOOD.replace("{user.name: alice}", "alice"), ":1: [0].entity: 'alice' is not a mapping"),
        (GOOD.replace("alice", "null"), ":1: [0].entity.'user.name': nothing is not text"),
        (GOOD.replace("alice", "[a]"), ":1: [0].entity.'user.name': a list is not text"),
        (GOOD + "  from: 2026-03-01\n", ":4: cannot be read as YAML: the key 'from' stands ther"),
        ("- &a x\n- *a\n", ":1: cannot be read as YAML: anchors and aliases are not allowed"),
        ("- !!python/name:os.system\n", ":1: cannot be read as YAML: the tag "),
        ("- [\n", ":2: cannot be read as YAML: "),
        (GOOD + "  why: [x]\n", ":4: [0].why: a list is not one line of text"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(
    tmp_path: Path, text: str, fault: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RuleError) as caught:
        load_incidents(path)
    assert str(caught.value).startswith(f"{path}{fault}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="cannot be read: No such file or directory"):
        load_incidents(tmp_path / "none.yaml")
