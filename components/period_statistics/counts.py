"""Counts by period as small sorted Arrow tables that add up in any order.

What is kept grows with the number of distinct items and days, not with the
number of events. Integers only, so that the sums do not depend on how the
users were batched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.histories import Histories
from components.period_statistics import events as ev

# Table name -> table; columns that are not in _AGGREGATES are its keys.
Counts = dict[str, pa.Table]

_AGGREGATES = {"count": "sum", "events": "sum", "first": "min", "last": "max"}
# Relative width of a gap bucket is at most 1 / 1024.
_MANTISSA = 11


def _schema(*keys: tuple[str, pa.DataType], values: str = "count") -> pa.Schema:
    fields = [*keys, ("period", pa.int8())]
    return pa.schema(fields + [(v, pa.int64()) for v in values.split()])


SCHEMAS = {
    # Events of each item.
    "items": _schema(("item_id", pa.binary())),
    # Users, their events and the times of these.
    "users": _schema(("new", pa.bool_()), values="count events first last"),
    # Users by their number of events in the period.
    "lengths": _schema(("length", pa.int64())),
    # Gaps by `round_gaps`, and by the names for people.
    "gaps": _schema(("gap", pa.int64())),
    "gap": _schema(("bucket", pa.int64())),
    "hour_of_day": _schema(("bucket", pa.int64())),
    "day_of_week": _schema(("bucket", pa.int64())),
}
DAYS_SCHEMA = _schema(
    ("day", pa.int64()), ("new_item", pa.bool_()), ("new_user", pa.bool_())
)


def count(histories: Histories, rows: pa.RecordBatch) -> Counts:
    """Counts of some users; `rows` are their `event_rows`."""
    period = rows.column("period")
    stamps = rows.column("timestamp").to_numpy()
    gap_period = period.filter(rows.column("gap").is_valid())
    gaps = rows.column("gap").drop_null().to_numpy()

    def tally(name: str, *keys: pa.Array | np.ndarray) -> pa.Table:
        columns = [*keys, np.ones(len(keys[0]), np.int64)]
        return add_up([pa.table(columns, schema=SCHEMAS[name])], SCHEMAS[name])

    return {
        "items": tally("items", rows.column("item_id"), period),
        "gaps": tally("gaps", round_gaps(gaps), gap_period),
        "gap": tally("gap", ev.gap_buckets(gaps), gap_period),
        "hour_of_day": tally("hour_of_day", ev.hours(stamps), period),
        "day_of_week": tally("day_of_week", ev.weekdays(stamps), period),
        **_count_users(histories),
    }


def _count_users(histories: Histories) -> Counts:
    """The tables `users` and `lengths`."""
    edges = np.stack(
        [
            np.zeros(histories.num_users, np.int64),
            histories.num_train_events,
            histories.num_development_events,
            histories.num_events,
        ]
    )
    user, period = np.nonzero(np.diff(edges, axis=0).T > 0)
    start, end = edges[period, user], edges[period + 1, user]
    row = histories.offsets[user]
    stamps = histories.timestamps
    new = pa.array(start == 0, mask=period == ev.TRAIN)
    users = [new, period.astype(np.int8), np.ones(len(user), np.int64)]
    users += [end - start, stamps[row + start], stamps[row + end - 1]]
    lengths = [end - start, period.astype(np.int8), users[2]]
    return {
        name: add_up(
            [pa.table(columns, schema=SCHEMAS[name])],
            SCHEMAS[name],
        )
        for name, columns in (("users", users), ("lengths", lengths))
    }


def merge(parts: Iterable[Counts]) -> Counts:
    """Adds up the counts of different users; nothing is no counts."""
    parts = list(parts)
    return {
        name: add_up([part[name] for part in parts], schema)
        for name, schema in SCHEMAS.items()
    }


def add_up(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """One row per key, sorted by key, however the tables were cut."""
    table = pa.concat_tables([schema.empty_table(), *tables])
    values = [n for n in schema.names if n in _AGGREGATES]
    keys = [n for n in schema.names if n not in _AGGREGATES]
    groups = table.group_by(keys).aggregate(
        [(name, _AGGREGATES[name]) for name in values]
    )
    columns = [groups[n] for n in keys]
    columns += [groups[f"{n}_{_AGGREGATES[n]}"] for n in values]
    groups = pa.table(columns, schema=schema)
    order = pc.sort_indices(groups, [(n, "ascending") for n in keys])
    return groups.take(order).combine_chunks()


def add_up_days(tables: Iterable[pa.Table]) -> pa.Table:
    """Adds up tables of `DAYS_SCHEMA`."""
    return add_up(tables, DAYS_SCHEMA)


def round_gaps(gaps: np.ndarray) -> np.ndarray:
    """Gaps in seconds, rounded down to 11 binary digits.

    Exact below 2048 s, at most 0.1 % too small above: the idea of
    HdrHistogram (hdrhistogram.org). So few values are left that quantiles
    can be read off a table whose size does not depend on the data.
    """
    digits = np.frexp(gaps.astype(np.float64))[1]
    shift = np.maximum(digits - _MANTISSA, 0)
    return gaps >> shift << shift


def by_period(table: pa.Table, period: int) -> Mapping[str, np.ndarray]:
    """Columns of one period's rows."""
    chosen = table.filter(pc.equal(table["period"], period))
    return {
        name: chosen[name].to_numpy()
        for name in table.column_names
        if name != "period"
    }
