"""Beam's pool of Python workers, for several TaskManagers on one machine: `pool.py PORT`.

TaskManagers number their workers each for itself, so that two of them ask one pool for a worker of
the same name. Beam's pool would then stop the worker of the one when the other asks for it: batch
jobs, whose stages come and go, were seen to fail or to hang by that. Here nobody is stopped: a
worker ends when its TaskManager hangs up.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer


class Pool(BeamFnExternalWorkerPoolServicer):  # type: ignore[misc]
    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802
        return beam_fn_api_pb2.StopWorkerResponse()


if __name__ == "__main__":
    address, server = Pool.start(use_process=True, port=int(sys.argv[1]))
    print(f"workers are started at {address}", flush=True)
    threading.Event().wait()
