import io
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import client, file_systems, flags, servables, server, versions
from serving.local_server import LocalServer, LocalServerError
from tests.serving.contract.requests import (
    HISTORY,
    failure,
    predict_request,
)
from tests.serving.server_process import free_port

STATE = get_model_status_pb2.ModelVersionStatus


@pytest.fixture(scope="module")
def stub(running):
    return prediction_service_pb2_grpc.PredictionServiceStub(running.channel)


def _status(server_process, version=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "create"
    if version is not None:
        request.model_spec.version.value = version
    answer = model_service_pb2_grpc.ModelServiceStub(
        server_process.channel
    ).GetModelStatus(request, timeout=10)
    return {s.version: s for s in answer.model_version_status}


def test_ready_line_names_model_version_and_ports(running):
    assert running.ready_line == (
        f"Serving create version 1 gRPC 127.0.0.1:{running.port} "
        f"REST 127.0.0.1:{running.rest_port}\n"
    )


def test_what_is_not_served_says_so(running, stub):
    code, details = failure(
        lambda: stub.Classify(classification_pb2.ClassificationRequest())
    )
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert "use TF Serving" in details
    request = predict_request(HISTORY, "__saved_model_init_op")
    code, details = failure(lambda: stub.Predict(request, timeout=10))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    # Off unless --enable_grpc_healthcheck_service is given, as in TF Serving.
    health = health_pb2_grpc.HealthStub(running.channel)
    check = health_pb2.HealthCheckRequest()
    code, _ = failure(lambda: health.Check(check, timeout=10))
    assert code == grpc.StatusCode.UNIMPLEMENTED


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
            f"--history={','.join(history[:2])}",
            f"--history={history[2]}",
            "--keep_seen",
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


def test_client_answers_as_serving_default_of_a_filtering_model(
    stub, catalogue, tmp_path
):
    catalogue.export(tmp_path / "1", exclude_history=True)
    default = tf.saved_model.load(str(tmp_path / "1")).signatures[
        "serving_default"
    ]
    history = catalogue.expected([], k=7)[0]  # More than the encoder sees.
    answer = default(history=tf.constant([history]))
    asked = [i.decode() for i in history]
    found = client.recommend(stub, asked)
    assert [r.item_id.encode() for r in found] == answer["item_ids"][
        0
    ].numpy().tolist()
    assert not {r.item_id for r in found} & set(asked)
    kept = client.recommend(stub, asked, [asked[0]], keep_seen=True)
    expected, _ = catalogue.expected(history, history[:1])
    assert [r.item_id.encode() for r in kept] == expected
    assert set(expected) & set(history)


class _Asked:
    """A stub that keeps what it is asked."""

    def Predict(self, request, timeout):  # noqa: N802
        self.inputs = {
            name: list(tensor.string_val)
            for name, tensor in request.inputs.items()
        }
        answer = predict_pb2.PredictResponse()
        for name, values in (
            ("item_ids", [[b"\xff\xfe"]]),
            ("scores", [[1.0]]),
        ):
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(values))
        return answer


def test_client_asks_with_the_ids_that_it_was_answered():
    """Ids are bytes; those that are no UTF-8 come back as they went out."""
    asked = _Asked()
    (found,) = client.recommend(asked, ["é", b"x"])
    assert asked.inputs == {
        "history": [b"", "é".encode(), b"x"],
        "exclude": [b"", "é".encode(), b"x"],
        "k": [],
    }
    client.recommend(asked, [found.item_id], ["a"])
    assert asked.inputs["history"] == [b"", b"\xff\xfe"]
    assert asked.inputs["exclude"] == [b"", b"\xff\xfe", b"a"]


def test_client_prints_ids_that_are_no_utf8(monkeypatch):
    found = [client.Recommendation("\udcff", 1.0)]
    printed = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", printed)
        patched.setattr(client, "recommend", lambda *a, **k: found)
        assert client.main(["--history=a"]) == 0
    printed.flush()
    assert b"1  \xff " in printed.buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "ids", "message"),
    [
        ("history", "ab", r"`history` .*list.*'ab'.*letter.*Fix: \['ab'\]"),
        ("exclude", "ab", "`exclude` .*list"),
        ("history", ["a", 7], r"`history` .*int: 7\. Fix: str\(7\)"),
    ],
)
def test_client_refuses_what_are_no_ids(name, ids, message):
    with pytest.raises(TypeError, match=message):
        client.recommend(_Asked(), **{"history": [], name: ids})


