"""The one stateful pattern of the job: keep what is pending, wait for the firing, fold in order.

A fold is pure: it knows no Beam. `replay` walks the due firings of one key; `FoldByKey` is the step
that keeps a key's elements in Beam's state and calls it when the watermark says that all have come.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import apache_beam as beam
from apache_beam.coders import BytesCoder, VarIntCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Duration, Timestamp

from schemas.counts import ROW
from transforms.firing import WHOLE, Course, due_time, fired_by, time_of
from transforms.measure import measure, tell

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
    saved = walk.save() if course.keep else None
    if saved is not None:
        yield STATE, saved


@dataclass(eq=False)
class FoldByKey(beam.PTransform, Generic[S, I]):  # type: ignore[misc]
    """KV[bytes, bytes] → the outputs of a fold by tag; `state`: KV[key, saved state].

    State: a bag of the key's elements (bytes, as they came), a saved state among them; the firing
    that its timer is set for. Timer: `{name}_due`, event time.
    Bounded: set once a key to the end of the input, less a millisecond for each keyed step that
    follows, so that a step's outputs reach the next before that one's timer.
    Unbounded: set to the earliest firing at which the key has something to do (T + delivery delay,
    and a millisecond for each step before); what is left then is one saved state in the bag.
    Outputs are stamped with the timer's time. Global window.
    """

    name: str
    """Unique in the graph: with one timer name in two steps, a runner confused their timers."""
    fold: Callable[[], Fold[S, I]]
    """Makes the fold, once a worker."""
    tags: tuple[str, ...]
    """The tags of its outputs; the first is the main one."""
    step: int
    """Number of keyed steps before it."""
    followers: int
    """Number of keyed steps that follow."""
    course: Course = WHOLE

    def expand(self, elements: Any) -> Any:
        """See the class."""
        main, *others = (*self.tags, STATE)
        keyed = beam.Map(_itself).with_output_types(tuple[bytes, bytes])  # keys are bytes as such
        made = _unbounded(self.name) if self.course.unbounded else _bounded(self.name)
        step = beam.ParDo(made(self)).with_outputs(*others, main=main)
        return elements | "Keyed" >> keyed | step


def _itself(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return pair


class _FoldByKey(beam.DoFn):  # type: ignore[misc]
    """What both kinds share. State and timer names are attributes of the class of each step."""

    def __init__(self, settings: FoldByKey[Any, Any]) -> None:
        self._make, self._course = settings.fold, settings.course
        self._main, self._step = settings.tags[0], settings.step
        end = GlobalWindow().max_timestamp()
        self._end = end - Duration(micros=1000 * settings.followers)

    def setup(self) -> None:
        self._fold = self._make()

    def _tagged(self, key: bytes, outputs: Iterable[tuple[str, Any]]) -> Iterator[Any]:
        for tag, value in outputs:
            self._measure(tag, value)
            if tag == self._main:
                yield value
            else:
                said = (key, value) if tag == STATE else value
                yield beam.pvalue.TaggedOutput(tag, said)

    def _measure(self, tag: str, value: Any) -> None:
        if tag == COUNTS:
            measure(ROW.decode(value).counts)
        elif tag == STATE:
            tell("state_bytes", len(value))


def _named(kind: type[beam.DoFn], name: str) -> type[beam.DoFn]:
    kind.__name__ = kind.__qualname__ = f"Fold_{name}"
    return kind


def _bounded(name: str) -> type[beam.DoFn]:
    """The DoFn of one step of a bounded run."""
    pending_spec: Final = BagStateSpec(f"{name}_pending", BytesCoder())
    due_spec: Final = TimerSpec(f"{name}_due", TimeDomain.WATERMARK)

    class _Bounded(_FoldByKey):
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
            yield from self._tagged(key, replay(self._fold, key, elements, self._course))
            pending.clear()

    return _named(_Bounded, name)


def _unbounded(name: str) -> type[beam.DoFn]:
    """The DoFn of one step of an unbounded run."""
    pending_spec: Final = BagStateSpec(f"{name}_pending", BytesCoder())
    armed_spec: Final = ReadModifyWriteStateSpec(f"{name}_armed", VarIntCoder())
    due_spec: Final = TimerSpec(f"{name}_due", TimeDomain.WATERMARK)

    class _Unbounded(_FoldByKey):
        def _arm(self, armed: Any, due: Any, firing: int) -> None:
            armed.write(firing)
            due.set(Timestamp(micros=1000 * due_time(firing, self._step)))

        def process(
            self,
            element: tuple[bytes, bytes],
            pending: Any = beam.DoFn.StateParam(pending_spec),
            armed: Any = beam.DoFn.StateParam(armed_spec),
            due: Any = beam.DoFn.TimerParam(due_spec),
        ) -> None:
            key, data = element
            pending.add(data)
            firing = Replay(self._fold, key, [data], self._course.after).due
            known = armed.read()
            if firing is not None and (known is None or firing < known):
                self._arm(armed, due, firing)

        @on_timer(due_spec)  # type: ignore[untyped-decorator]
        def fire(
            self,
            key: bytes = beam.DoFn.KeyParam,
            stamp: Any = beam.DoFn.TimestampParam,
            pending: Any = beam.DoFn.StateParam(pending_spec),
            armed: Any = beam.DoFn.StateParam(armed_spec),
            due: Any = beam.DoFn.TimerParam(due_spec),
        ) -> Iterator[Any]:
            firing, known = fired_by(stamp.micros // 1000, self._step), armed.read()
            if known is None:  # a runner may fire again when all has been said
                return
            if firing < known:  # or when the timer was set anew, which it may then have forgotten
                self._arm(armed, due, known)
                return
            walk = Replay(self._fold, key, list(pending.read()), self._course.after)
            yield from self._tagged(key, walk.fire(firing))
            for tag, value in walk.end():
                self._measure(tag, value)
            tell("watermark_lag_seconds", int(time.time()) - time_of(firing) // 1000)
            pending.clear()
            saved = walk.save()
            if saved is not None:
                self._measure(STATE, saved)
                pending.add(saved)
            following = walk.due
            if following is None:
                armed.clear()
            else:
                self._arm(armed, due, following)

    return _named(_Unbounded, name)
