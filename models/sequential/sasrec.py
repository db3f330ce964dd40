"""SASRec: a causal transformer over a user's newest items.

Kang and McAuley 2018, trained with cross-entropy as in the paper's section
3.3. Positions are counted from the newest item, so a history that grows by
one keeps the meaning of "newest", "second newest" and so on.
"""

from __future__ import annotations

import tensorflow as tf

from models.config import SequentialConfig
from models.item_embedding import ItemEmbedding
from models.sequential.tower import SequentialTower, TrainingStates
from models.sequential.transformer import (
    StatelessDropout,
    TransformerBlock,
    layer_norm,
)


class SASRec(SequentialTower):
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
        super().__init__(name="sasrec")
        dim = items.embedding_dim
        self.items = items
        self.max_inputs = config.max_length - 1
        self.positions = self.add_weight(
            name="positions",
            shape=(self.max_inputs, dim),
            # as large as the item vectors they are added to, see `call`
            initializer=tf.keras.initializers.TruncatedNormal(
                stddev=init_stddev * dim**0.5, seed=seed
            ),
        )
        self.dropout = StatelessDropout(config.dropout, 0)
        self.blocks = [
            TransformerBlock(dim, config, number, seed + 10 * (number + 1))
            for number in range(config.num_blocks)
        ]
        self.pre_norm = config.norm == "pre"
        self.norm = layer_norm(dim, "norm")

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
        vectors = self.items(histories) * self.items.embedding_dim**0.5
        vectors += self.positions[self.max_inputs - length :]
        if not self.pre_norm:
            vectors = self.norm(vectors)
        states = self.dropout(vectors, seed)
        states *= tf.cast(known, states.dtype)[..., tf.newaxis]
        # every row may see itself, so that padded rows stay finite
        causal = tf.linalg.band_part(tf.ones([length, length], tf.bool), -1, 0)
        mask = (causal & known[:, tf.newaxis, :]) | tf.eye(
            length, dtype=tf.bool
        )
        for block in self.blocks:
            states = block(states, mask[:, tf.newaxis], seed)
        return self.norm(states) if self.pre_norm else states

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

    def last_state(self, histories: tf.Tensor) -> tf.Tensor:
        """[batch, length] histories to [batch, d] user vectors (h_u)."""
        return self(histories)[:, -1]
