"""What a split means, in plain Python, to compare the columns with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.histories import Histories
from components.splits import SplitConfig


def counts(
    times: Sequence[int],
    split: SplitConfig,
    validation_cut: int,
    test_cut: int,
    held_out: bool,
) -> tuple[int, int]:
    """Train and development events of one user with events at `times`."""
    if split.strategy == "leave_one_out":
        development = list(times)[:-1]
        return len(development[:-1]), len(development)
    development = [time for time in times if time <= test_cut]
    if split.validation == "by_time":
        train = [time for time in development if time <= validation_cut]
    elif split.validation == "last_train_item":
        train = development[:-1]
    else:
        train = [] if held_out else development
    return len(train), len(development)


def histories(
    users: Sequence[Sequence[tuple[int, int]]],
    split: SplitConfig,
    validation_cut: int,
    test_cut: int,
    held_out: Sequence[bool],
) -> Histories:
    """Histories of (item, time) events, each user's sorted by time.

    Items are numbered in no particular order; those without a development
    event have row 0, as after Transform.
    """
    found = [
        counts([t for _, t in events], split, validation_cut, test_cut, held)
        for events, held in zip(users, held_out, strict=True)
    ]
    known = {
        item
        for events, (_, development) in zip(users, found, strict=True)
        for item, _ in events[:development]
    }
    items = [item for events in users for item, _ in events]
    lengths = [len(events) for events in users]
    return Histories(
        user_ids=np.array([b"user%d" % u for u in range(len(users))], object),
        user_indices=np.arange(len(users)),
        offsets=np.append(0, np.cumsum(lengths)).astype(np.int64),
        item_ids=np.array([b"item%d" % item for item in items], object),
        item_indices=np.array(
            [item + 1 if item in known else 0 for item in items], np.int64
        ),
        timestamps=np.array([t for e in users for _, t in e], np.int64),
        num_train_events=np.array([train for train, _ in found], np.int64),
        num_development_events=np.array([d for _, d in found], np.int64),
        validation_cut=validation_cut,
        test_cut=test_cut,
    )
