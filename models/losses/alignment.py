"""Barlow Twins between the two towers' user vectors (eq. 2 and 3)."""

from __future__ import annotations

import tensorflow as tf

_EPSILON = 1e-6


def barlow_twins_loss(
    local: tf.Tensor,
    global_: tf.Tensor,
    off_diagonal_weight: float,
    divide_by_dim: bool = True,
    normalize_rows: bool = False,
) -> tf.Tensor:
    """Drives the cross-correlation of paired vectors to the identity.

    Args:
        local: [users, d] states of the sequential tower (h_u).
        global_: [users, d] user vectors of the graph tower (e^u), in the
            same order.
        off_diagonal_weight: lambda of eq. 3.
        divide_by_dim: divides the loss by d, so that its weight means the
            same at every d (eq. 3 itself does not).
        normalize_rows: L2-normalises each vector first.

    Returns:
        Scalar float32; 0 if and only if the correlation is the identity.
    """
    if normalize_rows:
        local = tf.math.l2_normalize(local, axis=1)
        global_ = tf.math.l2_normalize(global_, axis=1)
    users = tf.cast(tf.shape(local)[0], tf.float32)
    correlation = tf.matmul(
        _standardize(local), _standardize(global_), transpose_a=True
    )
    correlation /= users
    diagonal = tf.linalg.diag_part(correlation)
    on = tf.reduce_sum(tf.square(1.0 - diagonal))
    off = tf.reduce_sum(tf.square(correlation)) - tf.reduce_sum(
        tf.square(diagonal)
    )
    loss = on + off_diagonal_weight * off
    if divide_by_dim:
        loss /= tf.cast(tf.shape(local)[1], tf.float32)
    return loss


def _standardize(vectors: tf.Tensor) -> tf.Tensor:
    """Each column to mean 0 and standard deviation 1 over the batch."""
    mean, variance = tf.nn.moments(vectors, axes=[0])
    return (vectors - mean) * tf.math.rsqrt(variance + _EPSILON**2)
