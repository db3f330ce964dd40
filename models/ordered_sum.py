"""Sums of tensors that round the same way every time."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def ordered_sum(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """The sum of tensors of one shape, added in their order.

    `tf.add_n` begins with the first input whose memory it may overwrite. With
    three inputs or more, which one that is can depend on when other operations
    end, and so can the last digit, also with TensorFlow's deterministic
    operations; additions in a row may be rewritten to it.

    Args:
        tensors: one at least.
    """
    if len(tensors) == 1:
        return tensors[0]
    return tf.reduce_sum(tf.stack(tensors), axis=0)
