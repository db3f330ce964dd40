"""Tensors of requests and responses as numpy arrays."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

# TF Serving fills the typed fields, and clients read `float_val` directly;
# `tf.make_tensor_proto` would pack numbers into `tensor_content`.
_FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int32: "int_val",
    tf.int64: "int64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}

_MAX_RANK = 32  # Of numpy; TensorFlow has 254, and no signature of ours three.


def to_array(proto: tensor_pb2.TensorProto, dtype: tf.DType) -> np.ndarray:
    """The values as TensorFlow reads them; strings as an array of bytes.

    Raises:
        tf.errors.OpError: the message is no tensor of that type, or has more
            dimensions than an array can.
    """
    if len(proto.tensor_shape.dim) > _MAX_RANK:
        raise tf.errors.InvalidArgumentError(
            None, None, f"more than {_MAX_RANK} dimensions"
        )
    field = _FIELDS.get(dtype)
    if field and proto.dtype == dtype.as_datatype_enum:
        values = getattr(proto, field)
        shape = [dim.size for dim in proto.tensor_shape.dim]
        # The plain case, many times faster than through TensorFlow, which
        # also knows one value for all and packed ones, and what is wrong.
        if (
            not proto.tensor_content
            and not proto.tensor_shape.unknown_rank
            and min(shape, default=0) >= 0
            and math.prod(shape) == len(values)
        ):
            return np.array(list(values), dtype.as_numpy_dtype).reshape(shape)
    tensor = tf.io.parse_tensor(proto.SerializeToString(), dtype)
    return np.asarray(tensor.numpy(), dtype.as_numpy_dtype)


def fill(
    proto: tensor_pb2.TensorProto, values: np.ndarray, dtype: tf.DType
) -> None:
    """Writes an array into an empty message."""
    field = _FIELDS.get(dtype)
    if field is None:
        proto.CopyFrom(tf.make_tensor_proto(values, dtype))
        return
    proto.dtype = dtype.as_datatype_enum
    for size in np.shape(values):
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, field).extend(np.ravel(values).tolist())
