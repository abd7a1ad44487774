"""`raretrail state show SNAPSHOT [ENTITY]`: a snapshot made readable."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pipeline.errors import Parser, UsageError, underscored
from pipeline.snapshot import Manifest, open_snapshot, saved_states
from schemas.entity import EntityKey, decode_key
from schemas.event import SLICE_MS
from schemas.rule import Detector
from schemas.state import ENTITY_STATE, RULE_STATE, EntityState, Values, integers
from schemas.text import one_line
from schemas.words import iso, printable
from transforms.firing import time_of
from transforms.judge import FLOOD

_SHOWN: Final = 20
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SHADES: Final = " .:-=+*#%@"


def command(argv: Sequence[str]) -> int:
    """The whole command. Exit status 0, or 1 if no entity has that name."""
    parser = Parser(prog="raretrail state", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    show = commands.add_parser("show", help="what a snapshot holds, or one entity's history")
    show.add_argument("snapshot", metavar="SNAPSHOT", help="folder that --snapshot_out wrote")
    show.add_argument("entity", metavar="ENTITY", nargs="?", help="name of a user or city")
    end = argv.index("--") if "--" in argv else len(argv)
    given = parser.parse_args([*map(underscored, argv[:end]), *argv[end:]])
    folder = Path(given.snapshot)
    manifest = open_snapshot(folder, "SNAPSHOT")
    lines = list(
        _entity(folder, manifest, given.entity) if given.entity else _all(folder, manifest)
    )
    if not lines:
        raise UsageError(f"ENTITY {given.entity}: no user or city in {folder} has this name")
    for line in lines:
        print(line)
    return 0


def _states(folder: Path, manifest: Manifest) -> Iterator[tuple[EntityKey, EntityState, int]]:
    """(key, state, size in bytes) of all entities."""
    for entry in manifest.files:
        if entry.name.startswith("score/"):
            for saved in saved_states(folder / entry.name):
                state = ENTITY_STATE.decode(saved.state)
                yield decode_key(saved.key), state, len(saved.state)


def _all(folder: Path, manifest: Manifest) -> Iterator[str]:
    yield f"Horizon {manifest.horizon}: firings up to it are done"
    names = {Detector.told(name, told).key: name for name, told in manifest.detectors.items()}
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
        if len(top) > 5:
            heapq.heappop(top)
    for name, told in manifest.detectors.items():
        fields = ", ".join(told["partition_fields"])
        by, scorer = told["by_field"], told["scorer"]
        yield one_line(f"{name}: {by} by {fields}, scorer {scorer}")
        yield f"  {entities[name]:>9,} entities, {sizes[name]:,} bytes"
        yield f"  {waiting[name]:>9,} times one did an action, not learned yet"
        for actions, who in sorted(largest.get(name, []), reverse=True):
            yield f"  {actions:>9,} actions: {who}"
    yield from _rules(folder, manifest)


def _rules(folder: Path, manifest: Manifest) -> Iterator[str]:
    for entry in manifest.files:
        if entry.name.startswith("select/"):
            for saved in saved_states(folder / entry.name):
                state = RULE_STATE.decode(saved.state)
                rule = manifest.rules.get(saved.key.decode(), saved.key.decode())
                yield printable(rule)
                yield f"  {len(state.waiting):>9,} anomalies wait to be chosen"
                yield f"  {len(state.alerted):>9,} actions of an entity alerted lately"


def _named(key: EntityKey) -> str:
    return " / ".join(printable(part) for part in key.entity)


def _entity(folder: Path, manifest: Manifest, name: str) -> Iterator[str]:
    for key, state, size in _states(folder, manifest):
        if name in key.entity or name == _named(key):
            yield from _history(key, state, size)


def _history(key: EntityKey, state: EntityState, size: int) -> Iterator[str]:
    yield f"{_named(key)} ({printable(key.detector)}, scope {printable(key.scope)}, {size:,} bytes)"
    history = state.history
    if history.since < 0:
        yield "  nothing learned yet"
    else:
        since, latest = iso(history.since * SLICE_MS), iso((history.latest + 1) * SLICE_MS)
        yield f"  active in {history.buckets:,} quarter-hours from {since} to {latest}"
        yield from _hours(history.hours)
    for kind, values in (
        ("actions", history.actions),
        ("places", history.places),
        ("tools", history.tools),
    ):
        yield from _values(kind, values)
    for held in state.held:
        learned = "learned 2 h later" if held.known else f"known at {iso(time_of(held.firing))}"
        names = ", ".join(printable(action) for action in sorted(held.cells)[:5])
        more = f" and {len(held.cells) - 5:,} more" if len(held.cells) > 5 else ""
        yield f"  pending {iso(held.slice * SLICE_MS)}, {learned}: {names}{more}"
    for action in sorted(state.strays.keys() - {FLOOD})[:_SHOWN]:
        yield f"  not learned: {printable(action)}"


def _values(kind: str, values: Values) -> Iterator[str]:
    counts, last = integers("I", values.count), integers("i", values.last)
    yield f"  {len(values.names):,} {kind}"
    order = sorted(range(len(counts)), key=lambda row: (-counts[row], values.names[row]))
    for row in order[:_SHOWN]:
        when = iso((last[row] + 1) * SLICE_MS)[:10]
        yield f"    {counts[row]:>7,}  {printable(values.names[row])}, last on {when}"
    if len(order) > _SHOWN:
        yield f"    and {len(order) - _SHOWN:,} more"


def _hours(hours: Sequence[int]) -> Iterator[str]:
    """Weekdays × hours as a picture: darker is more often."""
    most = max(hours) or 1
    yield f"        {''.join(f'{hour:<6}' for hour in range(0, 24, 6))}UTC"
    for day, name in enumerate(_DAYS):
        row = hours[day * 24 : day * 24 + 24]
        shades = "".join(_SHADES[-(-number * (len(_SHADES) - 1) // most)] for number in row)
        yield f"    {name} {shades}|"
