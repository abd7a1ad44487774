"""One town and one run over it, which many tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from hamlet import calls as hamlet_calls
from hamlet import deliver, rules
from town import Done, Town, calls, raretrail_run, write_cities, write_tree


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("town")
    made = calls()
    delivered = write_tree(folder / "logs", made)
    return Town(folder / "logs", write_cities(folder / "city.mmdb"), made, delivered)


@pytest.fixture(scope="session")
def done(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The run over the whole town."""
    output = tmp_path_factory.mktemp("done") / "out"
    return raretrail_run(output, town.logs, "--geoip_database", town.cities)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the hamlet's logs."""
    folder = tmp_path_factory.mktemp("hamlet")
    deliver(folder / "logs", hamlet_calls())
    return folder


@pytest.fixture(scope="module")
def common(place: Path) -> list[object]:
    """What every command begins with."""
    return [place / "logs", *rules(place)]
