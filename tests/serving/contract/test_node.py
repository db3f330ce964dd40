"""A client in another language, from the public protos.

It needs node and, once, `npm ci` in tests/serving/node_client.
"""

import base64
import json
import pathlib
import shutil
import subprocess

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from tensorflow_serving.apis import prediction_service_pb2

CLIENT = pathlib.Path(__file__).parents[1] / "node_client"


def _add(file, found):
    """A file and, before it, what it imports."""
    for imported in file.dependencies:
        _add(imported, found)
    if file.name not in found:
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        found[file.name] = proto


@pytest.fixture(scope="module")
def ask(server, tmp_path_factory):
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    if not (CLIENT / "node_modules").is_dir():
        pytest.skip(f"run `npm ci` in {CLIENT}")
    files = {}
    _add(prediction_service_pb2.DESCRIPTOR, files)
    descriptors = tmp_path_factory.mktemp("node") / "descriptors.pb"
    descriptors.write_bytes(
        descriptor_pb2.FileDescriptorSet(
            file=files.values()
        ).SerializeToString()
    )

    def predict(request):
        done = subprocess.run(
            ["node", CLIENT / "client.js", server.target, descriptors],
            input=json.dumps(request).encode(),
            capture_output=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout)

    return predict


def _history(item_ids):
    return {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [{"size": 1}, {"size": len(item_ids)}]},
        "string_val": [base64.b64encode(i).decode() for i in item_ids],
    }


def test_predict(ask, catalogue):
    answer = ask(
        {
            "model_spec": {"name": "create", "version_label": "stable"},
            "inputs": {"history": _history(catalogue.item_ids[:3])},
        }
    )
    assert "outputs" in answer, answer
    ids, scores = catalogue.expected(catalogue.item_ids[:3])
    found = answer["outputs"]["item_ids"]["string_val"]
    assert [base64.b64decode(i) for i in found] == ids
    np.testing.assert_allclose(
        answer["outputs"]["scores"]["float_val"], scores, rtol=1e-5
    )
    assert answer["model_spec"]["version"]["value"] == "1"


def test_failure(ask):
    answer = ask(
        {
            "model_spec": {"name": "other"},
            "inputs": {"history": _history([b"a"])},
        }
    )
    assert answer["code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert "Latest(other)" in answer["details"]
