"""What SASRec and BERT4Rec share: inputs, positions and blocks."""

from __future__ import annotations

import tensorflow as tf

from models.compute import Compute, current, rounded
from models.config import SequentialConfig
from models.item_embedding import ItemEmbedding
from models.sequential.layers import DropoutMasks, LayerNorm
from models.sequential.packing import Packing
from models.sequential.tower import SequentialTower
from models.sequential.transformer import Context, TransformerBlock


class TransformerTower(SequentialTower):
    """Base of the towers made of transformer blocks.

    Nothing in a tower branches on a tensor, so its public methods are kept
    from AutoGraph: rewriting all layers costs seconds in every process.

    Args:
        items: the shared item table.
        config: sizes; histories of `max_length - 1` events are known.
        init_stddev: of the item table's start, which the positions' follows.
        seed: of the start values.
    """

    # columns that stand behind the history
    extra_positions = 0

    def __init__(
        self,
        items: ItemEmbedding,
        config: SequentialConfig,
        init_stddev: float,
        seed: int,
    ) -> None:
        super().__init__(name=type(self).__name__.lower())
        dim = items.embedding_dim
        self.items = items
        self.max_inputs = config.max_length - 1
        self.num_positions = self.max_inputs + self.extra_positions
        self.scale = dim**0.5 if config.scale_inputs else 1.0
        self.count_from_newest = config.positions == "newest"
        self.positions = self.add_weight(
            name="positions",
            shape=(self.num_positions, dim),
            # as large as the item vectors they are added to, see `encode`
            initializer=tf.keras.initializers.TruncatedNormal(
                stddev=init_stddev * self.scale, seed=seed
            ),
        )
        self.dropout = config.dropout
        self.blocks = [
            TransformerBlock(dim, config, number, seed + 10 * (number + 1))
            for number in range(config.num_blocks)
        ]
        self.pre_norm = config.norm == "pre"
        self.norm = LayerNorm(dim, "norm")

    def encode(
        self,
        vectors: tf.Tensor,
        packing: Packing,
        visible: tf.Tensor,
        seed: tf.Tensor | None,
    ) -> tf.Tensor:
        """Runs the blocks.

        Args:
            vectors: [positions, d] what stands in the known positions.
            packing: where these lie; columns up to `num_positions`, the
                newest in the last one.
            visible: [batch, length or 1, length] bool, True where row may
                see column.
            seed: [2] int32 of this training step; None switches dropout off.

        Returns:
            [positions, d] float32.
        """
        compute = current()
        if not compute.xla:
            return self.run_blocks(vectors, packing, visible, seed, compute)
        positions = tf.shape(vectors)[0]
        added = rounded(positions) - positions
        states = _compiled(
            self,
            tf.pad(vectors, [[0, added], [0, 0]]),
            packing.extended(positions + added),
            tf.pad(visible, [[0, 1], [0, 0], [0, 0]]),
            seed,
            compute,
        )
        return states[:positions]

    def run_blocks(
        self,
        vectors: tf.Tensor,
        packing: Packing,
        visible: tf.Tensor,
        seed: tf.Tensor | None,
        compute: Compute,
    ) -> tf.Tensor:
        """`encode` as it stands, for as many positions as there are."""
        vectors = vectors * self.scale + self._position_vectors(packing)
        if not self.pre_norm:
            vectors = self.norm(vectors)
        masks = DropoutMasks(
            self.dropout, 2 * len(self.blocks) + 1, tf.shape(vectors), seed
        )
        # every row may see itself, so that padded rows stay finite
        visible |= tf.eye(packing.length, dtype=tf.bool)
        context = Context(packing, visible, masks, seed, compute)
        states = masks(vectors, 0)
        for block in self.blocks:
            states = block(states, context)
        return self.norm(states) if self.pre_norm else states

    def _position_vectors(self, packing: Packing) -> tf.Tensor:
        """[positions, d] vectors of the columns.

        Counted from the newest, the last column is the table's last row;
        counted from the oldest, the first known column is its first row.
        """
        table = tf.convert_to_tensor(self.positions)
        columns = tf.cast(packing.places[:, 1], tf.int32)
        if self.count_from_newest:
            first = self.num_positions - packing.length
        else:
            first = tf.gather(
                packing.counts - packing.length, packing.places[:, 0]
            )
        return tf.gather(table, columns + first)


# not an attribute of the tower, which would be exported with it
@tf.function(jit_compile=True, reduce_retracing=True, autograph=False)
def _compiled(
    tower: TransformerTower,
    vectors: tf.Tensor,
    packing: Packing,
    visible: tf.Tensor,
    seed: tf.Tensor | None,
    compute: Compute,
) -> tf.Tensor:
    return tower.run_blocks(vectors, packing, visible, seed, compute)
