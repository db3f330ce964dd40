"""Histories as one row per event, with what a person asks about it.

Columns only; every value here depends on the event's own user alone.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from components.histories import Histories

# Indices into `event_parts.PERIODS`.
TRAIN, VALIDATION, TEST = range(3)

DAY_SECONDS = 86_400
# Monday first; 1970-01-01 was a Thursday.
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EPOCH_WEEKDAY = 3

# Upper ends of the gap buckets in seconds (the end itself lies outside), on
# a roughly logarithmic scale with names that people think in.
GAP_ENDS = {
    "same second": 1,
    "< 1 min": 60,
    "< 10 min": 600,
    "< 1 hour": 3_600,
    "< 6 hours": 6 * 3_600,
    "< 1 day": DAY_SECONDS,
    "< 1 week": 7 * DAY_SECONDS,
    "< 30 days": 30 * DAY_SECONDS,
    "< 90 days": 90 * DAY_SECONDS,
    "< 1 year": 365 * DAY_SECONDS,
}
GAP_NAMES = (*GAP_ENDS, ">= 1 year")

SCHEMA = pa.schema(
    [
        ("item_id", pa.binary()),
        ("period", pa.int8()),
        ("timestamp", pa.int64()),
        ("position", pa.int64()),
        ("gap", pa.int64()),
        ("new_user", pa.bool_()),
    ]
)


def event_rows(histories: Histories) -> pa.RecordBatch:
    """One row per event, user by user, oldest first.

    Args:
        histories: of any users.

    Returns:
        Columns of `SCHEMA`: `period` is an index into
        `event_parts.PERIODS`, by position in the user's history; `position`
        counts from 1; `gap` is seconds since the user's event before, null at
        the first; `new_user` says that the user has no event in any period
        before, and is null in train.
    """
    offsets, lengths = histories.offsets, histories.num_events
    position = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    train = np.repeat(histories.num_train_events, lengths)
    development = np.repeat(histories.num_development_events, lengths)
    period = (position >= train).astype(np.int8) + (position >= development)
    gap = np.diff(histories.timestamps, prepend=0)
    before = np.where(period == TEST, development, train)
    columns = [
        pa.array(histories.item_ids, pa.binary()),
        pa.array(period.astype(np.int8)),
        pa.array(histories.timestamps.astype(np.int64)),
        pa.array(position + 1),
        pa.array(gap, mask=position == 0),
        pa.array(before == 0, mask=period == TRAIN),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def gap_buckets(gaps: np.ndarray) -> np.ndarray:
    """Indices into `GAP_NAMES` of gaps in seconds."""
    ends = np.array(list(GAP_ENDS.values()))
    return np.searchsorted(ends, gaps, side="right")


def hours(timestamps: np.ndarray) -> np.ndarray:
    """Hour of the day, UTC, 0 to 23."""
    return timestamps // 3_600 % 24


def weekdays(timestamps: np.ndarray) -> np.ndarray:
    """Indices into `WEEKDAYS`, UTC."""
    return (timestamps // DAY_SECONDS + _EPOCH_WEEKDAY) % 7


def days(timestamps: np.ndarray) -> np.ndarray:
    """Whole days since 1970-01-01, UTC."""
    return timestamps // DAY_SECONDS
