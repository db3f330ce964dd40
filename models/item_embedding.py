"""The one item-embedding table both towers share (paper section 3.2)."""

from __future__ import annotations

import tensorflow as tf


class ItemEmbedding(tf.keras.layers.Layer):
    """Item vectors for the sequential tower, the graph tower and the scores.

    Items are numbered from 1 in histories, 0 is padding or unknown. The
    table has no padding row: item i is row i - 1, which is also its node in
    the item set of the graph.

    Args:
        num_items: items of the catalogue.
        embedding_dim: length of a vector.
        init_stddev: standard deviation of the truncated normal start.
        seed: of the start values.
    """

    def __init__(
        self, num_items: int, embedding_dim: int, init_stddev: float, seed: int
    ) -> None:
        super().__init__(name="item_embedding")
        self.num_items = num_items
        self.embedding_dim = embedding_dim
        self._start = {"stddev": init_stddev, "seed": seed}
        self.table = self.add_weight(
            name="table",
            shape=(num_items, embedding_dim),
            initializer=tf.keras.initializers.TruncatedNormal(**self._start),
        )

    def restart(self) -> None:
        """Sets the table to its start values."""
        start = tf.keras.initializers.TruncatedNormal(**self._start)
        self.table.assign(start(self.table.shape))

    def call(
        self, items: tf.Tensor, table: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Looks up vectors.

        Args:
            items: [...] int, 1..num_items, 0 where padded.
            table: [num_items, embedding_dim] to look up in; None takes the
                layer's own.

        Returns:
            [..., embedding_dim] float32, zeros where padded.
        """
        # from the value: gathering from the variable itself would make every
        # later update copy the table
        if table is None:
            table = tf.convert_to_tensor(self.table)
        vectors = tf.gather(table, tf.maximum(items - 1, 0))
        return vectors * tf.cast(items > 0, vectors.dtype)[..., tf.newaxis]
