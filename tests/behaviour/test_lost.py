"""What is lost between two steps is missed by the accounting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from town import Town, raretrail_run

from pipeline.files import read_json
from pipeline.simulate.check import found
from transforms.slice import CountSlices


@pytest.mark.parametrize("kept", [0, 1])
def test_slices_that_are_lost_on_their_way_do_not_close(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    expand = CountSlices.expand

    def losing(self: CountSlices, batches: Any) -> Any:
        out = expand(self, batches)
        some = out.slices | "Lose" >> beam.Filter(lambda pair: len(pair[0]) % 2 < kept)

        class Outputs:
            slices, counts = some, out.counts

        return Outputs

    monkeypatch.setattr(CountSlices, "expand", losing)
    done = raretrail_run(tmp_path / "out", town.logs, "--geoip_database", town.cities)
    assert done.status == 1
    accounting = read_json(tmp_path / "out" / "run.json")["accounting"]
    assert accounting["closes"] is False
    assert any("on time + late + too late + not due" in gap for gap in accounting["gaps"])


def test_the_check_of_a_simulation_counts_attacks(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "eventID,attack_id,step\ne1,0,1\ne2,0,2\ne3,1,1\ncover,1,0\n", encoding="utf-8"
    )
    (tmp_path / "alerts.ndjson").write_text(
        '{"raretrail":{"evidence":[{"event_id":"e2"}]}}\n'
        '{"raretrail":{"evidence":[{"event_id":"cover"},{"event_id":"mine"}]}}\n',
        encoding="utf-8",
    )
    told = found(tmp_path, tmp_path)
    assert told.startswith("Of 2 attacks that were laid, 1 led to alerts and 0 are among")
    assert told.endswith("1 of 2 alerts are of attacks.")
