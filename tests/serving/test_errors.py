"""HTTP codes of failures."""

import grpc
import pytest

from serving.errors import ServingError

# ToHTTPStatusCode of tensorflow_serving/model_servers/http_server.cc.
TF_SERVING = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


@pytest.mark.parametrize("name", TF_SERVING)
def test_http_codes_are_those_of_tf_serving(name):
    error = ServingError(grpc.StatusCode[name], "why")
    assert error.http_status == TF_SERVING[name]


def test_every_code_of_grpc_is_there():
    assert {code.name for code in grpc.StatusCode} == {*TF_SERVING, "OK"}
