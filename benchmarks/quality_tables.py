"""The tables of the quality bench: Markdown whose columns are even, so that it is text as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from benchmarks.quality_figures import (
    BUDGETS,
    Case,
    Figures,
    alerts_a_day,
    cases_of,
    figures,
    idle_a_day,
    is_attack,
)
from benchmarks.quality_lanes import CONTENDERS, RULES
from benchmarks.quality_world import World
from pipeline.simulate.variants import VARIANTS

_KEY: Final = (
    "Cells: percent found at 75 / at "
    + " / at ".join(f"{budget:g}" for budget in BUDGETS)
    + " alerts a day / average precision."
)


def tables(worlds: Sequence[World]) -> str:
    """All tables."""
    cases = cases_of(worlds)
    attacks = [case for case in cases if is_attack(case)]
    parts = [_sentence(worlds, attacks), "### In all", _overall(worlds, attacks)]
    parts += ["### By organisation", _KEY]
    for rule in RULES.values():
        parts.append(_groups(attacks, rule, _world, [_name(world) for world in worlds]))
    parts.append("### By variant")
    names = [variant.name for variant in VARIANTS]
    for rule in RULES.values():
        parts.append(_groups(cases, rule, lambda case: case[1].variant, names))
    parts.append("### By victim")
    for rule in RULES.values():
        parts.append(_groups(attacks, rule, lambda case: case[1].victim, ["person", "machine"]))
    parts.append("### By technique")
    for rule in RULES.values():
        parts.append(_groups(attacks, rule, _technique, sorted({*map(_technique, attacks)})))
    return "\n\n".join(parts)


def _sentence(worlds: Sequence[World], attacks: Sequence[Case]) -> str:
    return (
        f"{len(worlds)} organisations, {sum(world.events for world in worlds):,} events, "
        f"{sum(world.people for world in worlds)} people; {len(attacks):,} attacks and "
        f"{len(cases_of(worlds)) - len(attacks)} controls in "
        f"{sum(world.overlays for world in worlds)} overlays; {sum(w.days for w in worlds)} "
        f"attack-free working days, {sum(w.idle_days for w in worlds)} days of weekends."
    )


def _name(world: World) -> str:
    return f"{world.size} {world.seed}"


def _world(case: Case) -> str:
    return _name(case[0])


def _technique(case: Case) -> str:
    return case[1].technique


def _overall(worlds: Sequence[World], attacks: Sequence[Case]) -> str:
    head = ["rule", "scorer", "found at 75", "alerts a day at 75", "on weekends"]
    head += [f"found at {budget:g} a day" for budget in BUDGETS] + ["average precision"]
    rows = []
    for rule in RULES.values():
        for scorer in CONTENDERS:
            lane = f"{scorer}/{rule}"
            one = figures(attacks, lane)
            daily = [alerts_a_day(world, lane) for world in worlds]
            spread = f"{one.alerts_at_75:.1f} ({min(daily):.1f}–{max(daily):.1f})"
            idle = sum(idle_a_day(world, lane) for world in worlds) / len(worlds)
            found = [percent(share) for share in one.at_budget]
            rows.append([rule, scorer, percent(one.at_75), spread, f"{idle:.1f}", *found])
            rows[-1].append(f"{one.precision:.2f}")
    return markdown(head, rows)


def _groups(
    cases: Iterable[Case], rule: str, key: Callable[[Case], str], names: Sequence[str]
) -> str:
    """A row for each group of attacks, a column for each scorer."""
    groups: dict[str, list[Case]] = {name: [] for name in names}
    for case in cases:
        groups[key(case)].append(case)
    rows = []
    for name, group in groups.items():
        if group:
            cells = [_cell(figures(group, f"{scorer}/{rule}")) for scorer in CONTENDERS]
            rows.append([name, str(len(group)), *cells])
    return markdown([f"{rule} rule", "attacks", *CONTENDERS], rows)


def _cell(one: Figures) -> str:
    shares = [f"{100 * share:.0f}" for share in (one.at_75, *one.at_budget)]
    return " / ".join([*shares, f"{one.precision:.2f}".removeprefix("0")])


def percent(share: float) -> str:
    """A share as a whole number of percent."""
    return f"{100 * share:.0f} %"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its columns as wide as they need to be."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    lines = [
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (head, rule, *rows)
    ]
    return "\n".join(f"| {line} |" for line in lines)
