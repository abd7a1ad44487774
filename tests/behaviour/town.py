"""A small organisation made by hand, of which everything is known, and a way to run the job.

Alice calls 5 of 20 APIs in each quarter of an hour from London; after 510 of them she makes calls
that she never made. What a run must find in it can be counted here by other means.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import fastavro
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from pipeline.cli import main

Record = dict[str, Any]

SLICE_S = 900
START = 1_772_409_600
"""2026-03-02T00:00:00Z, a Monday."""
SLICES = 530
ACCOUNT = "111122223333"
OTHER_ACCOUNT = "444455556666"
CITIES = {"81.2.69.144": ("GB", "London"), "102.89.23.1": ("NG", "Lagos")}
INSIDE = "10.0.0.5"
LONG = "é" * 10_000

PLANTED = {
    510: [("DeleteTrail", 1, ""), ("StopLogging", 2, "AccessDenied")],
    513: [("DeleteTrail", 1, "")],  # a repeat less than 2 h later is no new alert
    514: [("GetSecretValue", 40, "")],
}
"""Slice → (action, how often, error) of alice in London."""
PLANTED_IN_LAGOS = {512: [("CreateAccessKey", 1, "")]}
ALERTED_OF_USERS = {
    (510, "DeleteTrail"),
    (510, "StopLogging"),
    (512, "CreateAccessKey"),
    (514, "GetSecretValue"),
}
ALERTED_OF_CITIES = ALERTED_OF_USERS - {(512, "CreateAccessKey")}


@dataclass(frozen=True)
class Call:
    """One event, and what a run must know of it."""

    time: int
    """Seconds since the epoch."""
    action: str
    user: str
    """Empty for nobody."""
    account: str
    address: str
    id: str
    identity: Record
    error: str = ""
    parameters: Any = None

    @property
    def record(self) -> Record:
        """The same as CloudTrail writes it."""
        record = {
            "eventVersion": "1.08",
            "userIdentity": self.identity,
            "eventTime": iso(self.time),
            "eventSource": "s3.amazonaws.com",
            "eventName": self.action,
            "awsRegion": "eu-west-1",
            "sourceIPAddress": self.address,
            "userAgent": "aws-cli/2.15.0 Python/3.11",
            "requestParameters": self.parameters,
            "responseElements": None,
            "eventID": self.id,
            "readOnly": self.action.startswith(("Get", "List", "Usual")),
            "eventType": "AwsApiCall",
            "recipientAccountId": self.account,
        }
        return record | ({"errorCode": self.error} if self.error else {})

    @property
    def slice(self) -> int:
        """Number of its quarter of an hour, from the start of the town."""
        return (self.time - START) // SLICE_S


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def iam_user(name: str, account: str = ACCOUNT) -> Record:
    return {
        "type": "IAMUser",
        "principalId": f"AIDA{name.upper()}",
        "arn": f"arn:aws:iam::{account}:user/{name}",
        "accountId": account,
        "accessKeyId": f"AKIA{name.upper()}",
        "userName": name,
    }


def role(name: str, session: str) -> Record:
    return {
        "type": "AssumedRole",
        "principalId": f"AROA:{session}",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}",
        "accountId": ACCOUNT,
        "sessionContext": {"sessionIssuer": {"type": "Role", "userName": name}},
    }


def calls() -> list[Call]:
    """All events of the town, in order of time."""
    chance = random.Random(5)
    london, lagos = CITIES
    made: list[Call] = []

    def add(
        slice_: int, action: str, user: str, identity: Record, address: str, **rest: Any
    ) -> None:
        made.append(
            Call(
                time=START + slice_ * SLICE_S + chance.randrange(SLICE_S),
                action=action,
                user=user,
                account=rest.pop("account", ACCOUNT),
                address=address,
                id=f"{chance.getrandbits(128):032x}",
                identity=identity,
                **rest,
            )
        )

    for slice_ in range(SLICES):
        for number in chance.sample(range(20), 5):
            add(slice_, f"Usual{number:02}", "alice", iam_user("alice"), london)
        if slice_ % 4 == 0:
            session = f"i-{chance.getrandbits(64):016x}"
            for action in ("PutObject", "GetObject"):
                add(slice_, action, "Deploy", role("Deploy", session), INSIDE)
        if slice_ % 3 == 0:
            service = {"type": "AWSService", "invokedBy": "config.amazonaws.com"}
            add(slice_, "AssumeRole", "", service, "config.amazonaws.com")
        if slice_ % 50 == 7:
            carol = iam_user("carol", OTHER_ACCOUNT)
            add(slice_, "ListBuckets", "carol", carol, lagos, account=OTHER_ACCOUNT)
        for planted, address in ((PLANTED, london), (PLANTED_IN_LAGOS, lagos)):
            for action, times, error in planted.get(slice_, ()):
                for _ in range(times):
                    rest = {"error": error, "parameters": {"note": LONG, "name": "é ☃"}}
                    add(slice_, action, "alice", iam_user("alice"), address, **rest)
    root = {"type": "Root", "principalId": ACCOUNT, "accountId": ACCOUNT}
    add(300, "ConsoleLogin", "root", root, lagos)
    return sorted(made, key=lambda call: (call.time, call.id))


def write_tree(folder: Path, made: Sequence[Call]) -> list[list[Call]]:
    """Objects as AWS lays them out, each fifth of them told by a second trail, too.

    What was delivered: the calls of each object.
    """
    delivered = []
    for account in (ACCOUNT, OTHER_ACCOUNT):
        for at, part in enumerate(parts([call for call in made if call.account == account])):
            stamp = datetime.fromtimestamp(part[-1].time + 240, UTC)
            data = gzip.compress(json.dumps({"Records": [c.record for c in part]}).encode())
            for trail in ["one", "two"] if at % 5 == 0 else ["one"]:
                days = folder / trail / "AWSLogs" / account / "CloudTrail" / "eu-west-1"
                name = f"{account}_CloudTrail_eu-west-1_{stamp:%Y%m%dT%H%MZ}_{at:016}.json.gz"
                path = days / f"{stamp:%Y/%m/%d}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                delivered.append(part)
    return delivered


def parts(mine: Iterable[Call]) -> list[list[Call]]:
    """At most 12 calls of at most a quarter of an hour each."""
    found: list[list[Call]] = []
    for call in mine:
        if not found or len(found[-1]) == 12 or call.time - found[-1][0].time > SLICE_S:
            found.append([])
        found[-1].append(call)
    return found


def write_cities(path: Path) -> Path:
    """A city database of two cities in MaxMind's layout."""
    writer = MMDBWriter(database_type="Test-City")
    for address, (country, city) in CITIES.items():
        entry = {"city": {"names": {"en": city}}, "country": {"iso_code": country}}
        writer.insert_network(IPSet([f"{address}/24"]), entry)
    writer.to_db_file(str(path))
    return path


