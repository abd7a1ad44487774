"""What the tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The hand-out: real records and city databases, read where they lie and never copied.

    Its place is the environment variable RARETRAIL_SHARED, else `shared` beside the repository.
    """
    place = os.environ.get("RARETRAIL_SHARED")
    path = Path(place) if place else Path(__file__).resolve().parents[2] / "shared"
    if not (path / "data").is_dir():
        pytest.skip(f"no shared data at {path} (set RARETRAIL_SHARED)")
    return path
