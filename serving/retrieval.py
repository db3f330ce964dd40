"""Aligns histories and ranks the catalogue by tensorflow-recommenders.

Everything here works on whole batches with TensorFlow ops alone, so that it
runs inside a SavedModel without a line of this code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

NO_ITEM = ""
# Found by timing: items whose maximum is taken together, from how many scores
# on that pays, and up to which batch items times users is the faster product.
_GROUP = 64
_MANY_SCORES = 2**18
_SMALL_BATCH = 64


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


def rows_of(variable: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """Rows of a variable that is read as a whole elsewhere.

    `tf.gather` of a variable makes TensorFlow copy the whole of it at every
    later read, so that a row may be changed in place meanwhile: 256 MB per
    request with a million items, once any request had asked for rows.
    """
    return tf.gather(variable.read_value(), rows)


def exact_top_k(scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What `tf.math.top_k` answers, sooner for many scores.

    The k groups of neighbouring items with the largest maxima hold the k best
    items, equal scores included: an item of another group has k items before
    it, the maxima of those groups. So only their k * 64 items are ranked.

    Args:
        scores: [batch, n] float32.
        k: int32 scalar from 1 to n.

    Returns:
        [batch, k] values, and their [batch, k] int32 positions, best first;
        equal scores by position.
    """
    number = tf.shape(scores, tf.int64)
    pays = (tf.reduce_prod(number) >= _MANY_SCORES) & (
        tf.cast(k, tf.int64) * 4 * _GROUP <= number[1]
    )
    return tf.cond(
        pays,
        lambda: _grouped_top_k(scores, k),
        lambda: tuple(tf.math.top_k(scores, k)),
    )


def _grouped_top_k(
    scores: tf.Tensor, k: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    groups = tf.shape(scores)[1] // _GROUP
    end = groups * _GROUP
    grouped = tf.reshape(scores[:, :end], [-1, groups, _GROUP])
    _, best = tf.math.top_k(tf.reduce_max(grouped, axis=2), k)
    best = tf.sort(best)  # Candidates in the order of the catalogue.
    inside = tf.reshape(
        tf.gather(grouped, best, batch_dims=1), [-1, k * _GROUP]
    )
    # The items behind the last full group come along in any case.
    values, chosen = tf.math.top_k(
        tf.concat([inside, scores[:, end:]], axis=1), k
    )
    place = tf.minimum(chosen // _GROUP, k - 1)
    group = tf.gather(best, place, batch_dims=1)
    positions = tf.where(
        chosen < k * _GROUP,
        group * _GROUP + chosen % _GROUP,
        end + chosen - k * _GROUP,
    )
    return values, positions


class Index(Protocol):
    """What ranks the catalogue: `MaskedBruteForce` or an approximate one."""

    @property
    def item_vectors(self) -> tf.Variable:
        """[num_items, d] float32."""

    @property
    def popularity(self) -> tf.Variable:
        """[num_items] float32 scores for users without a history."""

    @property
    def floats_per_user(self) -> int:
        """What a user's ranking holds in memory."""

    def __call__(
        self, queries: dict[str, tf.Tensor], k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, k] scores and positions of the best items.

        Args:
            queries: `vectors` [batch, d]; `popular` [p] int64 batch rows that
                take the popularity scores; `excluded` [e, 2] int64 pairs of
                batch row and catalogue position.
            k: int32 scalar from 1 to the size of the catalogue.
        """


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
        self.popularity = self.add_weight(
            name="popularity",
            shape=popularity.shape,
            dtype=tf.float32,
            initializer=tf.keras.initializers.Constant(popularity),
            trainable=False,
        )

    def call(
        self, queries: dict[str, tf.Tensor], k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, k] scores and positions of the best items."""
        scores = self._compute_score(queries, self._candidates)
        values, positions = exact_top_k(scores, k)
        return values, tf.gather(self._identifiers, positions)

    @property
    def item_vectors(self) -> tf.Variable:
        """[num_items, d] float32."""
        return self._candidates

    @property
    def floats_per_user(self) -> int:
        """What a user's ranking holds in memory: the scores."""
        return int(self.popularity.shape[0])

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
        vectors = queries["vectors"]
        # The same product; which way round is faster depends on the batch.
        scores = tf.cond(
            tf.shape(vectors)[0] <= _SMALL_BATCH,
            lambda: tf.transpose(
                tf.matmul(candidates, vectors, transpose_b=True)
            ),
            lambda: tf.matmul(vectors, candidates, transpose_b=True),
        )
        popular, excluded = queries["popular"], queries["excluded"]
        # Scattering costs nothing when no row asks for it, a `where` over
        # batch times catalogue always would.
        scores = tf.tensor_scatter_nd_update(
            scores,
            popular[:, tf.newaxis],
            tf.repeat(self.popularity[tf.newaxis], tf.size(popular), axis=0),
        )
        return tf.tensor_scatter_nd_update(
            scores, excluded, tf.fill(tf.shape(excluded)[:1], -np.inf)
        )


@contextlib.contextmanager
def float32_policy() -> Iterator[None]:
    """Layers built here compute in float32 whatever training uses."""
    policy = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)


def build_index(
    item_vectors: np.ndarray, popularity: np.ndarray
) -> MaskedBruteForce:
    """The index of a catalogue.

    Args:
        item_vectors: [num_items, d] float32.
        popularity: [num_items] scores for users without a history.
    """
    with float32_policy():
        index = MaskedBruteForce(popularity)
        # Positions as identifiers: strings are gathered once, after the
        # top-k, and never compared.
        index.index(tf.constant(item_vectors, tf.float32))
    return index
