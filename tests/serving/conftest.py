"""A small catalogue, an encoder simple enough for numpy, and exports."""

import dataclasses
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf

from serving import export

REPOSITORY = pathlib.Path(__file__).parents[2]


class MeanEncoder(tf.Module):
    """Mean of the items' vectors; fails on rows without an item."""

    def __init__(self, item_vectors):
        super().__init__()
        self.table = tf.Variable(
            np.vstack([0 * item_vectors[:1], item_vectors])
        )
        self.never_read = tf.Variable(tf.zeros([321, 8]))

    def __call__(self, rows):
        known = tf.cast(rows > 0, tf.float32)
        count = tf.reduce_sum(known, axis=1)
        with tf.control_dependencies([tf.debugging.assert_positive(count)]):
            total = tf.reduce_sum(tf.gather(self.table, rows), axis=1)
        return total / count[:, tf.newaxis]


@dataclasses.dataclass
class Catalogue:
    item_ids: list
    item_vectors: np.ndarray
    popular_items: np.ndarray
    max_history: int = 5

    def export(self, directory, **changes):
        arguments = {
            "encode": MeanEncoder(self.item_vectors),
            "item_vectors": self.item_vectors,
            "item_ids": self.item_ids,
            "popular_items": self.popular_items,
            "max_history": self.max_history,
            "version_info": {"run": "test"},
        }
        export.export_saved_model(str(directory), **{**arguments, **changes})

    def expected(self, history, exclude=(), k=10):
        """What one user must get: ids and scores, by loops and numpy."""
        known = [self.item_ids.index(i) for i in history if i in self.item_ids]
        newest = known[-self.max_history :]
        if newest:
            mean = self.item_vectors[newest].mean(axis=0)
            scores = self.item_vectors @ mean
        else:
            rest = [i for i in range(40) if i not in self.popular_items]
            scores = np.zeros(40)
            for rank, i in enumerate([*self.popular_items, *rest], start=1):
                scores[i] = 1 / rank
        order = [
            i
            for i in np.argsort(-scores, kind="stable")
            if self.item_ids[i] not in exclude
        ][:k]
        missing = min(k, 40) - len(order)
        return (
            [self.item_ids[i] for i in order] + [b""] * missing,
            [scores[i] for i in order] + [-np.inf] * missing,
        )


@pytest.fixture(scope="session")
def catalogue():
    random = np.random.default_rng(7)
    return Catalogue(
        item_ids=[f"item {i:02d} ü".encode() for i in range(40)],
        item_vectors=random.normal(size=(40, 8)).astype(np.float32),
        popular_items=random.permutation(40)[:25].astype(np.int32),
    )


@pytest.fixture(scope="session")
def exported(catalogue, tmp_path_factory):
    """Folder of the exported SavedModel."""
    path = tmp_path_factory.mktemp("exported") / "1"
    catalogue.export(path)
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ServerProcess:
    """The server as users start it."""

    def __init__(self, base_path, *flags):
        self.port, self.rest_port = free_port(), free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.base_path = base_path
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "serving.server",
                f"--model_base_path={base_path}",
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


@pytest.fixture(scope="session")
def start_server(exported, tmp_path_factory):
    """Starts servers of version 1, each with its own folder."""
    servers = []

    def start(*flags):
        base_path = tmp_path_factory.mktemp("models")
        shutil.copytree(exported, base_path / "1")
        servers.append(ServerProcess(base_path, *flags))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture(name="wait_until", scope="session")
def wait_until_fixture():
    return wait_until
