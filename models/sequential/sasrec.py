"""SASRec: a causal transformer over a user's newest items.

Kang and McAuley 2018, trained with cross-entropy as in the paper's section
3.3. By default positions are counted from the newest item, so a history that
grows by one keeps the meaning of "newest", "second newest" and so on.
"""

from __future__ import annotations

import tensorflow as tf

from models.sequential.encoder import TransformerTower
from models.sequential.packing import Packing
from models.sequential.tower import TrainingStates


class SASRec(TransformerTower):
    """States of right-aligned histories; the last column is the user vector.

    See TransformerTower for the arguments.
    """

    def call(
        self, histories: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Encodes histories.

        Args:
            histories: [batch, length] int item numbers, newest in the last
                column, 0 pads on the left; length up to max_length - 1.
            seed: [2] int32 of this training step; None switches dropout off.

        Returns:
            [batch, length, d] float32; column c has seen columns 0..c.
            Zeros where padded.
        """
        packing = Packing.of(histories > 0)
        return packing.pad(self._states(histories, packing, seed, None))

    @tf.autograph.experimental.do_not_convert
    def training_states(
        self,
        sequences: tf.Tensor,
        seed: tf.Tensor,
        table: tf.Tensor | None = None,
    ) -> TrainingStates:
        """Every position predicts the next item; see SequentialTower."""
        histories = sequences[:, :-1]
        packing = Packing.of(histories > 0)
        states = self._states(histories, packing, seed, table)
        # padding is on the left, so what follows a known item is known
        targets = packing.pack(sequences[:, 1:]) - 1
        return TrainingStates(states, targets, packing.last(states))

    @tf.autograph.experimental.do_not_convert
    def last_state(
        self, histories: tf.Tensor, table: tf.Tensor | None = None
    ) -> tf.Tensor:
        """[batch, length] histories to [batch, d] user vectors (h_u)."""
        histories = histories[:, -self.max_inputs :]
        packing = Packing.of(histories > 0)
        return packing.last(self._states(histories, packing, None, table))

    def _states(
        self,
        histories: tf.Tensor,
        packing: Packing,
        seed: tf.Tensor | None,
        table: tf.Tensor | None,
    ) -> tf.Tensor:
        """[positions, d] of the known positions."""
        causal = tf.linalg.band_part(
            tf.ones([packing.length, packing.length], tf.bool), -1, 0
        )
        # padding is on the left: what a known row must not see beside later
        # columns are the padded ones
        visible = causal & (histories > 0)[:, tf.newaxis, :]
        vectors = self.items(packing.pack(histories), table)
        return self.encode(vectors, packing, visible, seed)
