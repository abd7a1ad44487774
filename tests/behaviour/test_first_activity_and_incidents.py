"""What is new in the town, what its root user does, and an incident: through the whole command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from figures import closes
from town import ACCOUNT, OTHER_ACCOUNT, SLICE_S, START, Done, Town, iso, raretrail_run

NEW = ("--enable", "first-activity-of-a-user", "--enable", "first-activity-from-a-city")


def contrast(town: Town, output: Path, *more: object) -> Done:
    told = ("--geoip_database", town.cities, "--scorer", "contrast", "--step", "none")
    return raretrail_run(output, town.logs, *told, *more)


@pytest.fixture(scope="module")
def told(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Done:
    return contrast(town, tmp_path_factory.mktemp("new") / "out", *NEW)


def of(done: Done, basis: str) -> list[dict[str, Any]]:
    return [found for found in done.anomalies if found["basis"] == basis]


def test_each_new_user_and_city_is_an_anomaly_once(town: Town, told: Done) -> None:
    assert told.status == 0
    found = of(told, "first_activity")
    users = [one["entity"] for one in found if "user.name" in one["entity"]]
    expected = [(ACCOUNT, "Deploy"), (ACCOUNT, "alice"), (ACCOUNT, "root")]
    expected.append((OTHER_ACCOUNT, "carol"))
    assert sorted(tuple(one.values()) for one in users) == sorted(expected)
    cities = [one["entity"] for one in found if "user.name" not in one["entity"]]
    assert sorted(one["source.geo.city_name"] for one in cities) == ["Lagos", "London"]
    first = {call.user: call.slice for call in reversed(town.calls) if call.user}
    for one in found:
        if "user.name" in one["entity"]:
            slice_ = first[one["entity"]["user.name"]]
            assert one["slice_start"].timestamp() == START + slice_ * SLICE_S


def test_what_root_does_is_an_anomaly_of_the_rule_of_users(told: Done) -> None:
    (found,) = of(told, "root")
    assert (found["action"], found["entity"]["user.name"]) == ("ConsoleLogin", "root")
    user_rule = next(
        rule["uuid"]
        for rule in told.run["configuration"]["rules_applied"]
        if rule["id"] == "unusual-aws-command-for-a-user"
    )
    assert found["rule_id"] == user_rule


def test_the_account_closes_and_counts_who_is_new(town: Town, told: Done) -> None:
    closes(told)
    assert told.run["metrics"]["entities_new"] == {"command-by-user": 4, "command-by-city": 2}


def test_they_are_off_unless_asked_for(town: Town, told: Done, tmp_path: Path) -> None:
    plain = contrast(town, tmp_path / "out")
    assert not of(plain, "first_activity")
    assert len(of(plain, "root")) == 1
    assert len(plain.anomalies) == len(told.anomalies) - 6
    assert set(plain.run["calibration"]) < set(told.run["calibration"])


def test_daily_steps_say_the_same(town: Town, told: Done, tmp_path: Path) -> None:
    stepped = contrast(town, tmp_path / "out", *NEW, "--step", "1d")
    key = lambda one: one["id"]  # noqa: E731
    assert sorted(stepped.anomalies, key=key) == sorted(told.anomalies, key=key)
    assert stepped.alerts == told.alerts


def incidents(tmp_path: Path, first: int, end: int) -> Path:
    path = tmp_path / "incidents.yaml"
    start, until = (iso(START + slice_ * SLICE_S) for slice_ in (first, end))
    path.write_text(
        f"- entity: {{user.name: alice}}\n  from: {start}\n  until: {until}\n  why: test\n"
    )
    return path


def test_what_alice_did_in_an_incident_is_judged_and_not_learned(
    town: Town, tmp_path: Path
) -> None:
    """StopLogging of slice 510 is said in the incident; the snapshot does not know it."""
    day = "2026-03-07T12:00Z"
    file = incidents(tmp_path, 505, 520)
    for name, more in (("plain", ()), ("kept", ("--incidents", file))):
        snapshot = tmp_path / name / "state"
        done = contrast(
            town, tmp_path / name / "out", "--until", day, "--snapshot_out", snapshot, *more
        )
        assert done.status == 0
        assert done.run["accounting"]["closes"]
        said = [one for one in done.anomalies if one["action"] == "StopLogging"]
        of_alice = ["user.name" in one["entity"] for one in said]
        assert sorted(of_alice) == [False, True]
        inside_it = [name == "kept" and mine for mine in of_alice]
        assert [one["incident"] for one in said] == inside_it, "not that of the city"
        kept_out = done.run["metrics"]["cells_kept_out"]["command-by-user"]
        alices = {(c.slice, c.action) for c in town.calls if c.user == "alice"}
        inside = {one for one in alices if 505 <= one[0] < 520}
        assert kept_out == (len(inside) if name == "kept" else 0)


def test_an_incident_that_the_state_has_learned_is_said(town: Town, tmp_path: Path) -> None:
    state = tmp_path / "state"
    contrast(town, tmp_path / "one", "--until", "2026-03-07T06:00Z", "--snapshot_out", state)
    file = incidents(tmp_path, 400, 410)
    done = contrast(town, tmp_path / "two", "--snapshot_in", state, "--incidents", file)
    assert "--incidents: the state has learned up to 2026-03-07T" in done.err
    assert "to leave that out, run again from a snapshot before it" in done.err


def test_a_bad_file_of_incidents_stops_the_run_before_it_begins(town: Town, tmp_path: Path) -> None:
    file = tmp_path / "incidents.yaml"
    file.write_text("- entity: {user: alice}\n  from: 2026-03-02\n  until: 2026-03-03\n")
    done = contrast(town, tmp_path / "out", "--incidents", file)
    assert done.status == 2
    assert f"--incidents {file}:1: [0].entity.user: not a field of an event" in done.err
    assert not (tmp_path / "out").exists()
