"""Tensors of requests beside what TensorFlow reads in them."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2

from serving import tensor_protos

FIELDS = {
    tf.float32: ("float_val", st.floats(width=32)),
    tf.float64: ("double_val", st.floats()),
    tf.int32: ("int_val", st.integers(-(2**31), 2**31 - 1)),
    tf.int64: ("int64_val", st.integers(-(2**63), 2**63 - 1)),
    tf.bool: ("bool_val", st.booleans()),
    tf.string: ("string_val", st.binary(max_size=5)),
    tf.float16: ("half_val", st.integers(0, 2**15)),
    tf.uint8: ("int_val", st.integers(0, 255)),
}


@st.composite
def protos(draw):
    """A tensor as any client may write it, right or wrong."""
    dtype = draw(st.sampled_from(list(FIELDS)))
    field, values = FIELDS[dtype]
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    shape = draw(st.lists(st.sampled_from([1, 2, 3, 0, 1, 2, -1]), max_size=3))
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_shape.unknown_rank = draw(st.integers(0, 19)) == 0
    size = max(int(np.prod(shape)), 0)
    # As many as it takes, or one that stands for all, or some number.
    count = draw(st.sampled_from([size, size, size, 1, 0, 2]))
    drawn = draw(st.lists(values, min_size=count, max_size=count))
    if draw(st.integers(0, 3)):
        getattr(proto, field).extend(drawn)
    else:
        array = np.empty(count, dtype.as_numpy_dtype)
        if dtype != tf.float16:
            array[:] = drawn
        content = tf.make_tensor_proto(array).tensor_content
        proto.tensor_content = content or draw(st.binary(max_size=8))
    return proto, dtype


@hypothesis.settings(
    max_examples=600, deadline=None, derandomize=True, database=None
)
@hypothesis.given(protos())
def test_arrays_are_what_tensorflow_reads(drawn):
    proto, dtype = drawn
    try:
        expected = tf.io.parse_tensor(proto.SerializeToString(), dtype)
    except tf.errors.OpError as error:
        with pytest.raises(type(error)):
            tensor_protos.to_array(proto, dtype)
        return
    array = tensor_protos.to_array(proto, dtype)
    assert array.dtype == dtype.as_numpy_dtype
    assert array.shape == expected.shape
    np.testing.assert_array_equal(array, np.array(expected.numpy()))


@pytest.mark.parametrize("dtype", list(FIELDS), ids=lambda d: d.name)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 1, 2)])
def test_filled_messages_come_back(dtype, shape):
    values = np.arange(np.prod(shape, dtype=int)) % 2
    values = values.reshape(shape).astype(dtype.as_numpy_dtype)
    if dtype == tf.string:
        values = np.vectorize(lambda v: b"\xff%d" % v, otypes=[object])(
            values
        ).reshape(shape)
    proto = tensor_pb2.TensorProto()
    tensor_protos.fill(proto, values, dtype)
    np.testing.assert_array_equal(tf.make_ndarray(proto), values)
    np.testing.assert_array_equal(tensor_protos.to_array(proto, dtype), values)


@pytest.mark.parametrize("values", [[b"a"], []])
def test_more_dimensions_than_an_array_has(values):
    proto = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum)
    proto.string_val.extend(values)
    for _ in range(40):
        proto.tensor_shape.dim.add(size=1)
    assert tf.io.parse_tensor(proto.SerializeToString(), tf.string).ndim == 40
    with pytest.raises(tf.errors.InvalidArgumentError, match="dimensions"):
        tensor_protos.to_array(proto, tf.string)


def _one_for_all(shape, dtype=tf.string, **values):
    """A message that sends less than its shape has."""
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, **values)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    "proto",
    [
        _one_for_all([1, 2**25], string_val=[b"x"]),
        _one_for_all([1, 2**25], string_val=[b""]),
        _one_for_all([1, 2**25]),
        _one_for_all([1, 2**25], tensor_content=b"\x01x"),
        # The text is repeated with all of its bytes.
        _one_for_all([1, 2**16], string_val=[b"x" * 2**10]),
        _one_for_all([1, 2**20], string_val=[b"x" * 2**21]),
        _one_for_all([2**25], tf.int32, int_val=[1]),
        _one_for_all([2**25], tf.uint8, int_val=[1]),
        _one_for_all([2**40, 2**40, 2**40], tf.float32, float_val=[1]),
    ],
    ids=lambda proto: f"{len(proto.SerializeToString())} bytes",
)
@pytest.mark.parametrize("unknown_rank", [False, True])
def test_few_bytes_do_not_become_gigabytes(proto, unknown_rank, monkeypatch):
    """TensorFlow would make all elements before anybody sees the shape."""

    def expand(*_):
        raise AssertionError("it must not come to that")

    monkeypatch.setattr(tf.io, "parse_tensor", expand)
    proto.tensor_shape.unknown_rank = unknown_rank
    with pytest.raises(ValueError, match="few were sent"):
        tensor_protos.to_array(proto, tf.dtypes.as_dtype(proto.dtype))


def test_one_value_stands_for_the_pads_of_a_large_batch():
    pads = tensor_protos.to_array(
        _one_for_all([65_536, 64], string_val=[b""]), tf.string
    )
    assert pads.shape == (65_536, 64)
    assert set(pads.ravel()) == {b""}


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_sent_may_be_large(packed):
    values = np.arange(tensor_protos.MAX_UNSENT + 3, dtype=np.int64)
    proto = tensor_pb2.TensorProto()
    if packed:
        proto.CopyFrom(tf.make_tensor_proto(values))
    else:
        tensor_protos.fill(proto, values, tf.int64)
    np.testing.assert_array_equal(
        tensor_protos.to_array(proto, tf.int64), values
    )


def test_numbers_are_where_clients_look_for_them():
    proto = tensor_pb2.TensorProto()
    tensor_protos.fill(proto, np.array([[0.5, 2.0]], np.float32), tf.float32)
    assert list(proto.float_val) == [0.5, 2.0]
    assert not proto.tensor_content
