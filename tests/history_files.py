"""Files of histories as HistoryExampleGen writes them, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf


def write(path: Path, histories: Mapping[str, Sequence[bytes]]) -> None:
    """One gzipped TFRecord file: user -> items, at the seconds 0, 1, 2..."""
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for user, items in histories.items():
            writer.write(_example(user, items))


def _example(user: str, items: Sequence[bytes]) -> bytes:
    def strings(values: Sequence[bytes]) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {
        "user_id": strings([user.encode()]),
        "item_ids": strings(items),
        "timestamps": tf.train.Feature(
            int64_list=tf.train.Int64List(value=range(len(items)))
        ),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    serialized: bytes = example.SerializeToString()
    return serialized
