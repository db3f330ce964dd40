"""What the signatures of the exported model compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from serving import retrieval
from serving.request_checks import after
from serving.signatures import MAX_ANSWERS

# Floats of encoders and rankings that are in memory at the same time: 128 MiB.
_MAX_FLOATS = 2**25
# What an encoder holds of a user at its peak, found by measuring: so many
# tensors [max_history, d], and so many [max_history, max_history] of attention.
_STATES = 8
_ATTENTIONS = 4

Tensors = dict[str, tf.Tensor]


class Recommender:
    """Ranks, scores and embeds; `serving.export` traces and saves it.

    Args:
        encode: [batch, max_history] int64 rows -> [batch, d] vectors.
        index: ranks the catalogue.
        vocabulary: file of item ids, one per line, line i is row i + 1.
        item_ids: the same ids.
        max_history: newest known items used.

    Attributes:
        encoded_at_once: users whose histories are encoded together.
        ranked_at_once: users who are ranked together.
    """

    def __init__(
        self,
        encode: Any,
        index: retrieval.Index,
        vocabulary: str,
        item_ids: list[bytes],
        max_history: int,
    ) -> None:
        self._encode = encode
        self._max_history = max_history
        self._num_items = len(item_ids)
        self._dim = int(index.item_vectors.shape[1])
        floats = max_history * (_STATES * self._dim + _ATTENTIONS * max_history)
        self.encoded_at_once = max(_MAX_FLOATS // floats, 1)
        self.ranked_at_once = max(
            _MAX_FLOATS // max(index.floats_per_user, floats), 1
        )
        self._favourite = int(np.argmax(index.popularity.numpy())) + 1
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
        self._index = index
        # Functions of the graph that the signatures share.
        rows = tf.TensorSpec([None, None], tf.int64)
        count = tf.TensorSpec([], tf.int32)
        self._encoded = tf.function(
            self._encode_histories, [rows], autograph=False
        )
        self._vectors = tf.function(
            self._encode_in_blocks, [rows], autograph=False
        )
        self._ranked = tf.function(
            self._rank, [rows, rows, count], autograph=False
        )

    def rows(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Int64 rows from 1 of string ids; 0 for "" and unknown ids."""
        return self.table.lookup(item_ids) + 1

    def recommend(
        self, history: tf.Tensor, excluded_rows: tf.Tensor, k: tf.Tensor
    ) -> Tensors:
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
        ranked: Tensors = self._ranked(history, excluded_rows, k)
        return ranked

    def _rank(
        self, history: tf.Tensor, excluded_rows: tf.Tensor, k: tf.Tensor
    ) -> Tensors:
        k = tf.minimum(k, self._num_items)
        users = tf.shape(history)[0]
        check = tf.debugging.assert_less_equal(
            tf.cast(users, tf.int64) * tf.cast(k, tf.int64),
            tf.constant(MAX_ANSWERS, tf.int64),
            "Too many users times `k`; send fewer at once.",
        )
        with after(check):
            history = tf.identity(history)
        item_ids, scores = _in_blocks(
            lambda block: self._best(history[block], excluded_rows[block], k),
            users,
            self.ranked_at_once,
            tf.TensorSpec([None, None], tf.string),
            tf.TensorSpec([None, None], tf.float32),
        )
        return {"item_ids": item_ids, "scores": scores}

    def score(self, history: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """[batch, m] scores of [batch, m] candidate rows; -inf for row 0.

        They are the scores that `recommend` answers for the same items.
        """
        most = max(_MAX_FLOATS // self._dim, 1)
        check = tf.debugging.assert_less_equal(
            tf.size(candidates),
            most,
            f"More than {most} candidates; send fewer at once.",
        )
        with after(check):
            positions = tf.maximum(candidates - 1, 0)
        vectors, empty = self._vectors(history)
        scores = tf.einsum(
            "bd,bmd->bm",
            vectors,
            retrieval.rows_of(self._index.item_vectors, positions),
        )
        popular = retrieval.rows_of(self._index.popularity, positions)
        scores = tf.where(empty[:, tf.newaxis], popular, scores)
        return tf.where(candidates > 0, scores, -np.inf)

    def user_vector(self, history: tf.Tensor) -> Tensors:
        """What an index of the item vectors is asked with.

        Returns:
            `vectors` [batch, d], zero without a known item, and
            `known_items` [batch], how many known items the history holds.
        """
        vectors, empty = self._vectors(history)
        known = tf.reduce_sum(tf.cast(history > 0, tf.int32), axis=1)
        zeros = tf.zeros_like(vectors)
        return {
            "vectors": tf.where(empty[:, tf.newaxis], zeros, vectors),
            "known_items": known,
        }

    def item_vectors(self, start: tf.Tensor, count: tf.Tensor) -> Tensors:
        """A part of the catalogue: `item_ids` [m] and `vectors` [m, d].

        Args:
            start: int64 scalar, first position in the catalogue from 0.
            count: int32 scalar, how many items at most; fewer at the end.
        """
        start = tf.minimum(start, self._num_items)
        end = tf.minimum(start + tf.cast(count, tf.int64), self._num_items)
        return {
            # Never read as a whole, see `retrieval.rows_of`.
            "item_ids": tf.gather(self.item_ids, tf.range(start, end)),
            "vectors": self._index.item_vectors[start:end],
        }

    def _best(
        self, history: tf.Tensor, excluded_rows: tf.Tensor, k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        vectors, empty = self._encoded(history)
        places = tf.where(excluded_rows > 0)
        positions = tf.gather_nd(excluded_rows, places) - 1
        queries = {
            "vectors": vectors,
            "popular": tf.where(empty)[:, 0],
            "excluded": tf.stack([places[:, 0], positions], axis=1),
        }
        scores, best = self._index(queries, k=k)
        item_ids = tf.where(
            scores != -np.inf,
            tf.gather(self.item_ids, best),
            retrieval.NO_ITEM,
        )
        return item_ids, scores

    def _encode_in_blocks(
        self, history: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What `_encode_histories` answers, of any number of users."""
        vectors, empty = _in_blocks(
            lambda block: self._encoded(history[block]),
            tf.shape(history)[0],
            self.encoded_at_once,
            tf.TensorSpec([None, self._dim], tf.float32),
            tf.TensorSpec([None], tf.bool),
        )
        return vectors, empty

    def _encode_histories(
        self, history: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, d] float32 vectors and [batch] bool: no known item."""
        rows = retrieval.align_newest(history, self._max_history)
        empty = rows[:, -1] == 0
        # An encoder may divide by the number of items or mask every key, so
        # it sees the favourite item instead of an empty history; its answer
        # is not used.
        favourite = tf.constant(self._favourite, tf.int64)
        newest = tf.where(empty, favourite, rows[:, -1])
        rows = tf.concat([rows[:, :-1], newest[:, tf.newaxis]], axis=1)
        return tf.cast(self._encode(rows), tf.float32), empty


def _in_blocks(
    compute: Callable[[slice], tuple[tf.Tensor, ...]],
    users: tf.Tensor,
    size: int,
    *specs: tf.TensorSpec,
) -> list[tf.Tensor]:
    """Computes block by block, so that what one needs fits in memory.

    Args:
        compute: the tensors of some users, given which.
        users: int32 scalar, how many there are; none are a block, too.
        size: users of a block.
        *specs: what `compute` returns, for any number of users.

    Returns:
        The same tensors, of all users.
    """
    blocks = tf.maximum((users + size - 1) // size, 1)

    def add(number: tf.Tensor, *parts: tf.TensorArray) -> tuple[Any, ...]:
        start = number * size
        computed = compute(slice(start, start + size))
        added = (
            part.write(number, tensor)
            for part, tensor in zip(parts, computed, strict=True)
        )
        return number + 1, *added

    arrays = [
        tf.TensorArray(
            spec.dtype, blocks, infer_shape=False, element_shape=spec.shape
        )
        for spec in specs
    ]
    _, *parts = tf.while_loop(
        lambda number, *_: number < blocks,
        add,
        (tf.constant(0), *arrays),
        parallel_iterations=1,
    )
    return [part.concat() for part in parts]
