"""Which objects a run reads, in which order, and what it says of those that it passes over."""

import io
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.sources import Listing, find_objects, lists
from transforms.objects import Extent, folder_date, name_list, names_in

TREE = "AWSLogs/111122223333/CloudTrail/eu-west-1"


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def extent(start: str | None = None, until: str | None = None) -> Extent:
    return Extent(start and ms(start), until and ms(until), ms("2030-01-01"))


def delivered(day: str, time: str, tail: str = "a", account: str = "111122223333") -> str:
    """The name of an object as CloudTrail makes it."""
    stamp = f"{day.replace('/', '')}T{time}Z"
    return f"{day}/{account}_CloudTrail_eu-west-1_{stamp}_{tail}.json.gz"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which the test works; what it spools lies elsewhere."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def make(*names: str) -> None:
    """Files of one byte, and folders where a name ends in a slash."""
    for name in names:
        path = Path(name)
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")


def find(*inputs: str, within: Extent | None = None) -> Listing:
    return find_objects(inputs, within or extent(), Path.cwd().parent / "spool")


def short(names: Iterable[str]) -> list[str]:
    return [os.path.relpath(name) for name in names]


def passed_over(listing: Listing, word: str) -> list[str]:
    """What was passed over for reasons that hold a word; fails if other reasons were given, too."""
    assert all(word in reason for reason in listing.skipped), listing.skipped
    return sorted(short(name for names in listing.skipped.values() for name in names))


# What inputs name


@pytest.mark.parametrize(
    ("files", "inputs", "found"),
    [
        (["a.json"], ["a.json"], ["a.json"]),
        (["b.json", "a.json"], ["b.json", "a.json"], ["a.json", "b.json"]),
        (["odd.name"], ["odd.name"], ["odd.name"]),
        (["d/a.json", "d/e/f/b.json.gz"], ["d"], ["d/a.json", "d/e/f/b.json.gz"]),
        (["d/a.json"], ["d/"], ["d/a.json"]),
        (["d/a.json", "e/b.json"], ["d", "e"], ["d/a.json", "e/b.json"]),
        (["d/a.json", "b.json"], ["d", "b.json"], ["b.json", "d/a.json"]),
        (["a.json", "b.json", "c.txt"], ["*.json"], ["a.json", "b.json"]),
        (["d/a.gz", "d/e/b.gz"], ["**/*.gz"], ["d/a.gz", "d/e/b.gz"]),
        (["d1/a.json", "d2/b.json", "e/c.json"], ["d?"], ["d1/a.json", "d2/b.json"]),
        (["a[1].json", "a1.json"], ["a[1].json"], ["a[1].json"]),
        (["a1.json", "a2.json"], ["a[1].json"], ["a1.json"]),
        (["a b ☃.json"], ["a b ☃.json"], ["a b ☃.json"]),
        (["-/a.json"], ["./-"], ["-/a.json"]),
        ([".hidden/a.json"], ["."], [".hidden/a.json"]),
        ([f"{TREE}/{delivered('2024/03/13', '0005')}"], ["AWSLogs"], None),
        ([f"AWSLogs/o-1/{TREE[8:]}/{delivered('2024/03/13', '0005')}"], ["."], None),
    ],
)
def test_inputs_are_files_folders_and_globs(
    root: Path, files: list[str], inputs: list[str], found: list[str] | None
) -> None:
    make(*files)
    listing = find(*inputs)
    assert short(listing.names) == (files if found is None else found)
    assert all(os.path.isabs(name) for name in listing.names)
    assert not listing.skipped


@pytest.mark.parametrize(
    ("name", "is_log"),
    [
        *((name, True) for name in ("a.json", "a.jsonl", "a.ndjson", "a.log", "a.gz")),
        *((name, True) for name in ("a.json.gz", "a.jsonl.gz", "a.ndjson.gz", "a.log.gz")),
        *((name, False) for name in ("a", "a.csv.gz", "a.tsv", "README.md", "a.json.bak", "gz")),
        *((name, False) for name in ("json", "a.tar.gz", "a.parquet", "a.json.gz.tmp")),
    ],
)
def test_a_folder_is_searched_for_logs_by_name(root: Path, name: str, is_log: bool) -> None:
    make(f"d/{name}", "d/other.json")
    listing = find("d")
    assert (f"d/{name}" in short(listing.names)) is is_log
    assert passed_over(listing, "no logs") == ([] if is_log else [f"d/{name}"])


