"""Runners: which one runs the graph, and what the embedded one needs to be told."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any, Final

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners import PipelineRunner, create_runner
from apache_beam.runners.portability.fn_api_runner import worker_handlers

from pipeline.errors import UsageError, nearest

EMBEDDED: Final = "FnApiRunner"
"""The default. It is named because `DirectRunner` may try to download another one."""
_PATHS: Final = {
    EMBEDDED: "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",
}


def is_embedded(options: PipelineOptions) -> bool:
    """Whether the graph runs inside this process and its children."""
    return bool(options.view_as(StandardOptions).runner == _PATHS[EMBEDDED])


def prepare(options: PipelineOptions) -> PipelineOptions:
    """Options with the runner resolved, and the process made ready for an embedded run.

    Raises UsageError for a runner that does not exist.
    """
    standard = options.view_as(StandardOptions)
    runner = standard.runner or EMBEDDED
    standard.runner = _PATHS.get(runner, runner)
    if (options.view_as(DirectOptions).direct_num_workers or 0) < 0:
        raise UsageError("--direct_num_workers: must be 0 (all cores) or more")
    try:
        if not isinstance(create_runner(standard.runner), PipelineRunner):
            raise ValueError(runner)
    except (ValueError, ImportError, AttributeError, TypeError):
        known = (EMBEDDED, *StandardOptions.ALL_KNOWN_RUNNERS)
        names = [name.rpartition(".")[2] for name in known]
        raise UsageError(f"--runner {runner}: no such runner{nearest(runner, names)}") from None
    if is_embedded(options):
        # The cache measures the size of every object that it stores, which costs more than it
        # saves where state is read once (as measured).
        worker_handlers.STATE_CACHE_SIZE_MB = 0
        # A failure reaches the caller as an exception: no need to log it first.
        logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    return options


_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Remembers a Ctrl-C or a SIGTERM: in a worker the runner turns it into another error."""

    def __init__(self) -> None:
        self.any = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if self._is_main():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}

    def __exit__(self, *_: object) -> None:
        if self._is_main():
            for number, handler in self._before.items():
                signal.signal(number, handler)

    @staticmethod
    def _is_main() -> bool:
        return threading.current_thread() is threading.main_thread()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.any = True
        raise KeyboardInterrupt
