"""Order, grouping and repetition of the input change nothing, through the whole of `raretrail run`.

One simulated organisation, told again and again in other objects.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import fastavro
import pytest

from pipeline.cli import main

Record = dict[str, Any]


@pytest.fixture(scope="module")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs with two trails that repeat each other, attacks, and a city database."""
    folder = tmp_path_factory.mktemp("organisation") / "simulated"
    size = ["--accounts=2", "--people=10", "--machines=4", "--events=15000", "--days=14"]
    assert main(["simulate", str(folder), "--seed=3", "--start", "2025-03-03", *size]) == 0
    return folder


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in rules, but with so low a threshold and cap that little history will do."""
    folder = tmp_path_factory.mktemp("rules")
    for file in resources.files("pipeline.rules").iterdir():
        if file.name.endswith(".yaml"):
            text = file.read_text("utf-8")
            for line, ours in (
                ("threshold: 75", "threshold: 12"),
                ("max_alerts: 100", "max_alerts: 3"),
            ):
                assert f"\n{line}\n" in text
                text = text.replace(f"\n{line}\n", f"\n{ours}\n")
            (folder / file.name).write_text(text, "utf-8")
    return folder


Outcome = tuple[bytes, list[str], Record]
"""(alerts.ndjson, anomalies without where their evidence lies, run.json)."""

Run = Callable[[str, Sequence[Path], Sequence[str]], Outcome]


@pytest.fixture(scope="module")
def run(organisation: Path, rules: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the job over some inputs."""
    folder = tmp_path_factory.mktemp("runs")

    def once(name: str, inputs: Sequence[Path], options: Sequence[str] = ()) -> Outcome:
        out = folder / name
        given = ["--rules", str(rules), "--geoip_database", str(organisation / "city.mmdb")]
        given += ["--output", str(out), *options]
        assert main(["run", *map(str, inputs), *given]) == 0
        told = json.loads((out / "run.json").read_text())
        assert told["accounting"]["closes"], told["accounting"]["gaps"]
        return (out / "alerts.ndjson").read_bytes(), sorted(anomalies_of(out)), told

    return once


def anomalies_of(out: Path) -> Iterator[str]:
    """Every anomaly as text, but for the names of objects, which are the run's own."""
    for path in (out / "anomalies").glob("*.avro"):
        with path.open("rb") as file:
            for record in fastavro.reader(file):
                yield repr(without_origins(record))


def without_origins(value: Any) -> Any:
    """A record without the names of the objects that evidence lies in; each must be there."""
    if isinstance(value, list):
        return [without_origins(item) for item in value]
    if isinstance(value, dict):
        assert Path(value.get("origin", "/")).exists()
        return {key: without_origins(item) for key, item in value.items() if key != "origin"}
    return value


@pytest.fixture(scope="module")
def first(run: Run, organisation: Path) -> Outcome:
    """What is found in the logs as they were written; it had better be something."""
    outcome = run("first", [organisation / "logs"], ())
    alerts, anomalies, told = outcome
    assert len(anomalies) > len(alerts.splitlines()) > 20
    assert sorted(ranks_of(alerts)) == list(ranks_of(alerts)), "by firing, rule and rank"
    for rule, chosen in told["accounting"]["alerts"].items():
        assert chosen["alerts"]
        assert told["metrics"]["alerts_cut"][rule], "nothing waits: the cap is not tested"
    return outcome


def ranks_of(alerts: bytes) -> Iterator[tuple[str, str, int]]:
    """(firing, rule, rank) of each alert, in the order of the file."""
    for line in alerts.splitlines():
        alert = json.loads(line)
        ours = alert["raretrail"]
        yield ours["firing"], alert["kibana.alert.rule.uuid"], ours["rank"]


def records_of(logs: Path) -> list[Record]:
    """All records, both trails'."""
    return [
        record
        for path in sorted(logs.rglob("*.json.gz"))
        for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]
    ]


def assert_same(outcome: Outcome, first: Outcome) -> None:
    """Alerts to the byte; anomalies and cells as sets and numbers."""
    assert outcome[0] == first[0]
    assert outcome[1] == first[1]
    assert outcome[2]["firings"] == first[2]["firings"]
    assert outcome[2]["accounting"]["cells"] == first[2]["accounting"]["cells"]


# Grouping and order


def write_anew(
    records: Sequence[Record],
    folder: Path,
    rng: random.Random,
    sizes: Sequence[int] = (1, 2, 10, 50, 400),
) -> None:
    """Records in a random order, in objects of these sizes, of several shapes and names."""
    folder.mkdir()
    dealt = rng.sample(list(records), len(records))
    while dealt:
        size = rng.choice(sizes)
        some, dealt = dealt[:size], dealt[size:]
        lines = "".join(json.dumps(record) + "\n" for record in some)
        name, text = rng.choice(
            [
                ("json.gz", json.dumps({"Records": some})),
                ("json", json.dumps({"Records": some})),
                ("jsonl", lines),
                ("jsonl.gz", lines),
            ]
        )
        data = text.encode()
        path = folder / f"{rng.randrange(16**8):08x}.{name}"
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


