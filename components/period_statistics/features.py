"""The rows that TFDV describes: one per event, features people know.

The popularity of an item is that in train, and an item is new where no
period before has it. These values exist so that people can look at the data.
They use the whole log, so nothing learned may ever take them as an input.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.event_parts import PERIODS
from components.period_statistics import events as ev
from components.period_statistics.counts import DAYS_SCHEMA, add_up_days

# Rows per batch that TFDV gets.
_BATCH_ROWS = 65_536

# What TFDV describes: name -> Arrow type of the values.
FEATURES = {
    "item_id": pa.binary(),
    "popularity": pa.float32(),
    "gap": pa.binary(),
    "gap_days": pa.float32(),
    "hour_of_day": pa.binary(),
    "day_of_week": pa.binary(),
    "position": pa.int64(),
    "new_user": pa.int64(),
    "new_item": pa.int64(),
}


@dataclasses.dataclass(frozen=True)
class Items:
    """All items of the log and their counts.

    Attributes:
        ids: [num_items] binary, sorted.
        counts: [num_items, 3] events in each period.
    """

    ids: pa.Array
    counts: np.ndarray

    @property
    def popularity(self) -> np.ndarray:
        """[num_items] percentile rank by train events among train items.

        100 is the most popular; equals share their mean rank; NaN where the
        item has no event in train.
        """
        counts = self.counts[:, ev.TRAIN]
        known = counts > 0
        result = np.full(len(counts), np.nan)
        result[known] = 100.0 * mean_ranks(counts[known]) / known.sum()
        return result


def make_items(table: pa.Table) -> Items:
    """`Items` from the counts table `items`."""
    ids = pc.unique(table["item_id"].combine_chunks())
    rows = pc.index_in(table["item_id"], value_set=ids).to_numpy()
    counts = np.zeros((len(ids), len(PERIODS)), np.int64)
    counts[rows, table["period"].to_numpy()] = table["count"].to_numpy()
    return Items(ids, counts)


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 upwards; equal values share the mean of their ranks."""
    _, inverse, sizes = np.unique(
        values, return_inverse=True, return_counts=True
    )
    return (np.cumsum(sizes) - (sizes - 1) / 2)[inverse]


def new_items(items: Items, rows: np.ndarray, period: np.ndarray) -> np.ndarray:
    """[n] bool: the event's item has no event in any period before.

    Args:
        items: all items.
        rows: [n] item of each event.
        period: [n] of each event; meaningless for train.
    """
    before = np.cumsum(items.counts, axis=1)
    return before[rows, np.maximum(period - 1, 0)] == 0


def split_rows(
    events: pa.RecordBatch, items: Items
) -> tuple[dict[str, list[pa.RecordBatch]], pa.Table]:
    """Rows for TFDV by period, and events by day.

    Args:
        events: of `events.SCHEMA`.
        items: all items of the log.

    Returns:
        Name of each period -> record batches of list columns `FEATURES`, as
        TFDV takes them; and a table of `counts.DAYS_SCHEMA`.
    """
    row = pc.index_in(events.column("item_id"), value_set=items.ids).to_numpy()
    period = events.column("period").to_numpy()
    new = new_items(items, row, period)
    features = _features(events, items.popularity[row], new, period)
    split: dict[str, list[pa.RecordBatch]] = {}
    for index, name in enumerate(PERIODS):
        chosen = features.filter(pa.array(period == index))
        starts = range(0, len(chosen), _BATCH_ROWS)
        split[name] = [_lists(chosen.slice(s, _BATCH_ROWS)) for s in starts]
    day = ev.days(events.column("timestamp").to_numpy())
    keys = [day, pa.array(new, mask=period == ev.TRAIN)]
    keys += [events.column("new_user"), period, np.ones(len(day), np.int64)]
    table = pa.table(keys, schema=DAYS_SCHEMA)
    return split, add_up_days([table])


def _features(
    events: pa.RecordBatch,
    popularity: np.ndarray,
    new: np.ndarray,
    period: np.ndarray,
) -> pa.Table:
    """Flat columns `FEATURES`; null is a missing value."""
    stamps = events.column("timestamp").to_numpy()
    gap = events.column("gap")
    seconds = gap.fill_null(0).to_numpy()
    first = gap.is_null().to_numpy(zero_copy_only=False)
    train = period == ev.TRAIN
    columns = {
        "item_id": events.column("item_id"),
        "popularity": pa.array(
            popularity.astype(np.float32), mask=np.isnan(popularity)
        ),
        "gap": _names(ev.GAP_NAMES, ev.gap_buckets(seconds), first),
        "gap_days": pa.array(
            (seconds / ev.DAY_SECONDS).astype(np.float32), mask=first
        ),
        "hour_of_day": _names([f"{h:02}" for h in range(24)], ev.hours(stamps)),
        "day_of_week": _names(ev.WEEKDAYS, ev.weekdays(stamps)),
        "position": events.column("position"),
        "new_user": events.column("new_user").cast(pa.int64()),
        "new_item": pa.array(new.astype(np.int64), mask=train),
    }
    return pa.table(
        [columns[name] for name in FEATURES],
        schema=pa.schema(list(FEATURES.items())),
    )


def _names(
    names: list[str] | tuple[str, ...],
    index: np.ndarray,
    missing: np.ndarray | None = None,
) -> pa.Array:
    values = pa.array([name.encode() for name in names], pa.binary())
    return values.take(pa.array(index, pa.int64(), mask=missing))


def _lists(rows: pa.Table) -> pa.RecordBatch:
    """Each value as a list of one, each null as a missing list."""
    columns = []
    for name, kind in FEATURES.items():
        values = pa.concat_arrays([*rows[name].chunks, pa.array([], kind)])
        valid = values.is_valid().to_numpy(zero_copy_only=False)
        ends = np.concatenate([[0], np.cumsum(valid)])
        missing = np.append(~valid, False)
        columns.append(
            pa.ListArray.from_arrays(
                pa.array(ends, pa.int32(), mask=missing), values.drop_null()
            )
        )
    return pa.RecordBatch.from_arrays(columns, list(FEATURES))
