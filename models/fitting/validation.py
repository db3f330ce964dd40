"""Validation during training: NDCG@10 over the full catalogue."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models.create import Create
from models.fitting.input_pipeline import Queries
from models.graph.tower import FoldIn, fold_in_users
from models.metrics.ranking import ranks_to_metrics, target_ranks
from models.sequential.tower import SequentialTower
from models.warm_graph import Recommender, user_vectors

_BATCH = 512


def check_queries(queries: Queries | None) -> None:
    """Raises ValueError where there is nobody to validate with."""
    if queries is None or not len(queries.targets):
        raise ValueError(
            "No validation user is left between the two cuts; move the "
            "validation cut or use more data."
        )


class Validator:
    """Measures one model.

    What is compiled for it is gone with it: functions of the whole process
    would keep every model that they have ever seen, and a search has many.

    Args:
        model: to be measured, as often as it is asked for.
    """

    def __init__(self, model: Create) -> None:
        self._model = model
        self._recommender: Callable[[], Recommender] = tf.function(
            model.recommender, reduce_retracing=True
        )
        self._users = tf.function(_users, reduce_retracing=True)
        if model.graph is not None:
            self._fold_in: Callable[[], FoldIn] = tf.function(
                model.graph.fold_in, reduce_retracing=True
            )

    def ndcg(self, queries: Queries) -> float:
        """Mean NDCG@10 of the queries by the model that is served."""
        tower = self._model.sequential
        if tower is None:
            return self.graph_ndcg(queries)
        recommender = self._recommender()
        return _ndcg(
            queries,
            lambda h: self._users(tower, h, recommender),
            recommender.items,
        )

    def graph_ndcg(self, queries: Queries) -> float:
        """Mean NDCG@10 of the queries by the graph tower alone."""
        tables = self._fold_in()
        return _ndcg(
            queries, lambda h: fold_in_users(tables.history, h), tables.items
        )


def _ndcg(
    queries: Queries,
    encode: Callable[[tf.Tensor], tf.Tensor],
    table: tf.Tensor,
) -> float:
    """Of user vectors by `encode` against the [num_items, d] `table`."""
    ranks = _all_ranks(queries, encode, table)
    return float(ranks_to_metrics(ranks, [10])["ndcg_at_10"])


def _all_ranks(
    queries: Queries,
    encode: Callable[[tf.Tensor], tf.Tensor],
    table: tf.Tensor,
) -> np.ndarray:
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
                encode(tf.constant(queries.histories[start:stop], tf.int32)),
                table,
                tf.constant(queries.targets[start:stop] - 1, tf.int32),
                tf.constant(seen_rows[low:high] - start, tf.int32),
                tf.constant(seen_items[low:high] - 1, tf.int32),
            ).numpy()
        )
    return np.concatenate(ranks)


def _users(
    tower: SequentialTower, histories: tf.Tensor, recommender: Recommender
) -> tf.Tensor:
    return user_vectors(tower, histories, recommender.table, recommender.fused)


@tf.function(reduce_retracing=True)
def _ranks(
    users: tf.Tensor,
    table: tf.Tensor,
    targets: tf.Tensor,
    seen_rows: tf.Tensor,
    seen_items: tf.Tensor,
) -> tf.Tensor:
    return target_ranks(users, table, targets, (seen_rows, seen_items))
