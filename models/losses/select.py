"""The losses that the settings name."""

from __future__ import annotations

import tensorflow as tf

from models import random_streams
from models.config import AlignmentConfig, LocalLossConfig
from models.losses.barlow_twins import barlow_twins_loss
from models.losses.contrastive import infonce_loss
from models.losses.cross_entropy import full_softmax_cross_entropy
from models.losses.mutual_information import gaussian_mutual_information_loss
from models.losses.scalable_cross_entropy import scalable_cross_entropy


def local_loss(
    config: LocalLossConfig,
    states: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    seed: tf.Tensor,
) -> tf.Tensor:
    """L_local of eq. 5: the mean over the positions.

    Args:
        config: which loss.
        states: [positions, d] float32.
        table: [num_items, d] float32.
        targets: [positions] int, rows of `table`.
        seed: [2] int32 of this step.

    Returns:
        Scalar float32, 0 without positions.
    """
    if config.kind == "scalable_cross_entropy":
        return scalable_cross_entropy(
            states,
            table,
            targets,
            random_streams.BUCKETS.seed(seed),
            config.scalable,
        )
    count = tf.cast(tf.shape(states)[0], tf.float32)
    weights = tf.fill([tf.shape(states)[0]], 1.0 / tf.maximum(count, 1.0))
    return full_softmax_cross_entropy(states, table, targets, weights)


def alignment_loss(
    config: AlignmentConfig, local: tf.Tensor, global_: tf.Tensor
) -> tf.Tensor:
    """L_BT of eq. 5, or what stands in its place.

    Args:
        config: which, and its settings; kind none is the caller's matter.
        local: [users, d] states of the sequential tower (h_u).
        global_: [users, d] user vectors of the graph tower (e^u).

    Returns:
        Scalar float32.
    """
    if config.kind == "infonce":
        return infonce_loss(local, global_, config.temperature)
    if config.kind == "gaussian_mi":
        return gaussian_mutual_information_loss(local, global_, config.ridge)
    return barlow_twins_loss(
        local,
        global_,
        config.off_diagonal_weight,
        config.divide_by_dim,
        config.normalize_rows,
    )
