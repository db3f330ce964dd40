"""TF Serving's own Python stubs."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from tests.serving.contract import models
from tests.serving.contract.requests import (
    HISTORY,
    INVALID,
    failure,
    predict_request,
)

STATE = get_model_status_pb2.ModelVersionStatus


def _items(answer):
    return tf.make_ndarray(answer.outputs["item_ids"]).tolist()


def test_predict_answers_as_the_model(stub, catalogue):
    history, exclude = catalogue.item_ids[:7], catalogue.item_ids[:2]
    inputs = {"history": [history], "exclude": [exclude], "k": np.int32(4)}
    answer = stub.Predict(
        predict_request(inputs, "recommend", version=1), timeout=10
    )
    ids, scores = catalogue.expected(history, exclude, 4)
    assert _items(answer) == [ids]
    np.testing.assert_allclose(
        tf.make_ndarray(answer.outputs["scores"]), [scores], rtol=1e-5
    )
    # Many clients read the typed fields.
    np.testing.assert_allclose(
        answer.outputs["scores"].float_val, scores, rtol=1e-5
    )
    assert answer.model_spec.name == "create"
    assert answer.model_spec.version.value == 1
    assert answer.model_spec.signature_name == "recommend"


def test_default_signature_and_packed_tensors(stub, catalogue):
    history = np.array([catalogue.item_ids[:3], [b"", b"new", b""]], object)
    answer = stub.Predict(
        predict_request({"history": history}, version=1), timeout=10
    )
    assert answer.model_spec.signature_name == "serving_default"
    assert _items(answer) == [
        catalogue.expected(catalogue.item_ids[:3])[0],
        catalogue.expected([])[0],
    ]


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ({}, 2),
        ({"version": 1}, 1),
        ({"version_label": "stable"}, 1),
        ({"version_label": "canary"}, 2),
    ],
)
def test_versions_and_labels(stub, spec, version):
    answer = stub.Predict(predict_request(HISTORY, **spec), timeout=10)
    assert answer.model_spec.version.value == version


def test_output_filter(stub):
    request = predict_request(HISTORY)
    request.output_filter.append("scores")
    assert set(stub.Predict(request, timeout=10).outputs) == {"scores"}
    request.output_filter.append("scores")
    code, details = failure(lambda: stub.Predict(request, timeout=10))
    assert code == INVALID
    assert "duplicate output tensor alias: scores" in details
    request.output_filter[:] = ["ranks"]
    code, details = failure(lambda: stub.Predict(request, timeout=10))
    assert code == INVALID
    assert "alias not found in signature: ranks" in details


K = {**HISTORY, "exclude": [["x"]]}


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (
            predict_request(HISTORY, model="other"),
            grpc.StatusCode.NOT_FOUND,
            "Servable not found for request: Latest(other)",
        ),
        (
            predict_request(HISTORY, version=9),
            grpc.StatusCode.NOT_FOUND,
            "Servable not found for request: Specific(create, 9)",
        ),
        (
            predict_request(HISTORY, version_label="none"),
            INVALID,
            "Unrecognized servable version label: none",
        ),
        (
            predict_request(HISTORY, "nope"),
            grpc.StatusCode.FAILED_PRECONDITION,
            'Serving signature key "nope" not found.',
        ),
        (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
        (
            predict_request(HISTORY, "recommend"),
            INVALID,
            "input size does not match signature: 1!=3 len({history}) != "
            "len({exclude,history,k}). Sent extra: {}. Missing but required: "
            "{exclude,k}.",
        ),
        (
            predict_request({**HISTORY, "user": [1]}),
            INVALID,
            "Sent extra: {user}. Missing but required: {}.",
        ),
        (
            predict_request({"items": [["x"]]}),
            INVALID,
            "input tensor alias not found in signature: items",
        ),
        (
            predict_request({"history": [[1, 2]]}),
            INVALID,
            "to be string but int32 is provided",
        ),
        (predict_request({"history": ["x"]}), INVALID, ""),
        (predict_request({"history": [[["x"]]]}), INVALID, ""),
        (predict_request({"history": "x"}), INVALID, ""),
        (
            predict_request({**K, "k": 0}, "recommend"),
            INVALID,
            "`k` must be at least 1",
        ),
        (predict_request({**K, "k": [3]}, "recommend"), INVALID, ""),
        (
            predict_request({**K, "k": 3.0}, "recommend"),
            INVALID,
            "to be int32 but float is provided",
        ),
        (
            predict_request(
                {**K, "exclude": [["x"], ["y"]], "k": 1}, "recommend"
            ),
            INVALID,
            "a row per user each",
        ),
    ],
)
def test_predict_refuses(stub, request_, code, message):
    found_code, details = failure(lambda: stub.Predict(request_, timeout=10))
    assert found_code == code, details
    assert message in details


def test_malformed_tensor_is_refused(stub):
    request = predict_request(HISTORY)
    request.inputs["history"].tensor_shape.dim[0].size = -3
    code, details = failure(lambda: stub.Predict(request, timeout=10))
    assert code == INVALID
    assert "tensor parsing error: history" in details


def test_metadata(stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    code, details = failure(lambda: stub.GetModelMetadata(request, timeout=10))
    assert (code, details) == (INVALID, "Missing ModelSpec")
    request.model_spec.name = "create"
    code, _ = failure(lambda: stub.GetModelMetadata(request, timeout=10))
    assert code == INVALID
    request.metadata_field.append("signature_def")
    answer = stub.GetModelMetadata(request, timeout=10)
    assert answer.model_spec.version.value == 2
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    recommend = signatures.signature_def["recommend"]
    assert set(recommend.inputs) == {"history", "exclude", "k"}
    assert set(recommend.outputs) == {"item_ids", "scores"}
    assert recommend.inputs["k"].dtype == tf.int32.as_datatype_enum
    request.metadata_field[:] = ["weights"]
    code, details = failure(lambda: stub.GetModelMetadata(request, timeout=10))
    assert code == INVALID
    assert "Metadata field weights is not supported" in details


def _statuses(server, **spec):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.CopyFrom(predict_request({}, **spec).model_spec)
    answer = server.models.GetModelStatus(request, timeout=10)
    return {s.version: s.state for s in answer.model_version_status}


def test_status(server):
    assert _statuses(server) == {1: STATE.AVAILABLE, 2: STATE.AVAILABLE}
    assert _statuses(server, version=2) == {2: STATE.AVAILABLE}
    assert _statuses(server, version_label="stable") == {1: STATE.AVAILABLE}
    code, details = failure(lambda: _statuses(server, version=5))
    assert code == grpc.StatusCode.NOT_FOUND
    assert "Could not find version 5 of model create" in details
    code, details = failure(lambda: _statuses(server, model="other"))
    assert code == grpc.StatusCode.NOT_FOUND
    assert "Could not find any versions of model other" in details
    empty = get_model_status_pb2.GetModelStatusRequest()
    code, _ = failure(lambda: server.models.GetModelStatus(empty))
    assert code == INVALID


def _reload(server, text):
    config = text_format.Parse(
        text, model_server_config_pb2.ModelServerConfig()
    )
    request = model_management_pb2.ReloadConfigRequest(config=config)
    return server.models.HandleReloadConfigRequest(request, timeout=60)


def test_reload_moves_a_label_and_keeps_it_where_that_fails(server):
    if not server.base_path:
        pytest.skip("needs --base-path")

    def stable():
        request = predict_request(HISTORY, version_label="stable")
        answer = server.prediction.Predict(request, timeout=10)
        return answer.model_spec.version.value

    try:
        moved = _reload(server, models.model_config(server.base_path, 2))
        assert moved.status.error_code == 0
        assert stable() == 2
        code, details = failure(
            lambda: _reload(server, models.model_config(server.base_path, 7))
        )
        assert code == grpc.StatusCode.FAILED_PRECONDITION
        assert "version 7 of model create" in details
        assert stable() == 2
    finally:
        _reload(server, models.model_config(server.base_path, 1))
    assert stable() == 1


def test_reload_refuses_other_configurations(server):
    code, details = failure(lambda: _reload(server, ""))
    assert code == INVALID
    assert "Only ModelConfigList is currently supported" in details


def test_calls_for_other_kinds_of_models_fail_cleanly(request, stub):
    spec = predict_request({}).model_spec
    calls = [
        lambda: stub.Classify(
            classification_pb2.ClassificationRequest(model_spec=spec)
        ),
        lambda: stub.Regress(regression_pb2.RegressionRequest(model_spec=spec)),
        lambda: stub.MultiInference(inference_pb2.MultiInferenceRequest()),
    ]
    for call in calls:
        code, details = failure(call)
        if request.config.getoption("--target", None):
            assert code != grpc.StatusCode.OK
        else:
            assert code == grpc.StatusCode.UNIMPLEMENTED
            assert "use TF Serving" in details


def test_health(server):
    stub = health_pb2_grpc.HealthStub(server.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
