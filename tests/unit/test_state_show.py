"""`raretrail state show`: what a snapshot holds in words, however hostile the names in it are."""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from factory import ACCOUNT, BY_CITY, SLICE, at, cell, detector, rule
from fastavro.write import Writer

from pipeline import snapshot
from pipeline.cli import main
from pipeline.fit import fingerprints
from schemas.anomaly import Anomaly
from schemas.entity import ORGANISATION, EntityKey
from schemas.rule import Rule
from schemas.state import (
    ENTITY_STATE,
    RULE_STATE,
    SAVED_STATE,
    AlertedKey,
    EntityState,
    HeldSlice,
    HistoryState,
    RuleState,
    SavedState,
    Values,
    column,
)

MARCH_2 = 20_514 * 96
"""The first slice of 2026-03-02, a Monday."""
USERS = rule("users", detector=detector())
CITIES = rule("cities", detector=detector(fields=BY_CITY, name="by-city"))


def values(counts: Mapping[str, int], last: int = MARCH_2) -> Values:
    """Values, each seen so often, last in a slice."""
    return Values(
        list(counts),
        column(array("I", counts.values())),
        column(array("i", [last] * len(counts))),
    )


def entity_state(**changes: object) -> EntityState:
    """An entity of 3 quarters of an hour, two of them on Monday at noon."""
    hours = [0] * 168
    hours[12], hours[36 + 24] = 2, 1
    history: dict[str, object] = {
        "since": MARCH_2 + 48,
        "latest": MARCH_2 + 96,
        "buckets": 3,
        "total": 4.0,
        "masses": column(array("d", [3.0, 1.0])),
        "hours": hours,
        "actions": values({"GetObject": 3, "ListBuckets": 1}),
        "places": values({"London": 3}),
        "tools": values({"aws-cli": 3}),
    }
    rest: dict[str, object] = {"done": MARCH_2, "held": [], "strays": {}, "full_day": -1}
    for name, value in changes.items():
        (history if name in history else rest)[name] = value
    learned = HistoryState(**history)  # type: ignore[arg-type]
    return EntityState(history=learned, **rest)  # type: ignore[arg-type]


def user(name: str, of: Rule = USERS) -> bytes:
    """The key of a user's state."""
    return EntityKey(of.detector.key, ORGANISATION, (ACCOUNT, name)).encode()


def city(*names: str) -> bytes:
    """The key of a city's state."""
    return EntityKey(CITIES.detector.key, ORGANISATION, names).encode()


def write(
    folder: Path,
    states: Mapping[bytes, EntityState],
    rules: Mapping[str, RuleState],
    *more: Rule,
) -> Path:
    """A snapshot with these states; its horizon is 2026-03-02 06:00."""
    saved = {
        "score": [(key, ENTITY_STATE.encode(state)) for key, state in states.items()],
        "select": [(key.encode(), RULE_STATE.encode(state)) for key, state in rules.items()],
    }
    for step, pairs in saved.items():
        (folder / step).mkdir(parents=True)
        with (folder / step / "a.avro").open("wb") as file:
            writer = Writer(file, SAVED_STATE.schema)
            for pair in pairs:
                writer.write(SAVED_STATE.read(SAVED_STATE.encode(SavedState(*pair))))
            writer.flush()
    loaded = [USERS, CITIES, *more]
    told = fingerprints(loaded, "role", "Test-City", 180)
    snapshot.seal(folder, MARCH_2 + 23, told, loaded, {})
    return folder


def shown(*arguments: object) -> tuple[int, str, str]:
    """(status, standard output, standard error) of `raretrail state show …`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["state", "show", *map(str, arguments)])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Writes a snapshot of some users."""

    def make(**states: EntityState) -> Path:
        return write(tmp_path / "state", {user(name): state for name, state in states.items()}, {})

    return make


