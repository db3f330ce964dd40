"""Baselines that know how often each item occurs in the fit data.

`PopularRandom` is the PopRnd of the paper's tables (Table 2): drawn, so
it covers much of the catalogue. `MostPopular` gives every user the same list
and is the stronger one in accuracy.
"""

from __future__ import annotations

import numpy as np

from models.baselines import lists


def _check_counts(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.ndim != 1 or not counts.size or counts.min() < 0:
        raise ValueError(
            "`counts` must be a non-empty vector of numbers >= 0, found "
            f"shape {counts.shape}, minimum {counts.min(initial=0)}."
        )
    return counts


class PopularRandom:
    """Draws items in proportion to their count, without replacement.

    An item that does not occur in the fit data is never drawn.
    """

    def __init__(self, counts: np.ndarray, seed: int) -> None:
        self._rates = _check_counts(counts).astype(np.float64)
        self._generator = np.random.default_rng(seed)

    def rank(self, num_users: int, length: int) -> np.ndarray:
        """[num_users, length] int32 items, `PAD` where none is left."""
        return lists.draw_without_repeats(
            self._rates, num_users, length, self._generator
        )


def by_count(
    counts: np.ndarray, recent: np.ndarray | None = None
) -> np.ndarray:
    """Items with a count, the highest first; equal ones by item number.

    Args:
        counts: [num_items] numbers >= 0.
        recent: [num_items] numbers >= 0 that come first in the order, or
            None.

    Returns:
        [items with a count] int32.
    """
    counts = _check_counts(counts)
    first = np.zeros_like(counts) if recent is None else _check_counts(recent)
    order = np.lexsort([-counts, -first])
    return order[counts[order] > 0].astype(np.int32)


class MostPopular:
    """The same items for everybody: those with the highest counts.

    Equal counts are ordered by item number. Items without any count are not
    recommended. With `recent` counts of a newer period these come first, and
    the others order what they leave equal.
    """

    def __init__(
        self, counts: np.ndarray, recent: np.ndarray | None = None
    ) -> None:
        self._items = by_count(counts, recent)

    def rank(self, num_users: int, length: int) -> np.ndarray:
        """[num_users, length] int32 items, `PAD` where none is left."""
        row = np.full(length, lists.PAD, np.int32)
        row[: len(self._items)] = self._items[:length]
        return np.broadcast_to(row, (num_users, length))