def test_a_file_that_is_named_is_read_whatever_it_is_called(root: Path) -> None:
    make("d/a.csv", "d/b")
    assert short(find("d/a.csv", "d/b").names) == ["d/a.csv", "d/b"]


# Order


def test_objects_come_by_delivery_then_by_name(root: Path) -> None:
    order = [
        "first.json",
        "zzz/second.json",
        f"b/{TREE}/{delivered('2024/03/12', '2355')}",
        f"a/{TREE}/{delivered('2024/03/13', '0000')}",
        f"b/{TREE}/{delivered('2024/03/13', '0000', 'a')}",
        f"b/{TREE}/{delivered('2024/03/13', '0000', 'b')}",
        f"a/{TREE}/{delivered('2024/03/13', '0005')}",
    ]
    make(*reversed(order))
    assert short(find(".").names) == order
    assert short(find("b", "zzz", "first.json", "a").names) == order


# What is passed over is said


@pytest.mark.parametrize("how", ["AWSLogs", "AWSLogs/**/*.gz", "name"])
@pytest.mark.parametrize(
    ("kind", "word"), [("CloudTrail-Digest", "digest"), ("CloudTrail-Insight", "Insight")]
)
def test_digests_and_insights_are_passed_over(root: Path, how: str, kind: str, word: str) -> None:
    log = f"{TREE}/{delivered('2024/03/13', '0005')}"
    other = log.replace("CloudTrail/", f"{kind}/").replace("_CloudTrail_", f"_{kind}_")
    make(log, other)
    listing = find(*([log, other] if how == "name" else [how]))
    assert short(listing.names) == [log]
    assert passed_over(listing, word) == [other]


@pytest.mark.parametrize(
    "inputs",
    [
        ["d/a.json", "d/a.json"],
        ["d", "d/a.json"],
        ["d/a.json", "d"],
        ["d", "d"],
        ["d/a.json", "./d/../d/a.json"],
        ["d/a.json", "{root}/d/a.json"],
        ["d/*.json", "d"],
    ],
)
def test_an_object_is_read_once_however_often_it_is_named(root: Path, inputs: list[str]) -> None:
    make("d/a.json")
    listing = find(*(given.format(root=root) for given in inputs))
    assert short(listing.names) == ["d/a.json"]
    assert passed_over(listing, "twice") == ["d/a.json"]


@pytest.mark.parametrize(
    ("made", "inputs", "empty"),
    [
        (["empty/", "d/a.json"], ["empty", "d"], ["empty"]),
        (["empty/", "void/", "d/a.json"], ["empty", "d", "void"], ["empty", "void"]),
    ],
)
def test_an_empty_folder_beside_a_full_one(
    root: Path, made: list[str], inputs: list[str], empty: list[str]
) -> None:
    make(*made)
    listing = find(*inputs)
    assert short(listing.names) == ["d/a.json"]
    assert passed_over(listing, "empty") == empty


def test_links(root: Path) -> None:
    make("d/a.json", "elsewhere/b.json", "elsewhere/c.json")
    os.symlink("nowhere", "d/broken.json")
    os.symlink("../elsewhere", "d/linked")
    os.symlink("../elsewhere/b.json", "d/to_file.json")
    listing = find("d")
    assert short(listing.names) == ["d/a.json", "d/to_file.json"]
    assert passed_over(listing, "link") == ["d/broken.json", "d/linked"]
    assert len(listing.skipped) == 2
    assert short(find("d/linked").names) == ["d/linked/b.json", "d/linked/c.json"]


