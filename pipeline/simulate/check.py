"""How many of the attacks a run found: `python -m pipeline.simulate.check DIR OUT`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from pipeline.files import read_records
from schemas.anomaly import ANOMALY


def found(directory: Path, output: Path) -> str:
    """What a run over a simulated organisation found of its attacks, in words."""
    with (directory / "labels.csv").open(newline="", encoding="utf-8") as file:
        attack_of = {
            row["eventID"]: row["attack_id"]
            for row in csv.DictReader(file)
            if row["step"] != "0"  # a call of the intruder's cover
        }
    with (output / "alerts.ndjson").open("rb") as lines:
        alerts = [
            [event["event_id"] for event in msgspec.json.decode(line)["raretrail"]["evidence"]]
            for line in lines
        ]
    anomalies = [
        [event.id for event in anomaly.evidence]
        for anomaly in read_records(output / "anomalies", ANOMALY)
    ]
    laid = len(set(attack_of.values()))
    alerted, rare = _attacks(alerts, attack_of), _attacks(anomalies, attack_of)
    true = sum(any(id_ in attack_of for id_ in ids) for ids in alerts)
    return (
        f"Of {laid} attacks that were laid, {len(alerted)} led to alerts and {len(rare)} are among "
        f"the anomalies; {true} of {len(alerts)} alerts are of attacks."
    )


def _attacks(evidence: Iterable[Sequence[str]], attack_of: dict[str, str]) -> set[str]:
    return {attack_of[id_] for ids in evidence for id_ in ids if id_ in attack_of}


if __name__ == "__main__":
    print(found(Path(sys.argv[1]), Path(sys.argv[2])))
