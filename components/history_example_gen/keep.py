"""The rules on users, duplicates, repeats and caps, on columns.

Whether an event is kept never depends on a later event of the log, so these
rules leave the past as it is. The iterated k-core, which does look ahead, is
in `core`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pyarrow as pa

from components.history_example_gen.histories import BucketHistories
from components.history_example_gen.rows import Block
from components.history_example_gen.rules import USER_CAP, USER_SHARE


def sample_users(block: Block, share: float, seed: int) -> Block:
    """The events of about `share` of all users.

    A user is in the sample or not by a hash of the id alone, so the sample
    is the same in every file, process and run.

    Args:
        block: events, whoever they are of.
        share: in (0, 1].
        seed: another one draws another sample.
    """
    if share >= 1.0 or not len(block.keys):
        return block
    users = block.users.dictionary_encode()
    hashes = pd.util.hash_array(
        users.dictionary.to_numpy(zero_copy_only=False),
        hash_key=f"sample{seed % 10**10:010d}",
        categorize=False,
    )
    # The upper 53 bits as a fraction: exact in float64.
    drawn = (hashes >> np.uint64(11)) * 2.0**-53 < share
    chosen = drawn[users.indices.to_numpy()]
    mask = pa.array(chosen)
    return dataclasses.replace(
        block,
        users=block.users.filter(mask),
        items=block.items.filter(mask),
        keys=block.keys[chosen],
        dropped=block.dropped | {USER_SHARE: int((~chosen).sum())},
    )


def without_duplicates(histories: BucketHistories) -> np.ndarray:
    """[num_events] bool: no event before has the same user, item and time."""
    users, keys = histories.users, histories.keys
    new = np.ones(len(keys), bool)  # another moment than the event before
    new[1:] = (keys[1:] != keys[:-1]) | (users[1:] != users[:-1])
    alone = new & np.append(new[1:], True)
    rows = np.flatnonzero(~alone)
    moments, items = np.cumsum(new)[rows], histories.items[rows]
    # A stable sort: the first in the log stays the first.
    order = np.lexsort((items, moments))
    again = np.zeros(len(rows), bool)
    again[1:] = (np.diff(items[order]) == 0) & (np.diff(moments[order]) == 0)
    kept = np.ones(len(keys), bool)
    kept[rows[order[again]]] = False
    return kept


def without_repeats(histories: BucketHistories) -> np.ndarray:
    """[num_events] bool: not the same item as the user's event before."""
    items = histories.items
    new = np.ones(len(items), bool)
    new[1:] = items[1:] != items[:-1]
    new[histories.offsets[:-1]] = True
    return new


def within_cap(
    histories: BucketHistories, most: int | None
) -> tuple[np.ndarray, dict[str, int]]:
    """[num_events] bool: among the user's `most` oldest; and what is dropped.

    The oldest, not the newest: otherwise later events would change what is
    learned from earlier ones.
    """
    if most is None:
        return np.ones(histories.num_events, bool), {}
    lengths = np.diff(histories.offsets)
    starts = np.repeat(histories.offsets[:-1], lengths)
    kept = np.arange(histories.num_events) - starts < most
    return kept, {USER_CAP: int((~kept).sum())}