@dataclass(frozen=True)
class Town:
    """The town's logs, its city database, and what is known of it."""

    logs: Path
    cities: Path
    calls: list[Call]
    delivered: list[list[Call]]
    """The calls of each object; two trails deliver some of them twice."""

    @property
    def deliveries(self) -> list[Call]:
        return [call for part in self.delivered for call in part]


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it left behind."""

    status: int
    out: str
    err: str
    output: Path

    @cached_property
    def run(self) -> Record:
        """run.json"""
        return json.loads((self.output / "run.json").read_bytes())

    @cached_property
    def alerts(self) -> list[Record]:
        return [json.loads(line) for line in (self.output / "alerts.ndjson").open("rb")]

    @property
    def dead(self) -> list[Record]:
        return read_avro(self.output / "dead_letters")

    @cached_property
    def anomalies(self) -> list[Record]:
        return read_avro(self.output / "anomalies")


def read_avro(folder: Path) -> list[Record]:
    """The records in a folder of Avro files, read by fastavro alone."""
    records: list[Any] = []
    for path in sorted(folder.iterdir()):
        assert path.suffix == ".avro", path
        with path.open("rb") as file:
            records += fastavro.reader(file)
    return records


def raretrail_run(output: Path, *arguments: object) -> Done:
    """`raretrail run … --output OUTPUT` in this process.

    By `window`, unless it is told otherwise: what a run must find in the town can be counted by
    hand, and the town is too small and too young to be calibrated.
    """
    told = [str(argument) for argument in arguments]
    scorer = [] if {"--scorer", "--rules", "--config"} & set(told) else ["--scorer", "window"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["run", *told, *scorer, "--output", str(output)])
    return Done(status, out.getvalue(), err.getvalue(), output)


def contents(folder: Path) -> list[str]:
    """All that lies below a folder, and whether there is one."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def cells_of(made: Iterable[Call], entity: str) -> set[tuple[Any, ...]]:
    """(entity, action, slice) of calls; an entity is (account, user) or (country, city)."""
    cells = set()
    for call in made:
        user = (call.account, call.user) if call.user else None
        whom = user if entity == "user" else CITIES.get(call.address)
        if whom is not None:
            cells.add((whom, call.action, call.slice))
    return cells
