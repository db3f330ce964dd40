"""What every sequential tower offers, and how one is made."""

from __future__ import annotations

import abc
from typing import NamedTuple

import tensorflow as tf


class TrainingStates(NamedTuple):
    """What one batch of sequences is trained on.

    Attributes:
        states: [positions, d] float32, those with a target only: padded
            positions are gathered away before the product with the item
            table, which is nearly all of the arithmetic.
        targets: [positions] int, rows of the item table.
        users: [batch, d] float32 user vectors (h_u), for the alignment.
    """

    states: tf.Tensor
    targets: tf.Tensor
    users: tf.Tensor


class SequentialTower(tf.keras.layers.Layer, abc.ABC):
    """Base of the sequential towers (paper section 3.3).

    Attributes:
        max_inputs: events of a history that the tower can take.
    """

    max_inputs: int

    @abc.abstractmethod
    def training_states(
        self,
        sequences: tf.Tensor,
        seed: tf.Tensor,
        table: tf.Tensor | None = None,
    ) -> TrainingStates:
        """States and targets of a batch.

        Args:
            sequences: [batch, max_length] int item numbers, newest in the
                last column, 0 pads on the left.
            seed: [2] int32 of this training step, for all that is random.
            table: [num_items, d] item vectors; None takes the shared table.
        """

    @abc.abstractmethod
    def last_state(
        self, histories: tf.Tensor, table: tf.Tensor | None = None
    ) -> tf.Tensor:
        """[batch, max_length - 1] histories to [batch, d] user vectors."""
