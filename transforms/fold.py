"""The one stateful pattern of the job: keep what is pending, wait for the firing, fold in order.

A fold is pure: it knows no Beam. `replay` walks all due firings of one key; `FoldByKey` is the
step that keeps a key's elements in state and calls it when the watermark says that all have come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Duration

S = TypeVar("S")
I = TypeVar("I")  # noqa: E741


class Fold(Protocol[S, I]):
    """What a keyed step does, as functions of (state, what is due, firing).

    Outputs are (tag, value); firings are numbered by the slice that they judge.
    """

    def begin(self, key: bytes) -> S:
        """The state of a key that nothing is known of."""
        ...

    def read(self, data: bytes) -> Iterable[tuple[int, I]]:
        """The items in one element, each with the firing at which it is due."""
        ...

    def fire(self, state: S, items: list[I], firing: int) -> Iterable[tuple[str, Any]]:
        """Fold what is due at a firing into the state, which the fold owns."""
        ...

    def due(self, state: S) -> int | None:
        """The next firing that the state itself asks for."""
        ...

    def end(self, state: S) -> Iterable[tuple[str, Any]]:
        """What is said of the key when a bounded run ends."""
        ...


def replay(fold: Fold[S, I], key: bytes, elements: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """All firings of one key, in order: what arrives together is told apart by its own firing.

    The result depends on which elements there are, never on their order or grouping.
    """
    state = fold.begin(key)
    items: dict[int, list[I]] = defaultdict(list)
    for data in elements:
        for firing, item in fold.read(data):
            items[firing].append(item)
    arrivals = sorted(items, reverse=True)
    while True:
        asked = fold.due(state)
        if arrivals and (asked is None or arrivals[-1] <= asked):
            firing = arrivals.pop()
        elif asked is not None:
            firing = asked
        else:
            break
        yield from fold.fire(state, items.pop(firing, []), firing)
    yield from fold.end(state)


@dataclass(eq=False)
class FoldByKey(beam.PTransform, Generic[S, I]):  # type: ignore[misc]
    """KV[bytes, bytes] → the outputs of a fold by tag.

    State: a bag of the key's elements (bytes, as they came). Timer: `{name}_due`, event time, set
    once a key to the end of the input, less a millisecond for each keyed step that follows, so
    that a step's outputs reach the next before that one's timer. Outputs are stamped with the
    timer's time. Global window.
    """

    name: str
    """Unique in the graph: with one timer name in two steps, a runner confused their timers."""
    fold: Callable[[], Fold[S, I]]
    """Makes the fold, once a worker."""
    tags: tuple[str, ...]
    """The tags of its outputs; the first is the main one."""
    followers: int
    """Number of keyed steps that follow."""

    def expand(self, elements: Any) -> Any:
        """See the class."""
        kind = _stateful(self.name)
        end = GlobalWindow().max_timestamp() - Duration(micros=1000 * self.followers)
        main, *others = self.tags
        step = beam.ParDo(kind(self.fold, end, main))
        keyed = beam.Map(_itself).with_output_types(tuple[bytes, bytes])  # keys are bytes as such
        elements = elements | "Keyed" >> keyed
        return elements | (step.with_outputs(*others, main=main) if others else step)


def _itself(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return pair


def _stateful(name: str) -> type[beam.DoFn]:
    """The DoFn of one step; state and timer names are attributes of its class."""
    pending_spec: Final = BagStateSpec(f"{name}_pending", BytesCoder())
    due_spec: Final = TimerSpec(f"{name}_due", TimeDomain.WATERMARK)

    class _FoldByKey(beam.DoFn):  # type: ignore[misc]
        def __init__(self, fold: Callable[[], Fold[Any, Any]], end: Any, main: str) -> None:
            self._make, self._end, self._main = fold, end, main

        def setup(self) -> None:
            self._fold = self._make()

        def process(
            self,
            element: tuple[bytes, bytes],
            pending: Any = beam.DoFn.StateParam(pending_spec),
            due: Any = beam.DoFn.TimerParam(due_spec),
        ) -> None:
            pending.add(element[1])
            due.set(self._end)

        @on_timer(due_spec)  # type: ignore[untyped-decorator]
        def fire(
            self,
            key: bytes = beam.DoFn.KeyParam,
            pending: Any = beam.DoFn.StateParam(pending_spec),
        ) -> Iterator[Any]:
            elements = list(pending.read())
            if not elements:  # a runner may fire again when all has been said
                return
            for tag, value in replay(self._fold, key, elements):
                yield value if tag == self._main else beam.pvalue.TaggedOutput(tag, value)
            pending.clear()

    _FoldByKey.__name__ = _FoldByKey.__qualname__ = f"Fold_{name}"
    return _FoldByKey
