"""Which positions of a batch BERT4Rec has to guess.

Every draw is a function of the training step's seed, so that a resumed run
repeats it exactly.
"""

from __future__ import annotations

import tensorflow as tf

from models.random_streams import LAST_MASKS, MASKS, Stream


def training_masks(
    known: tf.Tensor,
    probability: float,
    last_probability: float,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Draws the masks of one training step.

    Each known position is masked with `probability`. A sequence of which
    nothing was drawn has one of its positions masked, all with equal chance.
    With `last_probability` a sequence has its last position masked instead
    and no other, which is what inference looks like.

    Args:
        known: [batch, length] bool, False where padded; the last column is
            the newest event.
        probability: of a position, in (0, 1).
        last_probability: of a sequence, in [0, 1].
        seed: [2] int32 of the step.

    Returns:
        [batch, length] bool; never True where padded, and True somewhere in
        every row that knows anything.
    """
    draws = _uniform(tf.shape(known), seed, MASKS)
    lowest = tf.reduce_min(tf.where(known, draws, 1.0), axis=1, keepdims=True)
    masked = known & ((draws < probability) | (draws <= lowest))
    if last_probability == 0.0:
        return masked
    chosen = _uniform(tf.shape(known)[:1], seed, LAST_MASKS) < last_probability
    return tf.where(chosen[:, tf.newaxis], known & only_last(known), masked)


def only_last(columns: tf.Tensor) -> tf.Tensor:
    """A mask of the last column alone.

    Args:
        columns: [batch, length] of any type.

    Returns:
        [batch, length] bool.
    """
    shape = tf.shape(columns)
    last = tf.range(shape[1]) == shape[1] - 1
    return tf.repeat(last[tf.newaxis], shape[0], axis=0)


def _uniform(shape: tf.Tensor, seed: tf.Tensor, stream: Stream) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, stream.seed(seed))
