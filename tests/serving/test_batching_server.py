"""A server that joins requests, asked by many at once."""

from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving import client
from tests.serving.contract.requests import failure, predict_request


@pytest.fixture(scope="module")
def running(start_server, tmp_path_factory):
    path = tmp_path_factory.mktemp("batching") / "batching.config"
    path.write_text("""
        max_batch_size { value: 8 }
        batch_timeout_micros { value: 20000 }
        max_enqueued_batches { value: 100 }
        num_batch_threads { value: 1 }
        allowed_batch_sizes: [4, 8]
        pad_variable_length_inputs: true
    """)
    return start_server(
        "--enable_batching", f"--batching_parameters_file={path}"
    )


@pytest.fixture(scope="module")
def stub(running):
    return prediction_service_pb2_grpc.PredictionServiceStub(running.channel)


def test_every_caller_gets_its_own_answer(stub, catalogue):
    random = np.random.default_rng(3)
    histories = [
        random.choice(catalogue.item_ids, random.integers(1, 9)).tolist()
        for _ in range(60)
    ]

    def ask(history):
        # "" in front, so that the padding of a batch is "" as well.
        request = predict_request({"history": [[b"", *history]]})
        answer = stub.Predict(request, timeout=20)
        return tf.make_ndarray(answer.outputs["item_ids"])[0].tolist()

    with futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, histories))
    assert answers == [catalogue.expected(h)[0] for h in histories]


def test_client_may_ask_for_histories_of_any_length(stub, catalogue):
    ids = [i.decode() for i in catalogue.item_ids]
    requests = [
        (ids[n : n + 1 + n % 7], ids[: n % 4], 3 + n) for n in range(30)
    ]

    def ask(request):
        history, exclude, k = request
        return client.recommend(stub, history, exclude, k=k, keep_seen=True)

    with futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, requests))
    for (history, exclude, k), answer in zip(requests, answers, strict=True):
        expected, _ = catalogue.expected(
            [i.encode() for i in history], [i.encode() for i in exclude], k
        )
        found = [r.item_id.encode() for r in answer]
        assert found == [i for i in expected if i]


def test_requests_that_do_not_fit_a_batch(stub):
    large = predict_request({"history": [["x"]] * 9})
    code, details = failure(lambda: stub.Predict(large, timeout=10))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "Task size 9 is larger than maximum input batch size 8" in details
    scalar = predict_request(
        {"history": [["x"]], "exclude": [["y"]], "k": 3}, "recommend"
    )
    code, details = failure(lambda: stub.Predict(scalar, timeout=10))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "must have at least one dimension" in details
