"""The step that folds by key: Beam's state and timers around a pure fold (`transforms.fold`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

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
from transforms.fold import COUNTS, STATE, Fold, Replay, replay
from transforms.measure import measure, tell

S = TypeVar("S")
I = TypeVar("I")  # noqa: E741


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
