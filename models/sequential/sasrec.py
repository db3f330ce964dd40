"""SASRec: a causal transformer over a user's newest items.

Kang and McAuley 2018, trained with cross-entropy as in the paper's section
3.3. By default positions are counted from the newest item, so a history that
grows by one keeps the meaning of "newest", "second newest" and so on.
"""

from __future__ import annotations

import tensorflow as tf

from models.config import SequentialConfig
from models.item_embedding import ItemEmbedding
from models.sequential.encoder import TransformerTower
from models.sequential.tower import TrainingStates


class SASRec(TransformerTower):
    """States of right-aligned histories; the last column is the user vector.

    Args:
        items: the shared item table.
        config: sizes; `max_length - 1` positions are known.
        init_stddev: of the item table's start, which the positions' follows.
        seed: of the start values.
    """

    def __init__(
        self,
        items: ItemEmbedding,
        config: SequentialConfig,
        init_stddev: float,
        seed: int,
    ) -> None:
        super().__init__(
            "sasrec", items, config, config.max_length - 1, init_stddev, seed
        )

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
        """
        length = tf.shape(histories)[1]
        known = histories > 0
        causal = tf.linalg.band_part(tf.ones([length, length], tf.bool), -1, 0)
        visible = causal & known[:, tf.newaxis, :]
        return self.encode(self.items(histories), known, visible, seed)

    @tf.autograph.experimental.do_not_convert
    def training_states(
        self, sequences: tf.Tensor, seed: tf.Tensor
    ) -> TrainingStates:
        """Every position predicts the next item; see SequentialTower."""
        states = self(sequences[:, :-1], seed)
        targets = sequences[:, 1:]
        valid = tf.where((targets > 0) & (sequences[:, :-1] > 0))
        return TrainingStates(
            tf.gather_nd(states, valid),
            tf.gather_nd(targets, valid) - 1,
            states[:, -1],
        )

    @tf.autograph.experimental.do_not_convert
    def last_state(self, histories: tf.Tensor) -> tf.Tensor:
        """[batch, length] histories to [batch, d] user vectors (h_u)."""
        return self(histories[:, -self.max_inputs :])[:, -1]
