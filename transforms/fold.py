"""The one stateful pattern of the job: keep what is pending, wait for the firing, fold in order.

A fold is pure, and so is all of this: it knows no Beam. `replay` walks the due firings of one key.
The step that keeps a key's elements in Beam's state is `transforms.fold_by_key.FoldByKey`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from transforms.firing import WHOLE, Course

S = TypeVar("S")
I = TypeVar("I")  # noqa: E741

_BEGINNING: Final = -1
"""No firing has been done: that of 1970's first quarter of an hour is the first that can be."""
COUNTS: Final = "counts"
"""Tag of what a fold counted of a key: a Row."""
STATE: Final = "state"
"""Tag of a key's saved state: bytes that the fold `holds`, for the same key in a later run."""


class Fold(Protocol[S, I]):
    """What a keyed step does, as functions of (state, what is due, firing).

    Outputs are (tag, value); firings are numbered by the slice that they judge. A state that was
    saved is one of a key's elements: `holds` tells it from what is still to be folded.
    """

    def begin(self, key: bytes) -> S:
        """The state of a key that nothing is known of."""
        ...

    def holds(self, data: bytes) -> bool:
        """Whether an element is a saved state."""
        ...

    def load(self, key: bytes, data: bytes) -> tuple[S, Iterable[tuple[int, I]], int]:
        """A saved state, the items that were not due yet, and the last firing that was done."""
        ...

    def read(self, data: bytes) -> Iterable[tuple[int, I]]:
        """The items in one element, each with the firing at which it is due."""
        ...

    def fire(self, state: S, items: list[I], firing: int) -> Iterable[tuple[str, Any]]:
        """Fold what is due at a firing into the state, which the fold owns."""
        ...

    def due(self, state: S) -> int | None:
        """The next firing at which the state has something to do of its own accord."""
        ...

    def leaves(self, state: S) -> int | None:
        """The firing at which the key is forgotten if nothing comes of it."""
        ...

    def save(self, state: S, later: Mapping[int, list[I]], done: int) -> bytes | None:
        """All that `load` gives, as an element; None if there is nothing to remember."""
        ...

    def end(self, state: S, later: Mapping[int, list[I]]) -> Iterable[tuple[str, Any]]:
        """What is said of the key when a bounded run ends."""
        ...


class Replay(Generic[S, I]):
    """The firings of one key, in order.

    What it comes to depends on which elements there are, never on their order or grouping: what
    arrives together is told apart by its own firing.
    """

    def __init__(
        self, fold: Fold[S, I], key: bytes, elements: Iterable[bytes], after: int | None = None
    ) -> None:
        self._fold = fold
        self._later: dict[int, list[I]] = defaultdict(list)
        elements = list(elements)
        saved = [data for data in elements if fold.holds(data)]
        if len(saved) > 1:
            raise ValueError(f"key {key!r}: {len(saved)} saved states of one key")
        items: list[tuple[int, I]] = []
        self._done = _BEGINNING if after is None else after
        if saved:
            self._state, kept, done = fold.load(key, saved[0])
            self._done = max(self._done, done)
            items += kept
        else:
            self._state = fold.begin(key)
        for data in elements:
            if not fold.holds(data):
                items += fold.read(data)
        for firing, item in items:
            self._later[max(firing, self._done + 1)].append(item)

    @property
    def _needed(self) -> int | None:
        return _earlier(self._fold.due(self._state), min(self._later, default=None))

    @property
    def due(self) -> int | None:
        """The next firing at which there is something to do, or to forget."""
        return _earlier(self._needed, self._fold.leaves(self._state))

    def fire(self, until: int | None) -> Iterator[tuple[str, Any]]:
        """All firings up to `until`, or as long as there is something to do."""
        while (firing := self.due) is not None:
            if firing > until if until is not None else self._needed is None:
                break
            yield from self._fold.fire(self._state, self._later.pop(firing, []), firing)
            self._done = firing
        self._done = self._done if until is None else max(self._done, until)

    def depart(self) -> Iterator[tuple[str, Any]]:
        """Of a run that has no horizon of its own: what is said when the key is forgotten, which
        may be before the last firing of others.
        """
        firing = self._fold.leaves(self._state)
        if firing is not None:
            yield from self._fold.fire(self._state, [], firing)

    def save(self) -> bytes | None:
        """The state as an element."""
        return self._fold.save(self._state, self._later, self._done)

    def end(self) -> Iterator[tuple[str, Any]]:
        """What is said when a bounded run ends."""
        yield from self._fold.end(self._state, self._later)


def _earlier(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def replay(
    fold: Fold[S, I],
    key: bytes,
    elements: Iterable[bytes],
    course: Course = WHOLE,
) -> Iterator[tuple[str, Any]]:
    """The firings of a bounded run; if its state is kept it comes last, as (STATE, bytes)."""
    walk = Replay(fold, key, elements, course.after)
    yield from walk.fire(course.until)
    yield from walk.end()
    if course.until is None:
        yield from walk.depart()
    saved = walk.save() if course.keep else None
    if saved is not None:
        yield STATE, saved
