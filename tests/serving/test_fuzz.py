"""Wrong requests at both ports: a right code each, and the server lives."""

import json
import os
import pathlib
import re
import socket
import sys
import urllib.error
import urllib.request

import grpc
import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.signatures import SIGNATURES
from tests.serving.contract.requests import (
    INVALID,
    failure,
    predict_request,
)

EXAMPLES = hypothesis.settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
OK = grpc.StatusCode.OK


@pytest.fixture(scope="module")
def stub(running):
    return prediction_service_pb2_grpc.PredictionServiceStub(running.channel)


@pytest.fixture(autouse=True)
def still_answers(stub):
    yield
    answer = stub.Predict(predict_request({"history": [["x"]]}), timeout=20)
    assert answer.outputs["item_ids"].tensor_shape.dim[1].size == 10


def _code(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return OK


DTYPES = {
    "string": st.binary(max_size=6),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32),
    "bool": st.booleans(),
}


@st.composite
def tensors(draw, like):
    """A tensor that is mostly of the wanted type and rank."""
    dtype = draw(st.sampled_from([like.dtype] * 4 + list(DTYPES)))
    rank = draw(st.sampled_from([len(like.shape)] * 4 + [0, 1, 2, 3]))
    shape = draw(st.tuples(*[st.sampled_from([1, 1, 2, 0, 3])] * rank))
    size = int(np.prod(shape))
    values = draw(st.lists(DTYPES[dtype], min_size=size, max_size=size))
    kind = tf.dtypes.as_dtype(dtype)
    array = np.empty(size, kind.as_numpy_dtype)
    array[:] = values
    return tf.make_tensor_proto(array.reshape(shape), kind, shape)


@st.composite
def requests(draw):
    """A request for one of the signatures, often a wrong one."""
    name = draw(st.sampled_from(sorted(SIGNATURES)))
    request = predict_request({}, name)
    for key, like in SIGNATURES[name].inputs.items():
        if draw(st.integers(0, 9)):
            request.inputs[key].CopyFrom(draw(tensors(like)))
    if not draw(st.integers(0, 9)):
        like = SIGNATURES["recommend"].inputs["history"]
        request.inputs["extra"].CopyFrom(draw(tensors(like)))
    return request


def _is_right(request):
    """Whether the request keeps to its signature."""
    inputs = SIGNATURES[request.model_spec.signature_name].inputs
    if set(request.inputs) != set(inputs):
        return False
    rows = set()
    for name, like in inputs.items():
        proto = request.inputs[name]
        if tf.dtypes.as_dtype(proto.dtype).name != like.dtype:
            return False
        shape = [d.size for d in proto.tensor_shape.dim]
        if len(shape) != len(like.shape):
            return False
        values = tf.make_ndarray(proto)
        if name in ("k", "count") and (values < 1).any():
            return False
        if name == "start" and (values < 0).any():
            return False
        rows.update(shape[:1])
    return len(rows) < 2


@EXAMPLES
@hypothesis.given(request=requests())
def test_tensors(stub, request):
    code = _code(lambda: stub.Predict(request, timeout=20))
    assert code == (OK if _is_right(request) else INVALID)


@EXAMPLES
@hypothesis.given(
    shape=st.lists(
        st.sampled_from([-1, -(2**62), 0, 1, 2, 2**31, 2**62]), max_size=4
    ),
    dtype=st.integers(0, 140),
    content=st.binary(max_size=24),
    texts=st.lists(st.binary(max_size=5), max_size=3),
)
def test_tensors_that_contradict_themselves(stub, shape, dtype, content, texts):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "create"
    history = request.inputs["history"]
    history.dtype = dtype
    history.tensor_content = content
    history.string_val.extend(texts)
    for size in shape:
        history.tensor_shape.dim.add(size=size)
    code = _code(lambda: stub.Predict(request, timeout=20))
    # A single value stands for as many as the shape has.
    fits = dtype == tf.string.as_datatype_enum and len(shape) == 2
    assert code in ({OK, INVALID} if fits else {INVALID})


