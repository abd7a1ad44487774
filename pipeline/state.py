"""`raretrail state show SNAPSHOT [NAME]`: a snapshot made readable."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pipeline.errors import Parser, UsageError, underscored
from pipeline.ledger import RUN, SNAPSHOT
from pipeline.snapshot import MANIFEST, Manifest, open_snapshot, saved_states
from schemas.entity import EntityKey, decode_key
from schemas.event import SLICE_MS
from schemas.rule import Detector
from schemas.state import ENTITY_STATE, RULE_STATE, EntityState, Values, integers
from schemas.text import one_line
from schemas.words import iso, minute, number, printable
from transforms.firing import time_of
from transforms.judge import FLOOD

_SHOWN: Final = 20
_LARGEST: Final = 5
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SHADES: Final = " .:-=+*#%@"


def command(argv: Sequence[str]) -> int:
    """The whole command. Exit status 0; raises UsageError, also if no entity has that name."""
    statuses = "exit status: 0 shown; 2 no snapshot, or no user or city of that name"
    parser = Parser(prog="raretrail state", allow_abbrev=False, epilog=statuses)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    about = "what is remembered of all users and cities, or of one"
    show = commands.add_parser("show", help=about, description=about, epilog=statuses)
    show.add_argument(
        "snapshot",
        metavar="SNAPSHOT",
        help="folder that --snapshot_out wrote, or OUT of an incremental run or watch",
    )
    show.add_argument(
        "entity", metavar="NAME", nargs="?", help="of a user or city, as alice or 'GB / London'"
    )
    end = argv.index("--") if "--" in argv else len(argv)
    given = parser.parse_args([*map(underscored, argv[:end]), *argv[end:]])
    folder = _snapshot(Path(given.snapshot))
    manifest = open_snapshot(folder, "SNAPSHOT")
    lines = list(
        _entity(folder, manifest, given.entity) if given.entity else _all(folder, manifest)
    )
    if not lines:
        raise UsageError(f"NAME {given.entity}: no user or city in {folder} has this name")
    for line in lines:
        print(line)
    return 0


def _snapshot(given: Path) -> Path:
    """The snapshot that is meant: a folder of its own, or the one in OUT."""
    if (given / SNAPSHOT / MANIFEST).exists() and not (given / MANIFEST).exists():
        return given / SNAPSHOT
    if (given / RUN).exists() and not (given / SNAPSHOT).exists():
        raise UsageError(
            f"SNAPSHOT {given}: holds the results of a run that kept no state; incremental runs "
            "do, others with --snapshot_out"
        )
    return given


def _states(folder: Path, manifest: Manifest) -> Iterator[tuple[EntityKey, EntityState, int]]:
    """(key, state, size in bytes) of all entities."""
    for entry in manifest.files:
        if entry.name.startswith("score/"):
            for saved in saved_states(folder / entry.name):
                state = ENTITY_STATE.decode(saved.state)
                yield decode_key(saved.key), state, len(saved.state)


def _all(folder: Path, manifest: Manifest) -> Iterator[str]:
    yield f"What is remembered when all is judged up to {minute(manifest.horizon)}"
    names = _names(manifest)
    sizes: Counter[str] = Counter()
    entities: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    largest: dict[str, list[tuple[int, str]]] = {}
    for key, state, size in _states(folder, manifest):
        name = names.get(key.detector, key.detector)
        sizes[name] += size
        entities[name] += 1
        waiting[name] += sum(len(held.cells) for held in state.held)
        top = largest.setdefault(name, [])
        heapq.heappush(top, (len(state.history.actions.names), _named(key)))
        if len(top) > _LARGEST:
            heapq.heappop(top)
    for name, told in manifest.detectors.items():
        of_users = Detector.told(name, told).of_users
        yield ""
        yield one_line(f"{'Users' if of_users else 'Cities'} (detector {name}, {told['scorer']})")
        yield f"  {number(entities[name], 'user' if of_users else 'place')}, {sizes[name]:,} bytes"
        yield f"  {number(waiting[name], 'action')} of the last hours, not learned yet"
        if largest.get(name):
            yield "  Those that do the most different actions"
        for actions, who in sorted(largest.get(name, []), reverse=True):
            yield f"  {actions:>9,}  {who}"
    yield from _rules(folder, manifest)
    yield ""
    yield f"To see one of them: raretrail state show {one_line(str(folder))} NAME"


def _names(manifest: Manifest) -> dict[str, str]:
    """Key of a detector → its name."""
    return {Detector.told(name, told).key: name for name, told in manifest.detectors.items()}


def _rules(folder: Path, manifest: Manifest) -> Iterator[str]:
    for entry in manifest.files:
        if entry.name.startswith("select/"):
            for saved in saved_states(folder / entry.name):
                state = RULE_STATE.decode(saved.state)
                rule = manifest.rules.get(saved.key.decode(), saved.key.decode())
                yield ""
                yield f"Alerts of {printable(rule)}"
                waiting, lately = len(state.waiting), len(state.alerted)
                yield f"  {waiting:,} waiting: the cap held them back, up to 2 hours"
                yield f"  {lately:,} in the last 6 hours, which are not repeated within two"


def _named(key: EntityKey) -> str:
    return " / ".join(printable(part) for part in key.entity)


def _entity(folder: Path, manifest: Manifest, name: str) -> Iterator[str]:
    names = _names(manifest)
    for key, state, size in _states(folder, manifest):
        if name in key.entity or name == _named(key):
            detector = printable(names.get(key.detector, key.detector))
            yield f"{_named(key)} (detector {detector}, {size:,} bytes)"
            yield from _history(state)


def _history(state: EntityState) -> Iterator[str]:
    history = state.history
    if history.since < 0:
        yield "  Nothing is learned yet"
    else:
        since, latest = _minute(history.since), _minute(history.latest + 1)
        yield f"  Active in {number(history.buckets, 'quarter-hour')} from {since} to {latest}"
        yield from _hours(history.hours)
    for kind, values in (
        ("action", history.actions),
        ("place", history.places),
        ("tool", history.tools),
    ):
        yield from _values(kind, values)
    for held in state.held:
        learned = "judged, learned 2 hours after its end"
        if not held.known:
            learned = f"judged at {minute(iso(time_of(held.firing)))}"
        names = ", ".join(printable(action) for action in sorted(held.cells)[:5])
        more = f" and {len(held.cells) - 5:,} more" if len(held.cells) > 5 else ""
        yield f"  Quarter-hour of {_minute(held.slice)}, {learned}: {names}{more}"
    for action in sorted(state.strays.keys() - {FLOOD})[:_SHOWN]:
        yield f"  Came too late to be learned: {printable(action)}"


def _minute(slice_: int) -> str:
    return minute(iso(slice_ * SLICE_MS))


def _values(kind: str, values: Values) -> Iterator[str]:
    counts, last = integers("I", values.count), integers("i", values.last)
    yield f"  {number(len(values.names), kind)}, each in how many quarter-hours"
    order = sorted(range(len(counts)), key=lambda row: (-counts[row], values.names[row]))
    for row in order[:_SHOWN]:
        when = _minute(last[row] + 1)[:10]
        yield f"    {counts[row]:>7,}  {printable(values.names[row])}, last on {when}"
    if len(order) > _SHOWN:
        yield f"    and {len(order) - _SHOWN:,} more"


def _hours(hours: Sequence[int]) -> Iterator[str]:
    """Weekdays × hours as a picture: denser is more often."""
    most = max(hours) or 1
    yield "  When: days and hours in UTC, denser is more often"
    yield f"        {''.join(f'{hour:<6}' for hour in range(0, 24, 6))}".rstrip()
    for day, name in enumerate(_DAYS):
        row = hours[day * 24 : day * 24 + 24]
        shades = "".join(_SHADES[-(-number * (len(_SHADES) - 1) // most)] for number in row)
        yield f"    {name} {shades}|"
