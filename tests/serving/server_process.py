"""The local server in a process of its own, as users start it."""

import os
import pathlib
import select
import signal
import socket
import subprocess
import sys

import grpc

REPOSITORY = pathlib.Path(__file__).parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ServerProcess:
    """The server as users start it."""

    def __init__(self, base_path, *flags, models=None):
        models = models or [f"--model_base_path={base_path}"]
        self.port, self.rest_port = free_port(), free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.base_path = base_path
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "serving.server",
                *models,
                f"--port={self.port}",
                "--rest_api_port",
                str(self.rest_port),
                *flags,
            ],
            cwd=REPOSITORY,
            env={**os.environ, "no_proxy": "*"},
            stdout=subprocess.PIPE,
            stderr=(base_path / "stderr.txt").open("w"),
            text=True,
        )
        if not select.select([self.process.stdout], [], [], 90)[0]:
            self.process.kill()
            raise AssertionError((base_path / "stderr.txt").read_text())
        self.ready_line = self.process.stdout.readline()
        self.channel = grpc.insecure_channel(
            self.target, options=[("grpc.enable_http_proxy", 0)]
        )

    def stop(self):
        """Stops as an operator does; the exit code."""
        self.channel.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        finally:
            self.process.kill()
            self.process.stdout.close()
