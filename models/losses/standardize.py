"""Columns to mean 0 and standard deviation 1, for the alignment losses."""

from __future__ import annotations

import tensorflow as tf

_EPSILON = 1e-6


def standardize_columns(vectors: tf.Tensor) -> tf.Tensor:
    """Each column to mean 0 and standard deviation 1 over the batch.

    A column that does not vary, as every column of a batch of one user, has
    no direction to be scaled along: it becomes 0 and gets no gradient.
    Divided by its rounding errors it would get one of a million.

    Args:
        vectors: [users, d] float.

    Returns:
        [users, d] of the same type.
    """
    users = tf.maximum(tf.cast(tf.shape(vectors)[0], vectors.dtype), 1.0)
    mean = tf.reduce_sum(vectors, axis=0) / users
    centred = vectors - mean
    variance = tf.reduce_sum(tf.square(centred), axis=0) / users
    # rounding leaves about 1e-7 of the mean in float32
    floor = _EPSILON**2 * (1.0 + tf.square(mean))
    varies = variance > floor
    # the inner where keeps the infinite slope of 0 out of the gradient
    scale = tf.math.rsqrt(tf.where(varies, variance, 1.0))
    return centred * tf.where(varies, scale, 0.0)
