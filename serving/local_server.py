"""Runs the local server in a fresh process, for as long as a block lasts.

with LocalServer(["--model_base_path", directory], "create") as server:
    client.recommend(server.target, ["id1", "id2"])
"""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
)

from serving.client import connect

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_State = get_model_status_pb2.ModelVersionStatus


class LocalServerError(Exception):
    """The server does not come up, or the model does not load."""


class LocalServer:
    """A server on ports of its own of this machine.

    Args:
        flags: its command line, without ports.
        model_name: the model to wait for.
        rest: whether to open a REST port as well.
        timeout: seconds until the model must be available.

    Attributes:
        target: host:port of gRPC.
        rest_target: host:port of REST.
        pid: of the process.

    Raises:
        LocalServerError: on entry; the message says what the server said.
    """

    def __init__(
        self,
        flags: Sequence[str],
        model_name: str,
        *,
        rest: bool = False,
        timeout: float = 120.0,
    ) -> None:
        self._flags = list(flags)
        self._model_name = model_name
        self._timeout = timeout
        port, rest_port = _free_ports(2)
        self.target = f"127.0.0.1:{port}"
        self.rest_target = f"127.0.0.1:{rest_port}"
        self._flags.append(f"--port={port}")
        if rest:
            self._flags.append(f"--rest_api_port={rest_port}")

    def __enter__(self) -> LocalServer:
        self._log = tempfile.TemporaryFile()
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "serving.server", *self._flags],
            env={
                # Whoever starts this may hold part of the GPU's memory.
                "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            },
            stdout=self._log,
            stderr=self._log,
        )
        self.pid = self._process.pid
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _wait(self) -> None:
        end = time.monotonic() + self._timeout
        with connect(self.target) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            while not self._is_available(stub):
                if self._process.poll() is not None:
                    raise LocalServerError(
                        f"The local server ended at once: {self._said()}"
                    )
                if time.monotonic() > end:
                    raise LocalServerError(
                        f"The model is not available after {self._timeout:g} "
                        f"s: {self._said()}"
                    )
                time.sleep(0.05)

    def _is_available(
        self, stub: model_service_pb2_grpc.ModelServiceStub
    ) -> bool:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model_name
        try:
            answer = stub.GetModelStatus(request, timeout=5)
        except grpc.RpcError:
            return False  # It is starting; the caller looks whether it lives.
        states = answer.model_version_status
        failed = [s for s in states if s.status.error_code]
        if failed and len(failed) == len(states):
            raise LocalServerError(
                f"The model cannot be served: {failed[0].status.error_message}"
            )
        return any(s.state == _State.AVAILABLE for s in states)

    def _said(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        return "\n".join(lines[-20:]).strip() or "it said nothing"

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def _free_ports(number: int) -> list[int]:
    """Ports that nothing listens on just now."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()
