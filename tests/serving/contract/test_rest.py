"""Plain HTTP, by curl and by Python's own client."""

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request

import numpy as np
import pytest

from tests.serving.contract.models import METRICS_PATH


def _curl(url, data=None):
    command = ["curl", "--silent", "--noproxy", "*", "--max-time", "20"]
    command += ["--write-out", "\n%{http_code}", url]
    if data is not None:
        command += ["--data-binary", "@-"]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), body


def _urllib(url, data=None):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, data, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture(params=["curl", "urllib"])
def http(request, server):
    """GET without, POST with a body; status and parsed JSON."""
    if request.param == "curl" and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    send = {"curl": _curl, "urllib": _urllib}[request.param]

    def ask(path, body=None):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        url = f"http://{server.rest_target}/v1/models/{path}"
        status, answer = send(url, body)
        return status, json.loads(answer)

    return ask


def test_rows(http, catalogue):
    text = [i.decode() for i in catalogue.item_ids]
    encoded = [base64.b64encode(i).decode() for i in catalogue.item_ids]
    ids, scores = catalogue.expected(catalogue.item_ids[:2])
    for row in (
        text[:2],
        {"history": text[:2]},
        [{"b64": encoded[0]}, {"b64": encoded[1]}],
    ):
        status, answer = http(
            "create/versions/1:predict", {"instances": [row, row]}
        )
        assert status == 200, answer
        assert set(answer) == {"predictions"}
        for prediction in answer["predictions"]:
            assert prediction["item_ids"] == [i.decode() for i in ids]
            np.testing.assert_allclose(prediction["scores"], scores, rtol=1e-5)


def test_base64_without_its_padding(http, catalogue):
    """absl, by which TF Serving reads it, asks for none."""
    ids, _ = catalogue.expected(catalogue.item_ids[:2])
    lengths = set()
    for item_id in catalogue.item_ids[:2]:
        encoded = base64.b64encode(item_id).decode()
        lengths.add(encoded.count("="))
    row = [
        {"b64": base64.b64encode(i).decode().rstrip("=")}
        for i in catalogue.item_ids[:2]
    ]
    assert lengths != {0}
    status, answer = http("create/versions/1:predict", {"instances": [row]})
    assert status == 200, answer
    assert answer["predictions"][0]["item_ids"] == [i.decode() for i in ids]


def test_columns_may_name_more_than_the_inputs(http, catalogue):
    """TF Serving looks for the names of the signature, and at no others."""
    text = [i.decode() for i in catalogue.item_ids[:2]]
    inputs = {"history": [text], "note": 1, "from": {"a": ["b", None]}}
    status, answer = http("create/versions/1:predict", {"inputs": inputs})
    assert status == 200, answer
    ids, _ = catalogue.expected(catalogue.item_ids[:2])
    assert answer["outputs"]["item_ids"] == [[i.decode() for i in ids]]


def test_columns(http, catalogue):
    text = [i.decode() for i in catalogue.item_ids]
    status, answer = http(
        "create/versions/1:predict",
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


def test_versions_and_labels(http, catalogue):
    def first(path):
        status, answer = http(path, {"instances": [[]]})
        assert status == 200, answer
        return answer["predictions"][0]["item_ids"][0]

    best = catalogue.popular_items[0]
    old = catalogue.item_ids[best].decode()
    new = catalogue.item_ids[::-1][best].decode()
    assert first("create:predict") == new
    assert first("create/versions/1:predict") == old
    assert first("create/labels/stable:predict") == old
    assert first("create/labels/canary:predict") == new


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("create:predict", b"{", 400, "JSON Parse error"),
        ("create:predict", b"\xff\xfe{", 400, "JSON Parse error"),
        ("create:predict", b"[" * 100_000, 400, "JSON Parse error"),
        ("create:predict", {}, 400, "instances"),
        ("create:predict", {"instances": [["a"], ["a", "b"]]}, 400, ""),
        ("create:predict", {"instances": [[1]]}, 400, "JSON Value: 1"),
        ("create:predict", {"inputs": {"x": [["a"]]}}, 400, ""),
        # Unlike columns, rows must name the inputs and nothing else.
        (
            "create:predict",
            {"instances": [{"history": ["a"], "note": 1}]},
            400,
            "note",
        ),
        ("create:predict", {"instances": [[{"b64": "a"}]]}, 400, "base64"),
        ("create:predict", {"instances": [[{"b64": "aQ="}]]}, 400, "base64"),
        ("create:predict", {"instances": [[{"b64": "a-=="}]]}, 400, "base64"),
        (
            "create:predict",
            {"inputs": [["a"]], "signature_name": "recommend"},
            400,
            "",
        ),
        (
            "create:predict",
            {"inputs": [["a"]], "signature_name": "nope"},
            400,
            '"nope" not found in signature def',
        ),
        (
            "create:predict",
            {"inputs": [["a"]], "signature_name": 3},
            400,
            "'signature_name' key must be a string value.",
        ),
        ("create/versions/7:predict", {"inputs": [["a"]]}, 404, "(create, 7)"),
        (
            "create/labels/none:predict",
            {"inputs": [["a"]]},
            400,
            "Unrecognized servable version label: none",
        ),
        ("other:predict", {"inputs": [["a"]]}, 404, "Latest(other)"),
        ("create:explode", {}, 400, "Malformed request: POST /v1/models/"),
    ],
)
def test_refuses(http, path, body, status, message):
    found_status, answer = http(path, body)
    assert found_status == status
    assert set(answer) == {"error"}
    assert message in answer["error"]


def test_status_and_metadata(http):
    status, answer = http("create")
    assert status == 200
    assert answer["model_version_status"] == [
        {
            "version": str(version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        for version in (2, 1)
    ]
    _, only = http("create/labels/stable")
    assert only["model_version_status"] == answer["model_version_status"][1:]
    assert http("create/versions/1") == (200, only)
    assert http("create/versions/3")[0] == 404
    status, metadata = http("create/labels/canary/metadata")
    assert status == 200
    assert metadata["model_spec"]["version"] == "2"
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures["recommend"]["inputs"]["k"]["dtype"] == "DT_INT32"


def test_metrics(server, http):
    def count(status):
        page = _urllib(f"http://{server.rest_target}{METRICS_PATH}")[1].decode()
        wanted = (
            ':tensorflow:serving:request_count{model_name="create",'
            f'status="{status}"}}'
        )
        lines = [x for x in page.splitlines() if x.startswith(wanted)]
        return float(lines[0].split()[-1]) if lines else 0.0

    before = count("OK")
    http("create:predict", {"instances": [["a"]]})
    http("create:predict", {"instances": [["a"]]})
    assert count("OK") == before + 2
