"""The simulated organisation: its layout, its labels, its rates, and that it can be repeated."""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import maxminddb
import msgspec
import numpy as np
import pytest

from pipeline.simulate import Simulation, SimulationSummary, simulate
from pipeline.simulate.catalogue import load_catalogue
from pipeline.simulate.delivery import second_trail
from pipeline.simulate.organisation import Organisation
from pipeline.simulate.people import Person
from pipeline.simulate.records import stamp
from pipeline.simulate.spec import COVERS
from pipeline.simulate.stories import HABIT, load_stories

SMALL = Simulation(events=2_500, days=4, people=6, machines=8, accounts=2)
NAME = re.compile(
    r"logs/(?:trail-a/AWSLogs/o-[a-z0-9]{10}|trail-b/AWSLogs)/(?P<account>\d{12})/CloudTrail/"
    r"(?P<region>[a-z]+-[a-z]+-\d)/(?P<day>\d{4}/\d\d/\d\d)/(?P=account)_CloudTrail_(?P=region)_"
    r"(?P<stamp>\d{8}T\d{4}Z)_[A-Za-z0-9]{16}\.json\.gz"
)


@dataclass
class Read:
    """One record where it was found."""

    time: float
    delivered: float
    path: str
    record: dict[str, Any]

    @property
    def failed(self) -> bool:
        return "errorCode" in self.record or "errorMessage" in self.record

    @property
    def identity(self) -> dict[str, Any]:
        found: dict[str, Any] = self.record["userIdentity"]
        return found


@dataclass
class World:
    """A simulated organisation, read back."""

    spec: Simulation
    summary: SimulationSummary
    objects: list[list[Read]]
    events: list[Read]
    labels: list[dict[str, str]]

    @property
    def benign(self) -> Iterator[Read]:
        labelled = {row["eventID"] for row in self.labels}
        return (each for each in self.events if each.record["eventID"] not in labelled)


def seconds(text: str, form: str) -> float:
    return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()


