"""What the pictures of the report are drawn from: a bounded few numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from components.event_parts import PERIODS
from components.period_statistics import events as ev
from components.period_statistics.counts import Counts, by_period
from components.period_statistics.features import Items
from components.period_statistics.numbers import ratio

# Bars on a time axis, at most.
_TIME_BINS = 120
_NEW_BINS = 24
# Popularity cells per factor of ten.
_CELLS_PER_DECADE = 8


def picture_data(
    counts: Counts, day_counts: pa.Table, items: Items
) -> dict[str, Any]:
    """All of it.

    Args:
        counts: of all users.
        day_counts: of `counts.DAYS_SCHEMA`.
        items: all items.

    Returns:
        `activity` and `newcomers` over time, `popularity` cells of train
        against test, and the shares of `gap`, `hour_of_day`, `day_of_week`
        by period.
    """
    names = {
        "gap": list(ev.GAP_NAMES),
        "hour_of_day": [f"{hour:02}" for hour in range(24)],
        "day_of_week": list(ev.WEEKDAYS),
    }
    return {
        "activity": _activity(day_counts),
        "newcomers": _newcomers(day_counts),
        "popularity": _popularity(items),
        "shares": {
            name: {"names": n, "periods": _shares(counts[name], len(n))}
            for name, n in names.items()
        },
    }


def _columns(table: pa.Table) -> dict[str, np.ndarray]:
    return {
        name: table[name].combine_chunks().fill_null(False).to_numpy(False)
        if pa.types.is_boolean(table.schema.field(name).type)
        else table[name].to_numpy()
        for name in table.column_names
    }


def _bins(day: np.ndarray, limit: int) -> tuple[np.ndarray, list[int], int]:
    """Bin of each day, the first day of each bin, and their width in days."""
    start, end = int(day.min()), int(day.max()) + 1
    width = -(-(end - start) // limit)
    return (day - start) // width, list(range(start, end, width)), width


def _activity(table: pa.Table) -> dict[str, Any] | None:
    """Events per day by bin of days and period."""
    data = _columns(table)
    if not len(data["day"]):
        return None
    index, starts, width = _bins(data["day"], _TIME_BINS)
    # The last bin may reach beyond the last day.
    last = int(data["day"].max()) + 1
    widths = np.minimum(np.array(starts) + width, last) - starts
    periods = {}
    for period, name in enumerate(PERIODS):
        chosen = data["period"] == period
        sums = np.bincount(
            index[chosen], data["count"][chosen], minlength=len(starts)
        )
        periods[name] = (sums / widths).tolist()
    return {"starts": starts, "width": width, "periods": periods}


def _newcomers(table: pa.Table) -> dict[str, Any] | None:
    """Shares of the events after the first cut that are of newcomers.

    Bins of validation and test are apart: what counts as new changes at the
    cut between them.
    """
    data = _columns(table)
    after = data["period"] != ev.TRAIN
    data = {name: values[after] for name, values in data.items()}
    if not len(data["day"]):
        return None
    width = _bins(data["day"], _NEW_BINS)[2]
    periods = {}
    for period in (ev.VALIDATION, ev.TEST):
        chosen = data["period"] == period
        if not chosen.any():
            continue
        day, count = data["day"][chosen], data["count"][chosen]
        index = (day - day.min()) // width
        whole = np.bincount(index, count)
        sums = [
            np.bincount(index, count * data[key][chosen])
            for key in ("new_item", "new_user")
        ]
        periods[PERIODS[period]] = {
            "edges": [
                *(day.min() + width * np.arange(len(whole))).tolist(),
                int(day.max()) + 1,
            ],
            "new_items": [*map(ratio, sums[0].tolist(), whole.tolist())],
            "new_users": [*map(ratio, sums[1].tolist(), whole.tolist())],
        }
    return {"width": width, "periods": periods}


def _popularity(items: Items) -> dict[str, Any] | None:
    """Items by their shares of the train and of the test events.

    Returns:
        Cells with `train` and `test` shares (0 where the items are absent)
        and the number of `items` in each; None without train or test.
    """
    before, after = items.counts[:, ev.TRAIN], items.counts[:, ev.TEST]
    if not before.sum() or not after.sum():
        return None
    used = (before > 0) | (after > 0)
    cells = np.stack(
        [_cell(before[used] / before.sum()), _cell(after[used] / after.sum())],
        axis=1,
    )
    cells, number = np.unique(cells, axis=0, return_counts=True)
    shares = np.where(
        cells == _ABSENT, 0.0, 10.0 ** (cells / _CELLS_PER_DECADE)
    )
    return {
        "train": shares[:, 0].tolist(),
        "test": shares[:, 1].tolist(),
        "items": number.tolist(),
    }


_ABSENT = -(10**6)


def _cell(shares: np.ndarray) -> np.ndarray:
    """Nearest step of the logarithm, `_ABSENT` for 0."""
    known = shares > 0
    steps = np.log10(shares, out=np.zeros(len(shares)), where=known)
    nearest = np.rint(_CELLS_PER_DECADE * steps).astype(np.int64)
    return np.where(known, nearest, _ABSENT)


def _shares(table: pa.Table, size: int) -> dict[str, list[float] | None]:
    """Share of each bucket in each period, None for an empty period."""
    result: dict[str, list[float] | None] = {}
    for period, name in enumerate(PERIODS):
        rows = by_period(table, period)
        sums = np.bincount(rows["bucket"], rows["count"], minlength=size)
        whole = sums.sum()
        result[name] = (sums / whole).tolist() if whole else None
    return result
