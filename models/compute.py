"""How the dense part of a training step is computed.

Precision: with bfloat16 the matrix products take bfloat16 factors, which
tensor cores multiply at twice the rate of float32 ones; tables, optimiser,
residual stream, normalisation, softmax and losses stay float32, whose range
and rounding they need.

XLA: the transformer blocks and the softmax are compiled for the shapes at
hand. How many positions a batch has differs from step to step, so they are
padded up to few sizes (`rounded`).

The settings hold for what is traced inside `using`, in this thread: the code
of a step, not validation and not what is exported, which are float32. Compiled
functions that outlive a step take them as an argument, or their first
trace would be everybody's.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Compute:
    """Settings of the dense part.

    Attributes:
        precision: of the factors of matrix products, `float32` or
            `bfloat16`.
        xla: whether XLA compiles it.
    """

    precision: str = "float32"
    xla: bool = False

    @property
    def dtype(self) -> tf.DType:
        """Of the factors of matrix products."""
        return tf.as_dtype(self.precision)


DEFAULT = Compute()
_current = contextvars.ContextVar("compute", default=DEFAULT)


@contextlib.contextmanager
def using(compute: Compute) -> Iterator[None]:
    """What is traced inside computes so."""
    token = _current.set(compute)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Compute:
    """Of the code that runs or is traced now."""
    return _current.get()


def product(
    left: tf.Tensor, right: tf.Tensor, compute: Compute, **transposed: Any
) -> tf.Tensor:
    """A matrix product.

    Args:
        left: [..., n, k] float32.
        right: [..., k, m] float32.
        compute: gives the factors' precision.
        **transposed: `transpose_a` or `transpose_b` of tf.matmul.

    Returns:
        [..., n, m] float32. The gradients' products have the same factors.
    """
    if compute.precision == "float32":
        return tf.matmul(left, right, **transposed)
    factors = tf.cast(left, compute.dtype), tf.cast(right, compute.dtype)
    return tf.cast(tf.matmul(*factors, **transposed), tf.float32)


def as_rounded(values: tf.Tensor, compute: Compute) -> tf.Tensor:
    """Float32 `values` as `product` takes factors and gives its results."""
    if compute.precision == "float32":
        return values
    return tf.cast(tf.cast(values, compute.dtype), tf.float32)


def rounded(number: tf.Tensor, least: int = 64) -> tf.Tensor:
    """The next larger of few sizes: eight between a size and its double.

    Args:
        number: scalar int32, at least 0.
        least: the smallest size, a power of two.

    Returns:
        Scalar int32, at most an eighth more than `number` where that is
        above `least`.
    """
    # half less, so that rounding cannot lift a power of two to the next
    logarithm = tf.math.log(
        tf.cast(tf.maximum(number, 1), tf.float64) - 0.5
    ) / tf.math.log(tf.constant(2.0, tf.float64))
    double = tf.cast(2.0 ** tf.math.ceil(logarithm), tf.int32)
    step = tf.maximum(double // 16, 1)
    return tf.maximum((number + step - 1) // step * step, least)