def test_a_snapshot_as_a_whole(tmp_path: Path) -> None:
    held = HeldSlice(MARCH_2, MARCH_2, True, 2, 0, 0.0, {"A": cell(at(MARCH_2)), "B": cell(1)})
    states = {
        user("alice"): entity_state(held=[held]),
        user("bob"): entity_state(actions=values({"GetObject": 1})),
        city("GB", "London"): entity_state(),
    }
    waiting: list[Anomaly] = []
    rules = {USERS.uuid: RuleState(0, waiting, [AlertedKey("o", {}, "A", [1])] * 2, [])}
    status, out, err = shown(write(tmp_path / "state", states, rules))
    sizes = {key: len(ENTITY_STATE.encode(state)) for key, state in states.items()}
    both = sizes[user("alice")] + sizes[user("bob")]
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "What is remembered when all is judged up to 2026-03-02 06:00 UTC",
        "",
        "Users (detector window-by-user, window)",
        f"  2 users, {both:,} bytes",
        "  2 actions of the last hours, not learned yet",
        "  Those that do the most different actions",
        f"          2  {ACCOUNT} / alice",
        f"          1  {ACCOUNT} / bob",
        "",
        "Cities (detector by-city, window)",
        f"  1 place, {sizes[city('GB', 'London')]:,} bytes",
        "  0 actions of the last hours, not learned yet",
        "  Those that do the most different actions",
        "          2  GB / London",
        "",
        "Alerts of users",
        "  0 waiting: the cap held them back, up to 2 hours",
        "  2 in the last 6 hours, which are not repeated within two",
        "",
        f"To see one of them: raretrail state show {tmp_path / 'state'} NAME",
    ]


def test_entities_of_a_detector_that_weighs_tools_are_counted(tmp_path: Path) -> None:
    weighs = rule("tools", detector=detector("contrast", with_tool=True))
    _, out, _ = shown(
        write(tmp_path / "state", {user("alice", weighs): entity_state()}, {}, weighs)
    )
    assert "  1 user, " in out
    assert f"          2  {ACCOUNT} / alice" in out


def test_the_five_largest_are_named(made: Callable[..., Path]) -> None:
    names = {
        f"u{size}": entity_state(actions=values(dict.fromkeys(map(str, range(size)), 1)))
        for size in range(1, 9)
    }
    status, out, _ = shown(made(**names))
    assert status == 0
    found = [line.split("/ ")[1] for line in out.splitlines() if f"{ACCOUNT} / " in line]
    assert found == ["u8", "u7", "u6", "u5", "u4"]


@pytest.mark.parametrize("name", ["alice", f"{ACCOUNT} / alice"])
def test_an_entity_by_its_name(made: Callable[..., Path], name: str) -> None:
    state = entity_state()
    status, out, err = shown(made(alice=state, bob=entity_state()), name)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    size = len(ENTITY_STATE.encode(state))
    assert lines[0] == f"{ACCOUNT} / alice (detector window-by-user, {size:,} bytes)"
    assert lines[1:4] == [
        "  Active in 3 quarter-hours from 2026-03-02 12:00 UTC to 2026-03-03 00:15 UTC",
        "  When: days and hours in UTC, denser is more often",
        "        0     6     12    18",
    ]
    assert lines[4] == "    Mon             @           |"
    assert lines[6] == "    Wed             +           |"
    assert [line[4:7] for line in lines[4:11]] == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert lines[11:] == [
        "  2 actions, each in how many quarter-hours",
        "          3  GetObject, last on 2026-03-02",
        "          1  ListBuckets, last on 2026-03-02",
        "  1 place, each in how many quarter-hours",
        "          3  London, last on 2026-03-02",
        "  1 tool, each in how many quarter-hours",
        "          3  aws-cli, last on 2026-03-02",
    ]


def test_a_city_by_its_name(tmp_path: Path) -> None:
    states = {city("GB", "London"): entity_state(), city("CA", "London"): entity_state()}
    folder = write(tmp_path / "state", states, {})
    _, both, _ = shown(folder, "London")
    assert both.count("(detector by-city, ") == 2
    _, one, _ = shown(folder, "CA / London")
    assert one.count("(detector by-city, ") == 1
    assert one.startswith("CA / London (")


def test_what_is_not_learned_yet_and_what_came_too_late(made: Callable[..., Path]) -> None:
    cells = {f"Action{number}": cell(at(MARCH_2)) for number in range(7)}
    state = entity_state(
        since=-1,
        held=[
            HeldSlice(MARCH_2, MARCH_2, True, 7, 0, 0.0, cells),
            HeldSlice(MARCH_2 + 1, MARCH_2 + 40, False, 1, 0, 0.0, {"One": cell(1)}),
        ],
        strays={f"Stray{number:02}": 1 for number in range(30)},
    )
    _, out, _ = shown(made(alice=state), "alice")
    assert "  Nothing is learned yet\n" in out
    assert (
        "  Quarter-hour of 2026-03-02 00:00 UTC, judged, learned 2 hours after its end: "
        "Action0, Action1, Action2, Action3, Action4 and 2 more\n"
    ) in out
    assert "  Quarter-hour of 2026-03-02 00:15 UTC, judged at 2026-03-02 10:15 UTC: One\n" in out
    assert out.count("  Came too late to be learned: Stray") == 20
    assert "Stray19" in out


