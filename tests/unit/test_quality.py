"""The quality bench: its attacks, its rules, its figures, its page."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from factory import anomaly, at, rule

from benchmarks.quality import BEGIN, END, put
from benchmarks.quality_figures import (
    alerts_a_day,
    average_precision,
    cases_of,
    figures,
    found_within,
    is_attack,
    recall,
)
from benchmarks.quality_lanes import LANES, by_lane, rank_at_75, write_rules
from benchmarks.quality_picture import picture
from benchmarks.quality_tables import markdown, tables
from benchmarks.quality_world import Outcome, World, outcomes
from pipeline.rules import load_rules
from pipeline.simulate import Simulation
from pipeline.simulate.records import DAY
from pipeline.simulate.stories import load_stories
from pipeline.simulate.variants import COMMON, CONTROLS, Overlay, overlays, plans
from schemas.anomaly import Anomaly
from schemas.slice import Evidence
from transforms.rarity import score_of

SPEC = Simulation(seed=5, accounts=2, people=30, machines=24, events=30_000)
DAYS = (21, 22)


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> list[Overlay]:
    return list(overlays(SPEC, tmp_path_factory.mktemp("overlays"), DAYS))


# ---- attacks in variants


def test_every_story_is_laid_in_every_variant(laid: list[Overlay]) -> None:
    told = Counter((one.attack.story.name, one.variant) for each in laid for one in each.laid)
    wanted = Counter((story.name, variant) for story, variant in plans(SPEC.seed))
    assert not told - wanted
    left = wanted - told  # for want of an IAM user, or of somebody who works at the right time
    needs_iam = {story.name for story in load_stories() if story.victims == ("iam",)}
    assert all(name in needs_iam or variant.busy for name, variant in left)
    assert sum(n for (_, variant), n in told.items() if variant.control) == CONTROLS


def test_attacks_of_an_overlay_know_nothing_of_each_other(laid: list[Overlay]) -> None:
    for overlay in laid:
        calls = [call for one in overlay.laid for call in one.attack.calls]
        start = min(call.time for call in calls)
        if not any(one.variant.slow for one in overlay.laid):
            assert {int(call.time - SPEC.epoch) // DAY for call in calls} == {overlay.day}
            assert max(call.time for call in calls) - start < 7200
        entities = [(one.attack.account.id, one.attack.caller.user) for one in overlay.laid]
        assert len(set(entities)) == len(entities)


def test_slow_attacks_take_days_and_share_no_rare_call(laid: list[Overlay]) -> None:
    slow = [overlay for overlay in laid if any(one.variant.slow for one in overlay.laid)]
    assert slow
    for overlay in slow:
        rare: Counter[str] = Counter()
        for one in overlay.laid:
            assert one.variant.slow
            names = [call.action.name for call in one.attack.calls]
            times = [call.time for call in one.attack.calls]
            assert len(set(names)) == len(names)
            assert {int(time - SPEC.epoch) // DAY for time in times} <= {*DAYS}
            assert all(b - a >= 1800 for a, b in pairwise(times))
            rare.update(c.action.name for c in one.attack.calls if c.action.weight < COMMON)
        assert set(rare.values()) <= {1}


def test_variants_are_what_they_say(laid: list[Overlay]) -> None:
    for one in (one for each in laid for one in each.laid):
        steps = [call.step.number for call in one.attack.calls if call.step]
        assert one.variant.control == (one.attack.story.technique == "none")
        assert steps.count(0) == one.variant.habits
        assert len(one.events) == len(steps) - one.variant.habits
        assert one.attack.place == one.variant.place


def test_overlays_are_the_same_again(laid: list[Overlay], tmp_path: Path) -> None:
    again = list(overlays(SPEC, tmp_path, DAYS))
    for old, new in zip(laid, again, strict=True):
        assert [one.events for one in new.laid] == [one.events for one in old.laid]
        assert {p.name: p.read_bytes() for p in old.logs.rglob("*.gz")} == {
            p.name: p.read_bytes() for p in new.logs.rglob("*.gz")
        }


# ---- lanes


def test_every_scorer_has_its_rules(tmp_path: Path) -> None:
    lanes = write_rules(tmp_path / "rules")
    rules = load_rules([tmp_path / "rules"])
    assert {one.uuid for one in rules} == set(lanes)
    for one in rules:
        scorer, kind = lanes[one.uuid].split("/")
        assert one.detector.scorer == scorer
        assert one.detector.of_users == (kind == "user")


def test_the_rank_of_75_is_that_of_the_score() -> None:
    assert rank_at_75("contrast/user") == 75
    assert score_of(math.exp(-rank_at_75("window/city"))) == pytest.approx(75)


RULE = rule()


def alert(slice_: int, score: float, event: str) -> Anomaly:
    found = anomaly(RULE, score, slice_, id=event)
    shown = Evidence(at(slice_), b"", "", event, *[""] * 12)
    return msgspec.structs.replace(found, scorer="contrast", evidence=(shown,))


def test_of_one_action_within_two_hours_the_highest_is_one_alert() -> None:
    told = [alert(10, 60, "a"), alert(12, 80, "b"), alert(20, 70, "c")]
    alerts = by_lane(told, {RULE.uuid: "contrast/user"})
    assert [(rank, one.id) for rank, one in alerts["contrast/user"]] == [(80, "b"), (70, "c")]
    assert [rank for rank, _ in alerts["first-seen/user"]] == [0, 0]


def test_an_attack_is_found_by_its_own_events_only(laid: list[Overlay]) -> None:
    first, second = laid[0].laid[:2]
    event = min(first.events)
    alerts = {lane: [] for lane in LANES} | {
        "contrast/user": [(80.0, alert(1, 80, event)), (90.0, alert(2, 90, "another"))]
    }
    one, other = outcomes((first, second), alerts)
    assert one.best == {"contrast/user": 80}
    assert one.alerts == {"contrast/user": 1}
    assert other.best == {}


# ---- figures

LANE = "contrast/user"


def outcome(best: float | None, alerts: int = 1, variant: str = "home") -> Outcome:
    given = {} if best is None else {LANE: best, "first-seen/user": 0.0}
    return Outcome("story", "T1", variant, "person", given, {"first-seen/user": alerts})


def world(*found: Outcome, benign: tuple[float, ...] = ()) -> World:
    ranks = {lane: [0.0] * len(benign) for lane in LANES} | {LANE: sorted(benign, reverse=True)}
    idle: dict[str, list[float]] = {lane: [] for lane in LANES}
    return World("small", 1, 10, 1000, 2, 1, ranks, idle, 1, list(found))


def test_a_budget_is_kept_on_attack_free_days() -> None:
    seen = world(outcome(70), outcome(60), benign=(90, 80, 75, 72, 65, 64, 50))
    cases = cases_of([seen])
    assert alerts_a_day(seen, LANE) == 1.5
    # Three a day over two days: six may rank higher, the seventh may not.
    assert recall(cases, LANE, 3) == 1.0
    assert recall(cases, LANE, 2) == 0.5
    assert recall(cases, LANE, 1) == 0.0


def test_all_is_found_where_less_is_told_than_is_allowed() -> None:
    assert recall(cases_of([world(outcome(1), outcome(None), benign=(90,))]), LANE, 3) == 0.5


def test_first_seen_is_drawn_by_chance() -> None:
    seen = world(outcome(70, alerts=2), benign=(1.0,) * 8)
    # Two of eight: a quarter each, and there are two chances.
    assert found_within(seen, seen.outcomes[0], "first-seen/user", 1) == pytest.approx(1 - 0.75**2)


def test_average_precision_by_hand() -> None:
    seen = world(outcome(90), outcome(70), outcome(None), outcome(50), benign=(80, 60))
    by_hand = 0.25 * (1 + 0.5 / (0.5 + 0.5) + 0.75 / (0.75 + 1.0))
    assert average_precision(cases_of([seen]), LANE) == pytest.approx(by_hand)


def test_organisations_keep_their_own_thresholds() -> None:
    loud = world(outcome(70), benign=(99,) * 20)
    calm = world(outcome(70), benign=(10,))
    found = figures(cases_of([loud, calm]), LANE)
    assert found.attacks == 2
    assert found.at_budget == (0.5, 1.0)
    assert found.alerts_at_75 == 5.0


def test_controls_are_no_attacks() -> None:
    assert not any(map(is_attack, cases_of([world(outcome(99, variant="control"))])))


# ---- page


def test_the_page_gets_its_tables() -> None:
    worlds = [world(outcome(80), outcome(None), outcome(99, variant="control"), benign=(76, 10))]
    page = put(f"before\n{BEGIN}\nold\n{END}\nafter\n", tables(worlds))
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    assert "| user | contrast   | 50 %        | 0.5 (0.5–0.5)" in page
    assert put(page, tables(worlds)) == page


def test_columns_are_even() -> None:
    lines = markdown(["a", "bcd"], [["long", "x"]]).splitlines()
    assert lines == ["| a    | bcd |", "| ---- | --- |", "| long | x   |"]


def test_the_picture_stands_alone() -> None:
    drawn = picture([world(outcome(80), benign=(76, 10))])
    root = ET.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in drawn
    assert drawn.count("http") == 1
    assert not {element.tag.split("}")[1] for element in root.iter()} & {"image", "use", "script"}
