"""The plain program: one process, pyarrow and numpy, nothing checked.

It reads one well-formed file, sorts it by user, time and position, and
writes one row per user. What HistoryExampleGen does beyond that (dead
letters, accounts, rules, shards, any number of files) is what its time is
compared for.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet


def make_histories(log: Path, output: Path, movielens: bool) -> int:
    """Writes `output`, a Parquet file with a row per user.

    Args:
        log: gzipped; MovieLens' `user::item::rating::time`, or a CSV file
            with the header user_id, item_id, timestamp.
        output: gets user_id, item_ids and timestamps, users in the order of
            their ids.
        movielens: which of the two it is.

    Returns:
        Number of events.
    """
    data = gzip.decompress(log.read_bytes())
    names = None
    if movielens:
        data = data.replace(b"::", b",")
        names = ["user_id", "item_id", "rating", "timestamp"]
    table = csv.read_csv(
        pa.BufferReader(data),
        csv.ReadOptions(column_names=names),
        convert_options=csv.ConvertOptions(
            include_columns=["user_id", "item_id", "timestamp"],
            column_types={"user_id": pa.binary(), "item_id": pa.binary()},
        ),
    )
    users = _encode(table.column("user_id"))
    items = _encode(table.column("item_id"))
    times = table.column("timestamp").to_numpy()
    ids = users.dictionary.to_numpy(zero_copy_only=False)
    by_id = np.argsort(ids, kind="stable")
    ranks = np.empty(len(ids), np.int64)
    ranks[by_id] = np.arange(len(ids))
    of_rows = ranks[users.indices.to_numpy()]
    rows = np.lexsort((times, of_rows))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(of_rows))])
    lists = pa.array(offsets, pa.int32())
    histories = pa.table(
        {
            "user_id": users.dictionary.take(pa.array(by_id)),
            "item_ids": pa.ListArray.from_arrays(
                lists, items.take(pa.array(rows)).dictionary_decode()
            ),
            "timestamps": pa.ListArray.from_arrays(
                lists, pa.array(times[rows])
            ),
        }
    )
    parquet.write_table(histories, str(output))
    return table.num_rows


def _encode(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.combine_chunks().dictionary_encode()
