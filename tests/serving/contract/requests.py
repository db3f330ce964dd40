"""Builds gRPC requests and reads failures."""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

HISTORY = {"history": [["x"]]}
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def predict_request(inputs, signature="", model="create", **spec):
    """A PredictRequest; `spec` is version or version_label."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "version_label" in spec:
        request.model_spec.version_label = spec["version_label"]
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def failure(call):
    """Code and message of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()
