"""The processes of `portable_service`: Beam's job service and worker pool.

python -m benchmarks.portable_service_main job-service|worker-pool FOLDER
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
from apache_beam.options.pipeline_options import PortableOptions
from apache_beam.portability.api import beam_fn_api_pb2, beam_job_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import (
    fn_runner,
    worker_handlers,
)
from apache_beam.runners.worker import worker_pool_main

from components.beam_flush import flush_when_full_only

_LOOPBACK = "127.0.0.1"


class Records:
    """Appends JSON lines to a file, from any thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def add(self, **record: Any) -> None:
        with self._lock, open(self._file, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")


class ManyWorkersJob(local_job_service.BeamJob):
    """Beam's job, on as many SDK workers as the pipeline asks for.

    Beam's own always takes one: `FnApiRunner` reads the number only where
    the pipeline is started in the same process.
    """

    def _invoke_runner(self) -> fn_runner.RunnerResult:
        self.set_state(beam_job_api_pb2.JobState.RUNNING)
        options = self.pipeline_options()
        runner = fn_runner.FnApiRunner(provision_info=self._provision_info)
        runner._num_workers = int(
            options.view_as(PortableOptions).sdk_worker_parallelism
        )
        return runner.run_via_runner_api(self._pipeline_proto, options)


class RecordingPool(worker_pool_main.BeamFnExternalWorkerPoolServicer):
    """Beam's worker pool; writes down the process of each worker."""

    records: Records

    def StartWorker(  # noqa: N802
        self,
        start_worker_request: beam_fn_api_pb2.StartWorkerRequest,
        unused_context: Any,
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Starts a worker process, see Beam's."""
        response = super().StartWorker(start_worker_request, unused_context)
        worker_id = start_worker_request.worker_id
        if not response.error:
            process = self._worker_processes[worker_id]
            self.records.add(worker_id=worker_id, pid=process.pid)
        return response


def use_loopback_only() -> None:
    """Binds gRPC servers to 127.0.0.1 where Beam takes all interfaces."""
    make_server = grpc.server

    def server(*args: Any, **kwargs: Any) -> grpc.Server:
        made = make_server(*args, **kwargs)
        bind = made.add_insecure_port
        made.add_insecure_port = lambda address: bind(
            address.replace("[::]", _LOOPBACK)
        )
        return made

    grpc.server = server
    # Workers of a pool are told the machine's public name otherwise.
    worker_handlers.ExternalWorkerHandler.host_from_worker = lambda handler: (
        _LOOPBACK
    )


def record_bundles(records: Records) -> None:
    """Writes down which worker each bundle is handed to."""
    find = worker_handlers.BeamFnControlServicer.get_conn_by_worker_id

    def recording_find(
        servicer: worker_handlers.BeamFnControlServicer, worker_id: str
    ) -> worker_handlers.ControlConnection:
        connection = find(servicer, worker_id)
        # A worker that connects before it is asked for finds the same one.
        push = type(connection).push

        def recording_push(request: Any) -> Any:
            if (
                isinstance(request, beam_fn_api_pb2.InstructionRequest)
                and request.WhichOneof("request") == "process_bundle"
            ):
                records.add(worker_id=worker_id)
            return push(connection, request)

        connection.push = recording_push
        return connection

    worker_handlers.BeamFnControlServicer.get_conn_by_worker_id = recording_find


def main(arguments: list[str]) -> None:
    """Serves until SIGTERM; the port is written to FOLDER/NAME.port."""
    name, folder = arguments[0], Path(arguments[1])
    # As an exit, so that the pool ends its workers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO)
    use_loopback_only()
    flush_when_full_only()
    if name == "job-service":
        record_bundles(Records(folder / "bundles.jsonl"))
        service = local_job_service.LocalJobServicer(
            beam_job_type=ManyWorkersJob
        )
        port = service.start_grpc_server(0)
    elif name == "worker-pool":
        RecordingPool.records = Records(folder / "workers.jsonl")
        address, _server = RecordingPool.start(use_process=True)
        port = int(address.rsplit(":", 1)[1])
    else:
        raise SystemExit(f"Expected job-service or worker-pool, found {name!r}")
    temporary = folder / f"{name}.port.tmp"
    temporary.write_text(str(port))
    os.replace(temporary, folder / f"{name}.port")
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(sys.argv[1:])
