"""UltraGCN's losses (Mao et al. 2021, arXiv:2110.15114; eq. 1 of the paper).

    beta_ui = sqrt(d_u + 1) / d_u / sqrt(d_i + 1)
    L_O + lambda L_C = (w1 + w2 beta_ui) softplus(-s_ui)
                       + nu mean over negatives j of
                         (w3 + w4 beta_uj) softplus(s_uj)
    L_I = sum over neighbours j of i of omega_ij softplus(-s_uj)

w1 and w3 alone give L_O; w2 and w4 are the constraint L_C with its lambda.
The names clash: in both papers' formulas gamma weighs L_I (`item_weight`
here); in UltraGCN's own code lambda does, and gamma there is the weight of
L2 (`model.graph.l2` here).

All terms are means over the edges of the step, where UltraGCN's code has sums:
ours is that loss over the number of edges, so that neither the gradient's
length (`training.clip_norm`) nor a learning rate belongs to a batch size.
Where the graph trains alone Adam's step takes no notice of the factor. In joint
training it does: eq. 5 adds the losses before one step is taken, so a
`model.global_weight` here is worth that weight over the edges of a step (some
hundreds) in UltraGCN's code. L2 is of the vectors that the step
uses, per edge too, as in LightGCN, where UltraGCN's code takes all of both
tables.
"""

from __future__ import annotations

import tensorflow as tf


def constraint_loss(
    positive: tf.Tensor,
    negative: tf.Tensor,
    positive_weights: tf.Tensor,
    negative_weights: tf.Tensor,
    negative_weight: float,
) -> tf.Tensor:
    """L_O + lambda L_C, the mean over edges.

    Args:
        positive: [edges] scores of the edges' items.
        negative: [edges, n] scores of other items.
        positive_weights: [edges], w1 + w2 beta.
        negative_weights: [edges, n], w3 + w4 beta.
        negative_weight: nu, of the mean over an edge's negatives.

    Returns:
        Scalar of the scores' type; 0 without edges.
    """
    losses = positive_weights * tf.nn.softplus(-positive)
    losses += negative_weight * tf.reduce_mean(
        negative_weights * tf.nn.softplus(negative), axis=1
    )
    return _mean(losses)


def item_loss(scores: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """L_I, the mean over edges.

    Args:
        scores: [edges, K] of the user with the neighbours of the item.
        weights: [edges, K] omega, 0 where there is no neighbour.

    Returns:
        Scalar of the scores' type; 0 without edges.
    """
    return _mean(tf.reduce_sum(weights * tf.nn.softplus(-scores), axis=1))


def _mean(losses: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses), tf.cast(tf.size(losses), losses.dtype)
    )