@pytest.mark.parametrize(
    "words",
    [
        ['--history=a,"b,c",,d'],
        ["--history", "a", "--history", '"b,c"', "--history=,d"],
    ],
)
def test_client_takes_ids_with_commas(monkeypatch, words):
    asked = []
    monkeypatch.setattr(
        client, "recommend", lambda *a, **k: asked.append(a) or []
    )
    assert client.main([*words, "--exclude", '"x,y"', "--exclude=z"]) == 0
    assert asked[0][1:3] == (["a", "b,c", "d"], ["x,y", "z"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (['--history="a,b'], "row of CSV"),
        (["--version=" + "9" * 23], "from 0 to 9223372036854775807, found"),
        (["--version=-1"], "from 0 to"),
        (["--k=0"], "from 1 to"),
        (["--k=" + "9" * 12], "from 1 to"),
        (["--target=http://127.0.0.1:8501"], "must be HOST:PORT"),
        (["--target=localhost"], "must be HOST:PORT"),
    ],
)
def test_client_refuses_wrong_flags(capsys, words, message):
    with pytest.raises(SystemExit):
        client.main(["--history=a", *words])
    assert message in capsys.readouterr().err


def test_client_knows_a_rest_port(running, capsys):
    target = f"127.0.0.1:{running.rest_port}"
    assert client.main(["--history=a", "--target", target]) == 1
    error = capsys.readouterr().err
    assert "is a REST port? Fix: give HOST:PORT of the gRPC port" in error


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_server_refuses_a_host_that_is_not_its_own(tmp_path, capsys, flag):
    other = "--rest_api_port=0" if flag == "port" else "--port=0"
    for host in ("no.such.host.invalid", "192.0.2.1"):
        arguments = [f"--model_base_path={tmp_path}", f"--host={host}", other]
        assert server.main([*arguments, f"--{flag}={free_port()}"]) == 1
        error = capsys.readouterr().err
        assert f"'{host}' (--host) is no address of this machine" in error


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


S3 = "TensorFlow has no file system for s3:// here. Fix: pip install"


@pytest.mark.parametrize("by_file", [False, True])
def test_server_refuses_a_file_system_that_tensorflow_lacks(
    tmp_path, capsys, monkeypatch, by_file
):
    monkeypatch.setattr(file_systems, "_PLUG_IN", "no_such_package")
    flag = "--model_base_path=s3://bucket/models"
    if by_file:
        config = tmp_path / "models.config"
        config.write_text(
            'model_config_list { config { name: "create" base_path: '
            '"s3://bucket/models" model_platform: "tensorflow" } }'
        )
        flag = f"--model_config_file={config}"
    assert server.main([flag, f"--port={free_port()}"]) == 1
    error = capsys.readouterr().err
    assert f"s3://bucket/models cannot be read: {S3}" in error


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
    assert both.enable_batching is False
    assert both.model_name == "create"
    assert both.rest_api_port == 0  # As in TF Serving, off.
    assert both.host == "127.0.0.1"
    tuned = flags.parse(
        [
            "--model_base_path=m",
            "--enable_batching",
            "--grpc_max_threads=4",
            "--grpc_channel_arguments=grpc.a=1,grpc.b=x",
        ]
    )
    assert tuned.enable_batching is True
    assert tuned.grpc_channel_arguments == [("grpc.a", 1), ("grpc.b", "x")]
    ignored = capsys.readouterr().err
    assert ignored == "Ignored here: --grpc_max_threads\n"


