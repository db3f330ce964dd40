"""Reads raw item ids into rows, ranks the catalogue and names the best items.

Everything here works on whole batches with TensorFlow ops alone, so that it
runs inside a SavedModel without a line of this code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

NO_ITEM = ""


def align_newest(rows: tf.Tensor, length: int) -> tf.Tensor:
    """Keeps each user's newest known items, right-aligned.

    Args:
        rows: [batch, n] int64 item rows from 1, oldest first, 0 (unknown or
            padding) anywhere.
        length: how many of the newest to keep.

    Returns:
        [batch, length] int64, newest last, 0 on the left.
    """
    known = rows > 0
    # 1 for a user's newest known item, 2 for the one before it, and so on.
    age = tf.cumsum(tf.cast(known, tf.int64), axis=1, reverse=True)
    places = tf.where(known & (age <= length))
    columns = length - tf.gather_nd(age, places)
    aligned = tf.scatter_nd(
        tf.stack([places[:, 0], columns], axis=1),
        tf.gather_nd(rows, places),
        tf.stack([tf.shape(rows, tf.int64)[0], length]),
    )
    return tf.ensure_shape(aligned, [None, length])


def popularity_scores(popular_items: np.ndarray, num_items: int) -> np.ndarray:
    """[num_items] float32 scores that rank items by popularity.

    The scores are reciprocal ranks: finite, and all different as float32 for
    catalogues of up to eight million items. Items that `popular_items` leaves
    out follow in catalogue order.
    """
    rest = np.setdiff1d(np.arange(num_items), popular_items)
    order = np.concatenate([np.asarray(popular_items, np.int64), rest])
    scores = np.empty(num_items, np.float32)
    scores[order] = 1.0 / np.arange(1, num_items + 1)
    return scores


class MaskedBruteForce(tfrs.layers.factorized_top_k.BruteForce):
    """Exact top-k in which some scores are overwritten before the ranking.

    TFRS' own `query_with_exclusions` needs a static number of exclusions and
    compares strings; here excluded scores become -inf in place, so that any
    number of exclusions costs no more than their count and k stays exact.
    Equal scores go to the lower catalogue position (as `tf.math.top_k`).

    Args:
        popularity: [num_items] float32 scores for users without a history.
    """

    def __init__(self, popularity: np.ndarray) -> None:
        super().__init__()
        self._popularity = self.add_weight(
            name="popularity",
            shape=popularity.shape,
            dtype=tf.float32,
            initializer=tf.keras.initializers.Constant(popularity),
            trainable=False,
        )

    def _compute_score(
        self, queries: dict[str, tf.Tensor], candidates: tf.Tensor
    ) -> tf.Tensor:
        """Dot products, overwritten where the queries say so.

        Args:
            queries: `vectors` [batch, d]; `popular` [p] int64 batch rows that
                take the popularity scores; `excluded` [e, 2] int64 pairs of
                batch row and catalogue position.
            candidates: [num_items, d].

        Returns:
            [batch, num_items] float32.
        """
        scores = super()._compute_score(queries["vectors"], candidates)
        popular, excluded = queries["popular"], queries["excluded"]
        # Scattering costs nothing when no row asks for it, a `where` over
        # batch times catalogue always would.
        scores = tf.tensor_scatter_nd_update(
            scores,
            popular[:, tf.newaxis],
            tf.repeat(self._popularity[tf.newaxis], tf.size(popular), axis=0),
        )
        return tf.tensor_scatter_nd_update(
            scores, excluded, tf.fill(tf.shape(excluded)[:1], -np.inf)
        )


@contextlib.contextmanager
def _float32_policy() -> Iterator[None]:
    """Layers built here compute in float32 whatever training uses."""
    policy = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)


class Recommender:
    """What the signatures compute; `serving.export` traces and saves it.

    Args:
        encode: [batch, max_history] int64 rows -> [batch, d] vectors.
        item_vectors: [num_items, d] float32.
        vocabulary: file of item ids, one per line, line i is row i + 1.
        item_ids: the same ids.
        popularity: [num_items] scores for users without a history.
        max_history: newest known items used.
    """

    def __init__(
        self,
        encode: Any,
        item_vectors: np.ndarray,
        vocabulary: str,
        item_ids: list[bytes],
        popularity: np.ndarray,
        max_history: int,
    ) -> None:
        self._encode = encode
        self._max_history = max_history
        self._num_items = len(item_ids)
        self._favourite = int(np.argmax(popularity)) + 1
        self.item_ids = tf.Variable(item_ids, trainable=False, name="item_ids")
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                vocabulary,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
                vocab_size=len(item_ids),
            ),
            default_value=-1,
        )
        with _float32_policy():
            self._index = MaskedBruteForce(popularity)
            # Positions as identifiers: strings are gathered once, after the
            # top-k, and never compared.
            self._index.index(tf.constant(item_vectors, tf.float32))

    def rows(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Int64 rows from 1 of string ids; 0 for "" and unknown ids."""
        return self.table.lookup(item_ids) + 1

    def __call__(
        self, history: tf.Tensor, excluded_rows: tf.Tensor, k: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The k best items per user, best first.

        Args:
            history: [batch, n] int64 rows, oldest first, 0 anywhere.
            excluded_rows: [batch, m] int64 rows that must not come out, 0
                excludes nothing.
            k: int32 scalar, clipped to the size of the catalogue.

        Returns:
            `item_ids` [batch, k] and `scores` [batch, k]; where fewer than k
            items are left, "" and -inf fill the end.
        """
        rows = align_newest(history, self._max_history)
        empty = rows[:, -1] == 0
        # An encoder may divide by the number of items or mask every key, so
        # it sees the favourite item instead of an empty history; its answer
        # is overwritten by the popularity scores.
        favourite = tf.constant(self._favourite, tf.int64)
        newest = tf.where(empty, favourite, rows[:, -1])
        rows = tf.concat([rows[:, :-1], newest[:, tf.newaxis]], axis=1)
        places = tf.where(excluded_rows > 0)
        positions = tf.gather_nd(excluded_rows, places) - 1
        queries = {
            "vectors": tf.cast(self._encode(rows), tf.float32),
            "popular": tf.where(empty)[:, 0],
            "excluded": tf.stack([places[:, 0], positions], axis=1),
        }
        scores, best = self._index(queries, k=tf.minimum(k, self._num_items))
        item_ids = tf.where(
            scores != -np.inf, tf.gather(self.item_ids, best), NO_ITEM
        )
        return {"item_ids": item_ids, "scores": scores}
