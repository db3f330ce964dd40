"""Ranking metrics where a user has several targets.

`mean_by_owner` averages over targets that were asked for one by one;
`set_values` measures one list against a set of targets (as Yambda):

    DCG@k    = sum of 1 / log2(rank + 1) over the targets with rank <= k
    NDCG@k   = DCG@k / DCG@k of a list that begins with the targets
    Recall@k = targets with rank <= k / all targets
    MRR@k    = 1 / best rank if best rank <= k, else 0

With one target each is what models/metrics/ranking.py has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.metrics.ranking import per_user_values


def mean_by_owner(
    values: Mapping[str, np.ndarray], owners: np.ndarray
) -> dict[str, np.ndarray]:
    """Means of the values of each owner.

    Args:
        values: metric name to [num_targets].
        owners: [num_targets] int, whose target it is.

    Returns:
        Metric name to [distinct owners] float64, in ascending order of owner.
    """
    _, groups, sizes = np.unique(
        owners, return_inverse=True, return_counts=True
    )
    return {
        name: np.bincount(groups, value) / sizes
        for name, value in values.items()
    }


def set_values(
    ranks: np.ndarray, owners: np.ndarray, cutoffs: Sequence[int]
) -> dict[str, np.ndarray]:
    """Each owner's metrics, all of whose targets are looked for in one list.

    Args:
        ranks: [num_targets] int from 1 in the owner's list, each at most once
            per owner; `UNRANKED` where the target is not in it.
        owners: [num_targets] int, whose target it is.
        cutoffs: values of k, in any order.

    Returns:
        Names as in `per_user_values` to [distinct owners] float64, in
        ascending order of owner.

    Raises:
        ValueError: as `per_user_values`.
    """
    _, groups, sizes = np.unique(
        owners, return_inverse=True, return_counts=True
    )
    values = per_user_values(ranks, cutoffs)
    longest = max(cutoffs)
    ideal = np.cumsum(1.0 / np.log2(np.arange(longest) + 2.0))
    result: dict[str, np.ndarray] = {}
    for name, value in values.items():
        metric, _, cutoff = name.partition("_at_")
        if metric == "mrr":
            best = np.zeros(len(sizes))
            np.maximum.at(best, groups, value)
            result[name] = best
            continue
        sums = np.bincount(groups, value)
        if metric == "ndcg":
            result[name] = sums / ideal[np.minimum(sizes, int(cutoff)) - 1]
        else:
            result[name] = sums / sizes
    return result
