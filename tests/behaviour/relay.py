"""Three keyed steps that hand on what they hear: whatever is lost or late shows at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

_SAVED = b"saved "

Pair = tuple[bytes, bytes]
"""Key and element."""


class Relay:
    """A fold that hands on, at each firing, all that it has heard so far: what is lost shows."""

    def begin(self, key: bytes) -> list[str]:
        return [key.decode()]

    def holds(self, data: bytes) -> bool:
        return data.startswith(_SAVED)

    def load(self, key: bytes, data: bytes) -> tuple[list[str], list[tuple[int, str]], int]:
        state, later, done = json.loads(data.removeprefix(_SAVED))
        return state, later, done

    def read(self, data: bytes) -> Iterator[tuple[int, str]]:
        firing, text = json.loads(data)
        yield firing, text

    def fire(self, state: list[str], items: list[str], firing: int) -> Iterator[tuple[str, Pair]]:
        state += sorted(items)
        yield "out", message(f"key{len(state) % 2}", firing, " ".join(state))

    def due(self, state: list[str]) -> int | None:
        return None

    def leaves(self, state: list[str]) -> int | None:
        return None

    def save(self, state: list[str], later: Mapping[int, list[str]], done: int) -> bytes | None:
        items = [(firing, text) for firing in sorted(later) for text in sorted(later[firing])]
        return _SAVED + json.dumps([state, items, done]).encode()

    def end(self, state: list[str], later: Mapping[int, list[str]]) -> Iterator[tuple[str, str]]:
        yield "ends", state[0]


def message(key: str, firing: int, text: str) -> Pair:
    """What goes from step to step."""
    return key.encode(), json.dumps([firing, text]).encode()


STARTS = [(f"key{number % 3}", number // 5, f"<{number}>") for number in range(20)]


def relayed_plainly() -> list[Pair]:
    """What comes out of three relays, as plain loops."""
    handed = STARTS
    for _ in range(3):
        following = []
        for key in {key for key, _, _ in handed}:
            heard = [key]
            for firing in sorted({firing for k, firing, _ in handed if k == key}):
                heard += sorted(text for k, f, text in handed if (k, f) == (key, firing))
                following.append((f"key{len(heard) % 2}", firing, " ".join(heard)))
        handed = following
    return sorted(message(*each) for each in handed)
