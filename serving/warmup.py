"""Warm-up requests beside a SavedModel, as TF Serving replays them.

TF Serving sends them through the queues of --enable_batching, which take no
scalar: one request with a scalar input, and the version never becomes
available. So there is none of `recommend` (its k; `recommend_batch` takes the
same path) and of `item_vectors` (its start and count).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving import assets_extra
from serving.signatures import SIGNATURES

FILE = os.path.join(assets_extra.FOLDER, "tf_serving_warmup_requests")


def requests(
    history: Sequence[bytes], k: int
) -> list[predict_pb2.PredictRequest]:
    """Requests that touch every path through the signatures.

    Args:
        history: real item ids, as many as a full history takes.
        k: number of items to ask for.
    """
    full, one = [list(history)], [list(history[:1])]
    return [
        *(request("serving_default", history=h) for h in (full, one, [[b""]])),
        request("recommend_batch", history=full, exclude=[[b""]], k=[k]),
        request("recommend_batch", history=one, exclude=one, k=[k]),
        request("score", history=full, candidates=one),
        request("user_vector", history=full),
    ]


def request(signature: str, **inputs: Any) -> predict_pb2.PredictRequest:
    """A request with the types that the signature has.

    Args:
        signature: its name.
        **inputs: nested lists or numbers, by name.
    """
    message = predict_pb2.PredictRequest()
    message.model_spec.signature_name = signature
    for name, value in inputs.items():
        dtype = SIGNATURES[signature].inputs[name].dtype
        message.inputs[name].CopyFrom(
            tf.make_tensor_proto(value, tf.dtypes.as_dtype(dtype))
        )
    return message


def write(
    directory: str, predict_requests: Sequence[predict_pb2.PredictRequest]
) -> None:
    """Writes the requests beside the SavedModel in `directory`."""
    path = os.path.join(directory, FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for request in predict_requests:
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            # maps in one order: the same requests are the same file, by which
            # the Pusher knows a model again
            writer.write(log.SerializeToString(deterministic=True))


def read(directory: str) -> Iterator[predict_pb2.PredictRequest]:
    """The Predict requests recorded beside the SavedModel, if any.

    Raises:
        ValueError: a record is of a kind that the local server cannot replay.
    """
    path = os.path.join(directory, FILE)
    if not tf.io.gfile.exists(path):
        return
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.WhichOneof("log_type") != "predict_log":
            raise ValueError(
                f"{path} holds a {log.WhichOneof('log_type')}; only "
                "predict_log records can be replayed here."
            )
        yield log.predict_log.request
