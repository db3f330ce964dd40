"""Mutual information of the two towers' user vectors, were they Gaussian.

The paper names other ways to maximise mutual information as future work. For
jointly Gaussian vectors it has a closed form (Cover and Thomas, Elements of
Information Theory, section 8.5; the sum over canonical correlations rho of
-log(1 - rho^2) / 2):

    I = (log det C_xx + log det C_yy - log det C) / 2

Unlike Barlow Twins it does not ask that column i of one tower agree with
column i of the other, only that each tower tell what the other tells: any
invertible linear map of either leaves it unchanged.
"""

from __future__ import annotations

import tensorflow as tf

from models.losses.standardize import standardize_columns


def gaussian_mutual_information_loss(
    local: tf.Tensor, global_: tf.Tensor, ridge: float
) -> tf.Tensor:
    """Minus the mutual information in nats per column.

    The covariance is that of the batch's standardised columns, shrunk to
    (1 - ridge) C + ridge I. Without that it would be singular in a batch of
    no more than 2 d users, and I infinite for any vectors; with it I is
    finite, at least 0 and 0 for towers without any correlation. In such a
    batch correlations are part chance and the ridge says how much they
    count: keep it well above 0 there (0.1 and more).

    Args:
        local: [users, d] states of the sequential tower (h_u).
        global_: [users, e] user vectors of the graph tower (e^u), in the
            same order.
        ridge: in (0, 1), share of the identity.

    Returns:
        Scalar of the vectors' type, at most 0: -I / d.

    Raises:
        ValueError: the ridge lies elsewhere.
    """
    if not 0.0 < ridge < 1.0:
        raise ValueError(f"`ridge` must lie in (0, 1), found {ridge}.")
    dim = tf.shape(local)[1]
    views = [standardize_columns(local), standardize_columns(global_)]
    # I is a difference of large sums: 256 columns cost little in float64
    columns = tf.cast(tf.concat(views, axis=1), tf.float64)
    users = tf.maximum(tf.cast(tf.shape(columns)[0], tf.float64), 1.0)
    covariance = tf.matmul(columns, columns, transpose_a=True)
    covariance *= (1.0 - ridge) / users
    covariance += ridge * tf.eye(tf.shape(columns)[1], dtype=tf.float64)
    # the upper left block of the factor of C is the factor of C_xx: log det
    # C_xx cancels and the lower right block is left
    conditional = _half_log_determinants(covariance)[dim:]
    alone = _half_log_determinants(covariance[dim:, dim:])
    information = tf.reduce_sum(alone - conditional)
    return tf.cast(-information / tf.cast(dim, tf.float64), local.dtype)


def _half_log_determinants(matrix: tf.Tensor) -> tf.Tensor:
    """[n, n] positive definite to [n]; they add up to log det / 2."""
    return tf.math.log(tf.linalg.diag_part(tf.linalg.cholesky(matrix)))
