"""An approximate index: candidates by ScaNN, scored and ranked exactly."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from serving import retrieval
from serving.config import MAX_LEAVES, ScannConfig

# Below so many items per candidate scoring every item costs next to nothing.
_LEAST_ITEMS_PER_CANDIDATE = 16
# ScaNN merges leaves below 50 items; with this many on average it need not.
_LEAST_ITEMS_PER_LEAF = 100
# Users that are searched for at a time.
_PARALLEL = 8


def least_items(config: ScannConfig) -> int:
    """The smallest catalogue that an approximate index is built of."""
    return _LEAST_ITEMS_PER_CANDIDATE * config.candidates


def fitted(config: ScannConfig, num_items: int) -> ScannConfig:
    """The settings as numbers that suit the catalogue.

    Args:
        config: None stands for what follows from the catalogue.
        num_items: size of the catalogue, `least_items` or more.
    """
    leaves = config.leaves or min(math.isqrt(num_items), MAX_LEAVES)
    leaves = max(min(leaves, num_items // _LEAST_ITEMS_PER_LEAF), 1)
    search = config.leaves_to_search or max(leaves // 10, 1)
    return dataclasses.replace(
        config, leaves=leaves, leaves_to_search=min(search, leaves)
    )


class ApproximateIndex(tf.Module):
    """Ranks the candidates that ScaNN finds for a user.

    Scores are dot products with the item vectors, as those of the exact
    index, and equal ones go to the lower catalogue position. What may be
    missing are items: those of leaves that are not searched, and those that
    the quantised vectors put behind the candidates.

    The exact index answers where k is more than half of the candidates. It
    also answers users for whom more than that half is excluded, or whose
    leaves hold too few items to leave that half; each user by itself, so that
    nobody's answer depends on who shares the batch. Neither does that, nor
    which candidates there are, depend on k: up to half of the candidates a
    shorter answer is the beginning of a longer one, and what is measured with
    a large k holds for a small one.

    Users of `popular` take the most popular items as candidates.

    Args:
        exact: answers the others.
        config: settings that are `fitted`.
    """

    def __init__(
        self, exact: retrieval.MaskedBruteForce, config: ScannConfig
    ) -> None:
        super().__init__()
        self._exact = exact
        self._candidates = config.candidates
        self._half = config.candidates // 2
        popularity = exact.popularity.numpy()
        self._num_items = len(popularity)
        best = np.argsort(-popularity, kind="stable")[: self._candidates]
        self._popular = tf.Variable(
            np.sort(best).astype(np.int32), trainable=False, name="popular"
        )
        # The operations are the CPU's.
        with retrieval.float32_policy(), tf.device("/CPU:0"):
            # No reordering by ScaNN: it would hold the item vectors once more.
            self._scann = tfrs.layers.factorized_top_k.ScaNN(
                k=self._candidates,
                distance_measure="dot_product",
                num_leaves=config.leaves,
                num_leaves_to_search=config.leaves_to_search,
            )
            self._scann.index(tf.convert_to_tensor(exact.item_vectors))

    @property
    def item_vectors(self) -> tf.Variable:
        """[num_items, d] float32."""
        return self._exact.item_vectors

    @property
    def popularity(self) -> tf.Variable:
        """[num_items] float32 scores for users without a history."""
        return self._exact.popularity

    @property
    def floats_per_user(self) -> int:
        """What a user's ranking holds in memory."""
        dim = int(self.item_vectors.shape[1])
        return max(self._num_items, self._candidates * dim)

    def __call__(
        self, queries: dict[str, tf.Tensor], k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, k] scores and positions, as of `retrieval.Index`."""
        users = tf.shape(queries["vectors"], tf.int64)[0]
        rows = queries["excluded"][:, 0]
        excluded = tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, users)
        fits = (k <= self._half) & (excluded <= self._half)
        scores, positions, found = tf.cond(
            tf.reduce_any(fits),
            lambda: self._by_candidates(queries, k),
            lambda: _nothing(users, k),
        )
        return self._filled(queries, k, scores, positions, fits & found)

    def _filled(
        self,
        queries: dict[str, tf.Tensor],
        k: tf.Tensor,
        scores: tf.Tensor,
        positions: tf.Tensor,
        done: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The exact answers in the place of those that are not `done`."""
        rest = tf.where(~done)

        def fill() -> tuple[tf.Tensor, tf.Tensor]:
            values, best = self._exact(_of_rows(queries, rest[:, 0]), k=k)
            return (
                tf.tensor_scatter_nd_update(scores, rest, values),
                tf.tensor_scatter_nd_update(positions, rest, best),
            )

        return tf.cond(tf.size(rest) > 0, fill, lambda: (scores, positions))

    def _by_candidates(
        self, queries: dict[str, tf.Tensor], k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """[batch, k] scores and positions, [batch] bool: there were enough."""
        vectors, popular = queries["vectors"], queries["popular"]
        found = self._search(vectors)
        found = tf.tensor_scatter_nd_update(
            found,
            popular[:, tf.newaxis],
            tf.repeat(self._popular[tf.newaxis], tf.size(popular), axis=0),
        )
        # In the order of the catalogue, by which ties are decided.
        found = tf.sort(found, axis=1)
        positions = tf.clip_by_value(found, 0, self._num_items - 1)
        scores = tf.einsum(
            "bd,bcd->bc",
            vectors,
            retrieval.rows_of(self.item_vectors, positions),
        )
        scores = tf.tensor_scatter_nd_update(
            scores,
            popular[:, tf.newaxis],
            retrieval.rows_of(self.popularity, tf.gather(positions, popular)),
        )
        barred = (found != positions) | _is_member(
            positions, queries["excluded"], self._num_items
        )
        scores = tf.where(barred, -np.inf, scores)
        left = tf.reduce_sum(tf.cast(~barred, tf.int32), axis=1)
        taken = tf.minimum(k, self._candidates)
        values, places = tf.math.top_k(scores, taken)
        best = tf.gather(positions, places, batch_dims=1)
        # Longer answers are the exact index's; here only their shape counts.
        more = [[0, 0], [0, k - taken]]
        return (
            tf.pad(values, more, constant_values=-np.inf),
            tf.pad(best, more),
            left >= self._half,
        )

    def _search(self, vectors: tf.Tensor) -> tf.Tensor:
        """[batch, candidates] int32 positions, -1 where there are fewer."""

        def search(vector: tf.Tensor) -> tf.Tensor:
            _, found = self._scann(vector, k=self._candidates)
            missing = self._candidates - tf.size(found)
            return tf.pad(found, [[0, missing]], constant_values=-1)

        # One by one: ScaNN's search of a batch takes other leaves for some
        # users than its search of one, and is hardly faster.
        return tf.map_fn(
            search,
            vectors,
            fn_output_signature=tf.TensorSpec([self._candidates], tf.int32),
            parallel_iterations=_PARALLEL,
        )


def _nothing(
    users: tf.Tensor, k: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    shape = tf.stack([users, tf.cast(k, tf.int64)])
    return (
        tf.fill(shape, -np.inf),
        tf.zeros(shape, tf.int32),
        tf.zeros([users], tf.bool),
    )


def _is_member(
    positions: tf.Tensor, excluded: tf.Tensor, num_items: int
) -> tf.Tensor:
    """Which of [batch, c] positions are among [e, 2] rows and positions."""
    scale = tf.constant([num_items, 1], tf.int64)
    keys = tf.sort(tf.reduce_sum(excluded * scale, axis=1))
    # So that there is always one that is not smaller.
    keys = tf.concat([keys, [tf.int64.max]], axis=0)
    rows = tf.range(tf.shape(positions, tf.int64)[0])[:, tf.newaxis]
    wanted = tf.reshape(rows * num_items + tf.cast(positions, tf.int64), [-1])
    place = tf.searchsorted(keys, wanted)
    return tf.reshape(tf.gather(keys, place) == wanted, tf.shape(positions))


def _of_rows(
    queries: dict[str, tf.Tensor], rows: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The queries of some rows of the batch, numbered anew.

    Args:
        queries: as of the index.
        rows: [r] int64, ascending.
    """
    users = tf.shape(queries["vectors"], tf.int64)[0]
    number = tf.tensor_scatter_nd_update(
        tf.fill([users], tf.constant(-1, tf.int64)),
        rows[:, tf.newaxis],
        tf.range(tf.size(rows, tf.int64)),
    )
    popular = tf.gather(number, queries["popular"])
    excluded = queries["excluded"]
    owners = tf.gather(number, excluded[:, 0])
    excluded = tf.stack([owners, excluded[:, 1]], axis=1)
    return {
        "vectors": tf.gather(queries["vectors"], rows),
        "popular": tf.boolean_mask(popular, popular >= 0),
        "excluded": tf.boolean_mask(excluded, owners >= 0),
    }
