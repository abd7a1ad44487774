"""How well attacks are found: `python -m benchmarks.quality [--organisations SIZE:SEED,…]`.

Simulates organisations, lays attacks over them in variants, judges all of it by every scorer
through the real job, and prints tables. Each organisation has a process of its own. See
docs/quality.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.quality_picture import picture
from benchmarks.quality_tables import tables
from benchmarks.quality_world import SIZES, World

ORGANISATIONS: Final = "large:301,medium:201,medium:202,small:101,small:102"
"""The longest first, so that none is waited for at the end."""
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""The part of a page that the bench writes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page and the picture where asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality")
    parser.add_argument(
        "--organisations",
        default=ORGANISATIONS,
        metavar="SIZE:SEED,…",
        help=f"of the sizes {', '.join(SIZES)} (default {ORGANISATIONS})",
    )
    parser.add_argument("--overlays", type=int, metavar="N", help="only so many each, for a trial")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="what was seen, to or from there")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="page to put the tables into")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="write the picture there")
    given = parser.parse_args(argv)
    if given.json and given.json.exists():
        worlds = msgspec.json.decode(given.json.read_bytes(), type=list[World])
    else:
        began = time.monotonic()
        chosen = [_chosen(parser, one) for one in given.organisations.split(",")]
        worlds = _measure(chosen, given.processes, given.overlays)
        print(f"measured in {(time.monotonic() - began) / 60:.0f} minutes", file=sys.stderr)
        if given.json:
            given.json.write_bytes(msgspec.json.encode(worlds))
    worlds.sort(key=lambda world: (world.people, world.seed))
    found = tables(worlds)
    print(found)
    if given.page:
        given.page.write_text(put(given.page.read_text(encoding="utf-8"), found), encoding="utf-8")
    if given.picture:
        given.picture.write_text(picture(worlds), encoding="utf-8")
    return 0


def put(page: str, text: str) -> str:
    """The page with a text between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def _chosen(parser: argparse.ArgumentParser, text: str) -> tuple[str, str]:
    size, _, seed = text.partition(":")
    if size not in SIZES or not seed.isdecimal():
        parser.error(f"{text!r}: write SIZE:SEED with a size of {', '.join(SIZES)}")
    return size, seed


def _measure(
    chosen: Sequence[tuple[str, str]], processes: int, overlays: int | None
) -> list[World]:
    """Measure organisations, several at a time."""
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(processes) as pool:

        def one(number: int) -> World:
            output = Path(scratch, f"{number}.json")
            command = [sys.executable, "-m", "benchmarks.quality_world", *chosen[number]]
            trial = [] if overlays is None else ["--overlays", str(overlays)]
            ran = subprocess.run(
                [*command, str(output), *trial], capture_output=True, text=True, check=False
            )
            if ran.returncode:
                raise RuntimeError(f"{' '.join(command)} failed:\n{ran.stderr[-4000:]}")
            print(f"{' '.join(chosen[number])}: done", file=sys.stderr)
            return msgspec.json.decode(output.read_bytes(), type=World)

        return list(pool.map(one, range(len(chosen))))


if __name__ == "__main__":
    sys.exit(main())
