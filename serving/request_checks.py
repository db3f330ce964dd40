"""Refuses requests inside the graph, with INVALID_ARGUMENT and the reason."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from serving.signatures import MAX_ANSWERS, MAX_ROWS


def checked_rows(*named: tuple[str, tf.Tensor]) -> list[tf.Tensor]:
    """The tensors, once there is a row per user in each, and not too many."""
    (first, reference), *others = named
    checks = [
        tf.debugging.assert_less_equal(
            tf.shape(reference)[0],
            MAX_ROWS,
            f"`{first}` has more than {MAX_ROWS} rows; send fewer at once.",
        )
    ]
    checks += [
        tf.debugging.assert_less_equal(
            tf.size(tensor),
            MAX_ANSWERS,
            f"`{name}` has more than {MAX_ANSWERS} elements; send fewer.",
        )
        for name, tensor in named
    ]
    checks += [
        tf.debugging.assert_equal(
            tf.shape(reference)[0],
            tf.shape(other)[0],
            f"`{first}` and `{name}` must have a row per user each.",
        )
        for name, other in others
    ]
    with after(*checks):
        return [tf.identity(tensor) for _, tensor in named]


def checked_positive(name: str, value: tf.Tensor) -> tf.Tensor:
    """The value, once all of it is at least 1."""
    message = f"`{name}` must be at least 1."
    with after(tf.debugging.assert_positive(value, message)):
        return tf.identity(value)


def after(*checks: tf.Operation | None) -> Any:
    """What is computed in this block waits for the checks."""
    # A check that holds statically is None.
    return tf.control_dependencies([c for c in checks if c is not None])
