"""Two replicas train what one does: two devices, and two processes."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from models.replicas import Replicas
from tests.models.replica_fits import CASES

SHARED = "sasrec, lightgcn with shared negatives, infonce"


def _start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.models.replica_fits", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def _output(process):
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("replicas")


@pytest.fixture(scope="module")
def processes(folder):
    """One that makes the fits of `CASES`, and two workers; side by side."""
    sockets = [socket.socket() for _ in range(2)]
    for own in sockets:
        own.bind(("127.0.0.1", 0))
    workers = [f"127.0.0.1:{own.getsockname()[1]}" for own in sockets]
    for own in sockets:
        own.close()
    tasks = [{"type": "worker", "index": index} for index in range(2)]
    return [
        _start(),
        *(
            _start(
                SHARED,
                str(folder / f"checkpoints{task['index']}"),
                TF_CONFIG=json.dumps(
                    {"cluster": {"worker": workers}, "task": task}
                ),
            )
            for task in tasks
        ),
    ]


@pytest.fixture(scope="module")
def fits(processes):
    return _output(processes[0])


def _assert_same(found, expected):
    assert len(found["epochs"]) == 3
    for own, other in zip(found["epochs"], expected["epochs"], strict=True):
        assert own["losses"] == pytest.approx(other["losses"], rel=1e-5)
        assert own["gradient_norm"] == pytest.approx(
            other["gradient_norm"], rel=1e-4
        )
        assert own["ndcg"] == pytest.approx(other["ndcg"], abs=1e-6)
    # Adam divides by the root of small squares: rounding is larger there
    for table in ("table", "users"):
        np.testing.assert_allclose(found[table], expected[table], atol=2e-4)


@pytest.mark.parametrize("case", CASES)
def test_two_devices_train_what_one_does(fits, case):
    _assert_same(fits[case]["two"], fits[case]["one"])


def test_two_processes_train_what_one_does(fits, processes, folder):
    """Each on its own, as on two machines; the first one writes."""
    for worker in processes[1:]:
        _assert_same(_output(worker), fits[SHARED]["one"])
    written = [
        any((folder / f"checkpoints{index}").glob("ckpt*"))
        for index in range(2)
    ]
    assert written == [True, False]


def test_several_machines_need_their_addresses(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="TF_CONFIG names no workers"):
        Replicas.of("multi_worker")


def test_auto_is_one_device_where_there_is_one(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert Replicas.of("auto").count == 1
    assert Replicas.of("auto").is_chief
