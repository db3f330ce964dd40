"""The Random baseline: any item is as good as any other."""

from __future__ import annotations

import numpy as np

from models.baselines import lists


class RandomItems:
    """Ranks the items of a universe uniformly at random for every user.

    Without replacement within a user. Its Recall@k is k / num_items times
    the share of targets in the universe, and its expected coverage
    1 - (1 - k / num_items) ** num_users: the sanity values of an evaluation.
    """

    def __init__(self, num_items: int, seed: int) -> None:
        if num_items < 1:
            raise ValueError(
                f"`num_items` must be at least 1, found {num_items}."
            )
        self._rates = np.ones(num_items, np.float32)
        self._generator = np.random.default_rng(seed)

    def rank(self, num_users: int, length: int) -> np.ndarray:
        """[num_users, length] int32 items, all different within a row."""
        return lists.draw_without_repeats(
            self._rates, num_users, length, self._generator
        )
