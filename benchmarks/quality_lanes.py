"""What the quality bench compares: the built-in rules, each judged by every scorer in one job."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from schemas.anomaly import Anomaly
from transforms.rarity import score_of

SCORERS: Final = ("contrast", "window", "elastic")
FIRST: Final = "first-seen"
"""All candidates of `contrast`, one as good as another."""
CONTENDERS: Final = (*SCORERS, FIRST)
RULES: Final = {
    "unusual-aws-command-for-a-user": "user",
    "unusual-city-for-an-aws-command": "city",
}
LANES: Final = tuple(f"{scorer}/{rule}" for scorer in CONTENDERS for rule in RULES.values())
"""A scorer and a rule."""
APART: Final = 8
"""Slices: the same action of the same entity within so many is one alert."""


def write_rules(folder: Path) -> dict[str, str]:
    """Write each built-in rule once for each scorer; uuid → lane."""
    folder.mkdir(parents=True)
    lanes = {}
    for file in resources.files("pipeline.rules").iterdir():
        if not file.name.endswith(".yaml"):
            continue
        text = file.read_text(encoding="utf-8")
        for scorer in SCORERS:
            id_ = _field(text, "id")
            if id_ not in RULES:
                continue
            uuid = str(uuid5(NAMESPACE_URL, f"{id_}/{scorer}"))
            lanes[uuid] = f"{scorer}/{RULES[id_]}"
            changed = _with(text, "uuid", uuid)
            changed = _with(changed, "id", f"{id_}-{scorer}")
            changed = _with(changed, "name", f"{_field(text, 'name')} ({scorer})")
            changed = _with(changed, "  name", f"{_field(text, '  name')}-{scorer}")
            changed = _with(changed, "  scorer", scorer)
            (folder / f"{id_}-{scorer}.yaml").write_text(changed, encoding="utf-8")
    return lanes


def _field(text: str, key: str) -> str:
    match = re.search(rf"^{key}: (.+)$", text, re.MULTILINE)
    if match is None:
        raise ValueError(f"the rule has no {key}")
    return match[1]


def _with(text: str, key: str, value: str) -> str:
    return re.sub(rf"^{key}: .+$", f"{key}: {value}", text, count=1, flags=re.MULTILINE)


def rank_of(anomaly: Anomaly) -> float:
    """How high an anomaly stands, finer than its score where that ends at 100."""
    if anomaly.scorer == "contrast":
        return -1.0 if anomaly.score is None else anomaly.score
    return -math.log(anomaly.probability) if anomaly.probability else 0.0


def rank_at_75(lane: str) -> float:
    """The rank that a score of 75 has."""
    if lane.startswith("contrast"):
        return 75.0
    low, high = 1e-9, 0.035
    while high - low > 1e-15:
        middle = (low + high) / 2
        low, high = (middle, high) if score_of(middle) >= 75 else (low, middle)
    return -math.log(high)


Alert = tuple[float, Anomaly]
"""Its rank, and the anomaly."""


def by_lane(anomalies: Iterable[Anomaly], lanes: Mapping[str, str]) -> dict[str, list[Alert]]:
    """What each lane would alert, the highest first, at whatever threshold; those of first-seen
    all have rank 0.
    """
    found: dict[str, list[Alert]] = {lane: [] for lane in LANES}
    for anomaly in anomalies:
        lane = lanes[anomaly.rule_id]
        scorer, _, rule = lane.partition("/")
        if scorer == "contrast":
            found[f"{FIRST}/{rule}"].append((0.0, anomaly))
        found[lane].append((rank_of(anomaly), anomaly))
    return {lane: _once(alerts) for lane, alerts in found.items()}


def _once(alerts: list[Alert]) -> list[Alert]:
    """Of the same action of the same entity within two hours only the highest."""
    kept: list[Alert] = []
    taken: dict[tuple[tuple[str, ...], str], list[int]] = {}
    for rank, one in sorted(alerts, key=lambda each: (-each[0], each[1].first_seen, each[1].id)):
        near = taken.setdefault((tuple(one.entity.values()), one.action), [])
        if all(abs(one.slice - slice_) >= APART for slice_ in near):
            near.append(one.slice)
            kept.append((rank, one))
    return kept