# Protobuf for Python takes some of these, with a warning.
@pytest.mark.filterwarnings("ignore:Unexpected end-group:RuntimeWarning")
@EXAMPLES
@hypothesis.given(message=st.binary(max_size=200))
def test_bytes_that_are_no_request(running, message):
    try:
        predict_pb2.PredictRequest.FromString(message)
        codes = {INVALID, grpc.StatusCode.NOT_FOUND}
    except Exception:
        codes = {grpc.StatusCode.INTERNAL}
    predict = running.channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict"
    )
    assert _code(lambda: predict(message, timeout=20)) in codes


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"history": [["x"]], "exclude": [["x"]], "k": 2**31 - 1}, OK),
        ({"history": [["x"] * 300_000], "exclude": [[""]], "k": 3}, OK),
        ({"history": [[b"\xff\xfe\x00"]], "exclude": [[b"\xc3"]], "k": 1}, OK),
        ({"history": [["x" * 2**24]], "exclude": [["x"]], "k": 1}, OK),
        (
            {"history": np.zeros([2**20, 0]), "exclude": [["x"]], "k": 1},
            INVALID,
        ),
        (
            {"history": [[""]] * 70_000, "exclude": [[""]] * 70_000, "k": 1},
            INVALID,
        ),
    ],
    ids=["k", "history", "utf-8", "long id", "empty rows", "rows"],
)
def test_sizes(stub, inputs, code):
    tensors = {
        name: value.astype(bytes) if isinstance(value, np.ndarray) else value
        for name, value in inputs.items()
    }
    request = predict_request(tensors, "recommend")
    assert _code(lambda: stub.Predict(request, timeout=60)) == code


def test_message_beyond_the_limit(running):
    predict = running.channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict"
    )
    message = bytes(100 * 2**20)
    code = _code(lambda: predict(message, timeout=60))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


def _post(running, path, body):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = f"http://127.0.0.1:{running.rest_port}/v1/models/{path}"
    try:
        with opener.open(url, body, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["history", "k", "exclude", "b64", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@EXAMPLES
@hypothesis.given(
    form=st.sampled_from(["instances", "inputs", "x"]),
    value=JSON,
    signature=st.sampled_from([*SIGNATURES, "", "nope"]),
)
def test_json(running, form, value, signature):
    body = {form: value, "signature_name": signature}
    status, answer = _post(running, "create:predict", json.dumps(body).encode())
    assert status in (200, 400), answer
    assert set(answer) <= {"predictions", "outputs", "error"}
    if form == "x" or signature == "nope":
        assert status == 400


@EXAMPLES
@hypothesis.given(body=st.binary(max_size=100))
def test_bodies_that_are_no_json(running, body):
    status, answer = _post(running, "create:predict", body)
    assert status == 400
    assert set(answer) == {"error"}


def test_large_bodies(running):
    row = json.dumps({"instances": [["x" * 100 * 2**20]]}).encode()
    assert _post(running, "create:predict", row)[0] == 200
    deep = b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}"
    status, answer = _post(running, "create:predict", deep)
    assert status == 400, answer


@pytest.mark.parametrize("port", ["port", "rest_port"])
def test_noise_on_the_wire(running, port):
    for seed in range(20):
        noise = os.urandom(200) if seed else b""
        if seed % 3 == 0:
            noise = b"POST /v1/models/create:predict HTTP/1.1\r\n" + noise
        address = ("127.0.0.1", getattr(running, port))
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(noise)


def _highest(running):
    """Bytes that the server held at most since it was last asked."""
    folder = pathlib.Path(f"/proc/{running.process.pid}")
    status = (folder / "status").read_text()
    (folder / "clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("shape", "text", "message"),
    [
        ([1, 2**25], b"x", "few were sent"),
        ([2**12, 2**12, 2], b"x", "of shape (None, None)"),
        ([2**25], b"x", "of shape (None, None)"),
        ([1, 2**15], b"x" * 2**16, "few were sent"),
    ],
)
def test_one_value_for_all_takes_no_gigabytes(
    running, stub, shape, text, message
):
    request = predict_request({"history": [["x"]]})
    history = request.inputs["history"]
    history.string_val[:] = [text]
    del history.tensor_shape.dim[:]
    for size in shape:
        history.tensor_shape.dim.add(size=size)
    _highest(running)
    before = _highest(running)
    code, details = failure(lambda: stub.Predict(request, timeout=60))
    assert code == INVALID
    assert message in details
    assert _highest(running) - before < 50 * 2**20


def test_memory_is_given_back(running, stub):
    def resident():
        with open(f"/proc/{running.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    request = predict_request({"history": [["x" * 2**20]]})
    for _ in range(5):
        stub.Predict(request, timeout=20)
    before = resident()
    for _ in range(100):
        stub.Predict(request, timeout=20)
    assert resident() - before < 50 * 2**20  # Of 100 MiB sent.
