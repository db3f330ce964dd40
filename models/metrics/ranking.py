"""Ranking metrics over the full catalogue.

The trainer's validation and the evaluator's test both take their metrics
from here, so that they mean the same by NDCG@10. With one target per user
(docs/protocol.md, rule 7):

    NDCG@k   = 1 / log2(rank + 1) if rank <= k, else 0
    Recall@k = 1 if rank <= k, else 0      (the hit rate)
    MRR@k    = 1 / rank if rank <= k, else 0

averaged over users; models/metrics/sets.py has several targets per user.
Coverage@k is the share of all items that appear in at least one user's top k.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# The rank of a target that is not in a list of answers: beyond any cutoff.
UNRANKED = np.iinfo(np.int32).max


def target_ranks(
    state_vectors: tf.Tensor,
    item_vectors: tf.Tensor,
    targets: tf.Tensor,
    seen: tuple[tf.Tensor, tf.Tensor] | None = None,
) -> tf.Tensor:
    """Ranks of the targets among all items, by inner product.

    Nothing is sorted: a rank is one more than the number of better items.
    Items with equal scores count in row order, the lower row first, as
    `tf.math.top_k` orders them. A score that is NaN counts as better than
    the target, so that a broken model cannot look good. Works eagerly and in
    a tf.function; holds three [batch, num_items] arrays at a time, so choose
    the batch by the catalogue (512 users x 200,000 items are 0.4 GB each).

    Args:
        state_vectors: [batch, dim] float32 user states.
        item_vectors: [num_items, dim] float32, without a padding row.
        targets: [batch] int, row of the target in `item_vectors`; -1 where
            the target is not in the catalogue.
        seen: (rows, columns), int [n] each: entries of the [batch, num_items]
            scores that must not be recommended. A target among them cannot
            be hit. None filters nothing.

    Returns:
        [batch] int32, from 1; num_items + 1 where the target is not in the
        catalogue, is filtered, or has no finite score.
    """
    scores = tf.matmul(state_vectors, item_vectors, transpose_b=True)
    if seen is not None:
        indices = tf.stack(
            [tf.cast(seen[0], tf.int64), tf.cast(seen[1], tf.int64)], axis=1
        )
        blocked = tf.fill(tf.shape(indices)[:1], tf.constant(-np.inf))
        scores = tf.tensor_scatter_nd_update(scores, indices, blocked)
    num_items = tf.shape(scores)[1]
    targets = tf.cast(targets, tf.int32)
    columns = tf.maximum(targets, 0)[:, tf.newaxis]
    target_scores = tf.gather(scores, columns, axis=1, batch_dims=1)
    # All items but those that are not better: a NaN counts as better.
    better = num_items - _count(scores <= target_scores)
    equal = tf.equal(scores, target_scores)

    def ties_before() -> tf.Tensor:
        return _count(equal & (tf.range(num_items) < columns))

    # Exact ties are rare; only then is the order among equals worked out.
    has_ties = tf.reduce_any(_count(equal) > 1)
    ties = tf.cond(has_ties, ties_before, lambda: tf.zeros_like(better))
    possible = (targets >= 0) & tf.math.is_finite(target_scores[:, 0])
    return tf.where(possible, 1 + better + ties, num_items + 1)


def _count(mask: tf.Tensor) -> tf.Tensor:
    """[batch] int32 number of true entries of each row of `mask`.

    Summed as float32, several times faster on a CPU than
    `tf.math.count_nonzero` and exact up to 2**24 columns.
    """
    return tf.cast(tf.reduce_sum(tf.cast(mask, tf.float32), axis=1), tf.int32)


def per_user_values(
    ranks: np.ndarray, cutoffs: Sequence[int]
) -> dict[str, np.ndarray]:
    """Each user's contribution to each metric.

    Args:
        ranks: [num_users] int from 1; `UNRANKED` (or anything beyond the
            largest cutoff) where the target was not recommended.
        cutoffs: values of k, in any order.

    Returns:
        Metric name to [num_users] float64: `ndcg_at_k` and `recall_at_k` for
        each k, and `mrr_at_k` for the largest: lists end there, so a
        reciprocal rank beyond it is not known and counts as 0.

    Raises:
        ValueError: no cutoff, a cutoff below 1 or a rank below 1.
    """
    if not cutoffs or min(cutoffs) < 1:
        raise ValueError(
            f"`cutoffs` must be at least 1 each, found {list(cutoffs)}."
        )
    ranks = np.asarray(ranks, np.int64)
    if ranks.size and ranks.min() < 1:
        raise ValueError(f"Ranks start at 1, found {ranks.min()}.")
    values: dict[str, np.ndarray] = {}
    gains = 1.0 / np.log2(ranks + 1.0)
    for cutoff in sorted(set(cutoffs)):
        hits = ranks <= cutoff
        values[f"ndcg_at_{cutoff}"] = np.where(hits, gains, 0.0)
        values[f"recall_at_{cutoff}"] = hits.astype(np.float64)
    longest = max(cutoffs)
    values[f"mrr_at_{longest}"] = np.where(ranks <= longest, 1.0 / ranks, 0.0)
    return values


def ranks_to_metrics(
    ranks: np.ndarray, cutoffs: Sequence[int]
) -> dict[str, float]:
    """Means over users of `per_user_values`, as fractions.

    Raises:
        ValueError: as `per_user_values`, or there is no user.
    """
    if not len(ranks):
        raise ValueError("No user to evaluate: `ranks` is empty.")
    values = per_user_values(ranks, cutoffs)
    return {name: float(value.mean()) for name, value in values.items()}


def coverage(distinct: int, universe_size: int) -> float:
    """Share of all items that are recommended to at least one user.

    Args:
        distinct: number of items in all lists together, each counted once.
        universe_size: number of items there are.

    Raises:
        ValueError: more distinct items than the universe has, which means
            that lists and universe do not belong together.
    """
    if not 0 <= distinct <= universe_size or universe_size < 1:
        raise ValueError(
            f"{distinct} distinct items were recommended out of a universe "
            f"of {universe_size}."
        )
    return distinct / universe_size
