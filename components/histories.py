"""Transformed histories as columns: offsets and flat arrays, no objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

# The one split of every Examples artifact: periods are counts of events per
# user (components/splits.py), not copies of the log.
SPLIT = "all"

FEATURE_SPEC = {
    "user_id": tf.io.FixedLenFeature([], tf.string),
    "user_index": tf.io.FixedLenFeature([], tf.int64),
    "item_ids": tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64),
    "item_indices": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
    "timestamps": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
    "num_train_events": tf.io.FixedLenFeature([], tf.int64),
    "num_development_events": tf.io.FixedLenFeature([], tf.int64),
    "validation_cut": tf.io.FixedLenFeature([], tf.int64),
    "test_cut": tf.io.FixedLenFeature([], tf.int64),
}


@dataclasses.dataclass(frozen=True)
class Histories:
    """Histories of `num_users` users with `num_rows` events in all.

    Attributes:
        user_ids: [num_users] bytes objects.
        user_indices: [num_users] row of the user table, -1 where the user is
            not fitted on.
        offsets: [num_users + 1]; events of user u are offsets[u]:offsets[u+1].
        item_ids: [num_rows] bytes objects, oldest first within a user.
        item_indices: [num_rows] row of the item table from 1, 0 where the
            item has no development event.
        timestamps: [num_rows] unix seconds.
        num_train_events: [num_users] first events that the selection may
            learn from; 0 for users held out for validation.
        num_development_events: [num_users] first events that the final fit
            may learn from; the others are test.
        validation_cut: unix seconds; the selection learns from no later
            event. It lies before the test cut with `validation: by_time`
            only, and equals it otherwise.
        test_cut: unix seconds; the final fit learns from no later event.
            With a temporal split all later events are test and no others;
            with leave_one_out it is the time of the newest development
            event, and test events lie on both sides of it.
    """

    user_ids: np.ndarray
    user_indices: np.ndarray
    offsets: np.ndarray
    item_ids: np.ndarray
    item_indices: np.ndarray
    timestamps: np.ndarray
    num_train_events: np.ndarray
    num_development_events: np.ndarray
    validation_cut: int
    test_cut: int

    @property
    def num_users(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_events(self) -> np.ndarray:
        """[num_users] events of each whole history."""
        return np.diff(self.offsets)

    def select(self, users: np.ndarray) -> Histories:
        """The histories of some users.

        Args:
            users: [num_users] bool mask, or [n] indices in the wanted order.
        """
        if users.dtype == bool:
            users = np.flatnonzero(users)
        lengths = self.num_events[users]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = (
            np.arange(offsets[-1])
            - np.repeat(offsets[:-1], lengths)
            + np.repeat(self.offsets[:-1][users], lengths)
        )
        return dataclasses.replace(
            self,
            user_ids=self.user_ids[users],
            user_indices=self.user_indices[users],
            offsets=offsets,
            item_ids=self.item_ids[rows],
            item_indices=self.item_indices[rows],
            timestamps=self.timestamps[rows],
            num_train_events=self.num_train_events[users],
            num_development_events=self.num_development_events[users],
        )


def windows(
    offsets: np.ndarray, ends: np.ndarray, newest: int | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of each user's newest events before a given end.

    Args:
        offsets: [num_users + 1] as in `Histories`.
        ends: [num_users] number of events of each user that may be used.
        newest: how many of them at most, for all or [num_users] for each;
            None keeps all.

    Returns:
        rows [n] into the flat arrays, and window offsets [num_users + 1].
    """
    lengths = np.asarray(ends, np.int64)
    if newest is not None:
        lengths = np.minimum(lengths, newest)
    window_offsets = np.concatenate([[0], np.cumsum(lengths)])
    starts = offsets[:-1] + ends - lengths
    rows = (
        np.arange(window_offsets[-1])
        - np.repeat(window_offsets[:-1], lengths)
        + np.repeat(starts, lengths)
    )
    return rows, window_offsets


def parse_histories(serialized: Sequence[bytes] | np.ndarray) -> Histories:
    """Parses transformed tf.Examples, one per user, into columns."""
    parsed = tf.io.parse_example(
        tf.constant(serialized, tf.string, shape=[len(serialized)]),
        FEATURE_SPEC,
    )
    cuts = {
        name: np.unique(parsed[name].numpy())
        for name in ("validation_cut", "test_cut")
    }
    for name, values in cuts.items():
        if len(values) > 1:
            raise ValueError(
                f"Examples of different runs are mixed: `{name}` has the "
                f"values {values[:3].tolist()}."
            )
    items = parsed["item_indices"]
    return Histories(
        user_ids=parsed["user_id"].numpy(),
        user_indices=parsed["user_index"].numpy(),
        offsets=items.row_splits.numpy(),
        item_ids=parsed["item_ids"].flat_values.numpy(),
        item_indices=items.flat_values.numpy(),
        timestamps=parsed["timestamps"].flat_values.numpy(),
        num_train_events=parsed["num_train_events"].numpy(),
        num_development_events=parsed["num_development_events"].numpy(),
        validation_cut=int(cuts["validation_cut"][0]) if len(serialized) else 0,
        test_cut=int(cuts["test_cut"][0]) if len(serialized) else 0,
    )


def read_histories(files: Iterable[str]) -> Histories:
    """Reads gzipped TFRecord files of transformed examples.

    Users come out sorted by id, so that the result does not depend on how
    many files or workers wrote them.
    """
    names = sorted(files)
    records = tf.data.TFRecordDataset(names, compression_type="GZIP")
    serialized = list(records.as_numpy_iterator())
    if not serialized:
        raise ValueError(f"No examples in {names or 'an empty list of files'}.")
    histories = parse_histories(serialized)
    return histories.select(np.argsort(histories.user_ids, kind="stable"))
