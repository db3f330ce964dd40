"""One loaded version of a model: checks requests, runs its signatures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2

from serving import custom_ops, tensor_protos, warmup
from serving.batching import BatchScheduler
from serving.errors import ServingError, from_tensorflow, internal, invalid
from serving.saved_model_session import SERVE_TAG, Run, SavedModelSession
from serving.version_folders import SAVED_MODEL_FILE

DEFAULT_SIGNATURE = "serving_default"


class Servable:
    """A version of a model in memory.

    Args:
        name: model name.
        version: number of the version.
        path: its folder, local or remote.
        scheduler: joins concurrent requests; without one each runs alone.

    Raises:
        OSError, ValueError, tf.errors.OpError: the folder holds no SavedModel
            that can be loaded for serving, or one that needs a package
            that is missing.
    """

    def __init__(
        self,
        name: str,
        version: int,
        path: str,
        scheduler: BatchScheduler | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.path = path
        self.signature_defs = _read_signature_defs(path)
        custom_ops.register(path)
        session = SavedModelSession(path)
        self._runs: dict[str, Run] = {
            key: partial(_run, session.prepare(signature))
            for key, signature in self.signature_defs.items()
            if not key.startswith("__")  # What loads it, no signature.
        }
        self._answers = (
            {key: scheduler.queue(run) for key, run in self._runs.items()}
            if scheduler
            else self._runs
        )

    def warm_up(self, iterations: int = 1) -> None:
        """Replays the recorded requests, each `iterations` times.

        Through the queues of batching, where there are any, as TF Serving
        does: what those refuse would fail there as well.

        Raises:
            ServingError: the model cannot answer one of them.
        """
        for request in warmup.read(self.path):
            for _ in range(iterations):
                self._predict(request, self._answers)

    def signature(self, name: str) -> meta_graph_pb2.SignatureDef:
        """The signature of that name, "" for `serving_default`.

        Raises:
            ServingError: FAILED_PRECONDITION, there is none.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self._runs:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name}" not found.',
            )
        return self.signature_defs[name]

    def model_spec(self, signature_name: str = "") -> model_pb2.ModelSpec:
        """What answers: name, effective version and signature."""
        spec = model_pb2.ModelSpec(
            name=self.name, signature_name=signature_name
        )
        spec.version.value = self.version
        return spec

    def predict(
        self, request: predict_pb2.PredictRequest
    ) -> predict_pb2.PredictResponse:
        """Answers a request; thread-safe; blocks while a batch forms.

        Raises:
            ServingError: unknown signature, inputs that do not fit it, or an
                operation of the model failed.
        """
        try:
            return self._predict(request, self._answers)
        except ServingError:
            raise
        except Exception as error:
            raise internal(error) from error

    def _predict(
        self, request: predict_pb2.PredictRequest, answers: Mapping[str, Run]
    ) -> predict_pb2.PredictResponse:
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = self.signature(name)
        wanted = _wanted_outputs(signature, request.output_filter)
        outputs = answers[name](_read_inputs(signature, request))
        response = predict_pb2.PredictResponse(model_spec=self.model_spec(name))
        for alias in wanted:
            dtype = tf.dtypes.as_dtype(signature.outputs[alias].dtype)
            tensor_protos.fill(response.outputs[alias], outputs[alias], dtype)
        return response


def _run(run: Run, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    try:
        return run(inputs)
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error


def _read_signature_defs(path: str) -> dict[str, meta_graph_pb2.SignatureDef]:
    file = os.path.join(path, SAVED_MODEL_FILE)
    with tf.io.gfile.GFile(file, "rb") as stream:
        saved_model = saved_model_pb2.SavedModel.FromString(stream.read())
    for meta_graph in saved_model.meta_graphs:
        if SERVE_TAG in meta_graph.meta_info_def.tags:
            return dict(meta_graph.signature_def)
    raise ValueError(f"{file} holds no graph with the tag {SERVE_TAG!r}.")


def _read_inputs(
    signature: meta_graph_pb2.SignatureDef,
    request: predict_pb2.PredictRequest,
) -> dict[str, np.ndarray]:
    """Arrays by alias, after the checks that TF Serving makes."""
    sent, expected = set(request.inputs), set(signature.inputs)
    if len(sent) != len(expected):
        raise invalid(
            f"input size does not match signature: {len(sent)}!="
            f"{len(expected)} len({_names(sent)}) != len({_names(expected)}). "
            f"Sent extra: {_names(sent - expected)}. "
            f"Missing but required: {_names(expected - sent)}."
        )
    for alias in sorted(sent - expected):
        raise invalid(
            f"input tensor alias not found in signature: {alias}. Inputs "
            f"expected to be in the set {_names(expected)}."
        )
    return {
        alias: _array_of(alias, proto, signature.inputs[alias])
        for alias, proto in request.inputs.items()
    }


def _wanted_outputs(
    signature: meta_graph_pb2.SignatureDef, output_filter: Iterable[str]
) -> list[str]:
    """Aliases to answer: those of the filter, or all without one."""
    wanted: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs "
                f"expected to be in the set {_names(signature.outputs)}."
            )
        if alias in wanted:
            raise invalid(f"duplicate output tensor alias: {alias}")
        wanted.append(alias)
    return wanted or sorted(signature.outputs)


def _array_of(
    alias: str,
    proto: tensor_pb2.TensorProto,
    info: meta_graph_pb2.TensorInfo,
) -> np.ndarray:
    if proto.dtype != info.dtype:
        raise invalid(
            f"Expects input {alias} to be {_dtype(info.dtype)} but "
            f"{_dtype(proto.dtype)} is provided"
        )
    # Before the values are read: a shape may stand for more than was sent.
    shape = tensor_protos.shape_of(proto)
    expected = tf.TensorShape(info.tensor_shape)
    if shape is not None and not expected.is_compatible_with(shape):
        raise invalid(
            f"Expects input {alias} of shape {expected}, found "
            f"{tf.TensorShape(shape)}"
        )
    try:
        return tensor_protos.to_array(proto, tf.dtypes.as_dtype(info.dtype))
    except tf.errors.OpError as error:
        raise invalid(f"tensor parsing error: {alias}") from error
    except ValueError as error:
        raise invalid(f"tensor parsing error: {alias}: {error}") from error


def _dtype(number: int) -> str:
    try:
        name: str = tf.dtypes.as_dtype(number).name
    except TypeError:
        return f"unknown dtype {number}"
    # TF Serving's names for these two are C's.
    return {"float32": "float", "float64": "double"}.get(name, name)


def _names(aliases: Iterable[str]) -> str:
    return "{" + ",".join(sorted(aliases)) + "}"
