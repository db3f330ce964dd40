"""What an exported model is asked, for each target that it is to find.

The evaluator measures the answers to these requests, and the validator asks a
server for the same ones.
"""

from __future__ import annotations

import numpy as np

from components.histories import Histories
from components.targets import Targets, first_of_item

# The newest 4 x max_length known items of a history, and unknown ones among
# them, are sent. The model itself reads max_length known ones at most, so
# its answer is that for the whole history.
HISTORY_FACTOR = 4


def first_events(histories: Histories) -> np.ndarray:
    """[num_rows] bool: the user has had no event with the item before."""
    owners = np.repeat(np.arange(histories.num_users), histories.num_events)
    return first_of_item(owners, histories.item_ids)


def build(
    histories: Histories,
    first: np.ndarray,
    targets: Targets,
    newest_known: int,
) -> tuple[list[list[bytes]], list[list[bytes]]]:
    """What is sent for each request.

    Args:
        histories: of the test users.
        first: [num_rows] their `first_events`.
        targets: the requests.
        newest_known: how many items with a development event to send.

    Returns:
        Items of the input (oldest first, cut where newest_known are reached),
        and all distinct ones of the whole input.
    """
    inputs, before = [], []
    starts = histories.offsets[targets.users]
    for start, end in zip(starts, starts + targets.ends, strict=True):
        known = np.flatnonzero(histories.item_indices[start:end] > 0)
        cut = start
        if len(known) > newest_known:
            cut = start + known[-newest_known]
        inputs.append(histories.item_ids[cut:end].tolist())
        before.append(histories.item_ids[start:end][first[start:end]].tolist())
    return inputs, before
