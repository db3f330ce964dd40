"""Writes histories as tf.Examples, a file per bucket of users.

A bucket's file has the same name and the same bytes wherever and however
often it is written, so retries and any number of workers give one result.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx.dsl.io import fileio

from components.history_example_gen.histories import BucketHistories

# zlib's fastest level: 5 times faster than its default for a fifth more
# bytes (MovieLens-1M), and the file is read once or twice.
_COMPRESSION_LEVEL = 1


def to_examples(
    histories: BucketHistories, keys_per_second: int
) -> Iterator[bytes]:
    """Yields one serialized tf.Example per user, in the order of user ids.

    Args:
        histories: of one bucket.
        keys_per_second: unit of the sort keys; timestamps are floored to
            seconds.
    """
    # Lists are put together in protobuf's wire format, whole columns at once,
    # and handed to protobuf by user: no Python object per event.
    items, item_bounds = _bytes_lists(histories)
    times, time_bounds = _varints(histories.keys // keys_per_second)
    item_ends = item_bounds[histories.offsets].tolist()
    time_ends = time_bounds[histories.offsets].tolist()
    for user, user_id in enumerate(histories.user_ids.to_pylist()):
        example = tf.train.Example()
        feature = example.features.feature
        feature["user_id"].bytes_list.value.append(user_id)
        feature["item_ids"].bytes_list.MergeFromString(
            items[item_ends[user] : item_ends[user + 1]]
        )
        # A packed list of integers reads like a list of one bytes value.
        packed = times[time_ends[user] : time_ends[user + 1]]
        feature["timestamps"].int64_list.MergeFromString(
            _bytes_list_entry(packed)
        )
        yield example.SerializeToString(deterministic=True)


def _bytes_lists(histories: BucketHistories) -> tuple[bytes, np.ndarray]:
    """The values of BytesLists of all events, and [num_events + 1] bounds."""
    values = histories.item_ids.to_pylist()
    entries = pa.array(
        [_bytes_list_entry(value) for value in values], pa.large_binary()
    ).take(pa.array(histories.items))
    _, bounds, data = entries.buffers()
    if data is None:
        return b"", np.zeros(histories.num_events + 1, np.int64)
    return data.to_pybytes(), np.frombuffer(bounds, np.int64)


def _bytes_list_entry(value: bytes) -> bytes:
    """A BytesList of one value; such entries in a row are a longer list."""
    return tf.train.BytesList(value=[value]).SerializeToString()


def _varints(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Base-128 varints of [n] values >= 0, and [n + 1] bounds in the bytes."""
    width = max(-(-int(values.max(initial=0)).bit_length() // 7), 1)
    shifts = np.arange(0, 7 * width, 7)
    # [n, width]; a byte is there while anything is left of the number.
    rest = values[:, np.newaxis] >> shifts
    there = rest > 0
    there[:, 0] = True
    digits = (rest & 0x7F).astype(np.uint8)
    digits[:, :-1] |= there[:, 1:].astype(np.uint8) << 7
    lengths = there.sum(axis=1)
    return digits[there].tobytes(), np.concatenate([[0], np.cumsum(lengths)])


def write_bucket(
    folder: str,
    bucket: int,
    num_buckets: int,
    histories: BucketHistories,
    keys_per_second: int,
) -> None:
    """Writes the file of a bucket; under its name it is whole or not there.

    Args:
        folder: of the split; half-written files lie beside it.
        bucket: number from 0.
        num_buckets: of the run.
        histories: of the bucket's users.
        keys_per_second: unit of the sort keys.
    """
    name = f"data_tfrecord-{bucket:05d}-of-{num_buckets:05d}.gz"
    temporary = os.path.join(temporary_folder(folder), f"{uuid.uuid4()}.gz")
    options = tf.io.TFRecordOptions(
        "GZIP", compression_level=_COMPRESSION_LEVEL
    )
    with tf.io.TFRecordWriter(temporary, options) as writer:
        for example in to_examples(histories, keys_per_second):
            writer.write(example)
    fileio.rename(temporary, os.path.join(folder, name), overwrite=True)


def temporary_folder(folder: str) -> str:
    """Where files of `folder` are until they are whole."""
    return f"{folder.rstrip('/')}-temporary"
