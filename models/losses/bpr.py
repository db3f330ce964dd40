"""Bayesian personalised ranking (Rendle et al. 2009; paper section 3.4)."""

from __future__ import annotations

import tensorflow as tf

from models.compute import current, product
from models.losses.cross_entropy import MAX_SCORES
from models.ordered_sum import ordered_sum


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
    negative = negative_scores(users, negatives)
    losses = tf.nn.softplus(negative - positive[:, tf.newaxis])
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
    )


def negative_scores(users: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """Scores of the items that pairs are compared with.

    Args:
        users: [pairs, d] user vectors.
        negatives: [pairs, n, d] item vectors, or [n, d] of shared items.

    Returns:
        [pairs, n] of the vectors' type.
    """
    if negatives.shape.rank == 2:
        return tf.matmul(users, negatives, transpose_b=True)
    return tf.einsum("pd,pnd->pn", users, negatives)


def bpr_against_all(
    users: tf.Tensor,
    items: tf.Tensor,
    positives: tf.Tensor,
    max_scores: int = MAX_SCORES,
) -> tf.Tensor:
    """BPR with every item of the catalogue as a negative.

    The mean over pairs and items of -log sigmoid(positive - item), the
    positive itself included (as older code of the paper's authors). Pieces
    of the scores are computed again for the gradient, so that at most
    `max_scores` are held.

    Args:
        users: [pairs, d] user vectors.
        items: [num_items, d] vectors of all items.
        positives: [pairs] int, rows of `items` that the users chose.
        max_scores: scores held at a time; a piece has one pair at least.

    Returns:
        Scalar float32; 0 without pairs.
    """
    pairs, num_items = tf.shape(users)[0], tf.shape(items)[0]
    piece = tf.maximum(max_scores // num_items, 1)
    columns = tf.transpose(items)
    positive = tf.reduce_sum(users * tf.gather(items, positives), axis=1)
    compute = current()

    @tf.recompute_grad
    def summed(
        rows: tf.Tensor, threshold: tf.Tensor, columns: tf.Tensor
    ) -> tf.Tensor:
        scores = product(rows, columns, compute)
        return tf.reduce_sum(tf.nn.softplus(scores - threshold[:, tf.newaxis]))

    total = tf.zeros([], users.dtype)
    for start in tf.range(0, pairs, piece):
        # pieces side by side would hold their scores side by side
        tf.autograph.experimental.set_loop_options(parallel_iterations=1)
        stop = tf.minimum(start + piece, pairs)
        total += summed(users[start:stop], positive[start:stop], columns)
    count = tf.cast(pairs, users.dtype) * tf.cast(num_items, users.dtype)
    return tf.math.divide_no_nan(total, count)


def l2_penalty(*vectors: tf.Tensor) -> tf.Tensor:
    """Half the squared norm of layer-0 vectors, per pair (LightGCN).

    Args:
        *vectors: each [pairs, ..., d].

    Returns:
        Scalar float32: sum of squares / 2 / pairs.
    """
    pairs = tf.cast(tf.shape(vectors[0])[0], tf.float32)
    total = ordered_sum([tf.nn.l2_loss(v) for v in vectors])
    return tf.math.divide_no_nan(total, pairs)
