"""The job's graph: names, coders, and that each keyed step fires before those that follow it."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.portability.api import beam_runner_api_pb2
from beams import pipeline_on
from factory import rule
from relay import STARTS, Pair, Relay, message, relayed_plainly

from pipeline.job import Job
from transforms.firing import WHOLE, Course
from transforms.fold import replay
from transforms.fold_by_key import FoldByKey
from transforms.objects import Extent, ReadObjects, name_list

COURSES = {
    "bounded": Course(),
    "bounded, kept": Course(keep=True),
    "unbounded": Course(unbounded=True),
}
of_each_course = pytest.mark.parametrize("course", COURSES.values(), ids=COURSES)


def job_graph(folder: Path, course: Course = WHOLE) -> beam.Pipeline:
    """The whole job, built and not run."""
    pipeline = pipeline_on()
    read = ReadObjects("role", None, Extent(None, None, 0))
    Job(read, (rule(),), folder, course).build(pipeline, [name_list(["no-such-object.json.gz"])])
    return pipeline


@of_each_course
def test_timer_and_state_names_are_unique_in_the_graph(tmp_path: Path, course: Course) -> None:
    timers: list[str] = []
    states: list[str] = []
    graph = job_graph(tmp_path, course).to_runner_api()
    for transform in graph.components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            timers += payload.timer_family_specs
            states += payload.state_specs
    assert sorted(timers) == ["ts-score_due", "ts-select_due", "ts-weigh_due"]
    kinds = ["armed", "pending"] if course.unbounded else ["pending"]
    assert sorted(states) == [f"{k}_{kind}" for k in ("score", "select", "weigh") for kind in kinds]


@of_each_course
def test_what_keyed_steps_receive_is_bytes_to_every_runner(tmp_path: Path, course: Course) -> None:
    """DESIGN.md §5: no pickled coder. A key in a pickled coder is another key elsewhere."""
    components = job_graph(tmp_path, course).to_runner_api().components
    coders = {}
    for transform in components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            for timer in payload.timer_family_specs:
                (received,) = transform.inputs.values()
                pair = components.coders[components.pcollections[received].coder_id]
                coders[timer] = [
                    components.coders[part].spec.urn for part in pair.component_coder_ids
                ]
    typed = ["beam:coder:bytes:v1"] * 2
    assert coders == dict.fromkeys(["ts-score_due", "ts-weigh_due", "ts-select_due"], typed)


class _Steps(PipelineVisitor):
    """Finds the keyed steps, and what follows what."""

    def __init__(self) -> None:
        self.nodes: list[AppliedPTransform] = []
        self._readers: dict[int, list[AppliedPTransform]] = defaultdict(list)
        self._writers: dict[int, AppliedPTransform] = {}

    def visit_transform(self, node: AppliedPTransform) -> None:
        self.nodes.append(node)
        for collection in node.inputs:
            self._readers[id(collection)].append(node)
        for collection in node.outputs.values():
            self._writers[id(collection)] = node

    def followers(self, node: AppliedPTransform) -> int:
        """Keyed steps in the longest way on from a node, its own not counted."""
        readers = [r for out in node.outputs.values() for r in self._readers[id(out)]]
        steps = [fold_of(r) not in (None, fold_of(node)) for r in readers]
        return max((s + self.followers(r) for s, r in zip(steps, readers, strict=True)), default=0)

    def before(self, node: AppliedPTransform) -> int:
        """Keyed steps in the longest way to a node, its own not counted."""
        writers = [self._writers[id(each)] for each in node.inputs if id(each) in self._writers]
        steps = [fold_of(w) not in (None, fold_of(node)) for w in writers]
        return max((s + self.before(w) for s, w in zip(steps, writers, strict=True)), default=0)


def fold_of(node: AppliedPTransform | None) -> FoldByKey[Any, Any] | None:
    """The keyed step that a node of the graph is a part of."""
    while node is not None and not isinstance(node.transform, FoldByKey):
        node = node.parent
    return None if node is None else node.transform


def folds_of_the_job(
    folder: Path, course: Course = WHOLE
) -> dict[str, tuple[FoldByKey[Any, Any], int, int]]:
    """Name of each keyed step of the job → (the step, keyed steps before it, and after it)."""
    steps = _Steps()
    job_graph(folder, course).visit(steps)
    folds = [(fold, node) for node in steps.nodes if (fold := fold_of(node))]
    return {fold.name: (fold, steps.before(node), steps.followers(node)) for fold, node in folds}


@of_each_course
def test_each_keyed_step_knows_how_many_are_before_and_follow(
    tmp_path: Path, course: Course
) -> None:
    folds = folds_of_the_job(tmp_path, course)
    found = {name: (before, after) for name, (_, before, after) in folds.items()}
    assert found == {"score": (0, 2), "weigh": (1, 1), "select": (2, 0)}
    for fold, *places in folds.values():
        assert [fold.step, fold.followers] == places
        assert fold.course == course, "all steps go the same way through time"


# T + k ms


def delivered(followers: Sequence[int]) -> list[Pair]:
    """Three relays on a runner that keeps the watermark's promise and not one bit more.

    Timers fire one key after the other in the order of their times (of equal ones the last step's
    first), and what one gives is at once an element of the next step. A timer set for a time that
    has passed fires at once. The runners at hand are kinder: they fire all keys of a step together
    and step after step, so that on them wrong followers do no harm that a test could see.
    """
    pending: dict[tuple[int, bytes], list[bytes]] = {}
    timers: list[tuple[int, int, bytes]] = []
    out: list[Pair] = []

    def receive(step: int, pair: Pair) -> None:
        key, data = pair
        if step == 3:
            out.append(pair)
        elif (step, key) in pending:
            pending[step, key].append(data)
        else:
            pending[step, key] = [data]
            heapq.heappush(timers, (-followers[step], -step, key))

    for start in STARTS:
        receive(0, message(*start))
    while timers:
        _, minus_step, key = heapq.heappop(timers)
        for tag, value in replay(Relay(), key, pending.pop((-minus_step, key))):
            if tag == "out":
                receive(1 - minus_step, value)
    return sorted(out)


def test_a_step_fires_after_all_outputs_of_the_one_before(tmp_path: Path) -> None:
    told = [fold.followers for fold, *_ in folds_of_the_job(tmp_path).values()]
    assert delivered(told) == relayed_plainly()


@pytest.mark.parametrize("wrong", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (1, 1, 0), (1, 0, 0)])
def test_followers_in_a_wrong_order_lose_outputs(wrong: Sequence[int]) -> None:
    assert delivered(wrong) != relayed_plainly()