@pytest.mark.parametrize(("seed", "held"), [(1, 50_000), (2, 2_000)])
def test_records_dealt_out_anew_give_the_same(
    seed: int,
    held: int,
    run: Run,
    first: Outcome,
    organisation: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where so few events are held that most cells come in several parts."""
    monkeypatch.setattr("transforms.slice._FLUSH", held)
    write_anew(records_of(organisation / "logs"), tmp_path / "dealt", random.Random(seed))
    assert_same(run(f"dealt{seed}", [tmp_path / "dealt"], ()), first)


def test_one_object_that_holds_everything_gives_the_same(
    run: Run, first: Outcome, organisation: Path, tmp_path: Path
) -> None:
    records = records_of(organisation / "logs")[::-1]
    path = tmp_path / "everything.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"Records": records}).encode()))
    assert_same(run("everything", [path], ()), first)


def test_renamed_objects_in_another_order_give_the_same(
    run: Run, first: Outcome, organisation: Path, tmp_path: Path
) -> None:
    rng = random.Random(5)
    folders = [tmp_path / f"part{number}" for number in range(5)]
    for path in sorted((organisation / "logs").rglob("*.json.gz")):
        target = rng.choice(folders) / f"{rng.randrange(16**12):012x}.json.gz"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    assert_same(run("renamed", folders[::-1], ()), first)


@pytest.mark.parametrize("mode", ["multi_threading", "multi_processing"])
def test_records_dealt_out_to_two_workers_give_the_same(
    mode: str, run: Run, first: Outcome, organisation: Path, tmp_path: Path
) -> None:
    """In so many objects that each worker has several lists of them."""
    records = records_of(organisation / "logs")
    write_anew(records, tmp_path / "dealt", random.Random(3), sizes=(5, 15))
    workers = ["--direct_num_workers=2", f"--direct_running_mode={mode}"]
    assert_same(run(mode, [tmp_path / "dealt"], workers), first)


# Repetition


def test_the_whole_tree_twice_gives_the_same(
    run: Run, first: Outcome, organisation: Path, tmp_path: Path
) -> None:
    shutil.copytree(organisation / "logs", tmp_path / "again")
    outcome = run("twice", [organisation / "logs", tmp_path / "again"], ())
    assert_same(outcome, first)
    read, before = (each[2]["accounting"]["records"]["read"] for each in (outcome, first))
    assert read == 2 * before


def test_repeated_records_in_other_groups_give_the_same(
    run: Run, first: Outcome, organisation: Path, tmp_path: Path
) -> None:
    """Twice or three times, spread over other objects beside the first ones."""
    rng = random.Random(6)
    records = records_of(organisation / "logs")
    write_anew([*records, *rng.sample(records, len(records) // 3)], tmp_path / "more", rng)
    assert_same(run("more", [tmp_path / "more", organisation / "logs"], ()), first)


def test_an_id_twice_in_one_object_with_other_fields_gives_the_same_in_either_order(
    run: Run, first: Outcome, organisation: Path, tmp_path: Path
) -> None:
    """What an alert shows of such an event, its body too, does not depend on which comes first."""
    alerts = [json.loads(line)["raretrail"] for line in first[0].splitlines()]
    shown = {alert["evidence"][0]["event_id"] for alert in alerts}
    records = records_of(organisation / "logs")
    twins = [{**each, "awsRegion": "aa-first-1"} for each in records if each["eventID"] in shown]
    outcomes = []
    for name, order in (("twin-last", [*records, *twins]), ("twin-first", [*twins, *records])):
        path = tmp_path / name / "everything.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"Records": order}))
        outcomes.append(run(name, [path], ()))
    assert_same(*outcomes)
    for line in outcomes[0][0].splitlines():
        evidence = json.loads(line)["raretrail"]["evidence"][0]
        if not evidence["body_cut"]:
            assert json.loads(evidence["body"])["awsRegion"] == evidence["region"]


def test_a_record_that_is_missing_makes_a_difference(
    run: Run, first: Outcome, organisation: Path, tmp_path: Path
) -> None:
    """The comparison can fail: the same without one event of the first alert."""
    alert = json.loads(first[0].splitlines()[0])
    gone = alert["raretrail"]["evidence"][0]["event_id"]
    records = [each for each in records_of(organisation / "logs") if each["eventID"] != gone]
    write_anew(records, tmp_path / "less", random.Random(7))
    outcome = run("less", [tmp_path / "less"], ())
    assert outcome[0] != first[0]
    assert outcome[1] != first[1]
