import base64
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving import client, flags, server

STATE = get_model_status_pb2.ModelVersionStatus


@pytest.fixture(scope="module")
def running(start_server):
    return start_server("--enable_grpc_healthcheck_service")


@pytest.fixture(scope="module")
def stub(running):
    return prediction_service_pb2_grpc.PredictionServiceStub(running.channel)


def _request(inputs, signature="", model="create", version=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def _status(server_process, version=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "create"
    if version is not None:
        request.model_spec.version.value = version
    answer = model_service_pb2_grpc.ModelServiceStub(
        server_process.channel
    ).GetModelStatus(request, timeout=10)
    return {s.version: s for s in answer.model_version_status}


def _failure(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def _post(server_process, path, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return _open(server_process, path, data)


def _open(server_process, path, data=None):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = f"http://127.0.0.1:{server_process.rest_port}{path}"
    try:
        with opener.open(url, data, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_ready_line_names_model_version_and_ports(running):
    assert running.ready_line == (
        f"Serving create version 1 gRPC 127.0.0.1:{running.port} "
        f"REST 127.0.0.1:{running.rest_port}\n"
    )


def test_predict_answers_as_the_model(stub, catalogue):
    history, exclude = catalogue.item_ids[:7], catalogue.item_ids[:2]
    inputs = {"history": [history], "exclude": [exclude], "k": np.int32(4)}
    answer = stub.Predict(_request(inputs, "recommend"), timeout=10)
    ids, scores = catalogue.expected(history, exclude, 4)
    assert tf.make_ndarray(answer.outputs["item_ids"]).tolist() == [ids]
    np.testing.assert_allclose(
        tf.make_ndarray(answer.outputs["scores"]), [scores], rtol=1e-5
    )
    # Many clients read the typed fields, which TF Serving fills.
    np.testing.assert_allclose(
        answer.outputs["scores"].float_val, scores, rtol=1e-5
    )
    assert answer.model_spec.version.value == 1
    assert answer.model_spec.signature_name == "recommend"


def test_default_signature_and_packed_tensors(stub, catalogue):
    history = np.array([catalogue.item_ids[:3], [b"", b"new", b""]], object)
    answer = stub.Predict(_request({"history": history}, version=1), timeout=10)
    assert answer.model_spec.signature_name == "serving_default"
    ids = tf.make_ndarray(answer.outputs["item_ids"]).tolist()
    assert ids == [
        catalogue.expected(catalogue.item_ids[:3])[0],
        catalogue.expected([])[0],
    ]


def test_output_filter(stub):
    request = _request({"history": [["x"]]})
    request.output_filter.append("scores")
    assert set(stub.Predict(request, timeout=10).outputs) == {"scores"}
    request.output_filter.append("scores")
    assert _failure(lambda: stub.Predict(request, timeout=10)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "duplicate output tensor alias: scores",
    )
    request.output_filter[:] = ["ranks"]
    code, details = _failure(lambda: stub.Predict(request, timeout=10))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "alias not found in signature: ranks" in details


HISTORY = {"history": [["x"]]}


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (
            _request(HISTORY, model="other"),
            grpc.StatusCode.NOT_FOUND,
            "Servable not found for request: Latest(other)",
        ),
        (
            _request(HISTORY, version=9),
            grpc.StatusCode.NOT_FOUND,
            "Servable not found for request: Specific(create, 9)",
        ),
        (
            _request(HISTORY, "nope"),
            grpc.StatusCode.FAILED_PRECONDITION,
            'Serving signature key "nope" not found.',
        ),
        (
            _request(HISTORY, "__saved_model_init_op"),
            grpc.StatusCode.FAILED_PRECONDITION,
            "not found",
        ),
        (
            predict_pb2.PredictRequest(),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Missing ModelSpec",
        ),
        (
            _request(HISTORY, "recommend"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "input size does not match signature: 1!=3 len({history}) != "
            "len({exclude,history,k}). Sent extra: {}. Missing but required: "
            "{exclude,k}.",
        ),
        (
            _request({**HISTORY, "user": [1]}),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Sent extra: {user}. Missing but required: {}.",
        ),
        (
            _request({"items": [["x"]]}),
            grpc.StatusCode.INVALID_ARGUMENT,
            "input tensor alias not found in signature: items",
        ),
        (
            _request({"history": [[1, 2]]}),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Expects input history to be string but int32 is provided",
        ),
        (
            _request({"history": ["x"]}),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Expects input history of shape (None, None), found (1,)",
        ),
        (
            _request({**HISTORY, "exclude": [["x"]], "k": 0}, "recommend"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "`k` must be at least 1",
        ),
    ],
)
def test_predict_refuses(stub, request_, code, message):
    found_code, details = _failure(lambda: stub.Predict(request_, timeout=10))
    assert found_code == code
    assert message in details


def test_malformed_tensor_is_refused(stub):
    request = _request(HISTORY)
    request.inputs["history"].tensor_shape.dim[0].size = -3
    code, details = _failure(lambda: stub.Predict(request, timeout=10))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "tensor parsing error: history" in details


def test_metadata(stub, exported):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "create"
    code, _ = _failure(lambda: stub.GetModelMetadata(request, timeout=10))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    request.metadata_field.append("signature_def")
    answer = stub.GetModelMetadata(request, timeout=10)
    assert answer.model_spec.version.value == 1
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    recommend = signatures.signature_def["recommend"]
    assert set(recommend.inputs) == {"history", "exclude", "k"}
    assert set(recommend.outputs) == {"item_ids", "scores"}
    assert recommend.inputs["k"].dtype == tf.int32.as_datatype_enum


def test_status(running):
    status = _status(running)
    assert {v: s.state for v, s in status.items()} == {1: STATE.AVAILABLE}
    assert _failure(lambda: _status(running, 5)) == (
        grpc.StatusCode.NOT_FOUND,
        "Could not find version 5 of model create",
    )


def test_unimplemented_calls_say_so(running, stub):
    models = model_service_pb2_grpc.ModelServiceStub(running.channel)
    calls = [
        lambda: stub.Classify(classification_pb2.ClassificationRequest()),
        lambda: stub.Regress(regression_pb2.RegressionRequest()),
        lambda: models.HandleReloadConfigRequest(
            model_management_pb2.ReloadConfigRequest()
        ),
    ]
    for call in calls:
        code, details = _failure(call)
        assert code == grpc.StatusCode.UNIMPLEMENTED
        assert "use TF Serving" in details


def test_health(running):
    stub = health_pb2_grpc.HealthStub(running.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_rest_rows(running, catalogue):
    text = [i.decode() for i in catalogue.item_ids]
    encoded = [base64.b64encode(i).decode() for i in catalogue.item_ids]
    ids, scores = catalogue.expected(catalogue.item_ids[:2])
    for row in (
        text[:2],
        {"history": text[:2]},
        [{"b64": encoded[0]}, {"b64": encoded[1]}],
    ):
        status, answer = _post(
            running, "/v1/models/create:predict", {"instances": [row, row]}
        )
        assert status == 200, answer
        for prediction in answer["predictions"]:
            assert prediction["item_ids"] == [i.decode() for i in ids]
            np.testing.assert_allclose(prediction["scores"], scores, rtol=1e-5)


def test_rest_columns(running, catalogue):
    text = [i.decode() for i in catalogue.item_ids]
    status, answer = _post(
        running,
        "/v1/models/create/versions/1:predict",
        {
            "signature_name": "recommend",
            "inputs": {"history": [text[:2]], "exclude": [text], "k": 2},
        },
    )
    assert status == 200, answer
    assert answer["outputs"] == {
        "item_ids": [["", ""]],
        "scores": [[-np.inf, -np.inf]],
    }


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("create:predict", b"{", 400, "JSON Parse error"),
        ("create:predict", {}, 400, "either 'instances'"),
        (
            "create:predict",
            {"instances": [["a"], ["a", "b"]]},
            400,
            "history is ragged",
        ),
        ("create:predict", {"instances": [[1]]}, 400, "JSON Value: 1 is not"),
        ("create:predict", {"inputs": {"x": [["a"]]}}, 400, "Unknown input: x"),
        (
            "create:predict",
            {"inputs": [["a"]], "signature_name": "recommend"},
            400,
            "exclude, history, k",
        ),
        (
            "create:predict",
            {"inputs": [["a"]], "signature_name": "nope"},
            412,
            '"nope" not found',
        ),
        ("create/versions/7:predict", {"inputs": [["a"]]}, 404, "(create, 7)"),
        ("create/labels/new:predict", {"inputs": [["a"]]}, 400, "label: new"),
        ("other:predict", {"inputs": [["a"]]}, 404, "Latest(other)"),
        ("create:classify", {}, 501, "use TF Serving"),
        ("create:explode", {}, 400, "Malformed request: POST /v1/models/"),
    ],
)
def test_rest_refuses(running, path, body, status, message):
    found_status, answer = _post(running, f"/v1/models/{path}", body)
    assert found_status == status
    assert set(answer) == {"error"}
    assert message in answer["error"]


def test_rest_status_and_metadata(running):
    status, answer = _open(running, "/v1/models/create")
    assert status == 200
    assert answer["model_version_status"] == [
        {
            "version": "1",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
    ]
    assert _open(running, "/v1/models/create/versions/1") == (status, answer)
    assert _open(running, "/v1/models/create/versions/2")[0] == 404
    _, metadata = _open(running, "/v1/models/create/metadata")
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures["recommend"]["inputs"]["k"]["dtype"] == "DT_INT32"


def test_client_prints_a_table(running, catalogue):
    history = [i.decode() for i in catalogue.item_ids[:3]]
    # Without conftest's setting: the client silences TensorFlow itself.
    environment = {**os.environ}
    del environment["TF_CPP_MIN_LOG_LEVEL"]
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "serving.client",
            f"--history={','.join(history)}",
            f"--exclude={history[0]},{history[1]}",
            "--k=3",
            f"--target={running.target}",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "PYTHONUTF8": "1"},
    )
    ids, scores = catalogue.expected(
        catalogue.item_ids[:3], catalogue.item_ids[:2], 3
    )
    rows = [
        re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()
    ]
    assert rows[0] == ["rank", "item id", "score"]
    assert rows[1:] == [
        [str(rank), item_id.decode(), f"{score:.4f}"]
        for rank, (item_id, score) in enumerate(
            zip(ids, scores, strict=True), start=1
        )
    ]
    assert result.stderr == ""


def test_client_function_takes_a_stub_and_drops_pads(stub, catalogue):
    history = [i.decode() for i in catalogue.item_ids[:39]]
    (last,) = client.recommend(stub, history, history, k=5)
    assert last.item_id == catalogue.item_ids[39].decode()
    popular = client.recommend(stub, [], k=1)[0].item_id
    first = catalogue.item_ids[catalogue.popular_items[0]]
    assert popular == first.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model_name", "other"], "does not serve that model or version"),
        (["--version", "8"], "Specific(create, 8)"),
        (["--target", "127.0.0.1:1"], "No server can be reached at 127.0.0.1"),
    ],
)
def test_client_errors_are_one_line(running, capsys, arguments, message):
    code = client.main(
        ["--history", "a", "--target", running.target, *arguments]
    )
    printed = capsys.readouterr()
    assert code == 1
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1


def test_server_refuses_a_missing_folder(tmp_path, capsys):
    missing = tmp_path / "nothing"
    assert server.main([f"--model_base_path={missing}"]) == 1
    assert f"There is no folder {missing}" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_server_refuses_a_port_in_use(running, tmp_path, capsys, flag):
    port = running.port if flag == "port" else running.rest_port
    other = "--rest_api_port=0" if flag == "port" else "--port=0"
    arguments = [f"--model_base_path={tmp_path}", f"--{flag}={port}", other]
    assert server.main(arguments) == 1
    assert f"(--{flag})" in capsys.readouterr().err


def test_flags_of_tf_serving(capsys):
    both = flags.parse(
        ["--model_base_path", "m", "--port=1", "--enable_model_warmup=false"]
    )
    assert (both.model_base_path, both.port) == ("m", 1)
    assert both.enable_model_warmup is False
    assert both.model_name == "create"
    assert both.rest_api_port == 0  # As in TF Serving, off.
    assert both.host == "127.0.0.1"
    tuned = ["--model_base_path=m", "--enable_batching", "--grpc_max_threads=4"]
    flags.parse(tuned)
    ignored = capsys.readouterr().err
    assert ignored == "Ignored here: --enable_batching, --grpc_max_threads\n"
    with pytest.raises(SystemExit):
        flags.parse(["--model_base_path=m", "--model_config_file=f"])
    assert "--model_config_file=f" in capsys.readouterr().err


class _Load(threading.Thread):
    """Asks without pause and notes which version answered."""

    def __init__(self, stub):
        super().__init__()
        self.stub = stub
        self.versions, self.failures = [], []
        self.ended = threading.Event()

    def run(self):
        while not self.ended.is_set():
            try:
                answer = self.stub.Predict(_request(HISTORY), timeout=20)
                self.versions.append(answer.model_spec.version.value)
            except grpc.RpcError as error:
                self.failures.append(error)


def _push(source, base_path, version):
    """Copies a version in as the Pusher does: saved_model.pb last."""
    target = base_path / str(version)
    shutil.copytree(
        source, target, ignore=shutil.ignore_patterns("saved_model.pb")
    )
    shutil.copy(source / "saved_model.pb", target)


@pytest.fixture(scope="module")
def changing(start_server):
    """A server whose versions change, and that the last test stops."""
    return start_server(
        "--file_system_poll_wait_seconds=0.1", "--shutdown_grace_seconds", "60"
    )


def test_versions_change_without_a_failed_request(
    changing, exported, catalogue, tmp_path, wait_until
):
    running = changing
    stub = prediction_service_pb2_grpc.PredictionServiceStub(running.channel)
    load = _Load(stub)
    load.start()
    try:
        base_path = running.base_path
        (base_path / "notes").mkdir()
        (base_path / "7").mkdir()  # No SavedModel yet: not a version.
        catalogue.export(tmp_path / "2", item_ids=catalogue.item_ids[::-1])
        _push(tmp_path / "2", base_path, 2)
        wait_until(lambda: load.versions and load.versions[-1] == 2)
        wait_until(lambda: _status(running)[1].state == STATE.END)

        (base_path / "3").mkdir()
        (base_path / "3" / "saved_model.pb").write_bytes(b"not a model")
        wait_until(lambda: 3 in _status(running))
        wait_until(lambda: _status(running)[3].state == STATE.END)
        broken = _status(running)[3].status
        assert broken.error_code != 0
        assert broken.error_message
        assert _status(running)[2].state == STATE.AVAILABLE
        assert client.recommend(stub, [], k=1, version=2)

        shutil.rmtree(base_path / "3")
        _push(exported, base_path, 3)
        wait_until(lambda: load.versions[-1] == 3)
        shutil.rmtree(base_path / "3")  # Rolls back.
        wait_until(lambda: load.versions[-1] == 2)
    finally:
        load.ended.set()
        load.join()
    assert not load.failures
    changes = [load.versions[0]]
    for version in load.versions:
        if version != changes[-1]:
            changes.append(version)
    assert changes == [1, 2, 3, 2]


def test_stop_lets_requests_in_flight_end(changing, catalogue):
    running = changing
    stub = prediction_service_pb2_grpc.PredictionServiceStub(running.channel)
    large = np.tile(np.array(catalogue.item_ids, object), (1000, 10))
    futures = [
        stub.Predict.future(_request({"history": large}), timeout=60)
        for _ in range(4)
    ]
    # The answer to a request sent later shows that the first ones arrived.
    _status(running)
    running.process.terminate()
    shapes = {
        tf.make_ndarray(f.result().outputs["item_ids"]).shape for f in futures
    }
    assert shapes == {(1000, 10)}
    assert running.process.wait(timeout=30) == 0
