"""Beam's portable job service and worker pool, each a process of its own.

    python -m benchmarks.portable_service --workers 2

starts both on this machine, prints the `beam:` block that uses them, and runs
until Ctrl-C. It is what Flink or Spark do with a pipeline: the driver sends
it to a job service, and that has SDK workers in other processes do the work.

Both servers are Beam's own. Changed are (see `portable_service_main`): the job
service asks for as many workers as the pipeline's `--sdk_worker_parallelism`
says, where Beam's always takes one; all ports are on 127.0.0.1 only; buffers
are not emptied by the clock (`components.beam_flush`); both write down who did
what.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

REPOSITORY = Path(__file__).resolve().parents[1]
_SERVERS = ("job-service", "worker-pool")
_START_SECONDS = 240
_STOP_SECONDS = 20


class ServiceError(RuntimeError):
    """A server did not start or ended early; says where its log is."""


class PortableService:
    """A job service and a pool of SDK workers while the context is open.

    Args:
        folder: for logs and records.
        workers: SDK worker processes per job.
    """

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder = folder
        self.workers = workers
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}
        self._seen = 0

    def __enter__(self) -> PortableService:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for name in _SERVERS:
                self._start(name)
            for name in _SERVERS:
                self._ports[name] = self._wait_for_port(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Server name -> process id."""
        return {name: p.pid for name, p in self._processes.items()}

    def options(self) -> list[str]:
        """Beam's arguments, beside the runner, that lead here."""
        return [
            f"--job_endpoint=127.0.0.1:{self._ports['job-service']}",
            "--environment_type=EXTERNAL",
            f"--environment_config=127.0.0.1:{self._ports['worker-pool']}",
            f"--sdk_worker_parallelism={self.workers}",
            # Beam's local job service ends a job's state stream after so many
            # seconds, and the job fails with DEADLINE_EXCEEDED; usual is 60.
            "--job_server_timeout=3600",
            # TFX packs itself up for the workers unless there is an image.
            "--sdk_container_image=none",
        ]

    def new_bundles(self) -> dict[int, int]:
        """Worker's process id -> bundles it worked on since the last call.

        Raises:
            ServiceError: a server has ended.
        """
        self._check_alive()
        pids = {
            record["worker_id"]: record["pid"]
            for record in _read_records(self.folder / "workers.jsonl")
        }
        bundles = _read_records(self.folder / "bundles.jsonl")
        counts = collections.Counter(
            pids[record["worker_id"]] for record in bundles[self._seen :]
        )
        self._seen = len(bundles)
        return dict(counts)

    def stop(self) -> None:
        """Ends both servers; the pool ends its workers."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str) -> None:
        path = os.environ.get("PYTHONPATH", "")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(REPOSITORY), path])
            ),
            # Beam's pool starts its workers as `python`.
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
            ),
            "TF_USE_LEGACY_KERAS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        with open(self.folder / f"{name}.log", "wb") as log:
            self._processes[name] = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.portable_service_main",
                    name,
                    str(self.folder),
                ],
                cwd=REPOSITORY,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _wait_for_port(self, name: str) -> int:
        file = self.folder / f"{name}.port"
        deadline = time.monotonic() + _START_SECONDS
        while not file.exists():
            self._check_alive()
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"The {name} did not start within {_START_SECONDS} s: see "
                    f"{self.folder / f'{name}.log'}. Fix: try again when the "
                    "machine is less busy."
                )
            time.sleep(0.1)
        return int(file.read_text())

    def _check_alive(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = self.folder / f"{name}.log"
                tail = log.read_text(errors="replace")[-2000:]
                raise ServiceError(
                    f"The {name} ended with exit code {process.returncode}. "
                    f"The end of {log}:\n{tail}"
                )


def _read_records(file: Path) -> list[dict]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


def main() -> int:
    """Runs both servers until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    # Also where a shell has started this in the background and ignores SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="portable-service-"))
    print(f"Starting; logs in {folder}", flush=True)
    try:
        with PortableService(folder, arguments.workers) as service:
            print("beam:\n  runner: portable\n  pipeline_args:")
            for option in service.options():
                print(f"    - {option}", flush=True)
            while True:
                time.sleep(1)
                service.new_bundles()
    except KeyboardInterrupt:
        print("Stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
