"""InfoNCE between the two towers' user vectors (van den Oord et al. 2018)."""

from __future__ import annotations

import tensorflow as tf


def infonce_loss(
    local: tf.Tensor, global_: tf.Tensor, temperature: float
) -> tf.Tensor:
    """Finds each user's other vector among those of the batch.

    Cross-entropy of softmax(cosine / temperature) over the users of the
    batch, whose right answer is the same user; mean of both directions, from
    local to global and back. log(users) less the loss is a lower bound of
    the mutual information of the two vectors (arXiv:1807.03748, section 2.3).

    Args:
        local: [users, d] states of the sequential tower (h_u).
        global_: [users, d] user vectors of the graph tower (e^u), in the
            same order; every user occurs once.
        temperature: divides the cosines; small ones look at the hardest
            negatives only.

    Returns:
        Scalar of the vectors' type, at least 0; 0 for at most one user,
        which has nothing to be told apart from.

    Raises:
        ValueError: the temperature is not positive.
    """
    if temperature <= 0:
        raise ValueError(
            f"`temperature` must be positive, found {temperature}."
        )
    local = tf.math.l2_normalize(local, axis=1)
    global_ = tf.math.l2_normalize(global_, axis=1)
    scores = tf.matmul(local, global_, transpose_b=True) / temperature
    losses = (
        tf.reduce_logsumexp(scores, axis=0)
        + tf.reduce_logsumexp(scores, axis=1)
    ) / 2.0 - tf.linalg.diag_part(scores)
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses), tf.cast(tf.size(losses), losses.dtype)
    )
