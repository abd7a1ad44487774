"""The picture of the quality bench: one SVG for light and dark, with nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from benchmarks.quality_figures import Case, alerts_a_day, cases_of, figures, is_attack, recall
from benchmarks.quality_lanes import CONTENDERS, RULES
from benchmarks.quality_world import World
from pipeline.simulate.variants import VARIANTS

WIDTH: Final = 960
_LEFT, _TOP, _WIDE, _HIGH = 60, 84, 380, 260
_LOW, _MOST = 0.1, 300.0
"""Alerts a day at the ends of the axis."""
_ROW: Final = 26
_BUDGETS: Final = tuple(_LOW * (_MOST / _LOW) ** (i / 60) for i in range(61))
_SHAPES: Final = {
    "contrast": "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
    "window": "M-5,-5H5V5H-5Z",
    "elastic": "M0,-6L6,5H-6Z",
    "first-seen": "M0,-6L6,0L0,6L-6,0Z",
}
"""Colours alone would not tell the scorers apart to everybody."""
_STYLE: Final = """
svg { font: 13px system-ui, sans-serif; background: #fff; }
.ground { fill: #fff; } text { fill: #24292f; } .faint { fill: #57606a; font-size: 11px; }
.title { font-weight: 600; font-size: 15px; } .grid { stroke: #d0d7de; }
.line { fill: none; stroke-width: 2; }
.contrast { stroke: #0969da; } .window { stroke: #bc4c00; }
.elastic { stroke: #8250df; } .first-seen { stroke: #1a7f37; }
.mark.contrast { fill: #0969da; } .mark.window { fill: #bc4c00; }
.mark.elastic { fill: #8250df; } .mark.first-seen { fill: #1a7f37; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; } .ground { fill: #0d1117; } text { fill: #e6edf3; }
  .faint { fill: #9198a1; } .grid { stroke: #3d444d; }
  .contrast { stroke: #58a6ff; } .window { stroke: #f0883e; }
  .elastic { stroke: #bc8cff; } .first-seen { stroke: #3fb950; }
  .mark.contrast { fill: #58a6ff; } .mark.window { fill: #f0883e; }
  .mark.elastic { fill: #bc8cff; } .mark.first-seen { fill: #3fb950; }
}
"""


def picture(worlds: Sequence[World]) -> str:
    """Recall over alerts a day for both rules; recall at 3 alerts a day by variant."""
    cases = cases_of(worlds)
    attacks = [case for case in cases if is_attack(case)]
    parts = [_legend()]
    for number, rule in enumerate(RULES.values()):
        parts.append(_curves(worlds, attacks, rule, _LEFT + number * (WIDTH // 2)))
    top = _TOP + _HIGH + 90
    for number, rule in enumerate(RULES.values()):
        parts.append(_variants(cases, rule, _LEFT + number * (WIDTH // 2), top))
    height = top + _ROW * len(VARIANTS) + 40
    words = "How many simulated attacks each scorer finds, by alerts a day and by variant"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{words}">\n<style>{_STYLE}</style>\n'
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _legend() -> str:
    marks = [
        f"{_mark(name, _LEFT + 8 + 130 * i, 26)}{_text(_LEFT + 20 + 130 * i, 31, name)}"
        for i, name in enumerate(CONTENDERS)
    ]
    note = "mark on a line: threshold 75 (first-seen: everything)"
    return "".join(marks) + _text(WIDTH - 20, 31, note, "faint", "end")


def _curves(worlds: Sequence[World], attacks: Sequence[Case], rule: str, left: int) -> str:
    """One panel: the share found over the alerts a day that are allowed."""
    parts = [_text(left, _TOP - 20, f"{rule} rule: attacks found, by alerts a day", "title")]
    for share in range(0, 101, 25):
        y = _y(share / 100)
        parts.append(
            _grid(left, y, left + _WIDE, y) + _text(left - 8, y + 4, f"{share} %", "faint", "end")
        )
    for alerts in (0.1, 1, 3, 10, 30, 100):
        x = _x(left, alerts)
        parts.append(_grid(x, _TOP, x, _TOP + _HIGH))
        parts.append(_text(x, _TOP + _HIGH + 18, f"{alerts:g}", "faint", "middle"))
    for scorer in reversed(CONTENDERS):
        lane = f"{scorer}/{rule}"
        points = " ".join(
            f"{_x(left, budget):.1f},{_y(recall(attacks, lane, budget)):.1f}" for budget in _BUDGETS
        )
        parts.append(f'<polyline class="line {scorer}" points="{points}"/>')
        daily = sum(alerts_a_day(world, lane) for world in worlds) / len(worlds)
        at = figures(attacks, lane).at_75
        parts.append(_mark(scorer, _x(left, daily), _y(at)))
    parts.append(_text(left + _WIDE, _TOP + _HIGH + 34, "alerts a day", "faint", "end"))
    return "\n".join(parts)


def _variants(cases: Sequence[Case], rule: str, left: int, top: int) -> str:
    """One panel: a row for each variant."""
    name, wide = left + 130, _WIDE - 130
    parts = [_text(left, top - 32, f"{rule} rule: found at 3 alerts a day, by variant", "title")]
    bottom = top + _ROW * len(VARIANTS)
    for share in range(0, 101, 25):
        x = name + wide * share / 100
        parts.append(_grid(x, top - 12, x, bottom - 12))
        parts.append(_text(x, bottom + 6, f"{share} %", "faint", "middle"))
    for number, variant in enumerate(VARIANTS):
        y = top + _ROW * number
        chosen = [case for case in cases if case[1].variant == variant.name]
        parts.append(_text(name - 10, y + 4, variant.name, "", "end"))
        parts.append(_grid(name, y, name + wide, y))
        for scorer in reversed(CONTENDERS) if chosen else ():
            share_found = recall(chosen, f"{scorer}/{rule}", 3.0)
            parts.append(_mark(scorer, name + wide * share_found, y))
    return "\n".join(parts)


def _x(left: float, alerts: float) -> float:
    inside = min(max(alerts, _LOW), _MOST)
    return left + _WIDE * math.log(inside / _LOW) / math.log(_MOST / _LOW)


def _y(share: float) -> float:
    return _TOP + _HIGH * (1 - share)


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _mark(scorer: str, x: float, y: float) -> str:
    place = f'transform="translate({x:.1f} {y:.1f})"'
    return f'<path class="mark {scorer}" {place} d="{_SHAPES[scorer]}"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    said = escape(text)
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{said}</text>'
