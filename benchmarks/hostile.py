"""What names that are made up do to everybody else's scores: `python -m benchmarks.hostile`.

An office of 100 users for five weeks; in the last two of them somebody calls actions that never
repeat, or users appear that never do. Each first time of an honest user in those two weeks is
judged with them and without: the mean differences of its factors, S and score, and what peers'
sums came to; for a plain detector of users and a guarded one. Decision 0018 has the figures.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import accumulate
from statistics import fmean
from typing import Any, Final

from benchmarks.parity_contrast import messages, rules_of
from schemas.anomaly import ANOMALY, Anomaly
from schemas.entity import ORGANISATION
from schemas.rule import Rule
from transforms.fold import Replay
from transforms.history import DAY
from transforms.peers import WeighFold

USERS: Final = 100
DAYS: Final = 35
HOSTILE: Final = range(21, 35)
"""Days with made-up names."""
START: Final = 20_500

Cell = dict[str, Any]
Slices = dict[int, list[Cell]]


def office(seed: int = 1) -> Slices:
    """Slice → cells of honest users, who each know 5 to 60 of 600 actions and find more."""
    rng, slices = random.Random(seed), dict[int, list[Cell]]()
    names = [f"Action{number:03d}" for number in range(600)]
    common = list(accumulate(1 / rank for rank in range(1, 601)))
    for number in range(USERS):
        size = min(60, 4 + int(rng.paretovariate(1.1)))
        menu = list(dict.fromkeys(rng.choices(names, cum_weights=common, k=3 * size)))[:size]
        for day in range(DAYS):
            for into in sorted(rng.sample(range(32, 72), 3)):
                done = set(rng.choices(menu, k=4))
                if rng.random() < 0.1:
                    done |= set(rng.choices(names, cum_weights=common, k=1))
                slice_ = (START + day) * DAY + into
                slices.setdefault(slice_, []).extend(
                    cell(f"user{number}", action, failed=rng.random() < 0.05)
                    for action in sorted(done)
                )
    return slices


def cell(user: str, action: str, failed: bool = False) -> Cell:
    """One cell, at home."""
    return {
        "entity": user,
        "action": action,
        "place": ["London"],
        "tool": ["cli"],
        "stream": [["", "203.0"]],
        "users": [user],
        "failed": failed,
        "write": action.endswith(("1", "4", "7")),
    }


def made_up_actions(people: int, a_day: int) -> Iterator[tuple[int, Cell]]:
    """So many users call so many actions each a day that nobody ever called, and fail."""
    for day in HOSTILE:
        for who in range(people):
            for number in range(a_day):
                slice_ = (START + day) * DAY + number * DAY // a_day
                yield slice_, cell(f"mallory{who}", f"X{who}-{day}-{number}", failed=True)


def made_up_users(a_day: int) -> Iterator[tuple[int, Cell]]:
    """So many users a day do three common things each, and are never seen again."""
    for day in HOSTILE:
        for number in range(a_day):
            for action in ("Action000", "Action001", "Action002"):
                yield (START + day) * DAY + 40, cell(f"ghost{day}-{number}", action, failed=True)


WORLDS: Final[dict[str, Callable[[], Iterator[tuple[int, Cell]]]]] = {
    "1 user, 15 actions a day": lambda: made_up_actions(1, 15),
    "1 user, 200 actions a day": lambda: made_up_actions(1, 200),
    "1 user, 2,000 actions a day": lambda: made_up_actions(1, 2_000),
    "5 users, 200 actions a day": lambda: made_up_actions(5, 200),
    "50 users a day": lambda: made_up_users(50),
    "500 users a day": lambda: made_up_users(500),
}


def judged(slices: Slices, rules: dict[str, Rule]) -> tuple[dict[Any, Anomaly], int, int]:
    """(judgements of honest users in the last two weeks, pairs, V)."""
    given = [[900 * slice_, cells, []] for slice_, cells in sorted(slices.items())]
    fold, end = WeighFold(tuple(rules.values())), (START + DAYS) * DAY
    walk = Replay(fold, ORGANISATION.encode(), messages(given, rules))
    found = {}
    for tag, data in walk.fire(end):
        if tag == "anomalies":
            one = ANOMALY.decode(data)
            who = one.entity["user.name"]
            if who.startswith("user") and one.slice >= (START + HOSTILE.start) * DAY:
                found[one.slice, who, one.action] = one
    saved = walk.save()
    assert saved is not None
    state, _, _ = fold.load(b"", saved)
    peers = state.scope.of(rules["user"].detector.key).peers
    return found, peers.actions.total, peers.actions.kinds


def shifts(clean: dict[Any, Anomaly], other: dict[Any, Anomaly]) -> dict[str, float]:
    """Mean differences, by factor; of S and of the score."""
    both = [(clean[key], other[key]) for key in clean.keys() & other.keys()]
    found = {}
    for name in ("what", "company", "outcome"):
        values = ([_of(one, name) for one in pair] for pair in both)
        found[name] = fmean(after - before for before, after in values)
    found["S"] = fmean((after.surprise or 0) - (before.surprise or 0) for before, after in both)
    high = sorted(both, key=lambda pair: -(pair[0].score or 0))[:40]
    found["score"] = fmean((after.score or 0) - (before.score or 0) for before, after in high)
    return found


def _of(found: Anomaly, name: str) -> float:
    (value,) = [factor.value for factor in found.factors if factor.name == name]
    return value


def main() -> int:
    """Measure and print; the score's difference is that of the 40 highest."""
    for guarded in (False, True):
        rule = rules_of(with_tool=False)["user"]
        rules = {"user": replace(rule, detector=replace(rule.detector, guarded=guarded))}
        clean, pairs, kinds = judged(office(), rules)
        print(f"\n{'guarded' if guarded else 'plain'}: {len(clean)} first times,"
              f" {pairs:,} pairs, V {kinds:,}")  # fmt: skip
        for name, world in WORLDS.items():
            slices = office()
            for slice_, one in world():
                slices.setdefault(slice_, []).append(one)
            found, pairs, kinds = judged(slices, rules)
            told = "  ".join(f"{what} {by:+.2f}" for what, by in shifts(clean, found).items())
            print(f"{name:28} pairs {pairs:7,}  V {kinds:5,}  {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
