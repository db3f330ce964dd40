"""Failures that reach a client, with TF Serving's status codes."""

from __future__ import annotations

import grpc
import tensorflow as tf

# Both number their codes as google.rpc.Code does.
_CODES = {code.value[0]: code for code in grpc.StatusCode}

# ToHTTPStatusCode of TF Serving; what is not named is 500.
_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class ServingError(Exception):
    """A request that cannot be answered.

    Args:
        code: gRPC status code.
        message: what was found and expected, for the client.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        return _HTTP.get(self.code, 500)


def invalid(message: str) -> ServingError:
    """The client sent something wrong."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """There is no such model or version."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)


def internal(error: Exception) -> ServingError:
    """The server itself failed; never the fault of the request."""
    return ServingError(
        grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"
    )


def unimplemented(what: str) -> ServingError:
    """TF Serving can do it, the local server cannot."""
    return ServingError(
        grpc.StatusCode.UNIMPLEMENTED,
        f"{what} is not implemented by the local server; use TF Serving.",
    )


def from_tensorflow(error: tf.errors.OpError) -> ServingError:
    """An operation inside the model failed."""
    code = _CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
    return ServingError(code, error.message)
