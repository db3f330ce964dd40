"""The load generator against a server whose slowness is known."""

import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from benchmarks.serving.load import Client, Outcome, percentiles


class Slow:
    """Answers after a time; may fail, or change its version."""

    def __init__(self, seconds):
        self.seconds, self.calls, self.fails = seconds, 0, False
        self.lock = threading.Lock()

    def __call__(self, request, context):
        with self.lock:
            self.calls += 1
            version = 1 if self.calls <= 20 else 2
        time.sleep(self.seconds)
        if self.fails:
            context.abort(grpc.StatusCode.UNAVAILABLE, "full")
        answer = predict_pb2.PredictResponse()
        answer.model_spec.version.value = version
        return answer.SerializeToString()


@pytest.fixture
def served():
    """The slow service and a client of it."""
    service = Slow(0.2)
    server = grpc.server(futures.ThreadPoolExecutor(100))
    handler = grpc.method_handlers_generic_handler(
        "tensorflow.serving.PredictionService",
        {"Predict": grpc.unary_unary_rpc_method_handler(service)},
    )
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, Client(f"127.0.0.1:{port}", [b"a", b"b"])
    server.stop(None).wait()


def test_requests_leave_whether_or_not_others_are_answered(served):
    service, client = served
    outcome = client.open_loop(rate=60, seconds=1.0, seed=3)
    gaps = np.random.default_rng(3).exponential(1 / 60, 1000)
    expected = int((np.cumsum(gaps) < 1.0).sum())
    assert service.calls == len(outcome.milliseconds) == expected
    # One after another they would take expected * 0.2 s, some 12 s.
    assert outcome.seconds < 4
    assert min(outcome.milliseconds) >= 200
    assert outcome.versions[0] == 1 and outcome.versions[-1] == 2
    assert outcome.summary()["errors"] == 0


def test_callers_that_wait(served):
    service, client = served
    outcome = client.closed_loop(concurrency=5, seconds=0.5)
    # Each asks at 0, 0.2 and 0.4 s, or less often on a busy machine.
    assert 5 <= service.calls <= 15
    assert len(outcome.milliseconds) == service.calls
    summary = outcome.summary()
    assert summary["answered_per_second"] <= 5 / 0.2
    assert summary["p50"] >= 200


def test_failures_are_counted_by_code(served):
    service, client = served
    service.fails, service.seconds = True, 0.0
    outcome = client.open_loop(rate=50, seconds=0.3, seed=0)
    assert outcome.failures == ["UNAVAILABLE"] * service.calls
    assert outcome.milliseconds == []
    assert outcome.summary()["errors"] == service.calls


def test_percentiles():
    assert percentiles(np.arange(101.0)) == {"p50": 50, "p95": 95, "p99": 99}
    assert percentiles(np.empty(0)) == {}
    outcome = Outcome([1.0, 2.0, 3.0], [0.5], [], [1], 2.0)
    assert outcome.summary()["answered_per_second"] == 1.5
