"""LightGCN (He et al. 2020; paper section 3.4).

    E(0)   = the shared item table and a user table of its own
    E(k+1) = D^-1/2 A D^-1/2 E(k)
    E      = mean of E(0) .. E(K)

No self loops, no weights, no activation. `normalize_layers` divides each
E(k), k > 0, by its row norms before the mean (as older code of the
paper's authors; not in LightGCN).
"""

from __future__ import annotations

import tensorflow as tf

from models.config import GraphTowerConfig
from models.graph.propagation import BipartiteAdjacency
from models.item_embedding import ItemEmbedding


class LightGCN(tf.keras.layers.Layer):
    """User and item vectors of the graph.

    Args:
        items: the shared item table, row j is item node j.
        adjacency: edges of the fit period.
        config: number of layers and normalisation.
        init_stddev: of the user table's truncated normal start.
        seed: of the start values.
    """

    def __init__(
        self,
        items: ItemEmbedding,
        adjacency: BipartiteAdjacency,
        config: GraphTowerConfig,
        init_stddev: float,
        seed: int,
    ) -> None:
        super().__init__(name="lightgcn")
        if adjacency.num_items != items.num_items:
            raise ValueError(
                f"The graph has {adjacency.num_items} item nodes, the item "
                f"table {items.num_items} rows; both must be the catalogue "
                "of the same fit period."
            )
        self.items = items
        self.adjacency = adjacency
        self.config = config
        self.users = self.add_weight(
            name="users",
            shape=(adjacency.num_users, items.embedding_dim),
            initializer=tf.keras.initializers.TruncatedNormal(
                stddev=init_stddev, seed=seed
            ),
        )

    def propagate(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs all layers.

        Returns:
            [num_users, d] and [num_items, d] float32.
        """
        users = tf.convert_to_tensor(self.users)
        items = tf.convert_to_tensor(self.items.table)
        user_layers, item_layers = [users], [items]
        for _ in range(self.config.num_layers):
            users, items = (
                self.adjacency.to_users(items),
                self.adjacency.to_items(users),
            )
            if self.config.normalize_layers:
                user_layers.append(tf.math.l2_normalize(users, axis=1))
                item_layers.append(tf.math.l2_normalize(items, axis=1))
            else:
                user_layers.append(users)
                item_layers.append(items)
        share = 1.0 / len(user_layers)
        return tf.add_n(user_layers) * share, tf.add_n(item_layers) * share
