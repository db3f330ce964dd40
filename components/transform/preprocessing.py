"""`preprocessing_fn` of the stock Transform: cuts, counts and indices.

Analysis takes up to four passes over the data, each needing the one before:
the test cut, the validation cut, the vocabularies of the train events, and
what the other development events add.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from components import splits
from components.splits import SplitConfig
from components.transform import analyzers, vocabularies
from models.settings import from_mapping

# Fineness of the share of users held out.
_NUM_BUCKETS = 2**32


@dataclasses.dataclass(frozen=True)
class _Counts:
    """What the rules of `splits` ask of a user, as tensors [batch] int64."""

    num_events: tf.Tensor
    num_train_events: tf.Tensor
    num_development_events: tf.Tensor


def preprocessing_fn(
    inputs: Mapping[str, Any], custom_config: Mapping[str, Any]
) -> dict[str, Any]:
    """Adds cut times, events before each cut and table rows to histories.

    Args:
        inputs: `user_id` [batch] string, `item_ids` and `timestamps`
            [batch, (events)] ragged or sparse, sorted by time within a user;
            timestamps are int64 unix seconds.
        custom_config: `split` holds the fields of `SplitConfig`.

    Returns:
        The features of `components.histories.FEATURE_SPEC`.

    Raises:
        SettingsError: the split settings are wrong.
    """
    split = from_mapping(SplitConfig, custom_config["split"], "split")
    users = _dense(inputs["user_id"])
    items = _ragged(inputs["item_ids"])
    timestamps = _ragged(inputs["timestamps"])
    development, test_cut = _development(timestamps, split)
    train, validation_cut = _train(
        users, timestamps, development, test_cut, split
    )
    counts = _Counts(timestamps.row_lengths(), train, development)
    item_indices = items.with_values(_item_indices(items, counts))
    everyone = tf.ones_like(counts.num_events)
    return {
        "user_id": users,
        "user_index": _user_indices(users, counts, split),
        # TFT writes a sparse output under its own name, a ragged one under
        # `item_ids$ragged_values`.
        "item_ids": items.to_sparse(),
        "item_indices": item_indices.to_sparse(),
        "timestamps": timestamps.to_sparse(),
        "num_train_events": counts.num_train_events,
        "num_development_events": counts.num_development_events,
        "validation_cut": everyone * validation_cut,
        "test_cut": everyone * test_cut,
    }


def _development(
    timestamps: tf.RaggedTensor, split: SplitConfig
) -> tuple[tf.Tensor, tf.Tensor]:
    """[batch] int64 development events of each user, and the test cut."""
    if split.strategy == splits.LEAVE_ONE_OUT:
        events = _all_but_last(timestamps.row_lengths())
        known = _first_events(timestamps.row_lengths(), events)
        newest = analyzers.Cut("test", "user with two events", quantile=1.0)
        return events, analyzers.cut_time(
            tf.boolean_mask(timestamps.flat_values, known), newest
        )
    test_cut = _test_cut(timestamps, split)
    return _events_until(timestamps, test_cut), test_cut


def _train(
    users: tf.Tensor,
    timestamps: tf.RaggedTensor,
    development: tf.Tensor,
    test_cut: tf.Tensor,
    split: SplitConfig,
) -> tuple[tf.Tensor, tf.Tensor]:
    """[batch] int64 train events of each user, and the validation cut."""
    if split.validation_rule == splits.BY_TIME:
        cut = _validation_cut(timestamps, test_cut, split)
        return _events_until(timestamps, cut), cut
    if split.validation_rule == splits.LAST_TRAIN_ITEM:
        return _all_but_last(development), test_cut
    nothing = tf.zeros_like(development)
    return tf.where(_held_out(users, split), nothing, development), test_cut


def _held_out(users: tf.Tensor, split: SplitConfig) -> tf.Tensor:
    """[batch] bool: drawn by a hash of the id, whatever else is in the log.

    Nobody else has to draw again: who is held out has no train event.
    """
    buckets = tf.strings.to_hash_bucket_strong(
        users, _NUM_BUCKETS, key=[split.validation_seed, 0]
    )
    return buckets < round(split.validation_user_share * _NUM_BUCKETS)


def _test_cut(timestamps: tf.RaggedTensor, split: SplitConfig) -> tf.Tensor:
    """[] int64 unix seconds."""
    if split.test_date is not None:
        return tf.constant(
            splits.date_cut(split.test_date, "test_date"), tf.int64
        )
    days = split.test_days
    counted = timestamps.row_lengths() >= split.min_user_events
    return analyzers.cut_time(
        tf.ragged.boolean_mask(timestamps, counted).flat_values,
        analyzers.Cut(
            "test",
            f"user with at least {split.min_user_events} events",
            quantile=split.test_quantile if days is None else None,
            before_newest=None
            if days is None
            else splits.seconds_of_days(days),
            after=None
            if split.validation_date is None
            else splits.date_cut(split.validation_date, "validation_date"),
        ),
    )


def _validation_cut(
    timestamps: tf.RaggedTensor, test_cut: tf.Tensor, split: SplitConfig
) -> tf.Tensor:
    """[] int64 unix seconds."""
    if split.validation_date is not None:
        date = splits.date_cut(split.validation_date, "validation_date")
        return tf.constant(date, tf.int64)
    if split.validation_days is not None:
        return test_cut - splits.seconds_of_days(split.validation_days)
    num_development_events = _events_until(timestamps, test_cut)
    counted = (timestamps.row_lengths() >= split.min_user_events) & (
        num_development_events >= split.min_development_events
    )
    development = tf.ragged.boolean_mask(timestamps, counted).flat_values
    return analyzers.cut_time(
        tf.boolean_mask(development, development <= test_cut),
        analyzers.Cut(
            "validation",
            f"user with at least {split.min_development_events} events up to "
            "the test cut",
            quantile=split.validation_quantile,
        ),
    )


def _events_until(timestamps: tf.RaggedTensor, cut: tf.Tensor) -> tf.Tensor:
    """[batch] int64: events of each user up to and with the cut."""
    before = timestamps.with_values(
        tf.cast(timestamps.flat_values <= cut, tf.int64)
    )
    return tf.reduce_sum(before, axis=1)


def _all_but_last(counts: tf.Tensor) -> tf.Tensor:
    """[batch] int64: one fewer, and none of none."""
    return tf.maximum(counts - 1, 0)


def _first_events(num_events: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """[num_rows] bool: whether an event is among its user's first `counts`."""
    positions = tf.ragged.range(num_events).flat_values
    return positions < tf.repeat(counts, num_events)


