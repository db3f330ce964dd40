"""What all baselines share: a ranked list per user, and dropping from it.

A baseline draws one ranked list per user that is longer than needed;
dropping the excluded items leaves exactly the list that would have been
drawn without them, so one draw serves every target rule and setting.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

# What one block of users may hold: users x items float32 keys (32 MiB).
_BLOCK_ENTRIES = 8 * 1024 * 1024

PAD = -1


class Baseline(Protocol):
    """Ranks items for users it knows nothing about."""

    def rank(self, num_users: int, length: int) -> np.ndarray:
        """[num_users, length] int32 items, best first, `PAD` where none left.

        Users are drawn one after another from the baseline's generator.
        """
        ...


def exponential_race(
    rates: np.ndarray,
    num_users: int,
    length: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Draws items without replacement with probability in proportion to rates.

    Every item arrives after an exponential time of its rate, and the first
    to arrive win: the order of arrival is that of successive draws without
    replacement.

    Args:
        rates: [num_items] float, not negative; 0 is never drawn.
        num_users: number of independent lists.
        length: items per list.
        generator: source of randomness.

    Returns:
        [num_users, length] int32, in order of arrival, `PAD` where fewer
        items than `length` have a positive rate.
    """
    candidates = np.flatnonzero(rates)
    drawn = min(length, len(candidates))
    lists = np.full((num_users, length), PAD, np.int32)
    if not drawn:
        return lists
    scale = (1.0 / rates[candidates]).astype(np.float32)
    block = max(1, _BLOCK_ENTRIES // len(candidates))
    for start in range(0, num_users, block):
        size = (min(block, num_users - start), len(candidates))
        times = generator.standard_exponential(size, np.float32)
        times *= scale
        if drawn < len(candidates):
            first = np.argpartition(times, drawn - 1, axis=1)[:, :drawn]
        else:
            first = np.broadcast_to(np.arange(drawn), size)
        order = np.argsort(np.take_along_axis(times, first, 1), axis=1)
        winners = np.take_along_axis(first, order, 1)
        lists[start : start + size[0], :drawn] = candidates[winners]
    return lists


def without(
    lists: np.ndarray,
    excluded_users: np.ndarray,
    excluded_items: np.ndarray,
    k: int,
) -> np.ndarray:
    """Each user's first k items that are not excluded for the user.

    Args:
        lists: [num_users, length] int, best first, `PAD` at the end.
        excluded_users: [n] int, rows of `lists`.
        excluded_items: [n] int, the item excluded for that user; negative
            ones exclude nothing.
        k: how many to keep.

    Returns:
        [num_users, k] int32; `PAD` where fewer than k are left.
    """
    num_users, length = lists.shape
    valid = np.asarray(excluded_items) >= 0
    items = np.asarray(excluded_items, np.int64)[valid]
    users = np.asarray(excluded_users, np.int64)[valid]
    stride = max(lists.max(initial=0), items.max(initial=0)) + 1
    keys = lists + np.arange(num_users, dtype=np.int64)[:, np.newaxis] * stride
    keep = (lists >= 0) & ~np.isin(keys, users * stride + items)
    position = np.cumsum(keep, axis=1) - 1
    keep &= position < k
    result = np.full((num_users, k), PAD, np.int32)
    rows = np.nonzero(keep)[0]
    result[rows, position[keep]] = lists[keep]
    return result