def read(spec: Simulation, directory: Path) -> World:
    summary = simulate(spec, directory)
    objects, events = [], {}
    for path in sorted(summary.logs.rglob("*.json.gz")):
        name = path.relative_to(directory).as_posix()
        match = NAME.fullmatch(name)
        assert match, name
        delivered = seconds(match["stamp"], "%Y%m%dT%H%MZ")
        records = msgspec.json.decode(gzip.decompress(path.read_bytes()))["Records"]
        objects.append(
            [
                Read(seconds(r["eventTime"], "%Y-%m-%dT%H:%M:%SZ"), delivered, name, r)
                for r in records
            ]
        )
        events.update({each.record["eventID"]: each for each in objects[-1]})
    in_time = sorted(events.values(), key=lambda each: (each.time, each.record["eventID"]))
    with summary.labels.open(newline="", encoding="utf-8") as file:
        return World(spec, summary, objects, in_time, list(csv.DictReader(file)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An organisation large enough for its rates to mean something."""
    spec = Simulation(events=30_000, days=21, people=13, machines=24, accounts=4)
    return read(spec, tmp_path_factory.mktemp("world") / "sim")


def tree(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


# ---- the same again


def test_the_same_specification_gives_the_same_bytes(tmp_path: Path) -> None:
    simulate(SMALL, tmp_path / "a")
    script = (
        "from pathlib import Path; from pipeline.simulate import Simulation, simulate; "
        f"simulate({SMALL!r}, Path({str(tmp_path / 'b')!r}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"}
    command = [sys.executable, "-c", f"import datetime; {script}"]
    subprocess.run(command, env=environment, check=True, cwd=Path(__file__).parents[2])
    simulate(replace(SMALL, seed=8), tmp_path / "c")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    same = set(tree(tmp_path / "a").items()) & set(tree(tmp_path / "c").items())
    assert [name for name, _ in same] == ["city.mmdb"]


def test_lives_are_the_same_without_attacks(tmp_path: Path) -> None:
    beset = read(SMALL, tmp_path / "beset")
    quiet = read(replace(SMALL, attacks=False), tmp_path / "quiet")
    assert [each.record for each in beset.benign] == [each.record for each in quiet.events]
    assert len(beset.labels) == len(beset.events) - len(quiet.events) > 300
    assert quiet.labels == []


def test_one_person_more_changes_nobody(tmp_path: Path) -> None:
    def lives(people: int) -> list[Any]:
        organisation = Organisation(replace(SMALL, people=people))
        return [
            (
                p.name,
                p.team,
                p.member.key,
                p.member.accesses,
                p.habits.often(200),
                p.whereabouts.places,
            )
            for p in (Person(organisation, i) for i in range(people))
        ]

    assert lives(7)[:6] == lives(6)
    assert len({name for name, *_ in lives(7)}) == 7


# ---- what lies where


def test_objects_lie_as_cloudtrail_lays_them(world: World) -> None:
    trails = Counter(each[0].path.split("/")[1] for each in world.objects)
    assert trails["trail-a"] > 3 * trails["trail-b"] > 0
    for records in world.objects:
        match = NAME.fullmatch(records[0].path)
        assert match
        assert {r.record["recipientAccountId"] for r in records} == {match["account"]}
        assert {r.record["awsRegion"] for r in records} == {match["region"]}
        assert match["day"].replace("/", "") == match["stamp"][:8]
    assert len(world.summary.accounts) == 4


def test_the_summary_counts_what_is_there(world: World) -> None:
    summary = world.summary
    assert summary.objects == len(world.objects)
    assert summary.records == sum(map(len, world.objects))
    assert summary.events == len(world.events)
    assert summary.bytes == sum(p.stat().st_size for p in summary.logs.rglob("*.json.gz"))
    assert (summary.people, summary.machines) == (13, 24)
    assert abs(summary.events / world.spec.events - 1) < 0.05


def test_events_lie_within_the_days(world: World) -> None:
    begin = world.spec.epoch
    within = [begin - 10 <= each.time < begin + 21 * 86_400 for each in world.events]
    assert np.mean(within) > 0.999
    days = Counter(int(each.time - begin) // 86_400 for each in world.events)
    weekday = np.mean([days[d] for d in range(21) if d % 7 < 5])
    assert np.mean([days[d] for d in range(21) if d % 7 > 4]) < 0.7 * weekday


def test_the_second_trail_repeats_records_byte_for_byte(world: World) -> None:
    repeated = 1 - len(world.events) / world.summary.records
    assert 0.15 <= repeated <= 0.18
    first = {r.record["eventID"]: r.record for o in world.objects for r in o if "-a/" in r.path}
    again = [r.record for o in world.objects for r in o if "-b/" in r.path]
    assert len(first) == len(world.events)
    assert all(list(first[r["eventID"]].items()) == list(r.items()) for r in again)


def test_a_second_trail_takes_lanes_up_to_its_share() -> None:
    volumes = {"1": np.full(10, 6.0), "2": np.full(10, 2.5), "3": np.full(10, 1.5)}
    assert second_trail(volumes, 0.2) == {"3": 0, "2": 8}
    assert second_trail({"1": np.array([10.0, 1.0, 3.0, 6.0])}, 0.45) == {"1": 2}


# ---- records


def test_records_have_the_shape_of_cloudtrail(world: World) -> None:
    text = {"eventVersion", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress"}
    text |= {"userAgent", "requestID", "eventID", "eventType", "recipientAccountId"}
    for each in world.events:
        record = each.record
        assert all(record[field] for field in text)
        assert {"userIdentity", "requestParameters", "responseElements"} <= set(record)
        assert record["eventVersion"] in {"1.08", "1.09", "1.10", "1.11"}
        assert record["eventCategory"] == "Management"
        assert isinstance(record["readOnly"], bool)
        if each.failed and record["eventName"] != "ConsoleLogin":
            assert record["errorCode"]
            assert record["responseElements"] is None
    kinds = {each.identity.get("type") for each in world.events}
    assert kinds >= {"IAMUser", "AssumedRole", "AWSService", "AWSAccount", "WebIdentityUser", None}
    assert len({each.record["eventID"] for each in world.events}) == len(world.events)


def test_no_template_is_left_open(world: World) -> None:
    for records in world.objects:
        for each in records:
            assert "<" not in msgspec.json.encode(each.record).decode()


def test_records_are_of_ordinary_size(world: World) -> None:
    sizes = [len(msgspec.json.encode(each.record)) for each in world.events]
    assert 1_000 < np.mean(sizes) < 1_600
    assert max(sizes) < 4_000


def test_two_accounts_share_the_event_where_one_assumes_a_role_of_the_other(world: World) -> None:
    shared = defaultdict(list)
    for each in world.events:
        if "sharedEventID" in each.record:
            shared[each.record["sharedEventID"]].append(each)
    pairs = [found for found in shared.values() if len(found) == 2]
    assert pairs
    for pair in pairs:
        assert {each.identity["type"] for each in pair} == {"IAMUser", "AWSAccount"}
        assert len({each.record["recipientAccountId"] for each in pair}) == 2


# ---- delivery


def test_records_wait_as_long_as_with_aws(world: World) -> None:
    lags = [each.delivered - each.time for records in world.objects for each in records]
    median, late, latest = np.quantile(lags, [0.5, 0.99, 1.0])
    assert 150 < median < 240
    assert 430 < late < 570
    assert latest <= 600
    assert min(lags) >= 0


def test_records_come_out_of_order(world: World) -> None:
    newest, behind, total = 0.0, 0, 0
    for records in sorted(world.objects, key=lambda records: records[0].delivered):
        for each in records:
            behind += each.time < newest
            newest = max(newest, each.time)
            total += 1
    assert 0.45 < behind / total < 0.9


@pytest.mark.parametrize("mean", [5, 29])
def test_objects_have_the_mean_that_was_asked_for(mean: int, tmp_path: Path) -> None:
    summary = simulate(replace(SMALL, records_per_object=mean), tmp_path / "sim")
    assert abs(summary.records / summary.objects / mean - 1) < 0.15


# ---- lives


def person(each: Read) -> str:
    """The person behind a record, or nothing."""
    identity = each.identity
    if identity.get("type") == "IAMUser" and "." in identity["userName"]:
        return str(identity["userName"])
    if identity.get("type") == "AssumedRole" and "." in identity["arn"].rsplit("/", 1)[1]:
        return str(identity["arn"].rsplit("/", 1)[1].split("@")[0])
    return ""


def machine(each: Read) -> str:
    """The program behind a record, or nothing."""
    identity = each.identity
    name = str(identity.get("userName", ""))
    if identity.get("type") == "AssumedRole" and not person(each):
        name = str(identity["sessionContext"]["sessionIssuer"]["userName"])
    return name if re.search(r"-\d+$", name) and ":" not in name else ""


def test_people_have_menus_and_meet_new_things(world: World) -> None:
    menus: dict[str, Counter[str]] = defaultdict(Counter)
    new = calls = gaps = quick = 0
    week, last = world.spec.epoch + 7 * 86_400, dict[str, float]()
    for each in world.benign:
        if not (who := person(each)):
            continue
        action = each.record["eventName"]
        new += each.time >= week and action not in menus[who]
        calls += each.time >= week
        menus[who][action] += 1
        gap = each.time - last.get(who, 0)
        gaps += gap < 1800
        quick += gap < 1
        last[who] = each.time
    assert len(menus) == 13
    sizes = [len(menu) for menu in menus.values()]
    assert 20 <= np.median(sizes) <= 100
    assert max(sizes) <= 240
    assert 5 <= 1000 * new / calls <= 30
    assert 0.7 <= quick / gaps <= 0.9
    steep = []
    for menu in menus.values():
        counts = [n for _, n in menu.most_common() if n > 2]
        if len(counts) < 6:  # somebody whose sessions mostly do not name them
            continue
        steep.append(-np.polyfit(np.log(np.arange(len(counts)) + 1), np.log(counts), 1)[0])
    assert 0.9 <= np.median(steep) <= 1.6


def test_machines_have_few_actions_and_hardly_meet_new_ones(world: World) -> None:
    menus: dict[str, set[str]] = defaultdict(set)
    new = calls = 0
    for each in world.benign:
        if who := machine(each):
            late = each.time >= world.spec.epoch + 7 * 86_400
            new += late and each.record["eventName"] not in menus[who]
            calls += late
            menus[who].add(each.record["eventName"])
    assert len(menus) == 24
    assert all(1 <= len(menu) <= 6 for menu in menus.values())
    assert 1000 * new / calls < 1


def test_errors_are_as_usual(world: World) -> None:
    failed: dict[str, list[bool]] = defaultdict(list)
    first: dict[tuple[str, str], bool] = {}
    for each in world.benign:
        issuer = each.identity.get("sessionContext", {}).get("sessionIssuer", {})
        if issuer.get("userName") == "AWSServiceRoleForConfig":
            failed["sweep"].append(each.failed)
        elif who := person(each):
            failed["people"].append(each.failed)
            first.setdefault((who, each.record["eventName"]), each.failed)
        elif machine(each):
            failed["machines"].append(each.failed)
    assert 0.05 <= np.mean(failed["people"]) <= 0.10
    assert 0.004 <= np.mean(failed["machines"]) <= 0.011
    assert 0.25 <= np.mean(failed["sweep"]) <= 0.45
    assert np.mean(list(first.values())) > 2 * np.mean(failed["people"])


def test_people_use_several_tools_networks_and_ways_in(world: World) -> None:
    tools: dict[str, set[str]] = defaultdict(set)
    agents: Counter[str] = Counter()
    for each in world.benign:
        if who := person(each):
            tool = each.record["userAgent"].split("/")[0]
            tools[who].add(tool)
            agents[tool] += 1
    assert {"Mozilla", "aws-cli", "Boto3", "APN"} <= set(agents)
    assert np.mean([len(found) > 1 for found in tools.values()]) > 0.8
    sso = {
        each.identity["arn"].split("/")[1]: person(each)
        for each in world.benign
        if "AWSReservedSSO" in each.identity.get("arn", "")
    }
    assert sso
    assert all("." in name for name in sso.values())


# ---- places


def test_the_city_database_answers_for_every_address(world: World) -> None:
    cities: dict[str, set[str]] = defaultdict(set)
    without = 0
    with maxminddb.open_database(world.summary.city_database) as database:
        assert database.metadata().database_type == "GeoLite2-City"
        for each in world.events:
            address = each.record["sourceIPAddress"]
            if address.endswith(("amazonaws.com", "AWS Internal")):
                continue
            entry = database.get(address)
            assert isinstance(entry, dict), address
            assert entry["country"]["iso_code"]
            without += "city" not in entry
            if "city" in entry and (who := person(each)):
                cities[who].add(entry["city"]["names"]["en"])
        for row in world.labels:
            entry = database.get(row["address"])
            assert isinstance(entry, dict)
            assert entry["city"]["names"]["en"] == row["city"]
            assert entry["country"]["iso_code"] == row["country"]
    assert without > 0
    assert any(len(found) > 1 for found in cities.values())


# ---- attacks


def test_labels_are_records(world: World) -> None:
    events = {each.record["eventID"]: each for each in world.events}
    assert len(world.labels) == world.summary.attack_calls > 350
    assert len({row["eventID"] for row in world.labels}) == len(world.labels)
    middle = world.spec.epoch + 10 * 86_400
    for row in world.labels:
        each = events[row["eventID"]]
        record, identity = each.record, each.identity
        assert record["eventTime"] == row["eventTime"]
        assert record["eventName"] == row["action"]
        assert record["sourceIPAddress"] == row["address"]
        assert identity["accountId"] == row["account"]
        issuer = identity.get("sessionContext", {}).get("sessionIssuer", {})
        assert row["user"] == (identity.get("userName") or issuer.get("userName"))
        assert each.time >= middle


def test_attacks_are_told_as_their_stories(world: World) -> None:
    with world.summary.attacks_table.open(newline="", encoding="utf-8") as file:
        attacks = {row["attack_id"]: row for row in csv.DictReader(file)}
    stories = {story.name: story for story in load_stories()}
    assert world.summary.techniques >= 20
    assert {row["attack"] for row in attacks.values()} == set(stories)
    assert {row["place"] for row in attacks.values()} == {"home", "far", "odd"}
    assert {row["cover"] for row in attacks.values()} == {*COVERS} - {"mixed"}
    assert {row["victim"] for row in attacks.values()} == {"person", "machine"}
    steps: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in world.labels:
        steps[row["attack_id"]].append((row["step"], row["action"]))
    for number, row in attacks.items():
        told = [d.call for d in stories[row["attack"]].deeds for _ in range(d.times)]
        if row["cover"] == "slow":  # nothing twice, but habits
            told = [c for i, c in enumerate(told) if c == HABIT or c not in told[:i]]
        made = Counter(action for step, action in steps[number] if step != "0")
        named = Counter(call.split(":")[1] for call in told if call != HABIT)
        assert named <= made
        assert made.total() == len(told)
        assert int(row["calls"]) == len(steps[number])
        assert (row["cover"] == "camouflaged") == any(step == "0" for step, _ in steps[number])


def test_far_intruders_come_from_cities_new_to_the_organisation(world: World) -> None:
    with world.summary.attacks_table.open(newline="", encoding="utf-8") as file:
        attacks = list(csv.DictReader(file))
    known: set[tuple[str, str]] = set()
    by_person: dict[str, set[tuple[str, str]]] = defaultdict(set)
    with maxminddb.open_database(world.summary.city_database) as database:
        for each in world.benign:
            address = each.record["sourceIPAddress"]
            if not person(each) or address.endswith("amazonaws.com"):
                continue
            entry = database.get(address)
            if isinstance(entry, dict) and "city" in entry:
                city = (entry["country"]["iso_code"], entry["city"]["names"]["en"])
                known.add(city)
                by_person[person(each)].add(city)
    far = {(row["country"], row["city"]) for row in attacks if row["place"] == "far"}
    assert far
    assert not far & known
    for row in attacks:
        who = (row["session"] or row["user"]).split("@")[0]
        if row["place"] == "odd" and row["victim"] == "person":
            assert (row["country"], row["city"]) not in by_person[who]


# ---- data and edges


def test_the_catalogue_and_the_stories_are_wide_enough() -> None:
    catalogue = load_catalogue()
    assert len(catalogue) >= 300
    assert len({action.service for action in catalogue.values()}) >= 40
    stories = [story for story in load_stories() if story.technique != "none"]
    assert len(stories) >= 24
    assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", story.technique) for story in stories)
    calls = {deed.call for story in stories for deed in story.deeds}
    assert calls <= set(catalogue)


def test_times_are_written_as_cloudtrail_does() -> None:
    assert stamp(0) == "1970-01-01T00:00:00Z"
    assert stamp(1_772_409_599.99) == "2026-03-01T23:59:59Z"
    assert Simulation(start=date(2026, 3, 2)).epoch == 1_772_409_600


def test_the_smallest_organisation_lives(tmp_path: Path) -> None:
    spec = Simulation(events=40, days=1, people=1, machines=1, accounts=1)
    world = read(spec, tmp_path / "sim")
    assert len(world.events) - len(world.labels) == pytest.approx(40, abs=3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"people": 0}, "people 0: must be at least 1"),
        ({"seed": -1}, "seed -1: must be at least 0"),
        ({"cover": "cloak"}, "cover cloak: must be one of mixed, alone"),
    ],
)
def test_a_wrong_specification_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Simulation(**change)
