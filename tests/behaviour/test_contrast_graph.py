"""The golden judgements of `contrast` through the Beam graph, on events that give the cells."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from beams import Keep, kept, pipeline_on
from factory import at, batch, hash_of

from schemas.anomaly import ANOMALY
from schemas.event import Actor, Event, Source
from schemas.rule import Rule
from transforms.cells import DetectorSlices
from transforms.peers import WeighPeers
from transforms.score import ScoreRarity

ROOT = Path(__file__).parents[2]
USER_FIELDS = ("user.name",)


@pytest.fixture(scope="module")
def contrast() -> Any:
    """benchmarks.parity_contrast, which lies beside the packages."""
    sys.path.insert(0, str(ROOT))
    yield importlib.import_module("benchmarks.parity_contrast")
    sys.path.remove(str(ROOT))


def events_of(given: dict[str, Any], slice_: int, of_users: bool) -> Iterator[Event]:
    """As many events as the largest of a cell's sets has values."""
    users = [user for user in given["users"] if user]
    rows = zip_longest(given["place"], given["tool"], given["stream"], users)
    for number, (place, tool, stream, user) in enumerate(list(rows) or [(None,) * 4]):
        person, network = (stream or ["", "", ""])[-2:]
        if of_users:
            who, kind = given["entity"], ""
        else:
            who = user or (stream[0] if stream else "")
            kind = "" if who else (place or "")
        id_ = f"{of_users} {given['entity']} {given['action']} {slice_} {number}"
        yield Event(
            time=at(slice_, number),
            action=given["action"],
            id=id_,
            hash=hash_of(id_),
            actor=Actor(user=who, user_name=who, kind=kind, person=person),
            source=Source(
                city="" if of_users else given["entity"],
                place=(place or "") if of_users else "",
                network=network,
            ),
            tool=tool or "",
            agent=f"{tool} {place}",
            failed=given["failed"],
            error="AccessDenied" if given["failed"] else "",
            write=given["write"],
        )


def packed(slices: Any, rules: dict[str, Rule]) -> list[tuple[bytes, bytes]]:
    """What CountSlices makes of the events of each detector by itself, a day at a time."""
    pairs = []
    for column, (name, rule) in enumerate(rules.items(), start=1):
        for at_ in range(0, len(slices), 96):
            bundle = DetectorSlices(rule.detector, USER_FIELDS)
            for row in slices[at_ : at_ + 96]:
                for given in row[column]:
                    events = events_of(given, row[0] // 900, name == "user")
                    assert bundle.add(batch(events)) == 0
            pairs += bundle.flush()
    return pairs


@pytest.mark.parametrize("name", ["office", "office with tools", "forgetting"])
def test_the_graph_says_what_is_golden(
    name: str, contrast: Any, shared: Path, tmp_path: Path
) -> None:
    scenarios = json.loads(
        gzip.decompress((shared / "parity/contrast_golden.json.gz").read_bytes())
    )
    (scenario,) = [one for one in scenarios if one["name"] == name]
    rules = contrast.rules_of(scenario["tool"])
    every, detectors = tuple(rules.values()), tuple(rule.detector for rule in rules.values())
    with pipeline_on([]) as pipeline:
        slices = pipeline | beam.Create(packed(scenario["slices"], rules))
        scored = slices | ScoreRarity(detectors, forget_after=1 << 30)
        weighed = scored.candidates | WeighPeers(every)
        weighed.anomalies | Keep(tmp_path / "out")
    found = [ANOMALY.decode(data) for data in kept(tmp_path / "out", bytes)]
    said = {
        (one.rule_id[-1], one.slice_start // 1000, *one.entity.values(), one.action): one
        for one in found
    }
    golden = {
        (str(int(row["rule"] == "city")), row["slice"], row["entity"], row["action"]): row
        for row in scenario["expected"]
    }
    assert said.keys() == golden.keys()
    for key, row in golden.items():
        one = said[key]
        assert one.surprise == pytest.approx(row["S"], abs=1e-6), key
        assert {factor.name: factor.value for factor in one.factors} == pytest.approx(
            row["factors"], abs=1e-6
        ), key
        assert (one.score or 0.0) == pytest.approx(row["score"], abs=1e-3), key
