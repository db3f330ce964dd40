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

# Elements, and bytes of text, that a message may ask for without sending them,
# as its last value stands for all that follow: enough for 64 pads in each row
# of the largest batch.
MAX_UNSENT = 2**22


def shape_of(proto: tensor_pb2.TensorProto) -> list[int] | None:
    """The shape that a message claims, None where that is no shape."""
    # TensorFlow reads the dimensions of a message of "unknown rank", too.
    shape = [dim.size for dim in proto.tensor_shape.dim]
    return shape if min(shape, default=0) >= 0 else None


def to_array(proto: tensor_pb2.TensorProto, dtype: tf.DType) -> np.ndarray:
    """The values as TensorFlow reads them; strings as an array of bytes.

    Raises:
        ValueError: its shape stands for so many elements more than were sent
            that a message of a few bytes would take gigabytes.
        tf.errors.OpError: the message is no tensor of that type, or has more
            dimensions than an array can.
    """
    if len(proto.tensor_shape.dim) > _MAX_RANK:
        raise tf.errors.InvalidArgumentError(
            None, None, f"more than {_MAX_RANK} dimensions"
        )
    field, shape = _FIELDS.get(dtype), shape_of(proto)
    if shape is not None:
        _check_unsent(proto, math.prod(shape))
        values = getattr(proto, field) if field else ()
        # The plain case, many times faster than through TensorFlow, which
        # also knows one value for all and packed ones, and what is wrong.
        if (
            field
            and proto.dtype == dtype.as_datatype_enum
            and not proto.tensor_content
            and not proto.tensor_shape.unknown_rank
            and math.prod(shape) == len(values)
        ):
            return np.array(list(values), dtype.as_numpy_dtype).reshape(shape)
    tensor = tf.io.parse_tensor(proto.SerializeToString(), dtype)
    return np.asarray(tensor.numpy(), dtype.as_numpy_dtype)


def _check_unsent(proto: tensor_pb2.TensorProto, elements: int) -> None:
    texts = proto.string_val
    # The last text is repeated with all of its bytes.
    each = max(len(texts[-1]), 1) if texts else 1
    if elements * each <= MAX_UNSENT:
        return
    # Whatever else is sent takes a byte at least.
    sent = len(texts) if texts else proto.ByteSize()
    if (elements - sent) * each > MAX_UNSENT:
        raise ValueError(
            f"a shape of {elements} elements, of which few were sent; one "
            f"value may stand for {MAX_UNSENT} elements, or bytes of text"
        )


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
