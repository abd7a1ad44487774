"""Runners: which one runs the graph, and what the embedded one needs to be told."""

from __future__ import annotations

from typing import Final

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import worker_handlers

EMBEDDED: Final = "FnApiRunner"
"""The default. It is named because `DirectRunner` may try to download another one."""
_PATHS: Final = {
    EMBEDDED: "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",
}


def is_embedded(options: PipelineOptions) -> bool:
    """Whether the graph runs inside this process and its children."""
    return bool(options.view_as(StandardOptions).runner == _PATHS[EMBEDDED])


def prepare(options: PipelineOptions) -> PipelineOptions:
    """Options with the runner resolved, and the process made ready for an embedded run."""
    standard = options.view_as(StandardOptions)
    runner = standard.runner or EMBEDDED
    standard.runner = _PATHS.get(runner, runner)
    if is_embedded(options):
        # The cache measures the size of every object that it stores, which costs more than it
        # saves where state is read once (as measured).
        worker_handlers.STATE_CACHE_SIZE_MB = 0
    return options
