"""Warm-up requests beside a SavedModel, as TF Serving replays them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def requests(
    history: Sequence[bytes], k: int
) -> list[predict_pb2.PredictRequest]:
    """Requests that touch both signatures and the paths through them.

    Args:
        history: real item ids, as many as a full history takes.
        k: number of items to ask `recommend` for.
    """
    histories = [list(history), list(history[:1]), [b""]]
    default = [_request("serving_default", history=[ids]) for ids in histories]
    return [
        *default,
        _request("recommend", history=[histories[0]], exclude=[[b""]], k=k),
        _request(
            "recommend", history=[histories[1]], exclude=[histories[1]], k=k
        ),
    ]


def _request(
    signature: str, k: int | None = None, **ids: list[list[bytes]]
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    for name, value in ids.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value, tf.string))
    if k is not None:
        request.inputs["k"].CopyFrom(tf.make_tensor_proto(k, tf.int32))
    return request


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
            writer.write(log.SerializeToString())


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
