"""UltraGCN: what infinitely many layers would converge to, as a loss.

Mao et al. 2021 (arXiv:2110.15114; paper section 3.4). There is no
propagation: user and item vectors are the tables themselves, and the graph
acts through the weights of the loss and through the item-item neighbours that
GraphBuilder has found.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.config import GraphTowerConfig
from models.graph.propagation import BipartiteAdjacency
from models.graph.tower import FoldIn, GraphTower, NodeVectors
from models.item_embedding import ItemEmbedding
from models.losses.bpr import negative_scores
from models.losses.ultragcn import constraint_loss, item_loss


class UltraGCN(GraphTower):
    """User and item tables with UltraGCN's three-part loss."""

    def __init__(
        self,
        items: ItemEmbedding,
        adjacency: BipartiteAdjacency,
        config: GraphTowerConfig,
        init_stddev: float,
        seed: int,
    ) -> None:
        """See GraphTower.

        Raises:
            ValueError: the item-item loss has a weight, the graph no
                neighbours.
        """
        super().__init__(items, adjacency, config, init_stddev, seed)
        # beta_ui is the product of one factor each
        self._user_factors = tf.constant(
            np.sqrt(self.user_degrees + 1.0)
            / np.maximum(self.user_degrees, 1.0),
            tf.float32,
        )
        self._item_factors = tf.constant(
            1.0 / np.sqrt(self.item_degrees + 1.0), tf.float32
        )
        self._neighbors = None
        if not config.ultragcn.item_weight:
            return
        if adjacency.neighbors is None:
            raise ValueError(
                "`model.graph.ultragcn.item_weight` is "
                f"{config.ultragcn.item_weight}, but the graph has no item "
                "neighbours: set `graph.item_neighbors`, or the weight to 0."
            )
        self._neighbors = tuple(map(tf.constant, adjacency.neighbors))

    def propagate(self, seed: tf.Tensor | None = None) -> NodeVectors:
        """The tables; see GraphTower."""
        return NodeVectors(
            tf.convert_to_tensor(self.users),
            tf.convert_to_tensor(self.items.table),
        )

    def loss(
        self,
        vectors: NodeVectors,
        edges: tf.Tensor,
        seed: tf.Tensor,
        share: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        """L_O + lambda L_C + gamma L_I and L2; see GraphTower.

        Negatives are uniform, as in UltraGCN's code, which does not check
        them either; per_edge draws the user's own items once more.
        """
        weights = self.config.ultragcn
        users, positives = self.pairs(edges)
        negatives = self.negatives(users, seed)
        user_vectors = tf.gather(vectors.users, users)
        positive_vectors = tf.gather(vectors.items, positives)
        negative_vectors = tf.gather(vectors.items, negatives)
        beta = tf.gather(self._user_factors, users)
        loss = constraint_loss(
            tf.reduce_sum(user_vectors * positive_vectors, axis=1),
            negative_scores(user_vectors, negative_vectors),
            weights.w1
            + weights.w2 * beta * tf.gather(self._item_factors, positives),
            weights.w3
            + weights.w4
            * beta[:, tf.newaxis]
            * tf.gather(self._item_factors, negatives),
            weights.negative_weight,
        )
        if self._neighbors is not None:
            loss += weights.item_weight * self._item_loss(
                vectors, user_vectors, positives
            )
        penalty = self.penalty(
            user_vectors, positive_vectors, negative_vectors, share
        )
        return share * (loss + penalty)

    def fold_in(self) -> FoldIn:
        """UltraGCN's limit for a user without a row of its own.

        Where propagation has converged, e_u is the sum of beta_ui e_i over
        its items (equation 6 there); the user's factor of beta scales all
        scores alike and is left out. An item without an edge says nothing:
        it was trained as a negative at most.
        """
        items = tf.convert_to_tensor(self.items.table)
        known = tf.constant(self.item_degrees > 0, tf.float32)
        factors = self._item_factors * known
        return FoldIn(items * factors[:, tf.newaxis], items)

    def _item_loss(
        self, vectors: NodeVectors, user_vectors: tf.Tensor, items: tf.Tensor
    ) -> tf.Tensor:
        assert self._neighbors is not None
        nodes, weights = (tf.gather(part, items) for part in self._neighbors)
        scores = tf.einsum(
            "ed,ekd->ek", user_vectors, tf.gather(vectors.items, nodes)
        )
        return item_loss(scores, weights)
