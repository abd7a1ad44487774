"""Plan a run: what it begins with, and the steps that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.chain import Chain, check_unchanged, command_of, detectors_of
from pipeline.errors import UsageError
from pipeline.fit import check_fits
from pipeline.index import spans
from pipeline.ledger import SNAPSHOT, Entry, Ledger
from pipeline.options import RunSettings
from pipeline.places import replaced
from pipeline.same import check_same
from pipeline.seen import TRIES, Seen, day_of, too_old
from pipeline.snapshot import Manifest, open_snapshot, publish
from pipeline.sources import Listing
from pipeline.steps import DAY_MS, LONG_DAYS, Step, cut, date_of, days_of, horizon_at, whole
from schemas.incident import Incident
from schemas.rule import Rule
from schemas.text import one_line
from schemas.words import iso
from transforms.firing import WINDOW, last_firing, time_of
from transforms.objects import Extent, arrival_of

_READ: Final = "objects that an earlier run has read"
_GIVEN_UP: Final = f"objects that could not be read {TRIES} times; touch them to try again"
_OLD: Final = "date folders older than 90 days, which an incremental run does not look at again"


def plan(
    settings: RunSettings,
    options: PipelineOptions,
    rules: tuple[Rule, ...],
    incidents: tuple[Incident, ...],
    listing: Listing,
    now: int,
) -> tuple[Chain, list[str]]:
    """The run as a chain of steps, from where it stands; what there is to say of it."""
    ledger = Ledger(settings.output)
    command, entry = command_of(settings, rules), ledger.entry
    if entry is not None:
        same = {"incremental": True} if settings.incremental else command
        check_same(settings.output, entry.command, same)
        if entry.finished:  # it was stopped when all was done
            return Chain(settings, options, rules, incidents, listing, [], ledger, entry), []
    notices = replaced(settings)
    begin, told = _begin(settings, rules, entry)
    if entry is None:
        entry = Entry(command=command, started=_iso(now), now=now)
        if begin is not None:
            entry.horizon, entry.carried_in = begin.firing, dict(begin.held)
    notices += [*told, *_too_late(incidents, entry)]
    seen = None
    if settings.incremental:
        entry.now, entry.started = now, _iso(now)
        seen = Seen(ledger.seen)
        steps = _incremental(settings, listing, seen, entry)
    else:
        steps, told = _steps(settings, listing, entry)
        notices += told
        if entry.steps:
            check_unchanged(entry, steps)
            left = len(steps) - len(entry.steps)
            notices.append(f"Going on: {len(entry.steps)} steps are done, {left} are left.")
    steps = [_not_before(step, entry.horizon) for step in steps]
    chain = Chain(settings, options, rules, incidents, listing, steps, ledger, entry, seen, begin)
    return chain, notices


def _too_late(incidents: Sequence[Incident], entry: Entry) -> list[str]:
    """What to say of incidents of which something was learned before they were named."""
    if entry.horizon is None:
        return []
    learned = time_of(entry.horizon - WINDOW)
    return [
        f"--incidents: the state has learned up to {iso(learned)}, and so of {dict(each.entity)} "
        f"since {iso(each.start)}; to leave that out, run again from a snapshot before it."
        for each in incidents
        if each.start < learned
    ]


def _not_before(step: Step, horizon: int | None) -> Step:
    """A step that does not undo what was done: the horizon never goes back."""
    if step.until is None or horizon is None:
        return step
    return replace(step, until=max(step.until, horizon))


def finish(ledger: Ledger, entry: Entry) -> None:
    """Put the state where it was asked for, and leave the results only."""
    wanted = entry.command["snapshot_out"]
    if wanted is not None and (ledger.output / SNAPSHOT).exists():
        publish(ledger.output / SNAPSHOT, Path(wanted))
    ledger.close()


def _begin(
    settings: RunSettings, rules: tuple[Rule, ...], entry: Entry | None
) -> tuple[Manifest | None, list[str]]:
    """(the state that a run begins with, what to say of it): none, a snapshot's, or its own."""
    folder, flag = settings.snapshot_in, "--snapshot_in"
    if entry is not None:
        folder, flag = settings.output / SNAPSHOT, "--output"
    if folder is None:
        return None, []
    manifest = open_snapshot(folder, flag)
    uuids = {rule.uuid for rule in rules}
    told = check_fits(manifest, detectors_of(settings, rules), uuids, f"{flag} {folder}")
    past = settings.until is not None and last_firing(settings.until) <= manifest.firing
    if past and entry is None:
        raise UsageError(
            f"--until: not after the snapshot, whose horizon is {manifest.horizon}; "
            "there is nothing to judge"
        )
    return manifest, list(told)


def _steps(settings: RunSettings, listing: Listing, entry: Entry) -> tuple[list[Step], list[str]]:
    """(the steps of a replay, what to say of them)."""
    until = None
    if settings.snapshot_out is not None:
        assert settings.until is not None
        until = last_firing(settings.until)
    names = listing.names
    days = _days(settings, names)
    if not days:
        return [whole(names, until)], []
    undated = [name for name in names if date_of(name) is None]
    extent = Extent(settings.start, settings.until, entry.now)
    found = spans(undated, extent)
    longest = max(found, key=lambda name: found[name][1] - found[name][0], default=None)
    if longest is not None:
        length = (found[longest][1] - found[longest][0]) / DAY_MS
        if length > 2 * days:
            notice = f"--step: {longest} holds events of {length:.0f} days and cannot be cut"
            return [whole(names, until)], [f"{one_line(notice)}; all is judged in one step."]
    return cut(names, days, until, found), []


def _days(settings: RunSettings, names: Sequence[str]) -> int:
    """Days of a step, 0 for one step over all: as it was told, else by the length of the input."""
    if settings.step is not None:
        return settings.step
    known = days_of(names)
    return 1 if known is not None and known > LONG_DAYS else 0


def _incremental(settings: RunSettings, listing: Listing, seen: Seen, entry: Entry) -> list[Step]:
    """What is new, up to the last firing for which everything should have been delivered."""
    if entry.horizon is not None:
        today = day_of(time_of(entry.horizon))  # not the clock's: a run may have been stopped early
        old = {name for name in listing.names if too_old(name, today)}
        listing.names = [name for name in listing.names if name not in old]
        for name in old:
            listing.skip(_OLD, name)
    new = seen.news(listing.names)
    for name in set(listing.names).difference(new):
        listing.skip(_GIVEN_UP if seen.gave_up(name) else _READ, name)
    entry.newest = max([entry.newest, *map(arrival_of, new)])
    horizon = horizon_at(entry.now, entry.newest, entry.horizon if new else None)
    days = _days(settings, new)
    stamp = datetime.fromtimestamp(entry.now / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    stamp = f"{stamp}-{entry.done}"  # clocks may stand still, or be set back
    steps = cut(new, days, horizon) if days and days_of(new) else [whole(new, horizon)]
    return [Step(f"{stamp}-{step.name}", step.names, step.until) for step in steps]


def _iso(now: int) -> str:
    return datetime.fromtimestamp(now / 1000, UTC).isoformat()