def test_a_folder_that_cannot_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make("d/shut/a.json", "d/open/b.json")
    scandir = os.scandir

    def deny(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    listing = find("d")
    assert short(listing.names) == ["d/open/b.json"]
    assert passed_over(listing, "cannot be read (Permission denied)") == ["d/shut"]


def test_a_pipe_in_a_folder_is_no_file_and_would_never_end(root: Path) -> None:
    make("d/a.json")
    os.mkfifo("d/pipe.json")
    listing = find("d")
    assert short(listing.names) == ["d/a.json"]
    assert passed_over(listing, "no files") == ["d/pipe.json"]


# Refusals


@pytest.mark.parametrize(
    ("made", "inputs", "told"),
    [
        ([], ["nowhere.json"], ["input nowhere.json", "no such file or folder"]),
        ([], ["*.json"], ["input *.json", "no file matches"]),
        (["a.json"], ["a.json", "gone"], ["input gone", "no such file or folder"]),
        ([], ["s3://bucket/AWSLogs"], ["s3://bucket/AWSLogs", "only local files", "copy"]),
        ([], ["https://example.com/a.json"], ["https://example.com/a.json", "only local files"]),
        (["e/"], ["e"], ["input e", "no object to read", "empty folders: 1", "name a file"]),
        (["d/a.txt", "d/b.txt"], ["d"], ["input d", "no object", "no logs by their name: 2"]),
        (["e/", "f/"], ["e", "f"], ["input e f", "empty folders: 2"]),
        (["a.json"], [""], ["input"]),
        ([], ["two\nlines"], ["no such file or folder"]),
        ([], ["\x1b[2Jcleared"], ["no such file or folder"]),
    ],
)
def test_a_refusal_is_one_line_that_names_input_and_fix(
    root: Path, made: list[str], inputs: list[str], told: list[str]
) -> None:
    make(*made)
    with pytest.raises(UsageError) as refusal:
        find(*inputs)
    assert all(part in str(refusal.value) for part in told)
    assert str(refusal.value).isprintable()


def test_digests_alone_are_nothing_to_read(root: Path) -> None:
    make(f"{TREE.replace('CloudTrail', 'CloudTrail-Digest')}/2024/03/13/a.json.gz")
    with pytest.raises(UsageError, match=r"no object to read .digest objects.*: 1.; name a file"):
        find("AWSLogs")


# Standard input


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_standard_input_is_an_object_like_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 5000
    pipe(monkeypatch, data)
    make("d/a.json")
    listing = find("d", "-")
    assert sorted(short(listing.names)) == ["../spool", "d/a.json"]
    assert (root.parent / "spool").read_bytes() == data


def test_standard_input_that_is_named_twice_is_not_lost(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, b"records")
    listing = find("-", "-")
    assert [Path(name).read_bytes() for name in listing.names] == [b"records"]


def test_a_terminal_is_no_input(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, b"")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with pytest.raises(UsageError, match="input -: standard input is a terminal; pipe records"):
        find("-")


def test_standard_input_may_be_closed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="input -"):
        find("-")


# --from and --until prune date folders; a record of 23:59 lies in the next day's folder

KEPT, LEFT = True, False
PRUNING = [
    ("2024/03/13", None, None, KEPT),
    ("2024/03/13", "2024-03-13", None, KEPT),
    ("2024/03/13", "2024-03-13T23:59:59.999", None, KEPT),
    ("2024/03/13", "2024-03-14", None, LEFT),
    ("2024/03/13", "2024-03-13", "2024-03-13T00:15", KEPT),
    ("2024/03/13", None, "2024-03-13", KEPT),
    ("2024/03/13", None, "2024-03-12T23:59:59.001", KEPT),
    ("2024/03/13", None, "2024-03-12T00:00:00.001", KEPT),
    ("2024/03/13", None, "2024-03-12", LEFT),
    ("2024/03/01", None, "2024-02-29T23:59:59.001", KEPT),
    ("2024/03/01", None, "2024-02-29", LEFT),
    ("2024/01/01", None, "2023-12-31T23:59:59.001", KEPT),
    ("2024/01/01", None, "2023-12-31", LEFT),
    ("2023/12/31", "2024-01-01", None, LEFT),
    ("2024/02/29", "2024-02-29T12:00", "2024-02-29T13:00", KEPT),
    ("2024/12/31", "2024-12-31T23:45", None, KEPT),
    ("2024/01/31", "2024-01-31T23:45", None, KEPT),
    # no dates
    ("2024/13/01", "2024-12-31", None, KEPT),
    ("2023/02/29", "2023-02-28T12:00", None, KEPT),
    ("12024/03/13", "2030-01-01", None, KEPT),
    ("2024-03-13", "2030-01-01", None, KEPT),
]


