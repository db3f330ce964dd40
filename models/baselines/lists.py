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

# From so many candidates for each item wanted on, lists are drawn one item
# after another instead of racing all candidates for every user.
_MANY_CANDIDATES = 8
# Times that draws are added before the rest of a list is raced for.
_MAX_ROUNDS = 6


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


def draw_without_repeats(
    rates: np.ndarray,
    num_users: int,
    length: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """As `exponential_race`, fast where there are far more items than wanted.

    Items are drawn with replacement and repeats dropped, which is drawing
    without replacement; the cost does not grow with the catalogue. Where the
    repeats are too many the rest of a list is raced for among the others.
    """
    candidates = np.flatnonzero(rates)
    if length * _MANY_CANDIDATES > len(candidates):
        return exponential_race(rates, num_users, length, generator)
    cumulative = np.cumsum(rates[candidates], dtype=np.float64)
    lists = np.full((num_users, length), PAD, np.int32)
    block = max(1, _BLOCK_ENTRIES // (2 * length))
    for start in range(0, num_users, block):
        stop = min(start + block, num_users)
        drawn = np.zeros((stop - start, 0), np.int64)
        todo = np.arange(start, stop)
        for _ in range(_MAX_ROUNDS):
            uniform = generator.random((len(todo), 2 * length))
            new = np.searchsorted(cumulative, uniform * cumulative[-1], "right")
            drawn = np.concatenate([drawn, new], axis=1)
            lists[todo] = _first_distinct(drawn, length)
            missing = lists[todo, -1] == PAD
            todo, drawn = todo[missing], drawn[missing]
            if not len(todo):
                break
        full = lists[start:stop] != PAD
        lists[start:stop][full] = candidates[
            np.minimum(lists[start:stop][full], len(candidates) - 1)
        ]
        for user in todo:
            _race_for_the_rest(lists[user], rates, generator)
    return lists


def _first_distinct(drawn: np.ndarray, length: int) -> np.ndarray:
    """[n, length] the first different numbers of each row, `PAD` fills."""
    order = np.argsort(drawn, axis=1, kind="stable")
    ranked = np.take_along_axis(drawn, order, 1)
    first = np.ones(drawn.shape, bool)
    np.put_along_axis(
        first, order[:, 1:], ranked[:, 1:] != ranked[:, :-1], axis=1
    )
    position = np.cumsum(first, axis=1) - 1
    first &= position < length
    result = np.full((len(drawn), length), PAD, np.int32)
    rows = np.nonzero(first)[0]
    result[rows, position[first]] = drawn[first]
    return result


def _race_for_the_rest(
    row: np.ndarray, rates: np.ndarray, generator: np.random.Generator
) -> None:
    """Fills the end of a list in place with items that are not in it."""
    found = row[row != PAD]
    others = np.array(rates, np.float64)
    others[found] = 0.0
    wanted = len(row) - len(found)
    row[len(found) :] = exponential_race(others, 1, wanted, generator)[0]


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
