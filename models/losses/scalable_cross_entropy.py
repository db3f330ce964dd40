"""Scalable cross-entropy: a softmax over the items that matter.

Random buckets collect positions and items that point the same way; a
position meets only the items of its buckets, which are those with large
scores, that is, with large terms in the softmax and in its gradient
(Mezentsev et al. 2024, arXiv:2409.18721). Instead of [positions, num_items]
it takes [num_buckets, bucket_positions, bucket_items] scores. With one bucket
that holds everything it is the full cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from models.compute import Compute, current, product
from models.config import ScalableCrossEntropyConfig

# Items whose scores by all centres are held at a time: 20 MB at 158 buckets;
# more was not faster on 2 CPU cores.
ITEM_CHUNK = 32_768


def scalable_cross_entropy(
    states: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    seed: tf.Tensor,
    settings: ScalableCrossEntropyConfig,
) -> tf.Tensor:
    """Mean loss of the positions that fell into a bucket.

    The loss of a position in a bucket is logsumexp(scores of the bucket's
    items other than the target, score of the target) - score of the target;
    in several buckets it is the largest of them, and so its gradient is that
    of the largest (the mean of them where they tie). Positions in no bucket
    give neither loss nor gradient.

    Args:
        states: [positions, d] float, without padding.
        table: [num_items, d] float of the same type.
        targets: [positions] int, row of `table`.
        seed: [2] int32 of this step; the same seed draws the same buckets.
        settings: number and size of the buckets.

    Returns:
        Scalar, 0 without positions. Gradients flow to `states` and, as one
        dense [num_items, d] tensor, to `table`: what adds up, clips by
        norm or runs Adam's fused operation takes it as it is.
    """
    return _loss_with_gradient(settings, current())(
        tf.convert_to_tensor(states),
        tf.convert_to_tensor(table),
        tf.cast(targets, tf.int32),
        seed,
    )


def _loss_with_gradient(
    settings: ScalableCrossEntropyConfig, compute: Compute
) -> Callable[..., tf.Tensor]:
    @tf.custom_gradient
    def loss(
        states: tf.Tensor,
        table: tf.Tensor,
        targets: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, Callable[..., tuple]]:
        chosen, items = _buckets(states, table, seed, settings)
        value, d_states, d_items, d_targets = _forward_and_backward(
            states, table, targets, chosen, items, compute
        )

        def gradient(upstream: tf.Tensor) -> tuple:
            # scattered here and not before: one [num_items, d], not two
            rows = tf.concat([tf.reshape(items, [-1]), targets], axis=0)
            values = tf.concat(
                [tf.reshape(d_items, [-1, tf.shape(states)[1]]), d_targets],
                axis=0,
            )
            d_table = tf.math.unsorted_segment_sum(
                upstream * values, rows, tf.shape(table)[0]
            )
            return upstream * d_states, d_table, None, None

        return value, gradient

    return loss


@tf.function(reduce_retracing=True)
def _buckets(
    states: tf.Tensor,
    table: tf.Tensor,
    seed: tf.Tensor,
    settings: ScalableCrossEntropyConfig,
) -> tuple[tf.Tensor, tf.Tensor]:
    """[buckets, b_x] rows of `states` and [buckets, b_y] rows of `table`."""
    positions, dim = tf.shape(states)[0], tf.shape(states)[1]
    root = tf.sqrt(tf.cast(positions, tf.float64))
    default = tf.cast(2.0 * root, tf.int32)
    count = settings.num_buckets or tf.maximum(default, 1)
    size = tf.minimum(settings.bucket_positions or default, positions)
    shape = [count, positions if settings.mix else dim]
    centres = tf.random.stateless_normal(shape, seed, dtype=states.dtype)
    if settings.mix:
        centres = tf.matmul(centres, states)
    # the scale changes no order; it keeps the scores as large as the paper's
    centres *= tf.cast(dim, states.dtype) ** -0.25
    scores = tf.matmul(centres, states, transpose_b=True)
    chosen = tf.math.top_k(scores, size, sorted=False).indices
    return chosen, _best_items(centres, table, settings.bucket_items)


def _best_items(
    centres: tf.Tensor, table: tf.Tensor, k: int, chunk: int = ITEM_CHUNK
) -> tf.Tensor:
    """[buckets, min(k, num_items)] rows of `table` with the largest scores.

    The best so far go first into every top-k: a high bar from the start is
    what makes the rest of the row cheap to reject.
    """
    num_items = tf.shape(table)[0]
    k = tf.minimum(k, num_items)
    shape = [tf.shape(centres)[0], k]
    best, items = tf.fill(shape, centres.dtype.min), tf.zeros(shape, tf.int32)
    for start in tf.range(0, num_items, chunk):
        # one chunk at a time, or several would be in memory together
        tf.autograph.experimental.set_loop_options(
            parallel_iterations=1,
            shape_invariants=[
                (best, tf.TensorShape([None, None])),
                (items, tf.TensorShape([None, None])),
            ],
        )
        rows = table[start : start + chunk]
        scores = tf.matmul(centres, rows, transpose_b=True)
        best, place = tf.math.top_k(
            tf.concat([best, scores], axis=1), k, sorted=False
        )
        kept = tf.gather(items, tf.minimum(place, k - 1), batch_dims=1)
        items = tf.where(place < k, kept, place - k + start)
    return items


@tf.function(reduce_retracing=True)
def _forward_and_backward(
    states: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    chosen: tf.Tensor,
    items: tf.Tensor,
    compute: Compute,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Loss; gradients of `states`, of the items' and the targets' rows.

    Args:
        states: [positions, d].
        table: [num_items, d].
        targets: [positions].
        chosen: [buckets, b_x] rows of `states`.
        items: [buckets, b_y] rows of `table`.
        compute: how products are computed.

    Returns:
        Scalar, [positions, d], [buckets, b_y, d] and [positions, d].
    """
    positions = tf.shape(states)[0]
    target_rows = tf.gather(table, targets)
    right = tf.reduce_sum(states * target_rows, axis=1)
    bucket_states = tf.gather(states, chosen)
    bucket_items = tf.gather(table, items)
    wrong = _scores_of_others(
        bucket_states,
        bucket_items,
        tf.gather(targets, chosen),
        items,
        compute,
    )
    losses, wrong, right, total = _losses(wrong, tf.gather(right, chosen))
    weights, loss = _largest_per_position(losses, chosen, positions)
    probabilities = wrong * (weights / total)[:, :, tf.newaxis]
    d_right = tf.math.unsorted_segment_sum(
        weights * (right / total - 1.0), chosen, positions
    )[:, tf.newaxis]
    d_states = tf.math.unsorted_segment_sum(
        product(probabilities, bucket_items, compute), chosen, positions
    )
    d_items = product(probabilities, bucket_states, compute, transpose_a=True)
    return loss, d_states + d_right * target_rows, d_items, d_right * states