@pytest.mark.parametrize("how", ["logs", "logs/**/*.gz"])
@pytest.mark.parametrize(("day", "start", "until", "kept"), PRUNING)
def test_date_folders_are_pruned_to_the_millisecond(
    root: Path, how: str, day: str, start: str | None, until: str | None, kept: bool
) -> None:
    make(f"logs/{TREE}/{day}/a.json.gz", "logs/always.json.gz")
    listing = find(how, within=extent(start, until))
    found = [f"logs/{TREE}/{day}/a.json.gz"] if kept else []
    assert short(listing.names) == [*found, "logs/always.json.gz"]


def test_a_named_object_of_another_day_is_passed_over_and_said(root: Path) -> None:
    make("logs/2024/03/13/a.json.gz", "logs/2024/03/14/b.json.gz")
    listing = find(
        "logs/2024/03/13/a.json.gz", "logs/2024/03/14/b.json.gz", within=extent("2024-03-14")
    )
    assert short(listing.names) == ["logs/2024/03/14/b.json.gz"]
    assert passed_over(listing, "outside --from/--until") == ["logs/2024/03/13/a.json.gz"]


@pytest.mark.parametrize(
    ("start", "left"),
    [
        ("2024-03-14", ["logs/2023", "logs/2024/02", "logs/2024/03/13"]),
        ("2024-03-01", ["logs/2023", "logs/2024/02/29"]),
        ("2023-01-01", []),
    ],
)
def test_pruned_folders_are_said(root: Path, start: str, left: list[str]) -> None:
    make(*(f"logs/{day}/a.json" for day in ("2023/01/02", "2024/02/29", "2024/03/13")))
    make("logs/2024/03/14/b.json.gz")
    assert passed_over(find("logs", within=extent(start)), "outside --from/--until") == left


def test_a_tree_that_is_pruned_whole_is_not_called_empty(root: Path) -> None:
    make("logs/2024/03/13/a.json.gz")
    with pytest.raises(UsageError, match="outside --from/--until"):
        find("logs", within=extent("2025-01-01"))


def test_a_folder_of_four_digits_need_not_be_a_year(root: Path) -> None:
    name = f"customers/1001/{TREE}/{delivered('2024/03/13', '0005')}"
    make(name)
    assert short(find("customers", within=extent("2024-03-13")).names) == [name]


@pytest.mark.parametrize("within", [extent(), extent("2024-01-01"), extent(None, "2024-01-01")])
@pytest.mark.parametrize("day", ["0000/01/01", "0001/01/01", "9999/12/30", "9999/12/31"])
def test_no_date_of_a_folder_breaks_the_search(root: Path, day: str, within: Extent) -> None:
    make(f"logs/{day}/a.json", "logs/b.json")
    assert "logs/b.json" in short(find("logs", within=within).names)


@pytest.mark.parametrize("day", ["0000/01/01", "0001/01/01", "9999/12/30", "9999/12/31"])
def test_every_date_of_a_folder_has_a_limit(day: str) -> None:
    assert isinstance(extent().limit(folder_date(f"/logs/{day}/a.json")), int)


# Lists of names


@pytest.mark.parametrize(
    ("number", "lengths"),
    [
        (0, []),
        (1, [1]),
        (255, [255]),
        (256, [256]),
        (257, [256, 1]),
        (600, [256, 256, 88]),
    ],
)
def test_a_list_holds_at_most_256_objects(number: int, lengths: list[int]) -> None:
    names = [f"/logs/{number:04}.json.gz" for number in range(number)]
    parts = [names_in(data) for data in lists(names)]
    assert [len(part) for part in parts] == lengths
    assert [name for part in parts for name in part] == names


def test_names_of_a_tree_are_packed_small(root: Path) -> None:
    names = [f"/logs/{TREE}/{delivered('2024/03/13', '0005', str(n))}" for n in range(256)]
    assert names_in(name_list(names)) == names
    assert len(name_list(names)) < sum(map(len, names)) / 10


@pytest.mark.parametrize("name", ["/logs/a b.json", "/logs/☃\n\x00.json", os.fsdecode(b"/\xff")])
def test_any_name_of_a_file_survives_packing(name: str) -> None:
    assert names_in(name_list([name])) == [name]


def test_a_file_whose_name_is_no_text_can_be_listed(root: Path) -> None:
    make("d/a.json")
    Path("d", os.fsdecode(b"\xff.json")).write_bytes(b"x")
    assert sum(len(names_in(data)) for data in lists(find("d").names)) == 2
