"""Validation during training: NDCG@10 over the full catalogue."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.create import Create
from models.input_pipeline import Queries
from models.ranking_metrics import ranks_to_metrics, target_ranks

_BATCH = 512


def validation_ranks(model: Create, queries: Queries) -> np.ndarray:
    """[n] rank of each query's target among all items, from 1.

    Targets outside the catalogue get a rank beyond it.
    """
    order = np.argsort(queries.seen_rows, kind="stable")
    seen_rows = queries.seen_rows[order]
    seen_items = queries.seen_items[order]
    ranks = []
    for start in range(0, len(queries.targets), _BATCH):
        stop = min(start + _BATCH, len(queries.targets))
        low, high = np.searchsorted(seen_rows, [start, stop])
        ranks.append(
            _ranks(
                model,
                tf.constant(queries.histories[start:stop], tf.int32),
                tf.constant(queries.targets[start:stop] - 1, tf.int32),
                tf.constant(seen_rows[low:high] - start, tf.int32),
                tf.constant(seen_items[low:high] - 1, tf.int32),
            ).numpy()
        )
    return np.concatenate(ranks)


def validation_ndcg(model: Create, queries: Queries) -> float:
    """Mean NDCG@10 of the queries, as a fraction."""
    metrics = ranks_to_metrics(validation_ranks(model, queries), [10])
    return float(metrics["ndcg_at_10"])


@tf.function(reduce_retracing=True)
def _ranks(
    model: Create,
    histories: tf.Tensor,
    targets: tf.Tensor,
    seen_rows: tf.Tensor,
    seen_items: tf.Tensor,
) -> tf.Tensor:
    return target_ranks(
        model.sequential.last_state(histories),
        model.items.table,
        targets,
        (seen_rows, seen_items),
    )
