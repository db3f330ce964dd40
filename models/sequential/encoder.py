"""What SASRec and BERT4Rec share: inputs, positions and blocks."""

from __future__ import annotations

import tensorflow as tf

from models.config import SequentialConfig
from models.item_embedding import ItemEmbedding
from models.sequential.tower import SequentialTower
from models.sequential.transformer import (
    StatelessDropout,
    TransformerBlock,
    layer_norm,
)


class TransformerTower(SequentialTower):
    """Base of the towers made of transformer blocks.

    Nothing in a tower branches on a tensor, so its public methods are kept
    from AutoGraph: rewriting all layers costs seconds in every process.

    Args:
        name: of the layer.
        items: the shared item table.
        config: sizes; histories of `max_length - 1` events are known.
        num_positions: most columns that are encoded at a time.
        init_stddev: of the item table's start, which the positions' follows.
        seed: of the start values.
    """

    def __init__(
        self,
        name: str,
        items: ItemEmbedding,
        config: SequentialConfig,
        num_positions: int,
        init_stddev: float,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        dim = items.embedding_dim
        self.items = items
        self.max_inputs = config.max_length - 1
        self.num_positions = num_positions
        self.scale = dim**0.5 if config.scale_inputs else 1.0
        self.count_from_newest = config.positions == "newest"
        self.positions = self.add_weight(
            name="positions",
            shape=(num_positions, dim),
            # as large as the item vectors they are added to, see `encode`
            initializer=tf.keras.initializers.TruncatedNormal(
                stddev=init_stddev * self.scale, seed=seed
            ),
        )
        self.dropout = StatelessDropout(config.dropout, 0)
        self.blocks = [
            TransformerBlock(dim, config, number, seed + 10 * (number + 1))
            for number in range(config.num_blocks)
        ]
        self.pre_norm = config.norm == "pre"
        self.norm = layer_norm(dim, "norm")

    def encode(
        self,
        vectors: tf.Tensor,
        known: tf.Tensor,
        visible: tf.Tensor,
        seed: tf.Tensor | None,
    ) -> tf.Tensor:
        """Runs the blocks.

        Args:
            vectors: [batch, length, d] what stands in the columns, the
                newest in the last one; length up to `num_positions`.
            known: [batch, length] bool, False where padded.
            visible: [batch, length, length] bool, True where row may see
                column; the first axis may be 1.
            seed: [2] int32 of this training step; None switches dropout off.

        Returns:
            [batch, length, d] float32.
        """
        vectors = vectors * self.scale + self._position_vectors(known)
        if not self.pre_norm:
            vectors = self.norm(vectors)
        states = self.dropout(vectors, seed)
        states *= tf.cast(known, states.dtype)[..., tf.newaxis]
        # every row may see itself, so that padded rows stay finite
        mask = visible | tf.eye(tf.shape(known)[1], dtype=tf.bool)
        for block in self.blocks:
            states = block(states, mask[:, tf.newaxis], seed)
        return self.norm(states) if self.pre_norm else states

    def _position_vectors(self, known: tf.Tensor) -> tf.Tensor:
        """[length, d] or [batch, length, d] vectors of the positions.

        Counted from the newest, the last column is the table's last row;
        counted from the oldest, the first known column is its first row.
        """
        if self.count_from_newest:
            return self.positions[self.num_positions - tf.shape(known)[1] :]
        rows = tf.cumsum(tf.cast(known, tf.int32), axis=1) - 1
        # a product, not a gather: its gradient is dense, as clipping by the
        # global norm and the optimiser need it
        hot = tf.one_hot(rows, self.num_positions)
        return tf.tensordot(hot, self.positions, 1)
