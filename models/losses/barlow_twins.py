"""Barlow Twins between the two towers' user vectors (eq. 2 and 3)."""

from __future__ import annotations

import tensorflow as tf

from models.losses.standardize import standardize_columns


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
        Scalar of the vectors' type; 0 if and only if the correlation is the
        identity. A column that does not vary correlates with nothing.
    """
    if normalize_rows:
        local = tf.math.l2_normalize(local, axis=1)
        global_ = tf.math.l2_normalize(global_, axis=1)
    users = tf.maximum(tf.cast(tf.shape(local)[0], local.dtype), 1.0)
    views = standardize_columns(local), standardize_columns(global_)
    correlation = tf.matmul(*views, transpose_a=True) / users
    diagonal = tf.linalg.diag_part(correlation)
    on = tf.reduce_sum(tf.square(1.0 - diagonal))
    off = tf.reduce_sum(tf.square(correlation)) - tf.reduce_sum(
        tf.square(diagonal)
    )
    loss = on + off_diagonal_weight * off
    if divide_by_dim:
        loss /= tf.cast(tf.shape(local)[1], local.dtype)
    return loss
