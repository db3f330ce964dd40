"""From columns of events to whole histories, by buckets of users."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa

from components.history_example_gen.rows import Block

_CODES = pa.dictionary(pa.int32(), pa.binary())
_SCHEMA = pa.schema([("user", _CODES), ("item", _CODES), ("key", pa.int64())])


@dataclasses.dataclass(frozen=True)
class Batch:
    """Events of one bucket of users from one block of a file.

    Attributes:
        file_order: rank of the file by name.
        first_line: of the block; with file_order it orders batches as the
            events stand in the log.
        columns: an Arrow stream of user, item and key, [n] each; ids are
            dictionary-encoded, so that merging hashes distinct ids only.
    """

    file_order: int
    first_line: int
    columns: bytes


@dataclasses.dataclass(frozen=True)
class BucketHistories:
    """All histories of one bucket of users.

    Attributes:
        user_ids: [num_users] binary, ascending.
        offsets: [num_users + 1]; events of user u are offsets[u]:offsets[u+1].
        items: [num_events] rows of `item_ids`, oldest event first within a
            user.
        item_ids: [num_items] binary, distinct.
        keys: [num_events] int64 sort keys, see `times.KEYS_PER_SECOND`.
    """

    user_ids: pa.Array
    offsets: np.ndarray
    items: np.ndarray
    item_ids: pa.Array
    keys: np.ndarray

    @property
    def num_users(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_events(self) -> int:
        return len(self.items)

    @property
    def users(self) -> np.ndarray:
        """[num_events] row of `user_ids` of each event."""
        return np.repeat(np.arange(self.num_users), np.diff(self.offsets))

    def keep(self, events: np.ndarray) -> BucketHistories:
        """The histories with some events only.

        Users and items without any event left are left out.

        Args:
            events: [num_events] bool.
        """
        if events.all():
            return self
        counts = np.bincount(self.users[events], minlength=self.num_users)
        items, codes = np.unique(self.items[events], return_inverse=True)
        return BucketHistories(
            user_ids=self.user_ids.filter(pa.array(counts > 0)),
            offsets=np.concatenate([[0], np.cumsum(counts[counts > 0])]),
            items=codes.astype(self.items.dtype),
            item_ids=self.item_ids.take(pa.array(items)),
            keys=self.keys[events],
        )


def split_by_user(
    block: Block, file_order: int, first_line: int, num_buckets: int
) -> Iterator[tuple[int, Batch]]:
    """Yields (bucket, events) for each bucket of users met in a block.

    The bucket is a hash of the user id, the same in every process and run.
    """
    users, items = (
        block.users.dictionary_encode(),
        block.items.dictionary_encode(),
    )
    unique = users.dictionary.to_numpy(zero_copy_only=False)
    if not len(unique):
        return
    hashes = pd.util.hash_array(unique, categorize=False)
    # Few buckets fit a small type, which numpy sorts by radix, not by
    # comparison.
    buckets = (hashes % num_buckets).astype(np.min_scalar_type(num_buckets))
    user_codes, item_codes = users.indices.to_numpy(), items.indices.to_numpy()
    of_rows = buckets[user_codes]
    rows = np.argsort(of_rows, kind="stable")
    bounds = np.searchsorted(of_rows[rows], np.arange(num_buckets + 1))
    # The dictionary may hold users without a row.
    for bucket in np.flatnonzero(np.diff(bounds)).tolist():
        chosen = rows[bounds[bucket] : bounds[bucket + 1]]
        columns = pa.record_batch(
            [
                _compact(user_codes[chosen], users.dictionary),
                _compact(item_codes[chosen], items.dictionary),
                pa.array(block.keys[chosen]),
            ],
            schema=_SCHEMA,
        )
        yield bucket, Batch(file_order, first_line, _to_bytes(columns))


def _compact(codes: np.ndarray, dictionary: pa.Array) -> pa.DictionaryArray:
    """Encoded ids with only those ids in the dictionary that occur."""
    there = np.zeros(len(dictionary), bool)
    there[codes] = True
    numbers = np.cumsum(there, dtype=np.int32) - 1
    return pa.DictionaryArray.from_arrays(
        pa.array(numbers[codes], pa.int32()), dictionary.filter(pa.array(there))
    )


def merge_batches(batches: Iterable[Batch]) -> BucketHistories:
    """Sorts the events of a bucket by user, time and position in the log.

    Args:
        batches: of one bucket, in any order.
    """
    ordered = sorted(batches, key=lambda b: (b.file_order, b.first_line))
    parts = [
        pa.ipc.open_stream(batch.columns).read_next_batch() for batch in ordered
    ]
    user_codes, user_ids = _join([part.column(0) for part in parts])
    item_codes, item_ids = _join([part.column(1) for part in parts])
    keys = np.concatenate([part.column(2).to_numpy() for part in parts])
    del parts
    by_id = np.argsort(user_ids.to_numpy(zero_copy_only=False))
    ranks = np.empty(len(by_id), np.int32)
    ranks[by_id] = np.arange(len(by_id), dtype=np.int32)
    of_rows = ranks[user_codes]
    rows = _sort_by_user_and_time(of_rows, keys)
    counts = np.bincount(of_rows, minlength=len(by_id))
    return BucketHistories(
        user_ids=user_ids.take(pa.array(by_id)),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        items=item_codes[rows],
        item_ids=item_ids,
        keys=keys[rows],
    )


def _join(columns: list[pa.DictionaryArray]) -> tuple[np.ndarray, pa.Array]:
    """[n] int32 codes of all columns, one after the other, and their ids."""
    known = pa.concat_arrays([c.dictionary for c in columns])
    encoded = known.dictionary_encode()
    numbers = encoded.indices.to_numpy()
    codes, start = [], 0
    for column in columns:
        codes.append(numbers[start:][column.indices.to_numpy()])
        start += len(column.dictionary)
    return np.concatenate(codes), encoded.dictionary


def _sort_by_user_and_time(users: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """[n] row numbers by user, then key; equal ones keep their order."""
    if not len(keys):
        return np.zeros(0, np.int64)
    least = int(keys.min())
    bits = (int(keys.max()) - least).bit_length()
    if bits + int(users.max()).bit_length() <= 63:
        # One sort of one number is faster than two sorts.
        joined = (users.astype(np.int64) << bits) | (keys - least)
        return np.argsort(joined, kind="stable")
    return np.lexsort((keys, users))


def _to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
