"""One cluster, and logs to judge on it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from cluster import Cluster, missing
from modes import Logs, organisation


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    try:
        made = Cluster(tmp_path_factory.mktemp("flink"))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the jars cannot be fetched: Maven ended with status {error.returncode}")
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """Days of a few who do much: dozens of alerts, and many that wait for the next firing."""
    folder = tmp_path_factory.mktemp("organisation")
    return organisation(folder, 2, 3, 6_000, people=4, machines=3).show()
