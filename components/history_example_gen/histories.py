"""From columns of events to one tf.Example per user."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import tensorflow as tf

from components.history_example_gen.rows import Block

_SCHEMA = pa.schema(
    [("user", pa.binary()), ("item", pa.binary()), ("key", pa.int64())]
)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Events of one bucket of users from one block of a file.

    Attributes:
        file_order: rank of the file by name.
        first_line: of the block; with file_order it orders batches as the
            events stand in the log.
        columns: an Arrow stream of user, item and key, [n] each.
    """

    file_order: int
    first_line: int
    columns: bytes


@dataclasses.dataclass(frozen=True)
class BucketHistories:
    """All histories of one bucket of users.

    Attributes:
        user_ids: [num_users] bytes objects, ascending.
        offsets: [num_users + 1]; events of user u are offsets[u]:offsets[u+1].
        item_ids: [num_events] bytes objects, oldest first within a user.
        timestamps: [num_events] int64 unix seconds.
        unique_items: Arrow array of the distinct item ids.
    """

    user_ids: np.ndarray
    offsets: np.ndarray
    item_ids: np.ndarray
    timestamps: np.ndarray
    unique_items: pa.Array


def split_by_user(
    block: Block, file_order: int, first_line: int, num_buckets: int
) -> Iterator[tuple[int, Batch]]:
    """Yields (bucket, events) for each bucket of users met in a block.

    The bucket is a hash of the user id, the same in every process and run.
    """
    users = block.users.dictionary_encode()
    unique = users.dictionary.to_numpy(zero_copy_only=False)
    if not len(unique):
        return
    hashes = pd.util.hash_array(unique, categorize=False)
    buckets = (hashes % num_buckets).astype(np.int64)
    of_rows = buckets[users.indices.to_numpy()]
    rows = np.argsort(of_rows, kind="stable")
    bounds = np.searchsorted(of_rows[rows], np.arange(num_buckets + 1))
    for bucket in np.unique(buckets).tolist():
        chosen = rows[bounds[bucket] : bounds[bucket + 1]]
        columns = pa.record_batch(
            [
                block.users.take(pa.array(chosen)),
                block.items.take(pa.array(chosen)),
                pa.array(block.keys[chosen]),
            ],
            schema=_SCHEMA,
        )
        yield bucket, Batch(file_order, first_line, _to_bytes(columns))


def merge_batches(
    batches: Iterable[Batch], keys_per_second: int
) -> BucketHistories:
    """Sorts the events of a bucket by user, time and position in the log.

    Args:
        batches: of one bucket, in any order.
        keys_per_second: unit of the sort keys; the timestamps are floored to
            seconds after the sort.
    """
    ordered = sorted(batches, key=lambda b: (b.file_order, b.first_line))
    table = pa.concat_tables(
        [pa.ipc.open_stream(batch.columns).read_all() for batch in ordered]
    ).combine_chunks()
    users, items = (_encode(table.column(name)) for name in ("user", "item"))
    keys = table.column("key").to_numpy()
    user_ids = users.dictionary.to_numpy(zero_copy_only=False)
    by_id = np.argsort(user_ids, kind="stable")
    ranks = np.empty(len(by_id), np.int64)
    ranks[by_id] = np.arange(len(by_id))
    of_rows = ranks[users.indices.to_numpy()]
    # lexsort is stable: equal times stay in the order of the log.
    rows = np.lexsort((keys, of_rows))
    counts = np.bincount(of_rows, minlength=len(by_id))
    item_ids = items.dictionary.to_numpy(zero_copy_only=False)
    return BucketHistories(
        user_ids=user_ids[by_id],
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        item_ids=item_ids[items.indices.to_numpy()[rows]],
        timestamps=keys[rows] // keys_per_second,
        unique_items=items.dictionary,
    )


def to_examples(histories: BucketHistories) -> Iterator[bytes]:
    """Yields one serialized tf.Example per user, in the order of user ids."""
    offsets = histories.offsets.tolist()
    for user, user_id in enumerate(histories.user_ids):
        events = slice(offsets[user], offsets[user + 1])
        example = tf.train.Example()
        feature = example.features.feature
        feature["user_id"].bytes_list.value.append(user_id)
        feature["item_ids"].bytes_list.value.extend(
            histories.item_ids[events].tolist()
        )
        feature["timestamps"].int64_list.value.extend(
            histories.timestamps[events].tolist()
        )
        yield example.SerializeToString(deterministic=True)


def _encode(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return pa.concat_arrays(column.chunks).dictionary_encode()


def _to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
