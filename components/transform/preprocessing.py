"""`preprocessing_fn` of the stock Transform: cuts, counts and indices.

Analysis takes four passes over the data, each needing the one before: the
test cut, the validation cut, the vocabularies up to the validation cut, and
what comes on top up to the test cut.
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
    test_cut = _test_cut(timestamps, split)
    validation_cut = _validation_cut(timestamps, test_cut, split)
    counts = _Counts(
        num_events=timestamps.row_lengths(),
        num_train_events=_events_until(timestamps, validation_cut),
        num_development_events=_events_until(timestamps, test_cut),
    )
    item_indices = items.with_values(
        _item_indices(items, timestamps, validation_cut, test_cut)
    )
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


def _test_cut(timestamps: tf.RaggedTensor, split: SplitConfig) -> tf.Tensor:
    """[] int64 unix seconds."""
    if split.test_date is not None:
        return tf.constant(
            splits.date_cut(split.test_date, "test_date"), tf.int64
        )
    counted = timestamps.row_lengths() >= split.min_user_events
    return analyzers.quantile_cut(
        tf.ragged.boolean_mask(timestamps, counted).flat_values,
        analyzers.QuantileCut(
            "test",
            split.test_quantile,
            f"user with at least {split.min_user_events} events",
            after=None
            if split.validation_date is None
            else splits.date_cut(split.validation_date, "validation_date"),
        ),
    )


def _validation_cut(
    timestamps: tf.RaggedTensor, test_cut: tf.Tensor, split: SplitConfig
) -> tf.Tensor:
    """[] int64 unix seconds; the rule of the test cut, before the test cut."""
    if split.validation_date is not None:
        date = splits.date_cut(split.validation_date, "validation_date")
        return tf.constant(date, tf.int64)
    num_development_events = _events_until(timestamps, test_cut)
    counted = (timestamps.row_lengths() >= split.min_user_events) & (
        num_development_events >= split.min_development_events
    )
    development = tf.ragged.boolean_mask(timestamps, counted).flat_values
    return analyzers.quantile_cut(
        tf.boolean_mask(development, development <= test_cut),
        analyzers.QuantileCut(
            "validation",
            split.validation_quantile,
            f"user with at least {split.min_development_events} events up to "
            "the test cut",
        ),
    )


def _events_until(timestamps: tf.RaggedTensor, cut: tf.Tensor) -> tf.Tensor:
    """[batch] int64: events of each user up to and with the cut."""
    before = timestamps.with_values(
        tf.cast(timestamps.flat_values <= cut, tf.int64)
    )
    return tf.reduce_sum(before, axis=1)


def _item_indices(
    items: tf.RaggedTensor,
    timestamps: tf.RaggedTensor,
    validation_cut: tf.Tensor,
    test_cut: tf.Tensor,
) -> tf.Tensor:
    """[num_rows] int64 rows of the item table, 0 where unknown.

    The events of all users count here, also of those too few of whose
    events are known: which those are depends on the future.
    """
    ids, times = items.flat_values, timestamps.flat_values
    train_name, development_name = vocabularies.ITEMS
    train = vocabularies.learn(
        train_name, tf.boolean_mask(ids, times <= validation_cut)
    )
    rows, _ = train.rows(ids)
    first_seen_between = (times <= test_cut) & (rows == 0)
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