@pytest.mark.parametrize(
    ("arguments", "times"),
    [
        ([], [1]),
        (["--num_request_iterations_for_warmup=3"], [3]),
        (["--enable_model_warmup=false"], []),
    ],
)
def test_a_version_is_warm_when_it_is_handed_over(
    monkeypatch, arguments, times
):
    class Loaded:
        """Notes how often its requests are replayed."""

        def __init__(self, *_):
            self.replayed = []

        def warm_up(self, iterations=1):
            self.replayed.append(iterations)

    monkeypatch.setattr(servables, "Servable", Loaded)
    load = server._loader(
        flags.parse(["--model_base_path=m", *arguments]), None
    )
    assert load("create", 1, "m/1").replayed == times


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model_base_path=m", "--ssl_config_file=f"], "ssl_config_file=f"),
        ([], "give either --model_base_path"),
        (
            ["--model_base_path=m", "--model_config_file=f"],
            "give either --model_base_path",
        ),
        (
            ["--model_base_path=m", "--batching_parameters_file=f"],
            "--batching_parameters_file is set without --enable_batching",
        ),
        (
            [
                "--model_base_path=m",
                "--batching_parameters_file=f",
                "--enable_batching=false",
            ],
            "--batching_parameters_file is set without --enable_batching",
        ),
        (["--model_base_path=m", "--port=0"], "nothing to serve"),
        (["--model_base_path=m", "--port=x"], "a port from 0 to 65535"),
        (
            ["--model_base_path=m", "--grpc_channel_arguments=x"],
            "must be name=value",
        ),
    ],
)
def test_wrong_flags(capsys, arguments, message):
    with pytest.raises(SystemExit):
        flags.parse(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag",
    [
        "model_config_file",
        "batching_parameters_file",
        "monitoring_config_file",
    ],
)
def test_server_refuses_wrong_files(tmp_path, capsys, flag):
    wrong = tmp_path / "wrong.config"
    wrong.write_text("nonsense: 1")
    arguments = [f"--{flag}={wrong}", "--enable_batching"]
    if flag != "model_config_file":
        arguments.append(f"--model_base_path={tmp_path}")
    port = free_port()
    assert server.main([*arguments, f"--rest_api_port={port}", "--port=0"]) == 1
    error = capsys.readouterr().err
    assert f"{wrong} (--{flag})" in error
    assert "nonsense" in error


def test_prune_keeps_what_a_server_serves(running, tmp_path, capsys):
    for version in range(1, 5):
        (tmp_path / str(version)).mkdir()
        (tmp_path / str(version) / "saved_model.pb").write_text("model")
    prune = ["prune", str(tmp_path), "--keep=2", "--target"]
    # One that cannot be asked may serve anything.
    assert versions.main([*prune, "127.0.0.1:1"]) == 1
    assert "No server can be reached" in capsys.readouterr().err
    # Nor is one that has the model under another name asked in vain.
    assert versions.main([*prune, running.target, "--model_name=shop"]) == 1
    error = capsys.readouterr().err
    assert "'shop'" in error
    assert "as --model_name" in error
    assert len(list(tmp_path.iterdir())) == 4
    assert versions.main([*prune, running.target]) == 0  # It serves 1.
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "3", "4"]


def test_local_server_says_why_it_does_not_come_up():
    with pytest.raises(LocalServerError, match="unknown.*--colour") as caught:
        with LocalServer(["--model_base_path=m", "--colour=red"], "create"):
            raise AssertionError("it must not start")
    assert "ended at once" in str(caught.value)


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
                answer = self.stub.Predict(predict_request(HISTORY), timeout=20)
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


def _begin_rest(server_process, length):
    """Opens a request whose body is still to come; its handler runs."""
    address = ("127.0.0.1", server_process.rest_port)
    connection = socket.create_connection(address, timeout=30)
    connection.sendall(
        b"POST /v1/models/create:predict HTTP/1.1\r\nHost: x\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length
    )
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    return connection


def test_stop_lets_requests_in_flight_end(changing, catalogue):
    running = changing
    stub = prediction_service_pb2_grpc.PredictionServiceStub(running.channel)
    large = np.tile(np.array(catalogue.item_ids, object), (1000, 10))
    futures = [
        stub.Predict.future(predict_request({"history": large}), timeout=60)
        for _ in range(4)
    ]
    body = b'{"instances": [["x"]]}'
    connection = _begin_rest(running, len(body))
    # The answer to a request sent later shows that the first ones arrived.
    _status(running)
    running.process.terminate()
    # long enough for the stop to begin before the body comes
    time.sleep(0.5)
    connection.sendall(body)
    with connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    shapes = {
        tf.make_ndarray(f.result().outputs["item_ids"]).shape for f in futures
    }
    assert shapes == {(1000, 10)}
    assert running.process.wait(timeout=30) == 0