def test_long_lists_are_cut_and_the_most_frequent_come_first(made: Callable[..., Path]) -> None:
    counts = {f"Action{number:02}": number + 1 for number in range(25)}
    _, out, _ = shown(made(alice=entity_state(actions=values(counts))), "alice")
    assert "  25 actions, each in how many quarter-hours\n         25  Action24, " in out
    assert "          6  Action05, " in out
    assert "Action04" not in out
    assert "    and 5 more\n" in out


HOSTILE = "a\nb\x1b[31m\u202e\x00ü"


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    held = HeldSlice(MARCH_2, MARCH_2, True, 1, 0, 0.0, {HOSTILE: cell(1)})
    state = entity_state(
        actions=values({HOSTILE: 1}),
        places=values({HOSTILE: 1}),
        tools=values({HOSTILE: 1}),
        held=[held],
        strays={HOSTILE: 1},
    )
    folder = write(tmp_path / "state", {user(HOSTILE): state}, {})
    for arguments in ([], [HOSTILE], [rf"{ACCOUNT} / a\nb\x1b[31m\u202e\x00ü"]):
        status, out, _ = shown(folder, *arguments)
        assert status == 0
        assert out.replace("\n", "").isprintable()
        assert r"a\nb\x1b[31m\u202e\x00ü" in out


def test_names_and_rules_of_a_manifest_are_escaped_too(tmp_path: Path) -> None:
    """A snapshot may come from elsewhere."""
    folder = write(
        tmp_path / "state", {user("alice"): entity_state()}, {"u": RuleState(0, [], [], [])}
    )
    path = folder / "manifest.json"
    text = path.read_text().replace('"window-by-user"', r'"window\u001b[31m"')
    path.write_text(text.replace('"rules": {', r'"rules": {"u": "\u001b[31m",'))
    status, out, _ = shown(folder)
    assert status == 0
    assert out.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["carol", "ali", "organisation", HOSTILE])
def test_an_unknown_entity(made: Callable[..., Path], name: str) -> None:
    folder = made(alice=entity_state())
    status, out, err = shown(folder, name)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("raretrail: NAME ")
    assert f"no user or city in {folder} has this name" in err
    assert err[:-1].isprintable()


def test_what_is_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, told in (("gone", "no such folder"), ("empty", "no manifest"), ("file", "no such")):
        status, out, err = shown(tmp_path / name)
        assert (status, out) == (2, "")
        assert err.startswith(f"raretrail: SNAPSHOT {tmp_path / name}: ")
        assert told in err
        assert err.count("\n") == 1


def test_the_snapshot_in_the_folder_of_an_incremental_run_is_found(tmp_path: Path) -> None:
    write(tmp_path / "out" / "snapshot", {user("alice"): entity_state()}, {})
    (tmp_path / "out" / "run.json").touch()
    status, out, _ = shown(tmp_path / "out")
    assert status == 0
    assert out == shown(tmp_path / "out" / "snapshot")[1]
    assert shown(tmp_path / "out", "alice")[0] == 0


def test_results_without_a_state_say_so(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    status, out, err = shown(tmp_path)
    assert (status, out) == (2, "")
    assert f"SNAPSHOT {tmp_path}: holds the results of a run that kept no state" in err
    assert "--snapshot_out" in err


@pytest.mark.parametrize(
    "arguments",
    [["state"], ["state", "show"], ["state", "shwo", "x"], ["state", "show", "a", "b", "c"]],
)
def test_a_wrong_command_is_told_in_one_line(arguments: list[str]) -> None:
    err = io.StringIO()
    with redirect_stderr(err):
        assert main(arguments) == 2
    assert err.getvalue().startswith("raretrail: ")
    assert err.getvalue().count("\n") == 1


def test_an_entity_may_have_a_name_like_an_option(made: Callable[..., Path]) -> None:
    folder = made(**{"--my-name": entity_state()})
    status, out, _ = shown(folder, "--", "--my-name")
    assert status == 0
    assert out.startswith(f"{ACCOUNT} / --my-name (")


def test_slices_are_quarters_of_an_hour() -> None:
    assert SLICE == 900_000