def _item_indices(items: tf.RaggedTensor, counts: _Counts) -> tf.Tensor:
    """[num_rows] int64 rows of the item table, 0 where unknown.

    The events of all users count here, also of those too few of whose
    events are known: which those are depends on the future.
    """
    ids = items.flat_values
    train_name, development_name = vocabularies.ITEMS
    in_train, in_development = (
        _first_events(counts.num_events, known)
        for known in (counts.num_train_events, counts.num_development_events)
    )
    train = vocabularies.learn(train_name, tf.boolean_mask(ids, in_train))
    rows, _ = train.rows(ids)
    first_seen_between = in_development & (rows == 0)
    development = vocabularies.learn(
        development_name, tf.boolean_mask(ids, first_seen_between)
    )
    return vocabularies.concatenated_rows(train, development, ids)


def _user_indices(
    users: tf.Tensor, counts: _Counts, split: SplitConfig
) -> tf.Tensor:
    """[batch] int64 rows of the user table, -1 where never fitted on."""
    # The rules compare and combine only, so they read tensors as well.
    histories: Any = counts
    in_train = splits.train_users(histories, split)
    in_refit = splits.refit_users(
        histories, dataclasses.replace(split, refit_users="development")
    )
    train_name, development_name = vocabularies.USERS
    train = vocabularies.learn(train_name, tf.boolean_mask(users, in_train))
    development = vocabularies.learn(
        development_name,
        tf.boolean_mask(users, in_refit & tf.logical_not(in_train)),
    )
    return vocabularies.concatenated_rows(train, development, users) - 1


def _ragged(values: Any) -> tf.RaggedTensor:
    """[batch, (events)] int64 row splits, from ragged or sparse."""
    if isinstance(values, tf.SparseTensor):
        return tf.RaggedTensor.from_sparse(values)
    return values


def _dense(values: Any) -> tf.Tensor:
    """[batch], from [batch], [batch, 1] or the like in ragged or sparse."""
    if isinstance(values, tf.SparseTensor):
        values = values.values
    elif isinstance(values, tf.RaggedTensor):
        values = values.flat_values
    return tf.reshape(values, [-1])