def _scores_of_others(
    states: tf.Tensor,
    rows: tf.Tensor,
    targets: tf.Tensor,
    items: tf.Tensor,
    compute: Compute,
) -> tf.Tensor:
    """[buckets, b_x, b_y]; -inf for the target, the right answer already."""
    scores = product(states, rows, compute, transpose_b=True)
    is_target = targets[:, :, tf.newaxis] == items[:, tf.newaxis]
    return tf.where(is_target, tf.constant(-float("inf"), scores.dtype), scores)


def _losses(wrong: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """[buckets, b_x] losses, exponentials of both scores, and their sum."""
    top = tf.maximum(tf.reduce_max(wrong, axis=2), right)
    exp_wrong = tf.exp(wrong - top[:, :, tf.newaxis])
    exp_right = tf.exp(right - top)
    total = exp_right + tf.reduce_sum(exp_wrong, axis=2)
    return tf.math.log(total) + top - right, exp_wrong, exp_right, total


def _largest_per_position(
    losses: tf.Tensor, chosen: tf.Tensor, positions: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Each bucket's share [buckets, b_x] in the loss, and the loss.

    "Selected" is by membership and not, as in the authors' code, by a loss
    other than 0: a position that is already right to the last bit counts.
    """
    largest = tf.math.unsorted_segment_max(losses, chosen, positions)
    is_largest = tf.cast(losses == tf.gather(largest, chosen), losses.dtype)
    ties = tf.math.unsorted_segment_sum(is_largest, chosen, positions)
    # a position in no bucket has the smallest float there is as its largest
    selected = tf.cast(largest > losses.dtype.min, losses.dtype)
    count = tf.maximum(tf.reduce_sum(selected), 1.0)
    shares = tf.math.divide_no_nan(is_largest, tf.gather(ties, chosen)) / count
    # a NaN has no share, but 0 times NaN lets it be seen
    return shares, tf.reduce_sum(shares * losses)
