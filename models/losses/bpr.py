"""Bayesian personalised ranking (Rendle et al. 2009; paper section 3.4)."""

from __future__ import annotations

import tensorflow as tf


def bpr_loss(
    users: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor
) -> tf.Tensor:
    """Mean of -log sigmoid(score of the positive - score of a negative).

    Args:
        users: [pairs, d] user vectors.
        positives: [pairs, d] vectors of items the users chose.
        negatives: [pairs, n, d] vectors of n other items each, or [n, d]
            of n items that all pairs share.

    Returns:
        Scalar float32, the mean over pairs and negatives; 0 without pairs.
    """
    positive = tf.reduce_sum(users * positives, axis=-1)
    shared = negatives.shape.rank == 2
    negative = tf.einsum(
        "pd,nd->pn" if shared else "pd,pnd->pn", users, negatives
    )
    losses = tf.nn.softplus(negative - positive[:, tf.newaxis])
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
    )


def l2_penalty(*vectors: tf.Tensor) -> tf.Tensor:
    """Half the squared norm of layer-0 vectors, per pair (LightGCN).

    Args:
        *vectors: each [pairs, ..., d].

    Returns:
        Scalar float32: sum of squares / 2 / pairs.
    """
    pairs = tf.cast(tf.shape(vectors[0])[0], tf.float32)
    total = tf.add_n([tf.nn.l2_loss(v) for v in vectors])
    return tf.math.divide_no_nan(total, pairs)
