"""Baselines that recommend from what a user has had, new users included.

They learn from a matrix of users and items and score the items for any
history, so nobody has to be among the users that were learned from.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np
import scipy.sparse
import tensorflow as tf

from models.baselines.lists import PAD
from models.baselines.popularity import by_count

# Scores of one block of histories: histories x items float32 (64 MiB).
_BLOCK_ENTRIES = 16 * 1024 * 1024


class PersonalBaseline(abc.ABC):
    """Scores all items for a history; subclasses say how.

    Only items of the fit data are recommended. Inside they are numbered from
    the most popular on, and equal scores go to the lower number: so that a
    history which says nothing gets the most popular items, and what the
    scores leave open is filled with them.
    """

    def __init__(self, fit: scipy.sparse.csr_matrix) -> None:
        """Fits the baseline.

        Args:
            fit: [num_users, num_items], whose events it learns from; values
                above 1 (repeated events) count once, but for popularity.

        Raises:
            ValueError: there is no event to learn from.
        """
        if not fit.nnz:
            raise ValueError(
                f"Nothing to learn from: {fit.shape[0]} users and "
                f"{fit.shape[1]} items without an event."
            )
        self._items = by_count(np.asarray(fit.sum(axis=0))[0])
        self._fit(binary(fit)[:, self._items])

    @abc.abstractmethod
    def _fit(self, fit: scipy.sparse.csr_matrix) -> None:
        """Learns from [num_users, num_fit_items] zeros and ones."""

    @abc.abstractmethod
    def _scores(self, histories: scipy.sparse.csr_matrix) -> tf.Tensor:
        """[n, num_fit_items] float32 of [n, num_fit_items] zeros and ones."""

    def rank(
        self,
        histories: scipy.sparse.csr_matrix,
        barred: Sequence[scipy.sparse.csr_matrix | None],
        length: int,
    ) -> list[np.ndarray]:
        """The best items of the whole catalogue for each history.

        Args:
            histories: [n, num_items]; a value above 0 is an item of it.
            barred: for each ranking that is wanted the items that must not
                be in it, of the same shape; None bars nothing. All are made
                from the same scores.
            length: how many items.

        Returns:
            For each of `barred` [n, length] int32, best first, `PAD` where
            none is left.
        """
        known = binary(histories)[:, self._items]
        excluded = [b if b is None else b[:, self._items] for b in barred]
        results = [
            np.full((known.shape[0], length), PAD, np.int32) for _ in barred
        ]
        block = max(1, _BLOCK_ENTRIES // len(self._items))
        for start in range(0, known.shape[0], block):
            part = slice(start, start + block)
            scores = self._scores(known[part])
            for result, without in zip(results, excluded, strict=True):
                allowed = scores
                if without is not None:
                    allowed = _without(scores, without[part])
                best = self._best(allowed, length)
                result[part, : best.shape[1]] = best
        return results

    def _best(self, scores: tf.Tensor, length: int) -> np.ndarray:
        values, places = tf.math.top_k(scores, min(length, len(self._items)))
        return np.where(
            np.isneginf(values.numpy()), PAD, self._items[places.numpy()]
        )


def binary(matrix: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """Ones where `matrix` has an entry, repeated ones once."""
    result = matrix.tocsr().astype(np.float32, copy=True)
    result.sum_duplicates()
    result.eliminate_zeros()
    result.data[:] = 1.0
    return result


def _without(scores: tf.Tensor, excluded: scipy.sparse.csr_matrix) -> tf.Tensor:
    places = excluded.tocoo()
    indices = np.stack([places.row, places.col], axis=1)
    return tf.tensor_scatter_nd_update(
        scores, indices, tf.fill([len(indices)], -np.inf)
    )
